/* SPDX-License-Identifier: Apache-2.0 */
/* The rows for what no faster kernel takes. */
#include "matmul_fill.h"
#include "rocm_launch.h"

static const char *const symbols[] = {"matmul_any", NULL};

static const char *why_not(const tenon_problem *problem, tenon_reason *reason) {
    const matmul_call call = tenon_rocm_matmul_call(problem->op, problem->args);
    tenon_weight_view x, w;
    const char *why = tenon_rocm_why_not(problem, TENON_ROCM_CDNA2, reason);
    return why ? why : tenon_rocm_matmul_declines(&call, &x, &w, reason);
}

static int32_t plan(tenon_kernel_plan *p, tenon_error *error) {
    return tenon_rocm_load(p, "matmul_plain", symbols, error);
}

static int32_t run(const tenon_kernel_plan *p, const void *args, tenon_error *error) {
    const matmul_call call = tenon_rocm_matmul_call(p->problem.op, args);
    matmul_arguments k;
    const int32_t status = tenon_rocm_matmul_fill(&call, p->problem.op, &k, error);
    if (status || !k.rows || !k.n) return status;
    return tenon_rocm_launch(
        p, 0,
        (tenon_rocm_grid){.blocks = tenon_rocm_blocks(k.n, MATMUL_PLAIN_COLS),
                          .blocks_y = tenon_rocm_matmul_row_blocks(&k, MATMUL_PLAIN_ROWS),
                          .block_lanes = MATMUL_PLAIN_LANES},
        call.stream, &k, error);
}

#define PLAIN_ROW(name_, op_)                                                                      \
    .name = name_, .op = op_, .needs = TENON_ROCM_CDNA2,                                           \
    .traits = TENON_TRAIT_CAPTURE_SAFE | TENON_TRAIT_DETERMINISTIC | TENON_TRAIT_BATCH_INVARIANT,  \
    .checked_on = "emulated", .why_not = why_not, .plan = plan, .run = run,                        \
    .release = tenon_rocm_release

extern const tenon_kernel tenon_rocm_matmul_plain_gfx9, tenon_rocm_moe_matmul_plain_gfx9;
const tenon_kernel tenon_rocm_matmul_plain_gfx9 = {
    PLAIN_ROW("rocm_matmul_plain_gfx9", TENON_OP_MATMUL)};
const tenon_kernel tenon_rocm_moe_matmul_plain_gfx9 = {
    PLAIN_ROW("rocm_moe_matmul_plain_gfx9", TENON_OP_MOE_MATMUL)};
