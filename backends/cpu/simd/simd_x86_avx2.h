/* SPDX-License-Identifier: Apache-2.0 */
/* Vectors of 8 lanes on AVX2, FMA, F16C. Same names in every simd_*.h; meanings in README.md. */
#ifndef TENON_SIMD_X86_AVX2_H
#define TENON_SIMD_X86_AVX2_H

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
#define V_LANES 8

typedef __m256 vf32;
typedef __m256i vi32;

/* First n lanes on: a window into eight ones followed by eight zeros. */
V_INLINE __m256i v_mask_n(int n) {
    static const int32_t window[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
    return _mm256_loadu_si256((const __m256i *)(window + 8 - n));
}

/* ---- f32 ---- */
V_INLINE vf32 vf32_zero(void) {
    return _mm256_setzero_ps();
}
V_INLINE vf32 vf32_set1(float x) {
    return _mm256_set1_ps(x);
}
V_INLINE vf32 vf32_load(const float *p) {
    return _mm256_loadu_ps(p);
}
V_INLINE void vf32_store(float *p, vf32 x) {
    _mm256_storeu_ps(p, x);
}
V_INLINE vf32 vf32_load_n(const float *p, int n) {
    return _mm256_maskload_ps(p, v_mask_n(n));
}
V_INLINE void vf32_store_n(float *p, vf32 x, int n) {
    _mm256_maskstore_ps(p, v_mask_n(n), x);
}
V_INLINE vf32 vf32_add(vf32 a, vf32 b) {
    return _mm256_add_ps(a, b);
}
V_INLINE vf32 vf32_sub(vf32 a, vf32 b) {
    return _mm256_sub_ps(a, b);
}
V_INLINE vf32 vf32_mul(vf32 a, vf32 b) {
    return _mm256_mul_ps(a, b);
}
V_INLINE vf32 vf32_div(vf32 a, vf32 b) {
    return _mm256_div_ps(a, b);
}
V_INLINE vf32 vf32_fma(vf32 a, vf32 b, vf32 c) {
    return _mm256_fmadd_ps(a, b, c);
}
V_INLINE vf32 vf32_fnma(vf32 a, vf32 b, vf32 c) {
    return _mm256_fnmadd_ps(a, b, c);
}
V_INLINE vf32 vf32_max(vf32 a, vf32 b) {
    return _mm256_max_ps(a, b);
}
V_INLINE vf32 vf32_min(vf32 a, vf32 b) {
    return _mm256_min_ps(a, b);
}
V_INLINE vf32 vf32_abs(vf32 a) {
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a);
}
V_INLINE vf32 vf32_round(vf32 a) {
    return _mm256_round_ps(a, 0x08);
}
V_INLINE vf32 vf32_sqrt(vf32 a) {
    return _mm256_sqrt_ps(a);
}
V_INLINE float vf32_reduce_add(vf32 a) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
V_INLINE float vf32_reduce_max(vf32 a) {
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}
/* a < b ? x : y; a comparison with NaN is false. */
V_INLINE vf32 vf32_select_lt(vf32 a, vf32 b, vf32 x, vf32 y) {
    return _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, b, _CMP_LT_OQ));
}

