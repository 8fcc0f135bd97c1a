/* SPDX-License-Identifier: Apache-2.0 */
/* Float8 codes, one in each 32-bit lane, as f32. Include a simd_*.h first. */
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

#endif
