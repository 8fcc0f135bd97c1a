/* SPDX-License-Identifier: Apache-2.0 */
/* Vectors of 16 lanes on AVX-512 F, BW, VL, DQ. Same names in every simd_*.h; meanings in
 * README.md. Define V_WITH_VNNI_BF16 before including it (simd_x86_avx512vnni.h does) for the VNNI
 * and BF16 forms. */
#ifndef TENON_SIMD_X86_AVX512_H
#define TENON_SIMD_X86_AVX512_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define V_INLINE static inline __attribute__((always_inline))
/* Before a loop of constant length over registers: gcc keeps arrays of them in memory otherwise. */
#define V_PRAGMA(text) _Pragma(#text)
#ifdef V_NO_UNROLL
#    define V_UNROLL(n)
#else
#    define V_UNROLL(n) V_PRAGMA(GCC unroll n)
#endif
#define V_LANES 16

typedef __m512 vf32;
typedef __m512i vi32;

/* ---- f32 ---- */
V_INLINE vf32 vf32_zero(void) {
    return _mm512_setzero_ps();
}
V_INLINE vf32 vf32_set1(float x) {
    return _mm512_set1_ps(x);
}
V_INLINE vf32 vf32_load(const float *p) {
    return _mm512_loadu_ps(p);
}
V_INLINE void vf32_store(float *p, vf32 x) {
    _mm512_storeu_ps(p, x);
}
V_INLINE __mmask16 v_mask_n(int n) {
    return (__mmask16)_cvtu32_mask16((1u << n) - 1u);
}
V_INLINE vf32 vf32_load_n(const float *p, int n) {
    return _mm512_maskz_loadu_ps(v_mask_n(n), p);
}
V_INLINE void vf32_store_n(float *p, vf32 x, int n) {
    _mm512_mask_storeu_ps(p, v_mask_n(n), x);
}
V_INLINE vf32 vf32_add(vf32 a, vf32 b) {
    return _mm512_add_ps(a, b);
}
V_INLINE vf32 vf32_sub(vf32 a, vf32 b) {
    return _mm512_sub_ps(a, b);
}
V_INLINE vf32 vf32_mul(vf32 a, vf32 b) {
    return _mm512_mul_ps(a, b);
}
V_INLINE vf32 vf32_div(vf32 a, vf32 b) {
    return _mm512_div_ps(a, b);
}
V_INLINE vf32 vf32_fma(vf32 a, vf32 b, vf32 c) {
    return _mm512_fmadd_ps(a, b, c);
}
V_INLINE vf32 vf32_fnma(vf32 a, vf32 b, vf32 c) {
    return _mm512_fnmadd_ps(a, b, c);
}
V_INLINE vf32 vf32_max(vf32 a, vf32 b) {
    return _mm512_max_ps(a, b);
}
V_INLINE vf32 vf32_min(vf32 a, vf32 b) {
    return _mm512_min_ps(a, b);
}
V_INLINE vf32 vf32_abs(vf32 a) {
    return _mm512_abs_ps(a);
}
V_INLINE vf32 vf32_round(vf32 a) {
    return _mm512_roundscale_ps(a, 0x08);
}
V_INLINE vf32 vf32_sqrt(vf32 a) {
    return _mm512_sqrt_ps(a);
}
V_INLINE float vf32_reduce_add(vf32 a) {
    return _mm512_reduce_add_ps(a);
}
V_INLINE float vf32_reduce_max(vf32 a) {
    return _mm512_reduce_max_ps(a);
}
/* a < b ? x : y; a comparison with NaN is false. */
V_INLINE vf32 vf32_select_lt(vf32 a, vf32 b, vf32 x, vf32 y) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), y, x);
}

