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
DEVICE float byte_to_f32(uint32_t number, uint32_t word, const int byte) {
    const uint32_t code = word >> (8 * byte) & 0xffu;
    return number == TENON_NUMBER_I8 ? (float)(int8_t)code : fp8_to_f32(number, code);
}
/* `number` is the same in all lanes: one branch is taken. */
DEVICE u32x2 bytes_to_halves(const bool f16, uint32_t number, uint32_t word) {
#if defined(__gfx942__) || defined(__gfx950__)
#    if defined(__gfx950__)
    const uint32_t fast = TENON_NUMBER_E4M3FN;
#    else
    const uint32_t fast = TENON_NUMBER_E4M3FNUZ;
#    endif
    typedef float f32x2 __attribute__((ext_vector_type(2)));
    if (number == fast) {
        const f32x2 low = __builtin_amdgcn_cvt_pk_f32_fp8((int)word, false),
                    high = __builtin_amdgcn_cvt_pk_f32_fp8((int)word, true);
        return (u32x2){exact_pair(f16, low.x, low.y), exact_pair(f16, high.x, high.y)};
    }
#endif
    return (u32x2){exact_pair(f16, byte_to_f32(number, word, 0), byte_to_f32(number, word, 1)),
                   exact_pair(f16, byte_to_f32(number, word, 2), byte_to_f32(number, word, 3))};
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
