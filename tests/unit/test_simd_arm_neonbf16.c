/* SPDX-License-Identifier: Apache-2.0 */
#include "simd/simd_arm_neonbf16.h"

#define SIMD_NEEDS TENON_CPU_LEVEL_NEONBF16
#include "simd_checks.h"
