/* SPDX-License-Identifier: Apache-2.0 */
/* Vectors of 8 lanes on NEON, each a pair of 128-bit registers: with 32 of those, the 16 vectors of
 * AVX2. Same names in every simd_*.h; meanings in README.md. Define V_WITH_DOTPROD before including
 * it (simd_arm_neondot.h does) for sdot, V_WITH_BF16 (simd_arm_neonbf16.h) for usdot and bfdot too.
 */
#ifndef TENON_SIMD_ARM_NEON_H
#define TENON_SIMD_ARM_NEON_H

#include <arm_neon.h>
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

typedef struct vf32 {
    float32x4_t lo, hi;
} vf32;
typedef struct vi32 {
    int32x4_t lo, hi;
} vi32;

/* One instruction on both halves. */
/* clang-format off */
#define V_F1(name, op) V_INLINE vf32 name(vf32 a) { return (vf32){op(a.lo), op(a.hi)}; }
#define V_F2(name, op) V_INLINE vf32 name(vf32 a, vf32 b) { return (vf32){op(a.lo, b.lo), op(a.hi, b.hi)}; }
#define V_I2(name, op) V_INLINE vi32 name(vi32 a, vi32 b) { return (vi32){op(a.lo, b.lo), op(a.hi, b.hi)}; }
/* clang-format on */

/* ---- f32 ---- */
V_INLINE vf32 vf32_set1(float x) {
    return (vf32){vdupq_n_f32(x), vdupq_n_f32(x)};
}
V_INLINE vf32 vf32_zero(void) {
    return vf32_set1(0.0f);
}
V_INLINE vf32 vf32_load(const float *p) {
    return (vf32){vld1q_f32(p), vld1q_f32(p + 4)};
}
V_INLINE void vf32_store(float *p, vf32 x) {
    vst1q_f32(p, x.lo), vst1q_f32(p + 4, x.hi);
}
/* The first n of four lanes, n <= 4; the rest is 0. */
V_INLINE int32x4_t v_load_part(const void *from, int n) {
    const int32_t *p = (const int32_t *)from;
    int32x4_t x = vdupq_n_s32(0);
    if (n >= 4) return vld1q_s32(p);
    if (n >= 1) x = vld1q_lane_s32(p, x, 0);
    if (n >= 2) x = vld1q_lane_s32(p + 1, x, 1);
    if (n >= 3) x = vld1q_lane_s32(p + 2, x, 2);
    return x;
}
V_INLINE void v_store_part(void *to, int32x4_t x, int n) {
    int32_t *p = (int32_t *)to;
    if (n >= 4) {
        vst1q_s32(p, x);
        return;
    }
    if (n >= 1) vst1q_lane_s32(p, x, 0);
    if (n >= 2) vst1q_lane_s32(p + 1, x, 1);
    if (n >= 3) vst1q_lane_s32(p + 2, x, 2);
}
V_INLINE vi32 vi32_load_n(const void *p, int n) {
    return (vi32){v_load_part(p, n), v_load_part((const int32_t *)p + 4, n - 4)};
}
V_INLINE void vi32_store_n(void *p, vi32 x, int n) {
    v_store_part(p, x.lo, n), v_store_part((int32_t *)p + 4, x.hi, n - 4);
}
V_INLINE vf32 vf32_from_bits(vi32 a) {
    return (vf32){vreinterpretq_f32_s32(a.lo), vreinterpretq_f32_s32(a.hi)};
}
V_INLINE vi32 vi32_from_bits(vf32 a) {
    return (vi32){vreinterpretq_s32_f32(a.lo), vreinterpretq_s32_f32(a.hi)};
}
V_INLINE vf32 vf32_load_n(const float *p, int n) {
    return vf32_from_bits(vi32_load_n(p, n));
}
V_INLINE void vf32_store_n(float *p, vf32 x, int n) {
    vi32_store_n(p, vi32_from_bits(x), n);
}
V_F2(vf32_add, vaddq_f32)
V_F2(vf32_sub, vsubq_f32)
V_F2(vf32_mul, vmulq_f32)
V_F2(vf32_div, vdivq_f32)
V_F1(vf32_abs, vabsq_f32)
V_F1(vf32_round, vrndnq_f32)
V_F1(vf32_sqrt, vsqrtq_f32)
V_INLINE vf32 vf32_fma(vf32 a, vf32 b, vf32 c) {
    return (vf32){vfmaq_f32(c.lo, a.lo, b.lo), vfmaq_f32(c.hi, a.hi, b.hi)};
}
V_INLINE vf32 vf32_fnma(vf32 a, vf32 b, vf32 c) {
    return (vf32){vfmsq_f32(c.lo, a.lo, b.lo), vfmsq_f32(c.hi, a.hi, b.hi)};
}
/* As the x86 instructions: the second operand when one is NaN, which fmax and fmin are not. */
V_INLINE vf32 vf32_max(vf32 a, vf32 b) {
    return (vf32){vbslq_f32(vcgtq_f32(a.lo, b.lo), a.lo, b.lo),
                  vbslq_f32(vcgtq_f32(a.hi, b.hi), a.hi, b.hi)};
}
V_INLINE vf32 vf32_min(vf32 a, vf32 b) {
    return (vf32){vbslq_f32(vcltq_f32(a.lo, b.lo), a.lo, b.lo),
                  vbslq_f32(vcltq_f32(a.hi, b.hi), a.hi, b.hi)};
}
V_INLINE float vf32_reduce_add(vf32 a) {
    return vaddvq_f32(vaddq_f32(a.lo, a.hi));
}
V_INLINE float vf32_reduce_max(vf32 a) {
    return vmaxnmvq_f32(vmaxnmq_f32(a.lo, a.hi));
}
/* a < b ? x : y; a comparison with NaN is false. */
V_INLINE vf32 vf32_select_lt(vf32 a, vf32 b, vf32 x, vf32 y) {
    return (vf32){vbslq_f32(vcltq_f32(a.lo, b.lo), x.lo, y.lo),
                  vbslq_f32(vcltq_f32(a.hi, b.hi), x.hi, y.hi)};
}

