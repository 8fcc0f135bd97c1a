/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TENON_FLOAT6_FLOAT4_H
#define TENON_FLOAT6_FLOAT4_H

/* The floats without NaN and without infinity:
 *
 *   type   bits  bias  largest  step at zero
 *   e2m1      4     1        6  0.5            0 .5 1 1.5 2 3 4 6
 *   e2m3      6     1      7.5  0.125
 *   e3m2      6     3       28  0.0625
 *
 * Decoding is exact. Encoding rounds to nearest, ties to the even code, and saturates. A NaN has no
 * code here; it becomes the largest positive value, so that it is loud rather than zero. Minus zero
 * exists and is kept. */

#include "minifloat.h"

#define TENON_E2M1_MAX 6.0f
#define TENON_E2M3_MAX 7.5f
#define TENON_E3M2_MAX 28.0f

static inline uint8_t tenon_f32_to_finite_minifloat(float value, int total_bits, int mantissa_bits,
                                                    int bias) {
    uint32_t max_code = (1u << (total_bits - 1)) - 1;
    uint32_t bits = tenon_f32_bits(value);
    uint32_t magnitude = bits & ~TENON_F32_SIGN_BIT;
    if (magnitude > TENON_F32_INF_BITS) return (uint8_t)max_code;
    uint32_t code = tenon_minifloat_round(magnitude, mantissa_bits, bias);
    if (code > max_code) code = max_code;
    return (uint8_t)((bits >> 31) << (total_bits - 1) | code);
}

static inline float tenon_e2m1_to_f32(uint8_t code) {
    float magnitude = tenon_minifloat_to_f32(code & 0x7u, 1, 1);
    return code & 0x8u ? -magnitude : magnitude;
}

static inline float tenon_e2m3_to_f32(uint8_t code) {
    float magnitude = tenon_minifloat_to_f32(code & 0x1fu, 3, 1);
    return code & 0x20u ? -magnitude : magnitude;
}

static inline float tenon_e3m2_to_f32(uint8_t code) {
    float magnitude = tenon_minifloat_to_f32(code & 0x1fu, 2, 3);
    return code & 0x20u ? -magnitude : magnitude;
}

static inline uint8_t tenon_f32_to_e2m1(float value) {
    return tenon_f32_to_finite_minifloat(value, 4, 1, 1);
}

static inline uint8_t tenon_f32_to_e2m3(float value) {
    return tenon_f32_to_finite_minifloat(value, 6, 3, 1);
}

static inline uint8_t tenon_f32_to_e3m2(float value) {
    return tenon_f32_to_finite_minifloat(value, 6, 2, 3);
}

#endif
