/* SPDX-License-Identifier: Apache-2.0 */
/* unpack_weights: the checkpoint's tensors out of the blob, bit for bit, after every byte of it has
 * been checked. */
#include "compact_copy.h"
#include "kept_blob.h"
#include "progress.h"

static const char *why_not(const tenon_problem *problem, tenon_reason *reason) {
    const tenon_unpack_weights_args *a = problem->args;
    const tenon_blob_header *header;
    tenon_weight_view view;
    if (!a->blob->data) return NULL; /* the run will see */
    return tenon_kept_open(a->blob, &header, NULL, &view, reason) ? reason->text : NULL;
}

static int32_t run(const tenon_kernel_plan *plan, const void *args, tenon_error *error) {
    const tenon_unpack_weights_args *a = args;
    const tenon_quant *q = a->w_quant;
    const tenon_blob_header *header;
    tenon_progress progress;
    tenon_reason why;
    tenon_blob_tensors parts;
    tenon_weight_view view;
    int32_t status = tenon_kept_open(a->blob, &header, &parts, &view, &why);
    if (!status) status = tenon_blob_matches(header, a->w, q, &why);
    if (!status) status = tenon_blob_verify(header, &why);
    if (status)
        return tenon_fail(error, status, TENON_OP_UNPACK_WEIGHTS, -1, "unpack_weights: blob: %s",
                          why.text);

    tenon_progress_begin(&progress, plan->problem.platform, "unpack_weights", header->blob_bytes);
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
