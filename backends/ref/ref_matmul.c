/* SPDX-License-Identifier: Apache-2.0 */
/* matmul:  out[m, n] = sum_k a[m, k] w[n, k] + bias[n],  a and w as their formats say, every step
 * in float64, one rounding at the end. */
#include "ref_tensor.h"
#include "kept_blob.h"

enum {
    ROWS = 16
}; /* rows of a that are decoded at a time, so that w is decoded once for all of them */

static const char *why_not(const tenon_problem *problem, tenon_reason *reason) {
    const tenon_matmul_args *a = problem->args;
    tenon_weight_view w;
    return tenon_kept_weight_view(a->w, a->w_quant, &w, reason) == TENON_OK ? NULL : reason->text;
}

static int32_t plan(tenon_kernel_plan *self, tenon_error *error) {
    const tenon_matmul_args *a = self->problem.args;
    tenon_weight_view w;
    tenon_reason why;
    int32_t status = tenon_kept_weight_view(a->w, a->w_quant, &w, &why);
    if (status) return tenon_fail(error, status, TENON_OP_MATMUL, -1, "matmul: w: %s", why.text);
    self->workspace_bytes = (uint64_t)(ROWS + 1) * (uint64_t)w.k * sizeof(double);
    return TENON_OK;
}

static int32_t run(const tenon_kernel_plan *self, const void *args, tenon_error *error) {
    const tenon_matmul_args *a = args;
    tenon_weight_view x, w;
    tenon_reason why;
    int32_t status = tenon_activation_view_from(a->a, a->a_quant, &x, &why);
    if (status) return tenon_fail(error, status, TENON_OP_MATMUL, -1, "matmul: a: %s", why.text);
    status = tenon_kept_weight_view(a->w, a->w_quant, &w, &why);
    if (status) return tenon_fail(error, status, TENON_OP_MATMUL, -1, "matmul: w: %s", why.text);
    if (w.k != x.k || w.n != a->out->shape[1])
        return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, TENON_OP_MATMUL, -1,
                          "matmul: w: the blob holds n=%lld k=%lld, not n=%lld k=%lld",
                          (long long)w.n, (long long)w.k, (long long)a->out->shape[1],
                          (long long)x.k);
    (void)self;

    const int64_t n_rows = a->out->shape[0], n = w.n, k = w.k;
    double *w_row = a->workspace, *x_rows = w_row + k;
    for (int64_t m0 = 0; m0 < n_rows; m0 += ROWS) {
        int64_t rows = n_rows - m0 < ROWS ? n_rows - m0 : ROWS;
        for (int64_t m = 0; m < rows; m++)
            tenon_weight_decode_f64(&x, m0 + m, 0, k, x_rows + m * k);
        for (int64_t j = 0; j < n; j++) {
            tenon_weight_decode_f64(&w, j, 0, k, w_row);
            for (int64_t m = 0; m < rows; m++) {
                double sum = 0;
                for (int64_t i = 0; i < k; i++) sum += x_rows[m * k + i] * w_row[i];
                if (a->bias) sum += tenon_ref_load1(a->bias, j);
                tenon_ref_store2(a->out, m0 + m, j, sum);
            }
        }
    }
    return TENON_OK;
}

extern const tenon_kernel tenon_ref_matmul;
const tenon_kernel tenon_ref_matmul = {
    .name = "ref_matmul",
    .op = TENON_OP_MATMUL,
    .traits = TENON_TRAIT_REFERENCE | TENON_TRAIT_DETERMINISTIC | TENON_TRAIT_BATCH_INVARIANT,
    .checked_on = "hardware",
    .why_not = why_not,
    .plan = plan,
    .run = run,
};
