/* SPDX-License-Identifier: Apache-2.0 */
/* pack_weights of what no panel takes (groups that are not a multiple of 32 columns, bytes in
 * act-order): the checkpoint's tensors as they were, one after another. The same bytes as the
 * reference's. */
#include "cpu_backend.h"
#include "huge_pages.h"
#include "kept_blob.h"
#include "kept_copy.h"
#include "progress.h"

static const char *why_not(const tenon_problem *problem, tenon_reason *reason) {
    const tenon_pack_weights_args *a = problem->args;
    tenon_weight_view view;
    return tenon_weight_view_from(a->w, a->w_quant, &view, reason) ? reason->text : NULL;
}

static int32_t describe(const tenon_pack_weights_args *a, tenon_blob_header *header,
                        tenon_error *error) {
    tenon_reason reason;
    const int32_t status = tenon_kept_describe(a->w, a->w_quant, a->compute, header, &reason);
    if (!status) return TENON_OK;
    return tenon_fail(error, status, TENON_OP_PACK_WEIGHTS, -1, "pack_weights: w: %s", reason.text);
}

static int32_t plan(tenon_kernel_plan *self, tenon_error *error) {
    tenon_blob_header header;
    const int32_t status = describe(self->problem.args, &header, error);
    if (status) return status;
    self->output_bytes = header.blob_bytes;
    return TENON_OK;
}

/* Zeros between the tensors and behind them, so that the checksum is the same every time. */
static void clear_padding(const tenon_blob_header *header, uint8_t *blob) {
    uint64_t end = header->header_bytes;
    for (int i = 0; i < TENON_BLOB_PARTS; i++) {
        const tenon_blob_part *part = &header->part[i];
        if (!part->present) continue;
        memset(blob + end, 0, (size_t)(part->offset_bytes - end));
        end = part->offset_bytes + part->size_bytes;
    }
    memset(blob + end, 0, (size_t)(header->blob_bytes - end));
}

static int32_t run(const tenon_kernel_plan *self, const void *args, tenon_error *error) {
    const tenon_pack_weights_args *a = args;
    const DLTensor *tensors[TENON_BLOB_PARTS];
    uint8_t *blob = tenon_data(a->blob);
    tenon_blob_header header;
    tenon_progress progress;
    const int32_t status = describe(a, &header, error);
    if (status) return status;
    if ((uint64_t)a->blob->shape[0] < header.blob_bytes || (uintptr_t)blob % 64)
        return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, TENON_OP_PACK_WEIGHTS, -1,
                          "pack_weights: blob: %lld bytes at %p, expected %llu bytes aligned to 64",
                          (long long)a->blob->shape[0], (void *)blob,
                          (unsigned long long)header.blob_bytes);
    tenon_progress_begin(&progress, self->problem.platform, "pack_weights", header.blob_bytes);
    tenon_cpu_advise_huge_pages(blob, header.blob_bytes);
    clear_padding(&header, blob);
    tenon_kept_parts(a->w, a->w_quant, tensors);
    tenon_kept_copy(self, tensors, &header, blob, true, &progress);
    tenon_blob_seal(blob, &header);
    tenon_progress_end(&progress);
    return TENON_OK;
}

extern const tenon_kernel tenon_cpu_pack_weights_kept;
const tenon_kernel tenon_cpu_pack_weights_kept = {
    .name = "cpu_pack_weights_kept",
    .op = TENON_OP_PACK_WEIGHTS,
    .traits = TENON_TRAIT_DETERMINISTIC,
    .checked_on = "hardware",
    .why_not = why_not,
    .plan = plan,
    .run = run,
};
