/* SPDX-License-Identifier: Apache-2.0 */
/* AVX-512 with VNNI, BF16 and VBMI: simd_x86_avx512.h with the one-instruction dot products, and
 * tables of 128 bytes. */
#ifndef TENON_SIMD_X86_AVX512VNNI_H
#define TENON_SIMD_X86_AVX512VNNI_H

#define V_WITH_VNNI_BF16 1
#include "simd_x86_avx512.h"

/* 128 words of 16 bits, as their low and their high bytes. */
typedef struct v_table128 {
    __m512i low[2], high[2];
} v_table128;

V_INLINE v_table128 v_table128_load(const uint8_t low[128], const uint8_t high[128]) {
    const v_table128 t = {{_mm512_loadu_si512(low), _mm512_loadu_si512(low + 64)},
                          {_mm512_loadu_si512(high), _mm512_loadu_si512(high + 64)}};
    return t;
}

/* Lanes of four codes to two lanes of two words: word = table[code & 127], and bit 7 of the code
 * becomes its bit 15. first: of bytes 0 and 1 of each lane, second: of bytes 2 and 3. */
V_INLINE void vi32_words_of_codes(v_table128 table, vi32 codes, vi32 *first, vi32 *second) {
    /* In each 128 bits the first pairs of the four lanes, then the second pairs. */
    const __m512i pairs =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15));
    const __m512i index = _mm512_shuffle_epi8(codes, pairs);
    const __m512i low = _mm512_permutex2var_epi8(table.low[0], index, table.low[1]);
    const __m512i high =
        _mm512_ternarylogic_epi32(_mm512_permutex2var_epi8(table.high[0], index, table.high[1]),
                                  index, _mm512_set1_epi8((char)0x80), 0xf8); /* a | (b & c) */
    *first = _mm512_unpacklo_epi8(low, high);
    *second = _mm512_unpackhi_epi8(low, high);
}
/* The same, with the code 0x80 as a NaN of bf16. */
V_INLINE void vi32_words_of_fnuz(v_table128 table, vi32 codes, vi32 *first, vi32 *second) {
    vi32_words_of_codes(table, codes, first, second);
    const __m512i minus_zero = _mm512_set1_epi16((short)0x8000), nan = _mm512_set1_epi16(0x7fc0);
    *first = _mm512_mask_mov_epi16(*first, _mm512_cmpeq_epi16_mask(*first, minus_zero), nan);
    *second = _mm512_mask_mov_epi16(*second, _mm512_cmpeq_epi16_mask(*second, minus_zero), nan);
}

/* 64 codes to 64 words: table[code & 127] with bit 7 of the code on top; integers (a constant):
 * of int8, by magnitude. words[0] has of each 16 codes the first 8, words[1] the others. */
#define V_HAS_WORDS_OF_BYTES 1
V_INLINE void vi32_words_of_bytes(v_table128 table, vi32 codes, const int integers, vi32 words[2]) {
    const __m512i sign = _mm512_set1_epi8((char)0x80);
    const __m512i index = integers ? _mm512_abs_epi8(codes) : codes;
    const __m512i low = _mm512_permutex2var_epi8(table.low[0], index, table.low[1]);
    __m512i high =
        _mm512_ternarylogic_epi32(_mm512_permutex2var_epi8(table.high[0], index, table.high[1]),
                                  codes, sign, 0xf8); /* a | (b & c) */
    if (integers) /* -128 is bf16 0xc300, and finds the word of 0 */
        high = _mm512_mask_mov_epi8(high, _mm512_cmpeq_epi8_mask(codes, sign),
                                    _mm512_set1_epi8((char)0xc3));
    words[0] = _mm512_unpacklo_epi8(low, high);
    words[1] = _mm512_unpackhi_epi8(low, high);
}
/* The bytes of a and b in turns: out[0] has of each 16 the first 8. */
V_INLINE void vi32_zip8(vi32 a, vi32 b, vi32 out[2]) {
    out[0] = _mm512_unpacklo_epi8(a, b);
    out[1] = _mm512_unpackhi_epi8(a, b);
}
/* Four vectors of floats in the order that vi32_zip8 and then vi32_words_of_bytes leave pairs in,
 * back to order: lane 4 i + j of x[k] changes places with lane 4 k + j of x[i]. */
V_INLINE void vf32_zip8_order_back(vf32 x[4]) {
    const vf32 a = _mm512_shuffle_f32x4(x[0], x[1], 0x44),
               b = _mm512_shuffle_f32x4(x[0], x[1], 0xee),
               c = _mm512_shuffle_f32x4(x[2], x[3], 0x44),
               d = _mm512_shuffle_f32x4(x[2], x[3], 0xee);
    x[0] = _mm512_shuffle_f32x4(a, c, 0x88);
    x[1] = _mm512_shuffle_f32x4(a, c, 0xdd);
    x[2] = _mm512_shuffle_f32x4(b, d, 0x88);
    x[3] = _mm512_shuffle_f32x4(b, d, 0xdd);
}

#endif
