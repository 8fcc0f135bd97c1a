/* SPDX-License-Identifier: Apache-2.0 */
/* Floats to float8 or int8 with one scale: what quantizing on the way needs, one function for each
 * instruction set. */
#ifndef TENON_QUANTIZE_SPAN_H
#define TENON_QUANTIZE_SPAN_H

#include "number.h"

/* out[i] = round(x[i] / scale) for i < count, x of type F32, BF16 or F16; returns scale = max |x| /
 * element_max, 1 for a span of zeros. A NaN stays one in float8; in int8, which has none, it makes
 * the scale NaN. element is E4M3FN, E4M3FNUZ, E5M2 or I8. The quotient is rounded to f32 before it
 * is rounded to the element. */
typedef float (*tenon_quantize_span_fn)(tenon_number type, const void *x, int64_t count,
                                        tenon_number element, uint8_t *out);

float tenon_quantize_span_scalar(tenon_number type, const void *x, int64_t count,
                                 tenon_number element, uint8_t *out);
float tenon_quantize_span_arm_neon(tenon_number type, const void *x, int64_t count,
                                   tenon_number element, uint8_t *out);
float tenon_quantize_span_x86_avx2(tenon_number type, const void *x, int64_t count,
                                   tenon_number element, uint8_t *out);
float tenon_quantize_span_x86_avx512(tenon_number type, const void *x, int64_t count,
                                     tenon_number element, uint8_t *out);

#endif /* TENON_QUANTIZE_SPAN_H */
