/* SPDX-License-Identifier: Apache-2.0 */
#include "simd/simd_arm_neon.h"

#define SIMD_NEEDS TENON_CPU_LEVEL_NEON
#include "simd_checks.h"
