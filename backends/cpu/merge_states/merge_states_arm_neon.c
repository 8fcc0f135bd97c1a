/* SPDX-License-Identifier: Apache-2.0 */
#include "simd/simd_arm_neon.h"

#include "merge_states_cpu.inl"

extern const tenon_kernel tenon_cpu_merge_states_arm_neon;
const tenon_kernel tenon_cpu_merge_states_arm_neon = {
    .name = "cpu_merge_states_arm_neon",
    .needs = TENON_CPU_LEVEL_NEON,
    MERGE_STATES_ROW,
};
