/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TENON_NUMBER_H
#define TENON_NUMBER_H

/* One element of a tensor, whatever its type: load as double (exact for every type here) and store
 * from double with a single rounding. Scalar code for references, packers and tests; kernels know
 * their types. */

#include "bfloat16.h"
#include "float16.h"
#include "float6_float4.h"
#include "float8.h"
#include "float_e8m0.h"
#include "number_kind.h"
#include "packed_bits.h"

static inline tenon_number tenon_number_of(DLDataType type) {
    switch (type.code) {
    case kDLFloat:
        return type.bits == 32   ? TENON_NUMBER_F32
               : type.bits == 16 ? TENON_NUMBER_F16
                                 : TENON_NUMBER_UNKNOWN;
    case kDLBfloat:
        return type.bits == 16 ? TENON_NUMBER_BF16 : TENON_NUMBER_UNKNOWN;
    case kDLFloat8_e4m3fn:
        return TENON_NUMBER_E4M3FN;
    case kDLFloat8_e4m3fnuz:
        return TENON_NUMBER_E4M3FNUZ;
    case kDLFloat8_e5m2:
        return TENON_NUMBER_E5M2;
    case kDLFloat8_e5m2fnuz:
        return TENON_NUMBER_E5M2FNUZ;
    case kDLFloat8_e8m0fnu:
        return TENON_NUMBER_E8M0;
    case kDLFloat6_e2m3fn:
        return TENON_NUMBER_E2M3;
    case kDLFloat6_e3m2fn:
        return TENON_NUMBER_E3M2;
    case kDLFloat4_e2m1fn:
        return TENON_NUMBER_E2M1;
    case kDLInt:
        return type.bits == 8    ? TENON_NUMBER_I8
               : type.bits == 32 ? TENON_NUMBER_I32
               : type.bits == 64 ? TENON_NUMBER_I64
                                 : TENON_NUMBER_UNKNOWN;
    case kDLUInt:
        return type.bits == 8 ? TENON_NUMBER_U8 : TENON_NUMBER_UNKNOWN;
    default:
        return TENON_NUMBER_UNKNOWN;
    }
}

static inline const char *tenon_number_name(tenon_number number) {
    static const char *const names[] = {"an unknown type",
                                        "f32",
                                        "f16",
                                        "bf16",
                                        "e4m3fn",
                                        "e4m3fnuz",
                                        "e5m2",
                                        "e5m2fnuz",
                                        "e8m0",
                                        "i8",
                                        "u8",
                                        "i32",
                                        "i64",
                                        "e2m3",
                                        "e3m2",
                                        "e2m1",
                                        "u4"};
    return names[number];
}

/* Whole bytes of one element; 0 for the types narrower than a byte. */
static inline int64_t tenon_number_bytes(tenon_number number) {
    static const int8_t bytes[] = {0, 4, 2, 2, 1, 1, 1, 1, 1, 1, 1, 4, 8, 0, 0, 0, 0};
    return bytes[number];
}

/* The number that a code of at most eight bits stands for. */
static inline float tenon_number_decode(tenon_number number, uint8_t code) {
    switch (number) {
    case TENON_NUMBER_E4M3FN:
        return tenon_e4m3fn_to_f32(code);
    case TENON_NUMBER_E4M3FNUZ:
        return tenon_e4m3fnuz_to_f32(code);
    case TENON_NUMBER_E5M2:
        return tenon_e5m2_to_f32(code);
    case TENON_NUMBER_E5M2FNUZ:
        return tenon_e5m2fnuz_to_f32(code);
    case TENON_NUMBER_E8M0:
        return tenon_e8m0_to_f32(code);
    case TENON_NUMBER_E2M3:
        return tenon_e2m3_to_f32(code);
    case TENON_NUMBER_E3M2:
        return tenon_e3m2_to_f32(code);
    case TENON_NUMBER_E2M1:
        return tenon_e2m1_to_f32(code);
    case TENON_NUMBER_I8:
        return (float)(int8_t)code;
    case TENON_NUMBER_U8:
    case TENON_NUMBER_U4:
        return (float)code;
    default:
        return tenon_f32_from_bits(TENON_F32_QUIET_NAN);
    }
}