/* ---- 32-bit lanes as integers or as raw bytes ---- */
V_INLINE vi32 vi32_set1(int32_t x) {
    return (vi32){vdupq_n_s32(x), vdupq_n_s32(x)};
}
V_INLINE vi32 vi32_zero(void) {
    return vi32_set1(0);
}
V_INLINE vi32 vi32_load(const void *p) {
    return (vi32){vld1q_s32((const int32_t *)p), vld1q_s32((const int32_t *)p + 4)};
}
V_INLINE void vi32_store(void *p, vi32 x) {
    vst1q_s32((int32_t *)p, x.lo), vst1q_s32((int32_t *)p + 4, x.hi);
}
V_I2(vi32_add, vaddq_s32)
V_I2(vi32_sub, vsubq_s32)
V_I2(vi32_mul, vmulq_s32)
V_I2(vi32_and, vandq_s32)
V_I2(vi32_or, vorrq_s32)
V_I2(vi32_xor, veorq_s32)
V_I2(vi32_max, vmaxq_s32)
V_I2(vi32_min, vminq_s32)
V_INLINE uint32x4_t v_u32(int32x4_t a) {
    return vreinterpretq_u32_s32(a);
}
V_INLINE vi32 vi32_max_u(vi32 a, vi32 b) {
    return (vi32){vreinterpretq_s32_u32(vmaxq_u32(v_u32(a.lo), v_u32(b.lo))),
                  vreinterpretq_s32_u32(vmaxq_u32(v_u32(a.hi), v_u32(b.hi)))};
}
/* The compiler's operators: they take any n, and become one instruction where it is a literal. */
V_INLINE vi32 vi32_sll(vi32 a, int n) {
    return (vi32){a.lo << n, a.hi << n};
}
V_INLINE vi32 vi32_srl(vi32 a, int n) {
    return (vi32){(int32x4_t)(v_u32(a.lo) >> n), (int32x4_t)(v_u32(a.hi) >> n)};
}
V_INLINE vi32 vi32_srl_by(vi32 a, int n) {
    return vi32_srl(a, n);
}
V_INLINE vi32 vi32_sra(vi32 a, int n) {
    return (vi32){a.lo >> n, a.hi >> n};
}
V_INLINE int32_t vi32_reduce_add(vi32 a) {
    return vaddvq_s32(vaddq_s32(a.lo, a.hi));
}
V_INLINE uint32_t vi32_reduce_max_u(vi32 a) {
    return vmaxvq_u32(vmaxq_u32(v_u32(a.lo), v_u32(a.hi)));
}
/* Widening loads of V_LANES bytes; narrowing stores of the low bits of each lane. */
V_INLINE vi32 vi32_load_u8(const void *p) {
    const uint16x8_t w = vmovl_u8(vld1_u8((const uint8_t *)p));
    return (vi32){vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(w))),
                  vreinterpretq_s32_u32(vmovl_high_u16(w))};
}
V_INLINE vi32 vi32_load_s8(const void *p) {
    const int16x8_t w = vmovl_s8(vld1_s8((const int8_t *)p));
    return (vi32){vmovl_s16(vget_low_s16(w)), vmovl_high_s16(w)};
}
V_INLINE uint16x8_t v_low_u16(vi32 x) {
    return vuzp1q_u16(vreinterpretq_u16_s32(x.lo), vreinterpretq_u16_s32(x.hi));
}
V_INLINE void vi32_store_u8(void *p, vi32 x) {
    vst1_u8((uint8_t *)p, vmovn_u16(v_low_u16(x)));
}
V_INLINE void vi32_store_u16(void *p, vi32 x) {
    vst1q_u8((uint8_t *)p, vreinterpretq_u8_u16(v_low_u16(x)));
}
V_INLINE int32x4_t v_shuffle16(int32x4_t table16, int32x4_t index) {
    return vreinterpretq_s32_u8(
        vqtbl1q_u8(vreinterpretq_u8_s32(table16), vreinterpretq_u8_s32(index)));
}
V_INLINE vi32 vi32_shuffle16(vi32 table16, vi32 index) {
    return (vi32){v_shuffle16(table16.lo, index.lo), v_shuffle16(table16.hi, index.hi)};
}
V_INLINE vi32 vi32_table16(const void *p) {
    const int32x4_t t = vreinterpretq_s32_u8(vld1q_u8((const uint8_t *)p));
    return (vi32){t, t};
}

