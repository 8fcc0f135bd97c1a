/* SPDX-License-Identifier: Apache-2.0 */
#include "kv_gather_cpu.h"

static int32_t plan(tenon_kernel_plan *p, tenon_error *error) {
    return tenon_cpu_kv_gather_plan(p, &tenon_row_converters_x86_avx512, error);
}

extern const tenon_kernel tenon_cpu_kv_gather_x86_avx512;
const tenon_kernel tenon_cpu_kv_gather_x86_avx512 = {
    .name = "cpu_kv_gather_x86_avx512",
    .needs = TENON_CPU_LEVEL_AVX512,
    TENON_CPU_KV_GATHER_ROW,
    .plan = plan,
};
