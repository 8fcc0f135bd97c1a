/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TENON_FLOAT8_H
#define TENON_FLOAT8_H

/* The four 8-bit floats. Decoding is exact. Encoding rounds to nearest, ties to the even code, and
 * saturates: whatever is larger than the largest finite value, infinity included, becomes the
 * largest finite value with the sign of the input. NaN becomes the type's NaN.
 *
 *   type       bias  largest  infinity  NaN                          minus zero
 *   e4m3fn        7      448  none      0x7f, 0xff                   yes
 *   e4m3fnuz      8      240  none      0x80 only                    no, 0x80 is the NaN
 *   e5m2         15    57344  0x7c/fc   0x7d..7f, 0xfd..ff           yes
 *   e5m2fnuz     16    57344  none      0x80 only                    no, 0x80 is the NaN
 *
 * An encoded NaN keeps its sign where the type has signed NaNs (0x7f / 0xff in both). */

#include "minifloat.h"

#define TENON_E4M3FN_MAX   448.0f
#define TENON_E4M3FNUZ_MAX 240.0f
#define TENON_E5M2_MAX     57344.0f

static inline float tenon_float8_signed(float magnitude, uint8_t code) {
    return code & 0x80u ? -magnitude : magnitude;
}

static inline float tenon_e4m3fn_to_f32(uint8_t code) {
    uint32_t magnitude = code & 0x7fu;
    if (magnitude == 0x7fu) return tenon_f32_from_bits(TENON_F32_QUIET_NAN);
    return tenon_float8_signed(tenon_minifloat_to_f32(magnitude, 3, 7), code);
}

static inline float tenon_e4m3fnuz_to_f32(uint8_t code) {
    if (code == 0x80u) return tenon_f32_from_bits(TENON_F32_QUIET_NAN);
    return tenon_float8_signed(tenon_minifloat_to_f32(code & 0x7fu, 3, 8), code);
}

static inline float tenon_e5m2_to_f32(uint8_t code) {
    uint32_t magnitude = code & 0x7fu;
    if (magnitude > 0x7cu) return tenon_f32_from_bits(TENON_F32_QUIET_NAN);
    if (magnitude == 0x7cu) {
        return tenon_float8_signed(tenon_f32_from_bits(TENON_F32_INF_BITS), code);
    }
    return tenon_float8_signed(tenon_minifloat_to_f32(magnitude, 2, 15), code);
}

static inline float tenon_e5m2fnuz_to_f32(uint8_t code) {
    if (code == 0x80u) return tenon_f32_from_bits(TENON_F32_QUIET_NAN);
    return tenon_float8_signed(tenon_minifloat_to_f32(code & 0x7fu, 2, 16), code);
}

/* Types with a signed zero and NaN 0x7f / 0xff. */
static inline uint8_t tenon_f32_to_float8_ieee_like(float value, int mantissa_bits, int bias,
                                                    uint32_t max_code) {
    uint32_t bits = tenon_f32_bits(value);
    uint32_t sign = bits >> 24 & 0x80u;
    uint32_t magnitude = bits & ~TENON_F32_SIGN_BIT;
    if (magnitude > TENON_F32_INF_BITS) return (uint8_t)(sign | 0x7fu);
    uint32_t code = tenon_minifloat_round(magnitude, mantissa_bits, bias);
    return (uint8_t)(sign | (code > max_code ? max_code : code));
}

/* Types whose only NaN sits where minus zero would be: a negative value that rounds to zero has
 * to lose its sign, or it would become the NaN. */
static inline uint8_t tenon_f32_to_float8_fnuz(float value, int mantissa_bits, int bias) {
    uint32_t bits = tenon_f32_bits(value);
    uint32_t magnitude = bits & ~TENON_F32_SIGN_BIT;
    if (magnitude > TENON_F32_INF_BITS) return 0x80u;
    uint32_t code = tenon_minifloat_round(magnitude, mantissa_bits, bias);
    if (code > 0x7fu) code = 0x7fu;
    if (code == 0) return 0;
    return (uint8_t)((bits >> 24 & 0x80u) | code);
}

static inline uint8_t tenon_f32_to_e4m3fn(float value) {
    return tenon_f32_to_float8_ieee_like(value, 3, 7, 0x7eu);
}

static inline uint8_t tenon_f32_to_e4m3fnuz(float value) {
    return tenon_f32_to_float8_fnuz(value, 3, 8);
}

static inline uint8_t tenon_f32_to_e5m2(float value) {
    return tenon_f32_to_float8_ieee_like(value, 2, 15, 0x7bu);
}

static inline uint8_t tenon_f32_to_e5m2fnuz(float value) {
    return tenon_f32_to_float8_fnuz(value, 2, 16);
}

/* The scale of an NVFP4 block: an e4m3fn that is never negative. Negative input and minus zero give
 * zero; NaN stays NaN; above 448 saturates. Decoding ignores nothing: a stored sign bit is a fault
 * of the file, and the value comes out negative as e4m3fn says. */
static inline uint8_t tenon_f32_to_ue4m3(float value) {
    uint8_t code = tenon_f32_to_e4m3fn(value);
    if ((code & 0x7fu) == 0x7fu) return 0x7fu;
    return code & 0x80u ? 0 : code;
}

static inline float tenon_ue4m3_to_f32(uint8_t code) {
    return tenon_e4m3fn_to_f32(code);
}

#endif
