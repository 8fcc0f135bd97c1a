/* SPDX-License-Identifier: Apache-2.0 */
/* unpack_weights: the checkpoint's tensors out of the blob, bit for bit, after every byte of it has
 * been checked. */
#include "progress.h"
#include "ref_weights.h"

static int32_t open_blob(const DLTensor *blob, const tenon_blob_header **header,
                         tenon_reason *why) {
    int32_t status = tenon_blob_open(tenon_data(blob), (uint64_t)blob->shape[0], header, why);
    if (status) return status;
    if (!strcmp((*header)->layout, TENON_REF_LAYOUT)) return TENON_OK;
    tenon_decline(why, "the weights are packed as \"%s\", the reference reads \"%s\"",
                  (*header)->layout, TENON_REF_LAYOUT);
    return TENON_STATUS_UNSUPPORTED;
}

static const char *why_not(const tenon_problem *problem, tenon_reason *reason) {
    const tenon_unpack_weights_args *a = problem->args;
    const tenon_blob_header *header;
    if (!a->blob->data) return NULL; /* the run will see */
    return open_blob(a->blob, &header, reason) == TENON_OK ? NULL : reason->text;
}

static int32_t run(const tenon_kernel_plan *plan, const void *args, tenon_error *error) {
    const tenon_unpack_weights_args *a = args;
    const tenon_quant *q = a->w_quant;
    const tenon_blob_header *header;
    tenon_progress progress;
    tenon_reason why;
    int32_t status = open_blob(a->blob, &header, &why);
    if (!status) status = tenon_blob_matches(header, a->w, q, &why);
    if (!status) status = tenon_blob_verify(header, &why);
    if (status)
        return tenon_fail(error, status, TENON_OP_UNPACK_WEIGHTS, -1, "unpack_weights: blob: %s",
                          why.text);

    tenon_progress_begin(&progress, plan->problem.platform, "unpack_weights", header->blob_bytes);
    tenon_blob_tensors parts;
    tenon_blob_tensors_of(header, &parts);
    const DLTensor *targets[TENON_BLOB_PARTS] = {
        a->w, q ? q->scale : NULL, q ? q->zero_point : NULL, q ? q->global_scale : NULL,
        q ? q->group_index : NULL};
    for (int i = 0; i < TENON_BLOB_PARTS; i++)
        if (targets[i]) tenon_compact_copy(targets[i], parts.tensor[i].data, false);
    tenon_progress_end(&progress);
    return TENON_OK;
}

extern const tenon_kernel tenon_ref_unpack_weights;
const tenon_kernel tenon_ref_unpack_weights = {
    .name = "ref_unpack_weights",
    .op = TENON_OP_UNPACK_WEIGHTS,
    .traits = TENON_TRAIT_REFERENCE | TENON_TRAIT_DETERMINISTIC,
    .checked_on = "hardware",
    .why_not = why_not,
    .run = run,
};
