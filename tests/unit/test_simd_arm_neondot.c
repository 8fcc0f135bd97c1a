/* SPDX-License-Identifier: Apache-2.0 */
#include "simd/simd_arm_neondot.h"

#define SIMD_NEEDS TENON_CPU_LEVEL_NEONDOT
#include "simd_checks.h"