/* ---- 32-bit lanes as integers or as raw bytes ---- */
V_INLINE vi32 vi32_zero(void) {
    return _mm512_setzero_si512();
}
V_INLINE vi32 vi32_set1(int32_t x) {
    return _mm512_set1_epi32(x);
}
V_INLINE vi32 vi32_load(const void *p) {
    return _mm512_loadu_si512(p);
}
V_INLINE void vi32_store(void *p, vi32 x) {
    _mm512_storeu_si512(p, x);
}
V_INLINE vi32 vi32_load_n(const void *p, int n) {
    return _mm512_maskz_loadu_epi32(v_mask_n(n), p);
}
V_INLINE void vi32_store_n(void *p, vi32 x, int n) {
    _mm512_mask_storeu_epi32(p, v_mask_n(n), x);
}
V_INLINE vi32 vi32_add(vi32 a, vi32 b) {
    return _mm512_add_epi32(a, b);
}
V_INLINE vi32 vi32_sub(vi32 a, vi32 b) {
    return _mm512_sub_epi32(a, b);
}
V_INLINE vi32 vi32_mul(vi32 a, vi32 b) {
    return _mm512_mullo_epi32(a, b);
}
V_INLINE vi32 vi32_and(vi32 a, vi32 b) {
    return _mm512_and_si512(a, b);
}
V_INLINE vi32 vi32_or(vi32 a, vi32 b) {
    return _mm512_or_si512(a, b);
}
V_INLINE vi32 vi32_xor(vi32 a, vi32 b) {
    return _mm512_xor_si512(a, b);
}
V_INLINE vi32 vi32_max(vi32 a, vi32 b) {
    return _mm512_max_epi32(a, b);
}
V_INLINE vi32 vi32_min(vi32 a, vi32 b) {
    return _mm512_min_epi32(a, b);
}
V_INLINE vi32 vi32_max_u(vi32 a, vi32 b) {
    return _mm512_max_epu32(a, b);
}
#define vi32_sll(a, n) _mm512_slli_epi32((a), (n))
#define vi32_srl(a, n) _mm512_srli_epi32((a), (n))
#define vi32_sra(a, n) _mm512_srai_epi32((a), (n))
V_INLINE vi32 vi32_srl_by(vi32 a, int n) {
    return _mm512_srl_epi32(a, _mm_cvtsi32_si128(n));
}
V_INLINE int32_t vi32_reduce_add(vi32 a) {
    return _mm512_reduce_add_epi32(a);
}
V_INLINE uint32_t vi32_reduce_max_u(vi32 a) {
    return _mm512_reduce_max_epu32(a);
}
/* Widening loads of V_LANES bytes; narrowing stores of the low bits of each lane. */
V_INLINE vi32 vi32_load_u8(const void *p) {
    return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p));
}
V_INLINE vi32 vi32_load_s8(const void *p) {
    return _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p));
}
V_INLINE void vi32_store_u8(void *p, vi32 x) {
    _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8(x));
}
V_INLINE void vi32_store_u16(void *p, vi32 x) {
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtepi32_epi16(x));
}
V_INLINE vi32 vi32_shuffle16(vi32 table16, vi32 index) {
    return _mm512_shuffle_epi8(table16, index);
}
V_INLINE vi32 vi32_table16(const void *p) {
    return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)p));
}

