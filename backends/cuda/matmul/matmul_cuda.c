/* SPDX-License-Identifier: Apache-2.0 */
#include "multiply_cuda.h"

static const char *declines(const tenon_problem *problem, tenon_reason *reason) {
    const tenon_matmul_args *a = problem->args;
    tenon_weight_view w;
    if (tenon_weight_view_from(a->w, a->w_quant, &w, reason)) return reason->text;
    return tenon_multiply_declines(a->a, a->a_quant, &w, a->bias, TENON_ACTIVATION_NONE, 0, reason);
}

static int32_t run(const tenon_kernel_plan *plan, const void *args, tenon_error *error) {
    const tenon_matmul_args *a = args;
    tenon_weight_view w;
    tenon_reason why;
    const int32_t status = tenon_weight_view_from(a->w, a->w_quant, &w, &why);
    if (status) return tenon_fail(error, status, TENON_OP_MATMUL, -1, "matmul: w: %s", why.text);
    const uint32_t m = (uint32_t)a->out->shape[0];
    multiply_arguments k = {.fault = (tenon_device_fault)a->fault,
                            .rows = m,
                            .x_rows = m,
                            .table_rows = m ? m : 1,
                            .local = 1,
                            .pairs_per_token = 1,
                            .rows_in_order = 1};
    tenon_multiply_fill(&k, a->a, &w, a->bias, a->out, TENON_ACTIVATION_NONE, 0);
    return tenon_multiply_launch(plan, &k, m <= 8, (m + (m <= 8 ? 7 : 31)) / (m <= 8 ? 8 : 32),
                                 a->stream, error);
}

TENON_CUDA_WHY_NOT(why_not, TENON_CUDA_SM80, declines)
extern const tenon_kernel tenon_cuda_matmul_sm80;
const tenon_kernel tenon_cuda_matmul_sm80 = {
    .name = "cuda_matmul_sm80",
    .op = TENON_OP_MATMUL,
    .needs = TENON_CUDA_SM80,
    .traits = TENON_TRAIT_CAPTURE_SAFE | TENON_TRAIT_DETERMINISTIC | TENON_TRAIT_BATCH_INVARIANT,
    .checked_on = "emulated",
    .why_not = why_not,
    .plan = tenon_multiply_plan,
    .run = run,
    .release = tenon_cuda_release,
};
