/* SPDX-License-Identifier: Apache-2.0 */
/* unpack_weights from a blob that keeps the checkpoint's tensors as they were: every byte is
 * checked first. */
#include "cpu_backend.h"
#include "kept_blob.h"
#include "kept_copy.h"
#include "progress.h"

static const char *why_not(const tenon_problem *problem, tenon_reason *reason) {
    const tenon_unpack_weights_args *a = problem->args;
    const tenon_blob_header *header;
    tenon_weight_view view;
    if (!a->blob->data) return NULL; /* the run will see */
    return tenon_kept_open(a->blob, &header, NULL, &view, reason) ? reason->text : NULL;
}

static int32_t run(const tenon_kernel_plan *self, const void *args, tenon_error *error) {
    const tenon_unpack_weights_args *a = args;
    const DLTensor *tensors[TENON_BLOB_PARTS];
    const tenon_blob_header *header;
    tenon_weight_view view;
    tenon_progress progress;
    tenon_reason reason;
    int32_t status = tenon_kept_open(a->blob, &header, NULL, &view, &reason);
    if (!status) status = tenon_blob_matches(header, a->w, a->w_quant, &reason);
    if (!status) status = tenon_blob_verify(header, &reason);
    if (status)
        return tenon_fail(error, status, TENON_OP_UNPACK_WEIGHTS, -1, "unpack_weights: blob: %s",
                          reason.text);
    tenon_progress_begin(&progress, self->problem.platform, "unpack_weights", header->blob_bytes);
    tenon_kept_parts(a->w, a->w_quant, tensors);
    tenon_kept_copy(self, tensors, header, tenon_data(a->blob), false, &progress);
    tenon_progress_end(&progress);
    return TENON_OK;
}

extern const tenon_kernel tenon_cpu_unpack_weights_kept;
const tenon_kernel tenon_cpu_unpack_weights_kept = {
    .name = "cpu_unpack_weights_kept",
    .op = TENON_OP_UNPACK_WEIGHTS,
    .traits = TENON_TRAIT_DETERMINISTIC,
    .checked_on = "hardware",
    .why_not = why_not,
    .run = run,
};
