/* SPDX-License-Identifier: Apache-2.0 */
#include "mla_attention_cpu.h"

extern const tenon_kernel tenon_cpu_attention_arm_neonbf16;
static const char *why_not(const tenon_problem *problem, tenon_reason *reason) {
    return tenon_cpu_mla_attention_why_not(&tenon_cpu_attention_arm_neonbf16, problem, reason);
}
static int32_t plan(tenon_kernel_plan *p, tenon_error *error) {
    return tenon_cpu_mla_attention_plan(&tenon_cpu_attention_arm_neonbf16, p, error);
}

extern const tenon_kernel tenon_cpu_mla_attention_arm_neonbf16;
const tenon_kernel tenon_cpu_mla_attention_arm_neonbf16 = {
    .name = "cpu_mla_attention_arm_neonbf16",
    .needs = TENON_CPU_LEVEL_NEONBF16,
    TENON_CPU_MLA_ATTENTION_ROW,
    .why_not = why_not,
    .plan = plan,
};
