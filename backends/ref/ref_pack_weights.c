/* SPDX-License-Identifier: Apache-2.0 */
/* pack_weights: the header, then the checkpoint's tensors one after another, each compact and
 * aligned. */
#include "compact_copy.h"
#include "kept_blob.h"
#include "progress.h"

static int32_t describe(const tenon_pack_weights_args *a, tenon_blob_header *header,
                        tenon_error *error) {
    tenon_reason why;
    const int32_t status = tenon_kept_describe(a->w, a->w_quant, a->compute, header, &why);
    if (status)
        return tenon_fail(error, status, TENON_OP_PACK_WEIGHTS, -1, "pack_weights: w: %s",
                          why.text);
    return TENON_OK;
}

static int32_t plan(tenon_kernel_plan *self, tenon_error *error) {
    tenon_blob_header header;
    int32_t status = describe(self->problem.args, &header, error);
    if (status == TENON_OK) self->output_bytes = header.blob_bytes;
    return status;
}

static int32_t run(const tenon_kernel_plan *self, const void *args, tenon_error *error) {
    const tenon_pack_weights_args *a = args;
    const tenon_quant *q = a->w_quant;
    uint8_t *blob = tenon_data(a->blob);
    tenon_blob_header header;
    tenon_progress progress;
    int32_t status = describe(a, &header, error);
    if (status) return status;
    if ((uint64_t)a->blob->shape[0] < header.blob_bytes || (uintptr_t)blob % 64)
        return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, TENON_OP_PACK_WEIGHTS, -1,
                          "pack_weights: blob: %lld bytes at %p, expected %llu bytes aligned to 64",
                          (long long)a->blob->shape[0], (void *)blob,
                          (unsigned long long)header.blob_bytes);

    tenon_progress_begin(&progress, self->problem.platform, "pack_weights", header.blob_bytes);
    memset(blob, 0,
           (size_t)header
               .blob_bytes); /* so that padding, and with it the checksum, is the same every time */
    const DLTensor *sources[TENON_BLOB_PARTS] = {
        a->w, q ? q->scale : NULL, q ? q->zero_point : NULL, q ? q->global_scale : NULL,
        q ? q->group_index : NULL};
    for (int i = 0; i < TENON_BLOB_PARTS; i++)
        if (sources[i]) tenon_compact_copy(sources[i], blob + header.part[i].offset_bytes, true);
    tenon_blob_seal(blob, &header);
    tenon_progress_end(&progress);
    return TENON_OK;
}

extern const tenon_kernel tenon_ref_pack_weights;
const tenon_kernel tenon_ref_pack_weights = {
    .name = "ref_pack_weights",
    .op = TENON_OP_PACK_WEIGHTS,
    .traits = TENON_TRAIT_REFERENCE | TENON_TRAIT_DETERMINISTIC,
    .checked_on = "hardware",
    .plan = plan,
    .run = run,
};
