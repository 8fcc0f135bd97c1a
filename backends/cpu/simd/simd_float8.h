/* SPDX-License-Identifier: Apache-2.0 */
/* Float8 codes, one in each 32-bit lane, to f32 and back. Include a simd_*.h first. */
#ifndef TENON_SIMD_FLOAT8_H
#define TENON_SIMD_FLOAT8_H

#include <stdbool.h>

/* Subnormal codes are small integers times the least one: no f32 subnormal appears, so a host's
 * flush-to-zero mode changes nothing. */
V_INLINE vf32 decode_float8(vi32 code, int mantissa_bits, int bias, int infinity, bool fnuz) {
    const vi32 magnitude = vi32_and(code, vi32_set1(0x7f)),
               sign = vi32_sll(vi32_and(code, vi32_set1(0x80)), 24);
    const vf32 m = vf32_from_i32(magnitude);
    const vf32 normal = vf32_from_bits(
        vi32_add(vi32_sll(magnitude, 23 - mantissa_bits), vi32_set1((127 - bias) << 23)));
    const vf32 subnormal =
        vf32_mul(m, vf32_from_bits(vi32_set1((127 + 1 - bias - mantissa_bits) << 23)));
    const vf32 nan = vf32_from_bits(vi32_set1(0x7fc00000));
    vf32 value = vf32_select_lt(m, vf32_set1((float)(1 << mantissa_bits)), subnormal, normal);
    if (infinity < 0x7f)
        value = vf32_select_lt(m, vf32_set1((float)infinity), value,
                               vf32_from_bits(vi32_set1(0x7f800000)));
    if (!fnuz)
        value = vf32_select_lt(m, vf32_set1((float)infinity + (infinity < 0x7f ? 1.0f : 0.0f)),
                               value, nan);
    value = vf32_from_bits(vi32_or(vi32_from_bits(value), sign));
    if (fnuz) { /* 0x80 is the only NaN, and there is no minus zero */
        const vf32 c = vf32_from_i32(code);
        value =
            vf32_select_lt(vf32_abs(vf32_sub(c, vf32_set1(128.0f))), vf32_set1(0.5f), nan, value);
    }
    return value;
}

/* if a < b then x else y, on lanes that hold small non-negative integers */
V_INLINE vi32 select_below(vf32 a, vf32 b, vi32 x, vi32 y) {
    return vi32_from_bits(vf32_select_lt(a, b, vf32_from_bits(x), vf32_from_bits(y)));
}

/* Normal numbers round in the integer domain (the carry runs into the exponent by itself),
 * subnormal ones by adding the power of two whose last bit is the least subnormal. Both are to
 * nearest, ties to even. */
V_INLINE vi32 encode_float8(vf32 x, int mantissa_bits, int bias, float largest, bool fnuz) {
    const int shift = 23 - mantissa_bits;
    const vi32 bits = vi32_from_bits(x);
    const vf32 a = vf32_min(vf32_set1(largest), vf32_abs(x)); /* NaN stays */
    const vi32 u = vi32_from_bits(a);
    const vi32 odd = vi32_and(vi32_srl(u, shift), vi32_set1(1));
    const vi32 rounded =
        vi32_srl(vi32_add(u, vi32_add(odd, vi32_set1((1 << (shift - 1)) - 1))), shift);
    const vi32 normal = vi32_sub(rounded, vi32_set1((127 - bias) << mantissa_bits));
    const vf32 magic = vf32_from_bits(vi32_set1((127 + 1 - bias - mantissa_bits + 23) << 23));
    const vi32 subnormal = vi32_sub(vi32_from_bits(vf32_add(a, magic)), vi32_from_bits(magic));
    vi32 code =
        select_below(a, vf32_from_bits(vi32_set1((127 + 1 - bias) << 23)), subnormal, normal);
    const vi32 sign = vi32_and(vi32_srl(bits, 24), vi32_set1(0x80));
    if (fnuz) { /* no minus zero: its code is the NaN */
        const vi32 with_sign = vi32_or(code, sign);
        code = select_below(vf32_from_i32(code), vf32_set1(0.5f), code, with_sign);
        code = select_below(a, vf32_set1(2 * largest), code, vi32_set1(0x80));
    } else {
        code = vi32_or(select_below(a, vf32_set1(2 * largest), code, vi32_set1(0x7f)), sign);
    }
    return code;
}

#endif
