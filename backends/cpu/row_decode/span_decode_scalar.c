/* SPDX-License-Identifier: Apache-2.0 */
#include "simd/simd_scalar.h"

/* The header's vf32_fma rounds twice; a product of floats is exact in double. */
#define SPAN_REST(a, b, c) (float)((double)(a) * (double)(b) - (double)(c))
#define SPAN_DECODE        tenon_span_decode_scalar
#include "span_decode.inl"
