/* SPDX-License-Identifier: Apache-2.0 */
#include "simd/simd_scalar.h"

#include "merge_states_cpu.inl"

extern const tenon_kernel tenon_cpu_merge_states_scalar;
const tenon_kernel tenon_cpu_merge_states_scalar = {
    .name = "cpu_merge_states_scalar",
    .needs = 0,
    MERGE_STATES_ROW,
};
