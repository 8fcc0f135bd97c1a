/* SPDX-License-Identifier: Apache-2.0 */
#include "simd/simd_arm_neon.h"

#define SPAN_DECODE tenon_span_decode_arm_neon
#include "span_decode.inl"
