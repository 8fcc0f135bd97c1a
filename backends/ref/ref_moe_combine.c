/* SPDX-License-Identifier: Apache-2.0 */
/* moe_combine:  out[t] = scale * sum_slot weight[t, slot] * y[row(t, slot)] + shared[t], slot 0
 * first. Row -1 adds nothing; a row outside y adds nothing and is reported. */
#include "ref_tensor.h"

/* Offset of a row of y, or -1. */
static int64_t row_offset(const tenon_moe_combine_args *a, int64_t t, int64_t slot) {
    const DLTensor *y = a->y;
    const int64_t rows = y->ndim == 2 ? y->shape[0] : y->shape[0] * y->shape[1],
                  row = tenon_ref_index2(a->pair_rows, t, slot);
    if (row >= 0 && row < rows)
        return y->ndim == 2 ? row * y->strides[0]
                            : row / y->shape[1] * y->strides[0] + row % y->shape[1] * y->strides[1];
    if (row != -1)
        tenon_report_fault(a->fault, TENON_OP_MOE_COMBINE, TENON_FAULT_ROW_OUT_OF_RANGE,
                           t * a->pair_rows->shape[1] + slot, row, rows);
    return -1;
}

static int32_t run(const tenon_kernel_plan *plan, const void *args, tenon_error *error) {
    const tenon_moe_combine_args *a = args;
    const int64_t n_tokens = a->out->shape[0], hidden = a->out->shape[1],
                  k = a->pair_rows->shape[1];
    const double scale = a->scale == 0 ? 1 : (double)a->scale;
    (void)plan, (void)error;

    for (int64_t t = 0; t < n_tokens; t++)
        for (int64_t h = 0; h < hidden; h++) {
            double sum = 0;
            for (int64_t slot = 0; slot < k; slot++) {
                int64_t row = row_offset(a, t, slot);
                if (row >= 0)
                    sum += (a->topk_weights ? tenon_ref_load2(a->topk_weights, t, slot) : 1) *
                           tenon_ref_load(a->y, row + h);
            }
            tenon_ref_store2(a->out, t, h,
                             scale * sum + (a->shared ? tenon_ref_load2(a->shared, t, h) : 0));
        }
    return TENON_OK;
}

extern const tenon_kernel tenon_ref_moe_combine;
const tenon_kernel tenon_ref_moe_combine = {
    .name = "ref_moe_combine",
    .op = TENON_OP_MOE_COMBINE,
    .traits = TENON_TRAIT_REFERENCE | TENON_TRAIT_DETERMINISTIC | TENON_TRAIT_BATCH_INVARIANT,
    .checked_on = "hardware",
    .run = run,
};
