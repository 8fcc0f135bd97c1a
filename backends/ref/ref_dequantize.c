/* SPDX-License-Identifier: Apache-2.0 */
/* dequantize:  x[r, c] = the value that q's format says for row r (or row_index[r]), rounded once
 * to x's type. */
#include "ref_tensor.h"
#include "kept_blob.h"

static const char *why_not(const tenon_problem *problem, tenon_reason *reason) {
    const tenon_dequantize_args *a = problem->args;
    tenon_weight_view q;
    return tenon_kept_weight_view(a->q, a->q_quant, &q, reason) == TENON_OK ? NULL : reason->text;
}

static void put_row(const tenon_weight_view *q, int64_t row, const DLTensor *x, int64_t x_offset) {
    double values[64];
    for (int64_t c = 0; c < q->k; c += 64) {
        int64_t count = q->k - c < 64 ? q->k - c : 64;
        tenon_weight_decode_f64(q, row, c, count, values);
        for (int64_t i = 0; i < count; i++) tenon_ref_store(x, x_offset + c + i, values[i]);
    }
}

static int32_t run(const tenon_kernel_plan *plan, const void *args, tenon_error *error) {
    const tenon_dequantize_args *a = args;
    tenon_weight_view all;
    tenon_reason why;
    int32_t status = tenon_kept_weight_view(a->q, a->q_quant, &all, &why);
    if (status)
        return tenon_fail(error, status, TENON_OP_DEQUANTIZE, -1, "dequantize: q: %s", why.text);
    (void)plan;

    const int has_experts = a->x->ndim == 3;
    const int64_t n_rows = a->x->shape[has_experts], row_stride = a->x->strides[has_experts];
    for (int64_t e = 0; e < all.experts; e++) {
        tenon_weight_view q = tenon_weight_expert(&all, e);
        for (int64_t r = 0; r < n_rows; r++) {
            int64_t row = a->row_index ? tenon_ref_index1(a->row_index, r) : r;
            if (row < 0 || row >= q.n) {
                tenon_report_fault(a->fault, TENON_OP_DEQUANTIZE, TENON_FAULT_ROW_OUT_OF_RANGE, r,
                                   row, q.n);
                continue;
            }
            put_row(&q, row, a->x, (has_experts ? e * a->x->strides[0] : 0) + r * row_stride);
        }
    }
    return TENON_OK;
}

extern const tenon_kernel tenon_ref_dequantize;
const tenon_kernel tenon_ref_dequantize = {
    .name = "ref_dequantize",
    .op = TENON_OP_DEQUANTIZE,
    .traits = TENON_TRAIT_REFERENCE | TENON_TRAIT_DETERMINISTIC | TENON_TRAIT_BATCH_INVARIANT,
    .checked_on = "hardware",
    .why_not = why_not,
    .run = run,
};
