/* SPDX-License-Identifier: Apache-2.0 */
#include "simd/simd_arm_neon.h"

#include "row_convert.h"

#include "row_convert.inl"

ROW_CONVERTERS(tenon_row_converters_arm_neon);
