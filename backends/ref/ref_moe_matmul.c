/* SPDX-License-Identifier: Apache-2.0 */
/* moe_matmul:  out[r] = row_weight * activation(x[row(r)] . w[e]^T + bias[e])  for the rows r of
 * each expert e.
 *
 * A row whose pair or source is out of range is 0; the pair that dispatch writes for "none", x_rows
 * * pairs_per_token, is no fault. Rows of no expert are not written, nor is an expert whose offsets
 * or count contradict the tensors. */
#include "moe_layout.h"
#include "ref_expert.h"

static int32_t report(const tenon_moe_matmul_args *a, int32_t code, int64_t position, int64_t value,
                      int64_t limit) {
    tenon_report_fault(a->fault, TENON_OP_MOE_MATMUL, code, position, value, limit);
    return 0;
}

/* The rows of expert e in out. */
static int rows_of(const tenon_moe_matmul_args *a, int64_t e, tenon_moe_range *range) {
    const int64_t masked_rows = a->out->ndim == 3 ? a->out->shape[1] : 0,
                  rows = masked_rows ? a->out->shape[0] * masked_rows : a->out->shape[0];
    int64_t first = e * masked_rows, next = first + masked_rows, count = 0;
    if (a->out->ndim == 2)
        first = tenon_ref_index1(a->expert_offsets, e),
        next = tenon_ref_index1(a->expert_offsets, e + 1);
    if (a->expert_counts) count = tenon_ref_index1(a->expert_counts, e);
    if (tenon_moe_check_range(first, next, a->expert_counts ? &count : NULL, rows, range)) return 1;
    return report(a, TENON_FAULT_LENGTH_OUT_OF_RANGE, e, range->value, range->limit);
}

/* What row r reads and by what its result is multiplied; 0: the row is 0. */
static int source_of(const tenon_moe_matmul_args *a, int64_t r, int64_t x_rows, int64_t *source,
                     double *weight) {
    const int64_t per_token = a->pairs_per_token > 0 ? a->pairs_per_token : 1;
    const int in_order = !a->row_pairs || a->pairs_per_token == -1;
    int64_t pair = a->row_pairs ? tenon_ref_index1(a->row_pairs, r) : r;
    *source = in_order ? r : pair < 0 ? -1 : pair / per_token;
    *weight = 1;
    if (*source < 0 || *source >= x_rows)
        return in_order || pair != x_rows * per_token
                   ? report(a, TENON_FAULT_ROW_OUT_OF_RANGE, r, in_order ? r : pair,
                            in_order ? x_rows : x_rows * per_token)
                   : 0;
    if (!a->row_weights) return 1;
    const int64_t pairs = a->row_weights->shape[0];
    if (pair < 0 || pair >= pairs)
        return pair != pairs ? report(a, TENON_FAULT_ROW_OUT_OF_RANGE, r, pair, pairs) : 0;
    *weight = tenon_ref_load1(a->row_weights, pair);
    return 1;
}

static void row(const tenon_moe_matmul_args *a, const tenon_ref_expert *expert,
                const tenon_weight_view *x, int64_t r, double *values) {
    const DLTensor *out = a->out;
    const int64_t n_out = out->shape[out->ndim - 1], max_rows = out->ndim == 3 ? out->shape[1] : 1;
    const int64_t at = out->ndim == 3
                           ? r / max_rows * out->strides[0] + r % max_rows * out->strides[1]
                           : r * out->strides[0];
    int64_t source;
    double weight;
    if (!source_of(a, r, x->experts * x->n, &source, &weight)) {
        for (int64_t j = 0; j < n_out; j++) tenon_ref_store(out, at + j, 0);
        return;
    }
    const tenon_weight_view plane = tenon_weight_expert(x, out->ndim == 3 ? source / max_rows : 0);
    tenon_weight_decode_f64(&plane, out->ndim == 3 ? source % max_rows : source, 0, x->k, values);
    for (int64_t j = 0; j < n_out; j++)
        tenon_ref_store(out, at + j, weight * tenon_ref_expert_output(expert, j, values));
}

static int32_t run(const tenon_kernel_plan *plan, const void *args, tenon_error *error) {
    const tenon_moe_matmul_args *a = args;
    tenon_ref_expert expert = {.bias = a->bias,
                               .activation = a->activation,
                               .gate_layout = a->gate_layout,
                               .alpha = (double)tenon_activation_alpha(a->alpha),
                               .limit = (double)a->limit};
    tenon_weight_view x, w;
    tenon_reason why;
    tenon_moe_range range;
    (void)plan;

    int32_t status = tenon_activation_view_from(a->x, a->x_quant, &x, &why);
    const int64_t n_out = a->out->shape[a->out->ndim - 1],
                  n = tenon_activation_is_gated(a->activation) ? 2 * n_out : n_out;
    if (a->out->ndim == 3 && !a->out->shape[1]) return TENON_OK; /* tables without rows */
    const int64_t local = a->out->ndim == 3 ? a->out->shape[0] : a->expert_offsets->shape[0] - 1;
    if (!status) status = tenon_ref_expert_view(a->w, a->w_quant, local, n, x.k, &w, &why);
    if (status)
        return tenon_fail(error, status, TENON_OP_MOE_MATMUL, -1, "moe_matmul: %s", why.text);
    for (int64_t e = 0; e < w.experts; e++) {
        if (!rows_of(a, e, &range)) continue;
        expert.w = tenon_weight_expert(&w, e);
        expert.expert = e;
        for (int64_t r = range.first; r < range.first + range.count; r++)
            row(a, &expert, &x, r, a->workspace);
    }
    return TENON_OK;
}

/* Room for one row of x in double. */
static int32_t plan_workspace(tenon_kernel_plan *plan, tenon_error *error) {
    const tenon_moe_matmul_args *a = plan->problem.args;
    tenon_weight_view x;
    tenon_reason why;
    int32_t status = tenon_activation_view_from(a->x, a->x_quant, &x, &why);
    if (status)
        return tenon_fail(error, status, TENON_OP_MOE_MATMUL, -1, "moe_matmul: %s", why.text);
    plan->workspace_bytes = (uint64_t)x.k * sizeof(double);
    return TENON_OK;
}

static const char *why_not(const tenon_problem *problem, tenon_reason *reason) {
    const tenon_moe_matmul_args *a = problem->args;
    tenon_weight_view w;
    return tenon_kept_weight_view(a->w, a->w_quant, &w, reason) ? reason->text : NULL;
}

extern const tenon_kernel tenon_ref_moe_matmul;
const tenon_kernel tenon_ref_moe_matmul = {
    .name = "ref_moe_matmul",
    .op = TENON_OP_MOE_MATMUL,
    .traits = TENON_TRAIT_REFERENCE | TENON_TRAIT_DETERMINISTIC | TENON_TRAIT_BATCH_INVARIANT,
    .checked_on = "hardware",
    .why_not = why_not,
    .plan = plan_workspace,
    .run = run,
};
