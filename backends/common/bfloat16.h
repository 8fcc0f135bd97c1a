/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TENON_BFLOAT16_H
#define TENON_BFLOAT16_H

/* bfloat16: the upper half of an f32. Denormals are kept on both ways. */

#include "float_bits.h"

static inline float tenon_bf16_to_f32(uint16_t code) {
    return tenon_f32_from_bits((uint32_t)code << 16);
}

/* Nearest, ties to even; overflow gives infinity. A NaN is made quiet before its low payload is cut
 * off: a NaN whose payload lies only in the low bits would otherwise turn into infinity. */
static inline uint16_t tenon_f32_to_bf16(float value) {
    uint32_t bits = tenon_f32_bits(value);
    if ((bits & ~TENON_F32_SIGN_BIT) > TENON_F32_INF_BITS) return (uint16_t)(bits >> 16 | 0x0040u);
    uint32_t lsb = bits >> 16 & 1u;
    return (uint16_t)((bits + 0x7fffu + lsb) >> 16);
}

#endif
