/* SPDX-License-Identifier: Apache-2.0 */
#include "moe_activation.h"
#include "multiply_cuda.h"

static const char *declines(const tenon_problem *problem, tenon_reason *reason) {
    const tenon_moe_matmul_args *a = problem->args;
    tenon_weight_view w;
    if (tenon_weight_view_from(a->w, a->w_quant, &w, reason)) return reason->text;
    return tenon_multiply_declines(a->x, a->x_quant, &w, a->bias, a->activation, a->gate_layout,
                                   reason);
}

static int32_t run(const tenon_kernel_plan *plan, const void *args, tenon_error *error) {
    const tenon_moe_matmul_args *a = args;
    tenon_weight_view w;
    tenon_reason why;
    const int32_t status = tenon_weight_view_from(a->w, a->w_quant, &w, &why);
    if (status)
        return tenon_fail(error, status, TENON_OP_MOE_MATMUL, -1, "moe_matmul: w: %s", why.text);
    const bool masked = a->out->ndim == 3;
    const uint32_t rows = (uint32_t)(a->out->shape[0] * (masked ? a->out->shape[1] : 1)),
                   local = (uint32_t)w.experts;
    if (!rows || !local) return TENON_OK;
    multiply_arguments k = {
        .fault = (tenon_device_fault)a->fault,
        .expert_offsets = masked ? NULL : tenon_data(a->expert_offsets),
        .expert_counts = tenon_data(a->expert_counts),
        .row_pairs = tenon_data(a->row_pairs),
        .row_weights = tenon_data(a->row_weights),
        .offsets_are_64 = a->expert_offsets && a->expert_offsets->dtype.bits == 64,
        .rows = rows,
        .x_rows = (uint32_t)(a->x->shape[0] * (masked ? a->x->shape[1] : 1)),
        .pairs = a->row_weights ? (uint32_t)a->row_weights->shape[0] : 0,
        .table_rows = masked ? (uint32_t)a->out->shape[1] : UINT32_MAX,
        .local = local,
        .is_grouped = 1,
        .is_masked = masked,
        .pairs_per_token = a->pairs_per_token > 0 ? (uint32_t)a->pairs_per_token : 1,
        .rows_in_order = !a->row_pairs || a->pairs_per_token == -1,
        .alpha = tenon_activation_alpha(a->alpha),
        .limit = a->limit};
    tenon_multiply_fill(&k, a->x, &w, a->bias, a->out, a->activation, a->gate_layout);
    const bool few = rows / local <= 4;
    const uint32_t tokens = few ? 8 : 32;
    return tenon_multiply_launch(plan, &k, few, rows / tokens + (local < rows ? local : rows),
                                 a->stream, error);
}

TENON_CUDA_WHY_NOT(why_not, TENON_CUDA_SM80, declines)
extern const tenon_kernel tenon_cuda_moe_matmul_sm80;
const tenon_kernel tenon_cuda_moe_matmul_sm80 = {
    .name = "cuda_moe_matmul_sm80",
    .op = TENON_OP_MOE_MATMUL,
    .needs = TENON_CUDA_SM80,
    .traits = TENON_TRAIT_CAPTURE_SAFE | TENON_TRAIT_DETERMINISTIC | TENON_TRAIT_BATCH_INVARIANT,
    .checked_on = "emulated",
    .why_not = why_not,
    .plan = tenon_multiply_plan,
    .run = run,
    .release = tenon_cuda_release,
};
