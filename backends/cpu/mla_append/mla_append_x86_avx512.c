/* SPDX-License-Identifier: Apache-2.0 */
#include "mla_append_cpu.h"

static int32_t plan(tenon_kernel_plan *p, tenon_error *error) {
    return tenon_cpu_mla_append_plan(p, &tenon_row_converters_x86_avx512, error);
}

extern const tenon_kernel tenon_cpu_mla_append_x86_avx512;
const tenon_kernel tenon_cpu_mla_append_x86_avx512 = {
    .name = "cpu_mla_append_x86_avx512",
    .needs = TENON_CPU_LEVEL_AVX512,
    TENON_CPU_MLA_APPEND_ROW,
    .plan = plan,
};
