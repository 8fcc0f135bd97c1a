/* SPDX-License-Identifier: Apache-2.0 */
/* NEON with the dot products of 8-bit integers: simd_arm_neon.h with sdot. */
#ifndef TENON_SIMD_ARM_NEONDOT_H
#define TENON_SIMD_ARM_NEONDOT_H

#define V_WITH_DOTPROD 1
#include "simd_arm_neon.h"

#endif
