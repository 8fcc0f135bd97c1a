/* SPDX-License-Identifier: Apache-2.0 */
#include "simd/simd_arm_neon.h"

#define SPAN_ENCODER tenon_span_encoder_arm_neon
#include "span_encode.inl"
