/* SPDX-License-Identifier: Apache-2.0 */
#include "kv_gather_cpu.h"

static int32_t plan(tenon_kernel_plan *p, tenon_error *error) {
    return tenon_cpu_kv_gather_plan(p, &tenon_row_converters_arm_neon, error);
}

extern const tenon_kernel tenon_cpu_kv_gather_arm_neon;
const tenon_kernel tenon_cpu_kv_gather_arm_neon = {
    .name = "cpu_kv_gather_arm_neon",
    .needs = TENON_CPU_LEVEL_NEON,
    TENON_CPU_KV_GATHER_ROW,
    .plan = plan,
};
