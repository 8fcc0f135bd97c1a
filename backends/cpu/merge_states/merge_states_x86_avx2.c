/* SPDX-License-Identifier: Apache-2.0 */
#include "simd/simd_x86_avx2.h"

#include "merge_states_cpu.inl"

extern const tenon_kernel tenon_cpu_merge_states_x86_avx2;
const tenon_kernel tenon_cpu_merge_states_x86_avx2 = {
    .name = "cpu_merge_states_x86_avx2",
    .needs = TENON_CPU_LEVEL_AVX2,
    MERGE_STATES_ROW,
};