/* ---- conversions ---- */
V_INLINE vf32 vf32_from_i32(vi32 a) {
    return (vf32){vcvtq_f32_s32(a.lo), vcvtq_f32_s32(a.hi)};
}
/* Round to nearest even; out of range and NaN: INT32_MIN, as on x86. */
V_INLINE int32x4_t v_i32_from_f32(float32x4_t a) {
    return vbslq_s32(vcltq_f32(a, vdupq_n_f32(0x1p31f)), vcvtnq_s32_f32(a), vdupq_n_s32(INT32_MIN));
}
V_INLINE vi32 vi32_from_f32(vf32 a) {
    return (vi32){v_i32_from_f32(a.lo), v_i32_from_f32(a.hi)};
}
V_INLINE uint16x8_t v_load_u16(const void *p) {
    return vreinterpretq_u16_u8(vld1q_u8((const uint8_t *)p));
}
V_INLINE vf32 v_f32_of_f16(uint16x8_t h) {
    return (vf32){vcvt_f32_f16(vreinterpret_f16_u16(vget_low_u16(h))),
                  vcvt_high_f32_f16(vreinterpretq_f16_u16(h))};
}
V_INLINE vf32 v_f32_of_bf16(uint16x8_t h) {
    return (vf32){vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(h), 16)),
                  vreinterpretq_f32_u32(vshll_high_n_u16(h, 16))};
}
V_INLINE vf32 vf32_load_f16(const void *p) {
    return v_f32_of_f16(v_load_u16(p));
}
V_INLINE vf32 vf32_load_bf16(const void *p) {
    return v_f32_of_bf16(v_load_u16(p));
}
/* Part of a vector of 16-bit elements goes through a buffer. */
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
    const float16x8_t h = vcvt_high_f16_f32(vcvt_f16_f32(x.lo), x.hi);
    vst1q_u8((uint8_t *)p, vreinterpretq_u8_f16(h));
}
/* Round to nearest even; NaN stays NaN; subnormals are kept. */
#ifdef V_WITH_BF16
V_INLINE void vf32_store_bf16(void *p, vf32 x) {
    const bfloat16x8_t h = vcvtq_high_bf16_f32(vcvtq_low_bf16_f32(x.lo), x.hi);
    vst1q_u8((uint8_t *)p, vreinterpretq_u8_bf16(h));
}
#else
V_INLINE uint32x4_t v_round_bf16(float32x4_t x) {
    const uint32x4_t u = vreinterpretq_u32_f32(x);
    const uint32x4_t odd = vandq_u32(vshrq_n_u32(u, 16), vdupq_n_u32(1));
    const uint32x4_t r = vaddq_u32(u, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
    return vbslq_u32(vceqq_f32(x, x), r, vorrq_u32(u, vdupq_n_u32(0x400000)));
}
V_INLINE void vf32_store_bf16(void *p, vf32 x) {
    const uint16x8_t h = vuzp2q_u16(vreinterpretq_u16_u32(v_round_bf16(x.lo)),
                                    vreinterpretq_u16_u32(v_round_bf16(x.hi)));
    vst1q_u8((uint8_t *)p, vreinterpretq_u8_u16(h));
}
#endif
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
V_INLINE int8x16_t v_s8(int32x4_t a) {
    return vreinterpretq_s8_s32(a);
}
/* acc + the four s8 x s8 products of each lane; a > -128 or b > -128. */
#ifdef V_WITH_DOTPROD
V_INLINE int32x4_t v_dot_s8(int32x4_t acc, int32x4_t a, int32x4_t b) {
    return vdotq_s32(acc, v_s8(a), v_s8(b));
}
#else
V_INLINE int32x4_t v_dot_s8(int32x4_t acc, int32x4_t a, int32x4_t b) {
    const int16x8_t low = vmull_s8(vget_low_s8(v_s8(a)), vget_low_s8(v_s8(b)));
    return vpadalq_s16(acc, vpaddq_s16(low, vmull_high_s8(v_s8(a), v_s8(b))));
}
#endif
#ifdef V_WITH_BF16
/* acc + the four u8 x s8 products of each lane. Here any u8 is allowed. */
V_INLINE vi32 vi32_dot_u8s8(vi32 acc, vi32 u8, vi32 s8) {
    return (vi32){vusdotq_s32(acc.lo, vreinterpretq_u8_s32(u8.lo), v_s8(s8.lo)),
                  vusdotq_s32(acc.hi, vreinterpretq_u8_s32(u8.hi), v_s8(s8.hi))};
}
/* The same for codes that span all of u8. The sum is of (code - 128 + V_DOT_OFFSET) x s8. */
#    define V_DOT_OFFSET 128
V_INLINE vi32 vi32_dot_code8(vi32 acc, vi32 code, vi32 s8) {
    return vi32_dot_u8s8(acc, code, s8);
}
/* acc + the two bf16 x bf16 products of each lane. */
#    define V_HAS_DOT_BF16 1
V_INLINE vf32 vf32_dot_bf16(vf32 acc, vi32 a, vi32 b) {
    return (vf32){vbfdotq_f32(acc.lo, vreinterpretq_bf16_s32(a.lo), vreinterpretq_bf16_s32(b.lo)),
                  vbfdotq_f32(acc.hi, vreinterpretq_bf16_s32(a.hi), vreinterpretq_bf16_s32(b.hi))};
}
/* Both vectors, one after the other, to bf16. */
V_INLINE void vf32_store_bf16_pair(uint16_t *p, vf32 first, vf32 second) {
    vf32_store_bf16(p, first), vf32_store_bf16(p + V_LANES, second);
}
#else
/* acc + the four u8 x s8 products of each lane; u8 <= 127, so that it is a signed number as well.
 */
V_INLINE vi32 vi32_dot_u8s8(vi32 acc, vi32 u8, vi32 s8) {
    return (vi32){v_dot_s8(acc.lo, u8.lo, s8.lo), v_dot_s8(acc.hi, u8.hi, s8.hi)};
}
/* The same for codes that span all of u8. The sum is of (code - 128 + V_DOT_OFFSET) x s8; s8 >
 * -128. */
#    define V_DOT_OFFSET   0
V_INLINE vi32 vi32_dot_code8(vi32 acc, vi32 code, vi32 s8) {
    return vi32_dot_u8s8(acc, vi32_xor(code, vi32_set1((int32_t)0x80808080u)), s8);
}
#    define V_HAS_DOT_BF16 0
#endif

/* ---- data movement ---- */
/* out[t], lane r = the t-th dword of the 16 bytes at rows[r] + offset, for four rows. */
V_INLINE void v_gather_four(const uint8_t *const *rows, ptrdiff_t offset, int32x4_t out[4]) {
    const int32x4_t a = vreinterpretq_s32_u8(vld1q_u8(rows[0] + offset));
    const int32x4_t b = vreinterpretq_s32_u8(vld1q_u8(rows[1] + offset));
    const int32x4_t c = vreinterpretq_s32_u8(vld1q_u8(rows[2] + offset));
    const int32x4_t d = vreinterpretq_s32_u8(vld1q_u8(rows[3] + offset));
    const int64x2_t ab = vreinterpretq_s64_s32(vtrn1q_s32(a, b)); /* dwords 0 and 2 */
    const int64x2_t cd = vreinterpretq_s64_s32(vtrn1q_s32(c, d));
    const int64x2_t odd_ab = vreinterpretq_s64_s32(vtrn2q_s32(a, b)); /* 1 and 3 */
    const int64x2_t odd_cd = vreinterpretq_s64_s32(vtrn2q_s32(c, d));
    out[0] = vreinterpretq_s32_s64(vtrn1q_s64(ab, cd));
    out[1] = vreinterpretq_s32_s64(vtrn1q_s64(odd_ab, odd_cd));
    out[2] = vreinterpretq_s32_s64(vtrn2q_s64(ab, cd));
    out[3] = vreinterpretq_s32_s64(vtrn2q_s64(odd_ab, odd_cd));
}
V_INLINE void vi32_gather_16_bytes(const uint8_t *const *rows, ptrdiff_t offset, vi32 out[4]) {
    int32x4_t low[4], high[4];
    v_gather_four(rows, offset, low);
    v_gather_four(rows + 4, offset, high);
    V_UNROLL(4)
    for (int t = 0; t < 4; t++) out[t] = (vi32){low[t], high[t]};
}

/* Lane i: the sum of the lanes of v[i], each added up in the same order. */
#define V_HAS_ADD_ACROSS 1
V_INLINE float32x4_t v_add_across_four(const vf32 v[4]) {
    float32x4_t sum[4];
    V_UNROLL(4)
    for (int i = 0; i < 4; i++) sum[i] = vaddq_f32(v[i].lo, v[i].hi);
    return vpaddq_f32(vpaddq_f32(sum[0], sum[1]), vpaddq_f32(sum[2], sum[3]));
}
V_INLINE vf32 vf32_add_across(const vf32 v[V_LANES]) {
    return (vf32){v_add_across_four(v), v_add_across_four(v + 4)};
}
#ifdef V_WITH_BF16
/* 16-bit elements of a and b in turns, so that the floats that belong to them stay in order. */
#    define V_HAS_ZIP16 1
V_INLINE int32x4_t v_zip16_low(int32x4_t a, int32x4_t b) {
    return vreinterpretq_s32_s16(vzip1q_s16(vreinterpretq_s16_s32(a), vreinterpretq_s16_s32(b)));
}
V_INLINE int32x4_t v_zip16_high(int32x4_t a, int32x4_t b) {
    return vreinterpretq_s32_s16(vzip2q_s16(vreinterpretq_s16_s32(a), vreinterpretq_s16_s32(b)));
}
V_INLINE void vi32_zip16(vi32 a, vi32 b, vi32 out[2]) {
    out[0] = (vi32){v_zip16_low(a.lo, b.lo), v_zip16_high(a.lo, b.lo)};
    out[1] = (vi32){v_zip16_low(a.hi, b.hi), v_zip16_high(a.hi, b.hi)};
}
V_INLINE void vf32_zip_order(vf32 x[2]) {
    (void)x;
}
V_INLINE void vf32_zip_order_back(vf32 x[2]) {
    (void)x;
}

/* 128 words of 16 bits, as their low and their high bytes. */
typedef struct v_table128 {
    uint8x16x4_t low[2], high[2];
} v_table128;

V_INLINE v_table128 v_table128_load(const uint8_t low[128], const uint8_t high[128]) {
    return (v_table128){{vld1q_u8_x4(low), vld1q_u8_x4(low + 64)},
                        {vld1q_u8_x4(high), vld1q_u8_x4(high + 64)}};
}
V_INLINE uint8x16_t v_look_up(const uint8x16x4_t table[2], uint8x16_t index) {
    /* An index past its half gives 0 in the first, and keeps what is there in the second. */
    return vqtbx4q_u8(vqtbl4q_u8(table[0], index), table[1], vsubq_u8(index, vdupq_n_u8(64)));
}
V_INLINE void v_words_of_codes(const v_table128 *table, int32x4_t codes, int32x4_t *first,
                               int32x4_t *second) {
    const uint8x16_t code = vreinterpretq_u8_s32(codes), sign = vdupq_n_u8(0x80);
    const uint8x16_t index = vbicq_u8(code, sign);
    const uint8x16_t low = v_look_up(table->low, index);
    const uint8x16_t high = vorrq_u8(v_look_up(table->high, index), vandq_u8(code, sign));
    const int32x4_t a = vreinterpretq_s32_u8(vzip1q_u8(low, high));
    const int32x4_t b = vreinterpretq_s32_u8(vzip2q_u8(low, high));
    *first = vuzp1q_s32(a, b);
    *second = vuzp2q_s32(a, b);
}
/* Lanes of four codes to two lanes of two words: word = table[code & 127], and bit 7 of the code
 * becomes its bit 15. first: of bytes 0 and 1 of each lane, second: of bytes 2 and 3. */
V_INLINE void vi32_words_of_codes(v_table128 table, vi32 codes, vi32 *first, vi32 *second) {
    v_words_of_codes(&table, codes.lo, &first->lo, &second->lo);
    v_words_of_codes(&table, codes.hi, &first->hi, &second->hi);
}
V_INLINE int32x4_t v_minus_zero_to_nan(int32x4_t x) {
    const uint16x8_t w = vreinterpretq_u16_s32(x);
    return vreinterpretq_s32_u16(
        vbslq_u16(vceqq_u16(w, vdupq_n_u16(0x8000)), vdupq_n_u16(0x7fc0), w));
}
/* The same, with the code 0x80 as a NaN of bf16. */
V_INLINE void vi32_words_of_fnuz(v_table128 table, vi32 codes, vi32 *first, vi32 *second) {
    vi32_words_of_codes(table, codes, first, second);
    *first = (vi32){v_minus_zero_to_nan(first->lo), v_minus_zero_to_nan(first->hi)};
    *second = (vi32){v_minus_zero_to_nan(second->lo), v_minus_zero_to_nan(second->hi)};
}
#endif

/* a * 2^n for integral n in [-152, 129], in two steps so that each factor is a normal number. */
V_INLINE vf32 vf32_scale_by_power(vf32 a, vf32 n) {
    const vi32 i = vi32_from_f32(n), half = vi32_sra(i, 1), rest = vi32_sub(i, half);
    const vi32 bias = vi32_set1(127);
    const vf32 f = vf32_from_bits(vi32_sll(vi32_add(half, bias), 23));
    const vf32 g = vf32_from_bits(vi32_sll(vi32_add(rest, bias), 23));
    return vf32_mul(vf32_mul(a, f), g);
}
#define v_prefetch(p) __builtin_prefetch(p)

#include "simd_math.h"

#endif
