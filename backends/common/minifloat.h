/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TENON_MINIFLOAT_H
#define TENON_MINIFLOAT_H

/* Every small float (half, float8, float6, float4) is sign | exponent | mantissa with gradual
 * underflow. They differ in three numbers - mantissa bits, exponent bias, largest code - and in
 * what they do with NaN, infinity and minus zero. The arithmetic is here once; the differences are
 * in the header of each type. A "magnitude" is a code without its sign bit. */

#include "float_bits.h"

/* Magnitude code -> value. Exact: each small float is a float. The largest exponent field is
 * decoded as an ordinary number; a type with NaN or infinity tests for them before it calls this.
 */
static inline float tenon_minifloat_to_f32(uint32_t magnitude, int mantissa_bits, int bias) {
    uint32_t exponent = magnitude >> mantissa_bits;
    uint32_t mantissa = magnitude & ((1u << mantissa_bits) - 1);
    if (exponent == 0) {
        return (float)mantissa * tenon_f32_power_of_two(1 - bias - mantissa_bits);
    }
    uint32_t f32_exponent = exponent + (uint32_t)(TENON_F32_EXP_OFFSET - bias);
    return tenon_f32_from_bits(f32_exponent << 23 | mantissa << (23 - mantissa_bits));
}

/* |value| as f32 bits -> magnitude code, rounded to nearest, ties to the even code. The result is
 * not bounded: a value beyond the type's largest gives a code beyond its largest code, which the
 * caller replaces. Rounding carries from the mantissa into the exponent by itself, because codes
 * are ordered as the values are. NaN must have been handled before. */
static inline uint32_t tenon_minifloat_round(uint32_t abs_bits, int mantissa_bits, int bias) {
    int exponent = (int)(abs_bits >> 23) - TENON_F32_EXP_OFFSET + bias;
    uint32_t significand = (abs_bits & 0x007fffffu) | 0x00800000u;
    int shift = 23 - mantissa_bits;
    uint32_t base = 0;
    if (exponent >= 1) {
        base = (uint32_t)(exponent - 1) << mantissa_bits; /* the leading one adds the last unit */
    } else {
        shift += 1 - exponent;
        if (shift > 24) return 0; /* below half of the smallest code, f32 denormals included */
    }
    uint32_t kept = significand >> shift;
    uint32_t lost = significand & ((1u << shift) - 1);
    uint32_t half = 1u << (shift - 1);
    if (lost > half || (lost == half && (kept & 1u))) kept++;
    return base + kept;
}

#endif
