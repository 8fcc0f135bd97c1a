/* SPDX-License-Identifier: Apache-2.0 */
#include "simd/simd_x86_avx512.h"

#define SPAN_DECODE tenon_span_decode_x86_avx512
#include "span_decode.inl"
