/* SPDX-License-Identifier: Apache-2.0 */
/* Matrix instructions on fragments of eight 16-bit elements a lane, and what brings elements into
 * that form. D[m][n] += sum_k A[m][k] B[k][n]: lane l holds row (column) l % 16 of A (B) and the
 * elements k of its group l / 16; which k those are does not matter as long as A and B agree. D:
 * lane l holds column l % 16, rows 4 (l / 16) + 0..3. (AMD matrix instruction calculator.) */
#ifndef TENON_ATTENTION_MATRIX_H
#define TENON_ATTENTION_MATRIX_H

#include "device/device_memory.h"
#include "device/device_number.h"

typedef short s16x4 __attribute__((ext_vector_type(4)));
typedef _Float16 f16x4 __attribute__((ext_vector_type(4)));

DEVICE f32x4 multiply_4(const bool f16, u32x2 a, u32x2 b, f32x4 c) {
    if (f16)
        return __builtin_amdgcn_mfma_f32_16x16x16f16(__builtin_bit_cast(f16x4, a),
                                                     __builtin_bit_cast(f16x4, b), c, 0, 0, 0);
    return __builtin_amdgcn_mfma_f32_16x16x16bf16_1k(__builtin_bit_cast(s16x4, a),
                                                     __builtin_bit_cast(s16x4, b), c, 0, 0, 0);
}
#if defined(__gfx950__)
typedef __bf16 bf16x8 __attribute__((ext_vector_type(8)));
typedef _Float16 f16x8 __attribute__((ext_vector_type(8)));
DEVICE f32x4 multiply_8(const bool f16, u32x4 a, u32x4 b, f32x4 c) {
    if (f16)
        return __builtin_amdgcn_mfma_f32_16x16x32_f16(__builtin_bit_cast(f16x8, a),
                                                      __builtin_bit_cast(f16x8, b), c, 0, 0, 0);
    return __builtin_amdgcn_mfma_f32_16x16x32_bf16(__builtin_bit_cast(bf16x8, a),
                                                   __builtin_bit_cast(bf16x8, b), c, 0, 0, 0);
}
#else
DEVICE f32x4 multiply_8(const bool f16, u32x4 a, u32x4 b, f32x4 c) {
    c = multiply_4(f16, a.xy, b.xy, c);
    return multiply_4(f16, a.zw, b.zw, c);
}
#endif

/* Two f32 as two 16-bit elements. Weights are never negative, so bf16 rounds as an integer does;
 * a NaN keeps its upper half. */
DEVICE uint32_t pack_weights(const bool f16, float low, float high) {
    if (f16) return f32_to_f16(low) | (uint32_t)f32_to_f16(high) << 16;
    return __builtin_amdgcn_perm(bits_of(high) + 0x8000u, bits_of(low) + 0x8000u, 0x07060302u);
}

/* A byte of a cache is exact in bf16, and so is its f32: the upper half is the code. In f16 all are
 * exact as well, denormals of e5m2fnuz included. */
DEVICE uint32_t exact_pair(const bool f16, float low, float high) {
    if (f16) return f32_to_f16(low) | (uint32_t)f32_to_f16(high) << 16;
    return __builtin_amdgcn_perm(bits_of(high), bits_of(low), 0x07060302u);
}
/* Any type of eight bits in the same instructions: a branch for each type, at each of the many
 * words, would be most of the code. fp8: the bits moved into place are an f32 that is too small by
 * a power of two, denormals included; above top the exponent becomes that of infinity, and what the
 * mantissa holds says whether it is a NaN. */
typedef struct byte_decoder {
    uint32_t shift, top, nan_code;
    float factor;
    bool is_i8, is_native; /* native: what the target has an instruction for */
} byte_decoder;

DEVICE byte_decoder byte_decoder_of(uint32_t number) {
#if defined(__gfx950__)
    const bool native = number == TENON_NUMBER_E4M3FN;
#elif defined(__gfx942__)
    const bool native = number == TENON_NUMBER_E4M3FNUZ;
#else
    const bool native = false;
#endif
    const bool e4m3 = number == TENON_NUMBER_E4M3FN || number == TENON_NUMBER_E4M3FNUZ,
               fnuz = number == TENON_NUMBER_E4M3FNUZ || number == TENON_NUMBER_E5M2FNUZ;
    const uint32_t bias = (e4m3 ? 7 : 15) + fnuz;
    return (byte_decoder){.shift = e4m3 ? 20 : 21,
                          .top = fnuz   ? 0x7f
                                 : e4m3 ? 0x7e
                                        : 0x7b,
                          .nan_code = fnuz ? 0x80 : 0x100,
                          .factor = float_of((254 - bias) << 23),
                          .is_i8 = number == TENON_NUMBER_I8,
                          .is_native = native};
}
/* All ones where x is negative. A comparison would take two scalar registers for each byte. */
DEVICE uint32_t where_negative(uint32_t x) {
    uint32_t mask;
    __asm__("v_ashrrev_i32_e32 %0, 31, %1" : "=v"(mask) : "v"(x));
    return mask;
}
DEVICE float byte_to_f32(const byte_decoder *t, uint32_t word, const int byte) {
    const uint32_t code = word >> (8 * byte) & 0xffu, magnitude = code & 0x7fu;
    const float x = float_of(magnitude << t->shift) * t->factor;
    const uint32_t special = (where_negative(t->top - magnitude) & 0x7f800000u) |
                             (where_negative((code ^ t->nan_code) - 1) & 0x7fc00000u);
    return t->is_i8 ? (float)(int8_t)code : float_of(bits_of(x) | (code & 0x80u) << 24 | special);
}
/* The decoder is the same in all lanes: one branch is taken. */
DEVICE u32x2 bytes_to_halves(const bool f16, const byte_decoder *t, uint32_t word) {
#if defined(__gfx942__) || defined(__gfx950__)
    typedef float f32x2 __attribute__((ext_vector_type(2)));
    if (t->is_native) {
        const f32x2 low = __builtin_amdgcn_cvt_pk_f32_fp8((int)word, false),
                    high = __builtin_amdgcn_cvt_pk_f32_fp8((int)word, true);
        return (u32x2){exact_pair(f16, low.x, low.y), exact_pair(f16, high.x, high.y)};
    }
#endif
    return (u32x2){exact_pair(f16, byte_to_f32(t, word, 0), byte_to_f32(t, word, 1)),
                   exact_pair(f16, byte_to_f32(t, word, 2), byte_to_f32(t, word, 3))};
}

/* Runs in which values that are no numbers are kept apart. */
enum { PASS_ALL, PASS_FINITE, PASS_PLUS, PASS_MINUS, PASSES };

/* Two values: those that are no numbers become 0 (FINITE); or what counts (an infinity of that
 * sign, or NaN) becomes 1 and all else 0. */
DEVICE uint32_t sift_pair(const bool f16, int pass, uint32_t pair) {
    const uint32_t infinity = f16 ? 0x7c00u : 0x7f80u, one = f16 ? 0x3c00u : 0x3f80u;
    uint32_t result = 0;
    for (int half = 0; half < 2; half++) {
        const uint32_t code = pair >> (16 * half) & 0xffffu, magnitude = code & 0x7fffu;
        uint32_t x = magnitude >= infinity ? 0 : code;
        if (pass != PASS_FINITE)
            x = magnitude > infinity ||
                        (magnitude == infinity && (code >> 15 != 0) == (pass == PASS_MINUS))
                    ? one
                    : 0;
        result |= x << (16 * half);
    }
    return result;
}

#endif /* TENON_ATTENTION_MATRIX_H */