/* ---- conversions ---- */
V_INLINE vf32 vf32_from_bits(vi32 a) {
    return _mm512_castsi512_ps(a);
}
V_INLINE vi32 vi32_from_bits(vf32 a) {
    return _mm512_castps_si512(a);
}
V_INLINE vf32 vf32_from_i32(vi32 a) {
    return _mm512_cvtepi32_ps(a);
}
V_INLINE vi32 vi32_from_f32(vf32 a) {
    return _mm512_cvtps_epi32(a);
}
V_INLINE vf32 vf32_load_f16(const void *p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}
V_INLINE vf32 vf32_load_bf16(const void *p) {
    return _mm512_castsi512_ps(
        _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p)), 16));
}
V_INLINE vf32 vf32_load_f16_n(const void *p, int n) {
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(v_mask_n(n), p));
}
V_INLINE vf32 vf32_load_bf16_n(const void *p, int n) {
    return _mm512_castsi512_ps(
        _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(v_mask_n(n), p)), 16));
}
V_INLINE __m256i v_f16_bits(vf32 x) {
    return _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
/* Round to nearest even; NaN stays NaN; subnormals are kept (vcvtneps2bf16 would flush them). */
V_INLINE __m256i v_bf16_bits(vf32 x) {
    const __m512i u = _mm512_castps_si512(x);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
    __m512i r = _mm512_add_epi32(u, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    r = _mm512_mask_or_epi32(r, _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), u,
                             _mm512_set1_epi32(0x400000));
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(r, 16));
}
V_INLINE void vf32_store_f16(void *p, vf32 x) {
    _mm256_storeu_si256((__m256i *)p, v_f16_bits(x));
}
V_INLINE void vf32_store_bf16(void *p, vf32 x) {
    _mm256_storeu_si256((__m256i *)p, v_bf16_bits(x));
}
V_INLINE void vf32_store_f16_n(void *p, vf32 x, int n) {
    _mm256_mask_storeu_epi16(p, v_mask_n(n), v_f16_bits(x));
}
V_INLINE void vf32_store_bf16_n(void *p, vf32 x, int n) {
    _mm256_mask_storeu_epi16(p, v_mask_n(n), v_bf16_bits(x));
}

/* ---- multiply-accumulate of packed elements ---- */
#ifdef V_WITH_VNNI_BF16
/* acc + the four u8 x s8 products of each lane. Here any u8 is allowed. */
V_INLINE vi32 vi32_dot_u8s8(vi32 acc, vi32 u8, vi32 s8) {
    return _mm512_dpbusd_epi32(acc, u8, s8);
}
/* The same for codes that span all of u8. The sum is of (code - 128 + V_DOT_OFFSET) x s8. */
#    define V_DOT_OFFSET 128
V_INLINE vi32 vi32_dot_code8(vi32 acc, vi32 code, vi32 s8) {
    return _mm512_dpbusd_epi32(acc, code, s8);
}
/* acc + the two bf16 x bf16 products of each lane. */
#    define V_HAS_DOT_BF16 1
V_INLINE vf32 vf32_dot_bf16(vf32 acc, vi32 a, vi32 b) {
    return _mm512_dpbf16_ps(acc, (__m512bh)a, (__m512bh)b);
}
/* 16-bit elements of a and b in turns. Within 128 bits: vf32_zip_order says of which elements. */
#    define V_HAS_ZIP16 1
V_INLINE void vi32_zip16(vi32 a, vi32 b, vi32 out[2]) {
    out[0] = _mm512_unpacklo_epi16(a, b);
    out[1] = _mm512_unpackhi_epi16(a, b);
}
/* 2 V_LANES floats in order to the order in which vi32_zip16 leaves elements, and back. */
V_INLINE void vf32_zip_order(vf32 x[2]) {
    const vf32 even = _mm512_shuffle_f32x4(x[0], x[1], 0x88);
    x[1] = _mm512_shuffle_f32x4(x[0], x[1], 0xdd);
    x[0] = even;
}
V_INLINE void vf32_zip_order_back(vf32 x[2]) {
    const vf32 low = _mm512_shuffle_f32x4(x[0], x[1], 0x44),
               high = _mm512_shuffle_f32x4(x[0], x[1], 0xee);
    x[0] = _mm512_shuffle_f32x4(low, low, 0xd8);
    x[1] = _mm512_shuffle_f32x4(high, high, 0xd8);
}
/* Both vectors, one after the other, to bf16 in one instruction. Flushes subnormals, as the
 * products do. */
V_INLINE void vf32_store_bf16_pair(uint16_t *p, vf32 first, vf32 second) {
    _mm512_storeu_si512(p, (__m512i)_mm512_cvtne2ps_pbh(second, first));
}
#else
/* acc + the four u8 x s8 products of each lane; u8 <= 127, so that the 16-bit pair sums are exact.
 */
