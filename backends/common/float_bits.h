/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TENON_FLOAT_BITS_H
#define TENON_FLOAT_BITS_H

/* The bits of a float as an integer, and back. memcpy is the one spelling that every compiler
 * accepts without breaking the aliasing rules, and it costs nothing. */

#include <stdint.h>
#include <string.h>

static inline uint32_t tenon_f32_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float tenon_f32_from_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

#define TENON_F32_SIGN_BIT   0x80000000u
#define TENON_F32_INF_BITS   0x7f800000u
#define TENON_F32_QUIET_NAN  0x7fc00000u
#define TENON_F32_EXP_OFFSET 127

/* 2^exponent, exact, for -149 <= exponent <= 127; the low end is a denormal. */
static inline float tenon_f32_power_of_two(int exponent) {
    if (exponent < -126) return tenon_f32_from_bits(1u << (exponent + 149));
    return tenon_f32_from_bits((uint32_t)(exponent + TENON_F32_EXP_OFFSET) << 23);
}

#endif