/* ---- 32-bit lanes as integers or as raw bytes ---- */
V_INLINE vi32 vi32_zero(void) {
    return _mm256_setzero_si256();
}
V_INLINE vi32 vi32_set1(int32_t x) {
    return _mm256_set1_epi32(x);
}
V_INLINE vi32 vi32_load(const void *p) {
    return _mm256_loadu_si256((const __m256i *)p);
}
V_INLINE void vi32_store(void *p, vi32 x) {
    _mm256_storeu_si256((__m256i *)p, x);
}
V_INLINE vi32 vi32_load_n(const void *p, int n) {
    return _mm256_maskload_epi32((const int *)p, v_mask_n(n));
}
V_INLINE void vi32_store_n(void *p, vi32 x, int n) {
    _mm256_maskstore_epi32((int *)p, v_mask_n(n), x);
}
V_INLINE vi32 vi32_add(vi32 a, vi32 b) {
    return _mm256_add_epi32(a, b);
}
V_INLINE vi32 vi32_sub(vi32 a, vi32 b) {
    return _mm256_sub_epi32(a, b);
}
V_INLINE vi32 vi32_mul(vi32 a, vi32 b) {
    return _mm256_mullo_epi32(a, b);
}
V_INLINE vi32 vi32_and(vi32 a, vi32 b) {
    return _mm256_and_si256(a, b);
}
V_INLINE vi32 vi32_or(vi32 a, vi32 b) {
    return _mm256_or_si256(a, b);
}
V_INLINE vi32 vi32_xor(vi32 a, vi32 b) {
    return _mm256_xor_si256(a, b);
}
V_INLINE vi32 vi32_max(vi32 a, vi32 b) {
    return _mm256_max_epi32(a, b);
}
V_INLINE vi32 vi32_min(vi32 a, vi32 b) {
    return _mm256_min_epi32(a, b);
}
V_INLINE vi32 vi32_max_u(vi32 a, vi32 b) {
    return _mm256_max_epu32(a, b);
}
#define vi32_sll(a, n) _mm256_slli_epi32((a), (n))
#define vi32_srl(a, n) _mm256_srli_epi32((a), (n))
#define vi32_sra(a, n) _mm256_srai_epi32((a), (n))
V_INLINE vi32 vi32_srl_by(vi32 a, int n) {
    return _mm256_srl_epi32(a, _mm_cvtsi32_si128(n));
}
V_INLINE int32_t vi32_reduce_add(vi32 a) {
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
}
V_INLINE uint32_t vi32_reduce_max_u(vi32 a) {
    __m128i s = _mm_max_epu32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    s = _mm_max_epu32(s, _mm_shuffle_epi32(s, 0x4e));
    return (uint32_t)_mm_cvtsi128_si32(_mm_max_epu32(s, _mm_shuffle_epi32(s, 0xb1)));
}
/* Widening loads of V_LANES bytes; narrowing stores of the low bits of each lane. */
V_INLINE vi32 vi32_load_u8(const void *p) {
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p));
}
V_INLINE vi32 vi32_load_s8(const void *p) {
    return _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p));
}
V_INLINE __m128i v_low_u16(vi32 x) {
    const __m256i low = _mm256_and_si256(x, _mm256_set1_epi32(0xffff));
    return _mm_packus_epi32(_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1));
}
V_INLINE void vi32_store_u8(void *p, vi32 x) {
    const __m128i w = v_low_u16(_mm256_and_si256(x, _mm256_set1_epi32(0xff)));
    _mm_storel_epi64((__m128i *)p, _mm_packus_epi16(w, w));
}
V_INLINE void vi32_store_u16(void *p, vi32 x) {
    _mm_storeu_si128((__m128i *)p, v_low_u16(x));
}
V_INLINE vi32 vi32_shuffle16(vi32 table16, vi32 index) {
    return _mm256_shuffle_epi8(table16, index);
}
V_INLINE vi32 vi32_table16(const void *p) {
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)p));
}

