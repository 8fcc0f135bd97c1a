/* SPDX-License-Identifier: Apache-2.0 */
/* Attention on NEON with BF16: both products by bfdot, two multiplications in a lane;
 * queries and caches in bf16, or in fp8 or
 * int8, which bf16 holds exactly. */
#include "simd_arm_neonbf16.h"

#define ATTENTION_CONVERTERS &tenon_row_converters_arm_neon
#include "attention_cpu.inl"

static const char *why_not(const tenon_problem *problem, tenon_reason *reason) {
    return tenon_attention_cpu_why_not(problem, &attention_engine, reason);
}

static int32_t plan(tenon_kernel_plan *plan, tenon_error *error) {
    return tenon_attention_cpu_plan(plan, &attention_engine, error);
}

static int32_t run(const tenon_kernel_plan *plan, const void *args, tenon_error *error) {
    return tenon_attention_cpu_run(plan, args, &attention_engine, error);
}

extern const tenon_kernel tenon_cpu_attention_arm_neonbf16;
const tenon_kernel tenon_cpu_attention_arm_neonbf16 = {
    .name = "cpu_attention_arm_neonbf16",
    .op = TENON_OP_ATTENTION,
    .traits = TENON_TRAIT_DETERMINISTIC | TENON_TRAIT_BATCH_INVARIANT,
    .needs = TENON_CPU_LEVEL_NEONBF16,
    .checked_on = "hardware",
    .why_not = why_not,
    .plan = plan,
    .run = run,
};
