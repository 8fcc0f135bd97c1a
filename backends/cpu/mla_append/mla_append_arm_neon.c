/* SPDX-License-Identifier: Apache-2.0 */
#include "mla_append_cpu.h"

static int32_t plan(tenon_kernel_plan *p, tenon_error *error) {
    return tenon_cpu_mla_append_plan(p, &tenon_row_converters_arm_neon, error);
}

extern const tenon_kernel tenon_cpu_mla_append_arm_neon;
const tenon_kernel tenon_cpu_mla_append_arm_neon = {
    .name = "cpu_mla_append_arm_neon",
    .needs = TENON_CPU_LEVEL_NEON,
    TENON_CPU_MLA_APPEND_ROW,
    .plan = plan,
};
