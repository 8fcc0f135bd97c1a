/* SPDX-License-Identifier: Apache-2.0 */
/* Number formats, to and from f32, bit for bit as backends/common has them: nearest, ties to even;
 * 8-bit types saturate; a NaN stays one. `number` is a tenon_number. Where it is a constant, or the
 * same in all lanes, only one branch is left. */
#ifndef TENON_DEVICE_NUMBER_H
#define TENON_DEVICE_NUMBER_H

#include "device_math.h"
#include "number_kind.h"

DEVICE float bf16_to_f32(uint16_t code) {
    return float_of((uint32_t)code << 16);
}
DEVICE uint16_t f32_to_bf16(float x) {
    const uint32_t bits = bits_of(x);
    if (is_nan(x)) return (uint16_t)(bits >> 16 | 0x40u);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

/* A type of eight bits with gradual underflow, by its two numbers. Exact: the code's bits, moved
 * into place, are an f32 that is too small by a power of two, denormals included. */
DEVICE float minifloat_to_f32(uint32_t magnitude, const int mantissa_bits, const int bias) {
    return float_of(magnitude << (23 - mantissa_bits)) *
           float_of((uint32_t)(254 - bias) << 23); /* 2^(127 - bias) */
}
DEVICE float fp8_to_f32(uint32_t number, uint32_t code) {
    const uint32_t magnitude = code & 0x7fu;
    const uint32_t sign = (code & 0x80u) << 24;
    const float nan = float_of(0x7fc00000u);
    float x;
    switch (number) {
    case TENON_NUMBER_E4M3FN:
        x = magnitude == 0x7fu ? nan : minifloat_to_f32(magnitude, 3, 7);
        break;
    case TENON_NUMBER_E4M3FNUZ:
        x = code == 0x80u ? nan : minifloat_to_f32(magnitude, 3, 8);
        break;
    case TENON_NUMBER_E5M2:
        return f16_to_f32((uint16_t)(code << 8)); /* the upper half of an f16 */
    default:
        x = code == 0x80u ? nan : minifloat_to_f32(magnitude, 2, 16);
    }
    return float_of(bits_of(x) | sign);
}

/* f32 to a type of at most eight bits. The types differ in a few numbers; where the type is the
 * same in all lanes these are scalars, and the code is the same for all types. */
typedef struct number_encoder {
    float max, least_normal, offset;
    uint32_t shift, rebias; /* a normal result: the rounded upper bits, minus rebias */
    uint32_t sign_bit, nan_code, nan_sign;
    bool one_zero; /* minus zero would be the NaN */
} number_encoder;

DEVICE number_encoder number_encoder_of(uint32_t number) {
    const bool e4m3 = number == TENON_NUMBER_E4M3FN || number == TENON_NUMBER_E4M3FNUZ,
               fnuz = number == TENON_NUMBER_E4M3FNUZ || number == TENON_NUMBER_E5M2FNUZ,
               e2m1 = number == TENON_NUMBER_E2M1;
    const uint32_t mantissa_bits = e4m3   ? 3
                                   : e2m1 ? 1
                                          : 2,
                   bias = (e4m3   ? 7u
                           : e2m1 ? 1u
                                  : 15u) +
                          (fnuz ? 1u : 0u);
    return (number_encoder){
        .max = e2m1    ? 6.0f
               : !e4m3 ? 57344.0f
               : fnuz  ? 240.0f
                       : 448.0f,
        .least_normal = float_of((128 - bias) << 23),
        .offset = float_of((127 + 24 - bias - mantissa_bits) << 23),
        .shift = 23 - mantissa_bits,
        .rebias = (127 - bias) << mantissa_bits,
        .sign_bit = e2m1 ? 8u : 0x80u,
        .nan_code = e2m1   ? 7u
                    : fnuz ? 0x80u
                           : 0x7fu,
        .nan_sign = e2m1 || fnuz ? 0 : 0x80u,
        .one_zero = fnuz,
    };
}

/* A normal result rounds as an integer. Below that, adding 2^23 times the distance of two denormals
 * leaves the code in the low bits, rounded by the adder. */
DEVICE uint32_t encode_number(const number_encoder *e, float x) {
    const uint32_t sign = bits_of(x) >> 31 ? e->sign_bit : 0;
    const float magnitude = smaller_f32(magnitude_f32(x), e->max);
    const uint32_t bits = bits_of(magnitude);
    const uint32_t normal =
        ((bits + (1u << (e->shift - 1)) - 1 + (bits >> e->shift & 1u)) >> e->shift) - e->rebias;
    const uint32_t denormal = bits_of(magnitude + e->offset) - bits_of(e->offset);
    const uint32_t code = magnitude < e->least_normal ? denormal : normal;
    if (is_nan(x)) return e->nan_code | (sign & e->nan_sign);
    return e->one_zero && code == 0 ? 0 : sign | code;
}

DEVICE uint32_t f32_to_fp8(uint32_t number, float x) {
    const number_encoder encoder = number_encoder_of(number);
    return encode_number(&encoder, x);
}

/* i8: a NaN becomes 0. */
DEVICE uint32_t f32_to_i8(float x) {
    const float bounded = smaller_f32(larger_f32(x, -128.0f), 127.0f);
    return is_nan(x) ? 0 : (uint32_t)(int32_t)round_f32(bounded) & 0xffu;
}

DEVICE uint32_t f32_to_byte(uint32_t number, float x) {
    return number == TENON_NUMBER_I8 ? f32_to_i8(x) : f32_to_fp8(number, x);
}

/* Largest finite magnitude of a type that a cache quantizes to. */
DEVICE float number_max(uint32_t number) {
    return number == TENON_NUMBER_E4M3FN     ? 448.0f
           : number == TENON_NUMBER_E4M3FNUZ ? 240.0f
           : number == TENON_NUMBER_I8       ? 127.0f
                                             : 57344.0f;
}

/* Bytes of a type of whole bytes, as a shift. */
DEVICE uint32_t number_shift(uint32_t number) {
    return number == TENON_NUMBER_F32 ? 2
                                      : number == TENON_NUMBER_F16 || number == TENON_NUMBER_BF16;
}

#endif /* TENON_DEVICE_NUMBER_H */
