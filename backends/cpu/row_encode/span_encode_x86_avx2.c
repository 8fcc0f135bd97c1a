/* SPDX-License-Identifier: Apache-2.0 */
#include "simd/simd_x86_avx2.h"

#define SPAN_ENCODER tenon_span_encoder_x86_avx2
#include "span_encode.inl"
