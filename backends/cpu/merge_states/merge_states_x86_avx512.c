/* SPDX-License-Identifier: Apache-2.0 */
#include "simd/simd_x86_avx512.h"

#include "merge_states_cpu.inl"

extern const tenon_kernel tenon_cpu_merge_states_x86_avx512;
const tenon_kernel tenon_cpu_merge_states_x86_avx512 = {
    .name = "cpu_merge_states_x86_avx512",
    .needs = TENON_CPU_LEVEL_AVX512,
    MERGE_STATES_ROW,
};
