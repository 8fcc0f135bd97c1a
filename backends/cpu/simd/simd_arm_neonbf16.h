/* SPDX-License-Identifier: Apache-2.0 */
/* NEON with I8MM and BF16: simd_arm_neon.h with usdot, bfdot and bfcvtn. */
#ifndef TENON_SIMD_ARM_NEONBF16_H
#define TENON_SIMD_ARM_NEONBF16_H

#define V_WITH_DOTPROD 1
#define V_WITH_BF16    1
#include "simd_arm_neon.h"

#endif
