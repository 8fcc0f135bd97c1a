/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TENON_FLOAT16_H
#define TENON_FLOAT16_H

/* IEEE binary16: 1 sign, 5 exponent (bias 15), 10 mantissa bits; infinity and NaN as in IEEE. */

#include "minifloat.h"

#define TENON_F16_MAX 65504.0f

static inline float tenon_f16_to_f32(uint16_t code) {
    uint32_t sign = (uint32_t)(code & 0x8000u) << 16;
    uint32_t magnitude = code & 0x7fffu;
    if (magnitude >= 0x7c00u) { /* infinity, or NaN with its payload */
        return tenon_f32_from_bits(sign | TENON_F32_INF_BITS | (magnitude & 0x3ffu) << 13);
    }
    return tenon_f32_from_bits(sign | tenon_f32_bits(tenon_minifloat_to_f32(magnitude, 10, 15)));
}

/* Nearest, ties to even. Above 65504 by half a unit or more: infinity, as IEEE says; a NaN stays a
 * NaN with the top of its payload, made quiet. */
static inline uint16_t tenon_f32_to_f16(float value) {
    uint32_t bits = tenon_f32_bits(value);
    uint32_t sign = bits >> 16 & 0x8000u;
    uint32_t magnitude = bits & ~TENON_F32_SIGN_BIT;
    if (magnitude > TENON_F32_INF_BITS) {
        return (uint16_t)(sign | 0x7e00u | (magnitude >> 13 & 0x3ffu));
    }
    uint32_t code = tenon_minifloat_round(magnitude, 10, 15);
    return (uint16_t)(sign | (code > 0x7c00u ? 0x7c00u : code));
}

#endif