/* ---- conversions ---- */
V_INLINE vf32 vf32_from_bits(vi32 a) {
    return _mm256_castsi256_ps(a);
}
V_INLINE vi32 vi32_from_bits(vf32 a) {
    return _mm256_castps_si256(a);
}
V_INLINE vf32 vf32_from_i32(vi32 a) {
    return _mm256_cvtepi32_ps(a);
}
V_INLINE vi32 vi32_from_f32(vf32 a) {
    return _mm256_cvtps_epi32(a);
}
V_INLINE vf32 vf32_load_f16(const void *p) {
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}
V_INLINE vf32 vf32_load_bf16(const void *p) {
    return _mm256_castsi256_ps(
        _mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p)), 16));
}
/* Part of a vector of 16-bit elements goes through a buffer: AVX2 has no 16-bit masks. */
V_INLINE vf32 vf32_load_f16_n(const void *p, int n) {
    uint16_t buffer[8] = {0};
    memcpy(buffer, p, (size_t)n * 2);
    return vf32_load_f16(buffer);
}
V_INLINE vf32 vf32_load_bf16_n(const void *p, int n) {
    uint16_t buffer[8] = {0};
    memcpy(buffer, p, (size_t)n * 2);
    return vf32_load_bf16(buffer);
}
V_INLINE void vf32_store_f16(void *p, vf32 x) {
    _mm_storeu_si128((__m128i *)p,
                     _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
/* Round to nearest even; NaN stays NaN. */
V_INLINE void vf32_store_bf16(void *p, vf32 x) {
    const __m256i u = _mm256_castps_si256(x);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
    const __m256i r = _mm256_add_epi32(u, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    const __m256i quiet = _mm256_or_si256(u, _mm256_set1_epi32(0x400000));
    const __m256i bits = _mm256_castps_si256(_mm256_blendv_ps(
        _mm256_castsi256_ps(r), _mm256_castsi256_ps(quiet), _mm256_cmp_ps(x, x, _CMP_UNORD_Q)));
    _mm_storeu_si128((__m128i *)p, v_low_u16(_mm256_srli_epi32(bits, 16)));
}
V_INLINE void vf32_store_f16_n(void *p, vf32 x, int n) {
    uint16_t buffer[8];
    vf32_store_f16(buffer, x);
    memcpy(p, buffer, (size_t)n * 2);
}
V_INLINE void vf32_store_bf16_n(void *p, vf32 x, int n) {
    uint16_t buffer[8];
    vf32_store_bf16(buffer, x);
    memcpy(p, buffer, (size_t)n * 2);
}

/* ---- multiply-accumulate of packed elements ---- */
/* acc + the four u8 x s8 products of each lane; u8 <= 127, so that the 16-bit pair sums are exact.
 */
V_INLINE vi32 vi32_dot_u8s8(vi32 acc, vi32 u8, vi32 s8) {
    const __m256i pairs = _mm256_maddubs_epi16(u8, s8);
    return _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
/* The same for codes that span all of u8. The sum is of (code - 128 + V_DOT_OFFSET) x s8; s8 >
 * -128. |w| <= 128 and |s8| <= 127, so the pair sums still fit 16 bits. */
#define V_DOT_OFFSET 0
V_INLINE vi32 vi32_dot_code8(vi32 acc, vi32 code, vi32 s8) {
    const __m256i w = _mm256_xor_si256(code, _mm256_set1_epi8((char)-128));
    return vi32_dot_u8s8(acc, _mm256_abs_epi8(w), _mm256_sign_epi8(s8, w));
}
#define V_HAS_DOT_BF16 0

/* ---- data movement ---- */
/* out[t], lane r = the t-th dword of the 16 bytes at rows[r] + offset, for V_LANES rows. */
V_INLINE void vi32_gather_16_bytes(const uint8_t *const *rows, ptrdiff_t offset, vi32 out[4]) {
    __m256i z[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
        z[i] = _mm256_inserti128_si256(
            _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(rows[i] + offset))),
            _mm_loadu_si128((const __m128i *)(rows[i + 4] + offset)), 1);
    const __m256i a = _mm256_unpacklo_epi32(z[0], z[1]), b = _mm256_unpacklo_epi32(z[2], z[3]);
    const __m256i c = _mm256_unpackhi_epi32(z[0], z[1]), d = _mm256_unpackhi_epi32(z[2], z[3]);
    out[0] = _mm256_unpacklo_epi64(a, b);
    out[1] = _mm256_unpackhi_epi64(a, b);
    out[2] = _mm256_unpacklo_epi64(c, d);
    out[3] = _mm256_unpackhi_epi64(c, d);
}

/* a * 2^n for integral n in [-152, 129], in two steps so that each factor is a normal number. */
/* Lane i: the sum of the lanes of v[i], each added up in the same order. */
#define V_HAS_ADD_ACROSS 1
V_INLINE vf32 vf32_add_across(const vf32 v[V_LANES]) {
    const vf32 a = _mm256_hadd_ps(_mm256_hadd_ps(v[0], v[1]), _mm256_hadd_ps(v[2], v[3]));
    const vf32 b = _mm256_hadd_ps(_mm256_hadd_ps(v[4], v[5]), _mm256_hadd_ps(v[6], v[7]));
    return _mm256_add_ps(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31));
}

V_INLINE vf32 vf32_scale_by_power(vf32 a, vf32 n) {
    const __m256i i = _mm256_cvtps_epi32(n);
    const __m256i half = _mm256_srai_epi32(i, 1), rest = _mm256_sub_epi32(i, half);
    const __m256i bias = _mm256_set1_epi32(127);
    const __m256 f = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23));
    const __m256 g = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23));
    return _mm256_mul_ps(_mm256_mul_ps(a, f), g);
}
#define v_prefetch(p) _mm_prefetch((const char *)(p), _MM_HINT_T0)

#include "simd_math.h"

#endif
