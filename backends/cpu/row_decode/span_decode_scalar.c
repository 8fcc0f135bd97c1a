/* SPDX-License-Identifier: Apache-2.0 */
#include "simd/simd_scalar.h"

#define SPAN_DECODE tenon_span_decode_scalar
#include "span_decode.inl"
