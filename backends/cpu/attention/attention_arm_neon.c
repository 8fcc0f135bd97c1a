/* SPDX-License-Identifier: Apache-2.0 */
/* Attention on NEON: everything is widened to f32 when it is packed. */
#include "simd_arm_neon.h"

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

extern const tenon_kernel tenon_cpu_attention_arm_neon;
const tenon_kernel tenon_cpu_attention_arm_neon = {
    .name = "cpu_attention_arm_neon",
    .op = TENON_OP_ATTENTION,
    .traits = TENON_TRAIT_DETERMINISTIC | TENON_TRAIT_BATCH_INVARIANT,
    .needs = TENON_CPU_LEVEL_NEON,
    .checked_on = "hardware",
    .why_not = why_not,
    .plan = plan,
    .run = run,
};