/* Element `index` counted in whole elements from base, which need not be aligned. */
static inline double tenon_number_load(tenon_number number, const void *base, int64_t index) {
    const uint8_t *bytes = (const uint8_t *)base;
    uint16_t half;
    int32_t i32;
    int64_t i64;
    float f32;
    switch (number) {
    case TENON_NUMBER_F32:
        memcpy(&f32, bytes + 4 * index, 4);
        return (double)f32;
    case TENON_NUMBER_F16:
        memcpy(&half, bytes + 2 * index, 2);
        return (double)tenon_f16_to_f32(half);
    case TENON_NUMBER_BF16:
        memcpy(&half, bytes + 2 * index, 2);
        return (double)tenon_bf16_to_f32(half);
    case TENON_NUMBER_I32:
        memcpy(&i32, bytes + 4 * index, 4);
        return (double)i32;
    case TENON_NUMBER_I64:
        memcpy(&i64, bytes + 8 * index, 8);
        return (double)i64;
    default:
        return (double)tenon_number_decode(number, bytes[index]);
    }
}

/* Whole indices: exact beyond 2^53, where a double is not. */
static inline int64_t tenon_index_load(tenon_number number, const void *base, int64_t index) {
    if (number == TENON_NUMBER_I64) {
        int64_t value;
        memcpy(&value, (const uint8_t *)base + 8 * index, 8);
        return value;
    }
    int32_t value;
    memcpy(&value, (const uint8_t *)base + 4 * index, 4);
    return value;
}

/* double -> f32 rounded to odd: cut off, and if anything was cut off, set the last bit. A narrower
 * type rounded from the result is as if rounded from the double itself, without double rounding. */
static inline float tenon_f64_to_f32_odd(double value) {
    float nearest = (float)value;
    if ((double)nearest == value || nearest != nearest) return nearest;
    uint32_t bits = tenon_f32_bits(nearest);
    double magnitude = value < 0 ? -value : value;
    double rounded = (double)nearest < 0 ? -(double)nearest : (double)nearest;
    if (rounded > magnitude) bits--; /* also from infinity to the largest float */
    return tenon_f32_from_bits(bits | 1u);
}

/* Float types round to nearest even by their headers' rules for NaN and overflow; I8 and U8 round
 * to nearest even and saturate, with NaN as 0. I32 and I64 truncate nothing: the value must be
 * whole. */
static inline uint8_t tenon_number_encode(tenon_number number, double value) {
    float odd = tenon_f64_to_f32_odd(value);
    switch (number) {
    case TENON_NUMBER_E4M3FN:
        return tenon_f32_to_e4m3fn(odd);
    case TENON_NUMBER_E4M3FNUZ:
        return tenon_f32_to_e4m3fnuz(odd);
    case TENON_NUMBER_E5M2:
        return tenon_f32_to_e5m2(odd);
    case TENON_NUMBER_E5M2FNUZ:
        return tenon_f32_to_e5m2fnuz(odd);
    case TENON_NUMBER_E2M3:
        return tenon_f32_to_e2m3(odd);
    case TENON_NUMBER_E3M2:
        return tenon_f32_to_e3m2(odd);
    case TENON_NUMBER_E2M1:
        return tenon_f32_to_e2m1(odd);
    case TENON_NUMBER_I8:
        if (value != value) return 0;
        return (uint8_t)(int8_t)(value <= -128 ? -128 : value >= 127 ? 127 : nearbyint(value));
    case TENON_NUMBER_U8:
        if (value != value) return 0;
        return (uint8_t)(value <= 0 ? 0 : value >= 255 ? 255 : nearbyint(value));
    default:
        return 0;
    }
}

static inline void tenon_number_store(tenon_number number, void *base, int64_t index,
                                      double value) {
    uint8_t *bytes = (uint8_t *)base;
    float f32 = (float)value;
    uint16_t half;
    int32_t i32;
    int64_t i64;
    switch (number) {
    case TENON_NUMBER_F32:
        memcpy(bytes + 4 * index, &f32, 4);
        return;
    case TENON_NUMBER_F16:
        half = tenon_f32_to_f16(tenon_f64_to_f32_odd(value));
        memcpy(bytes + 2 * index, &half, 2);
        return;
    case TENON_NUMBER_BF16:
        half = tenon_f32_to_bf16(tenon_f64_to_f32_odd(value));
        memcpy(bytes + 2 * index, &half, 2);
        return;
    case TENON_NUMBER_I32:
        i32 = (int32_t)value;
        memcpy(bytes + 4 * index, &i32, 4);
        return;
    case TENON_NUMBER_I64:
        i64 = (int64_t)value;
        memcpy(bytes + 8 * index, &i64, 8);
        return;
    default:
        bytes[index] = tenon_number_encode(number, value);
        return;
    }
}

#endif
