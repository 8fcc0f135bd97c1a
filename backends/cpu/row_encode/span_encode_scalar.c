/* SPDX-License-Identifier: Apache-2.0 */
#include "simd/simd_scalar.h"

#define SPAN_ENCODER tenon_span_encoder_scalar
#include "span_encode.inl"