V_INLINE vi32 vi32_dot_u8s8(vi32 acc, vi32 u8, vi32 s8) {
    const __m512i pairs = _mm512_maddubs_epi16(u8, s8);
    return _mm512_add_epi32(acc, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
}
/* The same for codes that span all of u8. The sum is of (code - 128 + V_DOT_OFFSET) x s8; s8 >
 * -128. |w| <= 128 and |s8| <= 127, so the pair sums still fit 16 bits. */
#    define V_DOT_OFFSET   0
V_INLINE vi32 vi32_dot_code8(vi32 acc, vi32 code, vi32 s8) {
    const __m512i w = _mm512_xor_si512(code, _mm512_set1_epi8((char)-128));
    const __m512i signed_s8 =
        _mm512_mask_sub_epi8(s8, _mm512_movepi8_mask(w), _mm512_setzero_si512(), s8);
    return vi32_dot_u8s8(acc, _mm512_abs_epi8(w), signed_s8);
}
#    define V_HAS_DOT_BF16 0
#endif

/* ---- data movement ---- */
/* out[t], lane r = the t-th dword of the 16 bytes at rows[r] + offset, for V_LANES rows. */
V_INLINE void vi32_gather_16_bytes(const uint8_t *const *rows, ptrdiff_t offset, vi32 out[4]) {
    __m512i z[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        z[i] = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)(rows[i] + offset)));
        z[i] =
            _mm512_inserti32x4(z[i], _mm_loadu_si128((const __m128i *)(rows[i + 4] + offset)), 1);
        z[i] =
            _mm512_inserti32x4(z[i], _mm_loadu_si128((const __m128i *)(rows[i + 8] + offset)), 2);
        z[i] =
            _mm512_inserti32x4(z[i], _mm_loadu_si128((const __m128i *)(rows[i + 12] + offset)), 3);
    }
    const __m512i a = _mm512_unpacklo_epi32(z[0], z[1]), b = _mm512_unpacklo_epi32(z[2], z[3]);
    const __m512i c = _mm512_unpackhi_epi32(z[0], z[1]), d = _mm512_unpackhi_epi32(z[2], z[3]);
    out[0] = _mm512_unpacklo_epi64(a, b);
    out[1] = _mm512_unpackhi_epi64(a, b);
    out[2] = _mm512_unpacklo_epi64(c, d);
    out[3] = _mm512_unpackhi_epi64(c, d);
}

/* Lane i: the sum of the lanes of v[i], each added up in the same order. */
#define V_HAS_ADD_ACROSS 1
V_INLINE vf32 vf32_add_across(const vf32 v[V_LANES]) {
    vf32 a[8], b[4];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++)
        a[i] = _mm512_add_ps(_mm512_unpacklo_ps(v[2 * i], v[2 * i + 1]),
                             _mm512_unpackhi_ps(v[2 * i], v[2 * i + 1]));
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        const __m512d x = _mm512_castps_pd(a[2 * i]), y = _mm512_castps_pd(a[2 * i + 1]);
        b[i] = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(x, y)),
                             _mm512_castpd_ps(_mm512_unpackhi_pd(x, y)));
    }
    const vf32 c = _mm512_add_ps(_mm512_shuffle_f32x4(b[0], b[1], 0x44),
                                 _mm512_shuffle_f32x4(b[0], b[1], 0xee)),
               d = _mm512_add_ps(_mm512_shuffle_f32x4(b[2], b[3], 0x44),
                                 _mm512_shuffle_f32x4(b[2], b[3], 0xee));
    return _mm512_add_ps(_mm512_shuffle_f32x4(c, d, 0x88), _mm512_shuffle_f32x4(c, d, 0xdd));
}

V_INLINE vf32 vf32_scale_by_power(vf32 a, vf32 n) {
    return _mm512_scalef_ps(a, n);
}
#define v_prefetch(p) _mm_prefetch((const char *)(p), _MM_HINT_T0)

#include "simd_math.h"

#endif
