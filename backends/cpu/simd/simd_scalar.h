/* SPDX-License-Identifier: Apache-2.0 */
/* Vectors of 8 lanes in plain C, for any CPU. Same names in every simd_*.h; meanings in README.md.
 * Loops over a fixed count: a compiler turns most of them into whatever vectors it has. */
#ifndef TENON_SIMD_SCALAR_H
#define TENON_SIMD_SCALAR_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define V_INLINE static inline
#define V_UNROLL(n)
#define V_FMA_ROUNDS_TWICE 1
#define V_LANES            8

typedef struct vf32 {
    float f[V_LANES];
} vf32;
typedef struct vi32 {
    int32_t i[V_LANES];
} vi32;

#define V_EACH for (int l = 0; l < V_LANES; l++)
/* clang-format off */
#define V_F1(name, expr) V_INLINE vf32 name(vf32 a) { vf32 r; V_EACH r.f[l] = (expr); return r; }
#define V_F2(name, expr) V_INLINE vf32 name(vf32 a, vf32 b) { vf32 r; V_EACH r.f[l] = (expr); return r; }
#define V_F3(name, expr) V_INLINE vf32 name(vf32 a, vf32 b, vf32 c) { vf32 r; V_EACH r.f[l] = (expr); return r; }
#define V_I2(name, expr) V_INLINE vi32 name(vi32 a, vi32 b) { vi32 r; V_EACH r.i[l] = (int32_t)(expr); return r; }
/* clang-format on */

/* ---- f32 ---- */
V_INLINE vf32 vf32_set1(float x) {
    vf32 r;
    V_EACH r.f[l] = x;
    return r;
}
V_INLINE vf32 vf32_zero(void) {
    return vf32_set1(0.0f);
}
V_INLINE vf32 vf32_load(const float *p) {
    vf32 r;
    memcpy(&r, p, sizeof r);
    return r;
}
V_INLINE void vf32_store(float *p, vf32 x) {
    memcpy(p, &x, sizeof x);
}
V_INLINE vf32 vf32_load_n(const float *p, int n) {
    vf32 r = vf32_zero();
    memcpy(&r, p, (size_t)n * 4);
    return r;
}
V_INLINE void vf32_store_n(float *p, vf32 x, int n) {
    memcpy(p, &x, (size_t)n * 4);
}
V_F2(vf32_add, a.f[l] + b.f[l])
V_F2(vf32_sub, a.f[l] - b.f[l])
V_F2(vf32_mul, a.f[l] * b.f[l])
V_F2(vf32_div, a.f[l] / b.f[l])
V_F3(vf32_fma, a.f[l] * b.f[l] + c.f[l])
V_F3(vf32_fnma, c.f[l] - a.f[l] * b.f[l])
/* As the x86 instructions: the second operand when one is NaN. */
V_F2(vf32_max, a.f[l] > b.f[l] ? a.f[l] : b.f[l])
V_F2(vf32_min, a.f[l] < b.f[l] ? a.f[l] : b.f[l])
V_F1(vf32_abs, fabsf(a.f[l]))
V_F1(vf32_round, nearbyintf(a.f[l]))
V_F1(vf32_sqrt, sqrtf(a.f[l]))
V_INLINE float vf32_reduce_add(vf32 a) {
    return ((a.f[0] + a.f[4]) + (a.f[2] + a.f[6])) + ((a.f[1] + a.f[5]) + (a.f[3] + a.f[7]));
}
V_INLINE float vf32_reduce_max(vf32 a) {
    float m = a.f[0];
    V_EACH m = a.f[l] > m ? a.f[l] : m;
    return m;
}
/* a < b ? x : y; a comparison with NaN is false. */
V_INLINE vf32 vf32_select_lt(vf32 a, vf32 b, vf32 x, vf32 y) {
    vf32 r;
    V_EACH r.f[l] = a.f[l] < b.f[l] ? x.f[l] : y.f[l];
    return r;
}

/* ---- 32-bit lanes as integers or as raw bytes ---- */
V_INLINE vi32 vi32_set1(int32_t x) {
    vi32 r;
    V_EACH r.i[l] = x;
    return r;
}
V_INLINE vi32 vi32_zero(void) {
    return vi32_set1(0);
}
V_INLINE vi32 vi32_load(const void *p) {
    vi32 r;
    memcpy(&r, p, sizeof r);
    return r;
}
V_INLINE void vi32_store(void *p, vi32 x) {
    memcpy(p, &x, sizeof x);
}
V_INLINE vi32 vi32_load_n(const void *p, int n) {
    vi32 r = vi32_zero();
    memcpy(&r, p, (size_t)n * 4);
    return r;
}
V_INLINE void vi32_store_n(void *p, vi32 x, int n) {
    memcpy(p, &x, (size_t)n * 4);
}
V_I2(vi32_add, (uint32_t)a.i[l] + (uint32_t)b.i[l])
V_I2(vi32_sub, (uint32_t)a.i[l] - (uint32_t)b.i[l])
V_I2(vi32_mul, (uint32_t)a.i[l] * (uint32_t)b.i[l])
V_I2(vi32_and, a.i[l] & b.i[l])
V_I2(vi32_or, a.i[l] | b.i[l])
V_I2(vi32_xor, a.i[l] ^ b.i[l])
V_I2(vi32_max, a.i[l] > b.i[l] ? a.i[l] : b.i[l])
V_I2(vi32_min, a.i[l] < b.i[l] ? a.i[l] : b.i[l])
V_I2(vi32_max_u, (uint32_t)a.i[l] > (uint32_t)b.i[l] ? a.i[l] : b.i[l])
V_INLINE vi32 vi32_sll(vi32 a, int n) {
    V_EACH a.i[l] = (int32_t)((uint32_t)a.i[l] << n);
    return a;
}
V_INLINE vi32 vi32_srl(vi32 a, int n) {
    V_EACH a.i[l] = (int32_t)((uint32_t)a.i[l] >> n);
    return a;
}
V_INLINE vi32 vi32_srl_by(vi32 a, int n) {
    return vi32_srl(a, n);
}
V_INLINE vi32 vi32_sra(vi32 a, int n) {
    V_EACH a.i[l] = a.i[l] >> n;
    return a;
}
V_INLINE int32_t vi32_reduce_add(vi32 a) {
    uint32_t s = 0;
    V_EACH s += (uint32_t)a.i[l];
    return (int32_t)s;
}
V_INLINE uint32_t vi32_reduce_max_u(vi32 a) {
    uint32_t m = 0;
    V_EACH m = (uint32_t)a.i[l] > m ? (uint32_t)a.i[l] : m;
    return m;
}
/* Widening loads of V_LANES bytes; narrowing stores of the low bits of each lane. */
V_INLINE vi32 vi32_load_u8(const void *p) {
    vi32 r;
    V_EACH r.i[l] = ((const uint8_t *)p)[l];
    return r;
}
V_INLINE vi32 vi32_load_s8(const void *p) {
    vi32 r;
    V_EACH r.i[l] = ((const int8_t *)p)[l];
    return r;
}
V_INLINE void vi32_store_u8(void *p, vi32 x) {
    V_EACH((uint8_t *)p)[l] = (uint8_t)x.i[l];
}
V_INLINE void vi32_store_u16(void *p, vi32 x) {
    uint16_t w[V_LANES];
    V_EACH w[l] = (uint16_t)x.i[l];
    memcpy(p, w, sizeof w);
}
V_INLINE vi32 vi32_shuffle16(vi32 table16, vi32 index) {
    uint8_t t[16], x[4 * V_LANES];
    memcpy(t, &table16, sizeof t);
    memcpy(x, &index, sizeof x);
    for (int b = 0; b < 4 * V_LANES; b++) x[b] = x[b] & 0x80 ? 0 : t[x[b] & 15];
    memcpy(&index, x, sizeof x);
    return index;
}
V_INLINE vi32 vi32_table16(const void *p) {
    vi32 r;
    for (int i = 0; i < V_LANES / 4; i++) memcpy((char *)&r + 16 * i, p, 16);
    return r;
}

/* ---- conversions ---- */
V_INLINE vf32 vf32_from_bits(vi32 a) {
    vf32 r;
    memcpy(&r, &a, sizeof r);
    return r;
}
V_INLINE vi32 vi32_from_bits(vf32 a) {
    vi32 r;
    memcpy(&r, &a, sizeof r);
    return r;
}
V_INLINE vf32 vf32_from_i32(vi32 a) {
    vf32 r;
    V_EACH r.f[l] = (float)a.i[l];
    return r;
}
/* Round to nearest even; out of range and NaN: INT32_MIN, as on x86. */
V_INLINE vi32 vi32_from_f32(vf32 a) {
    vi32 r;
    V_EACH r.i[l] = a.f[l] >= -2147483648.0f && a.f[l] < 2147483648.0f ? (int32_t)nearbyintf(a.f[l])
                                                                       : INT32_MIN;
    return r;
}
V_INLINE float v_f32_of_bits(uint32_t u) {
    float f;
    memcpy(&f, &u, 4);
    return f;
}
V_INLINE uint32_t v_bits_of_f32(float f) {
    uint32_t u;
    memcpy(&u, &f, 4);
    return u;
}
V_INLINE float v_f32_of_f16(uint16_t h) {
    const uint32_t sign = (uint32_t)(h & 0x8000) << 16, rest = h & 0x7fff;
    if (rest >= 0x7c00)
        return v_f32_of_bits(sign | 0x7f800000 | (rest & 0x3ff) << 13 |
                             (rest > 0x7c00 ? 0x400000 : 0));
    /* The exponent moves by a multiplication, which gets subnormals right as well. */
    return v_f32_of_bits(sign | v_bits_of_f32(v_f32_of_bits(rest << 13) * 0x1p112f));
}
V_INLINE uint16_t v_f16_of_f32(float f) {
    const uint32_t u = v_bits_of_f32(f), sign = u >> 16 & 0x8000, mag = u & 0x7fffffff;
    if (mag > 0x7f800000) return (uint16_t)(sign | 0x7e00 | (mag >> 13 & 0x3ff));
    if (mag >= 0x477ff000) return (uint16_t)(sign | 0x7c00);
    if (mag < 0x38800000) /* subnormal: adding 0.5 leaves the rounded mantissa in the low bits */
        return (uint16_t)(sign | (v_bits_of_f32(v_f32_of_bits(mag) + 0.5f) - 0x3f000000));
    return (uint16_t)(sign | ((mag - 0x38000000 + 0xfff + (mag >> 13 & 1)) >> 13));
}
V_INLINE uint16_t v_bf16_of_f32(float f) {
    const uint32_t u = v_bits_of_f32(f);
    return (uint16_t)((f != f ? u | 0x400000 : u + 0x7fff + (u >> 16 & 1)) >> 16);
}
V_INLINE vf32 vf32_load_f16_n(const void *p, int n) {
    uint16_t h[V_LANES] = {0};
    vf32 r;
    memcpy(h, p, (size_t)n * 2);
    V_EACH r.f[l] = v_f32_of_f16(h[l]);
    return r;
}
V_INLINE vf32 vf32_load_bf16_n(const void *p, int n) {
    uint16_t h[V_LANES] = {0};
    vf32 r;
    memcpy(h, p, (size_t)n * 2);
    V_EACH r.f[l] = v_f32_of_bits((uint32_t)h[l] << 16);
    return r;
}
V_INLINE vf32 vf32_load_f16(const void *p) {
    return vf32_load_f16_n(p, V_LANES);
}
V_INLINE vf32 vf32_load_bf16(const void *p) {
    return vf32_load_bf16_n(p, V_LANES);
}
V_INLINE void vf32_store_f16_n(void *p, vf32 x, int n) {
    uint16_t h[V_LANES];
    V_EACH h[l] = v_f16_of_f32(x.f[l]);
    memcpy(p, h, (size_t)n * 2);
}
V_INLINE void vf32_store_bf16_n(void *p, vf32 x, int n) {
    uint16_t h[V_LANES];
    V_EACH h[l] = v_bf16_of_f32(x.f[l]);
    memcpy(p, h, (size_t)n * 2);
}
V_INLINE void vf32_store_f16(void *p, vf32 x) {
    vf32_store_f16_n(p, x, V_LANES);
}
V_INLINE void vf32_store_bf16(void *p, vf32 x) {
    vf32_store_bf16_n(p, x, V_LANES);
}

/* ---- multiply-accumulate of packed elements ---- */
/* acc + the four u8 x s8 products of each lane. */
V_INLINE vi32 vi32_dot_u8s8(vi32 acc, vi32 u8, vi32 s8) {
    uint8_t u[4 * V_LANES];
    int8_t s[4 * V_LANES];
    memcpy(u, &u8, sizeof u);
    memcpy(s, &s8, sizeof s);
    V_EACH for (int b = 0; b < 4; b++) acc.i[l] += (int32_t)u[4 * l + b] * s[4 * l + b];
    return acc;
}
/* The same for codes that span all of u8. The sum is of (code - 128 + V_DOT_OFFSET) x s8. */
#define V_DOT_OFFSET 128
V_INLINE vi32 vi32_dot_code8(vi32 acc, vi32 code, vi32 s8) {
    return vi32_dot_u8s8(acc, code, s8);
}
#define V_HAS_DOT_BF16 0

/* ---- data movement ---- */
/* out[t], lane r = the t-th dword of the 16 bytes at rows[r] + offset, for V_LANES rows. */
V_INLINE void vi32_gather_16_bytes(const uint8_t *const *rows, ptrdiff_t offset, vi32 out[4]) {
    V_EACH for (int t = 0; t < 4; t++) memcpy(&out[t].i[l], rows[l] + offset + 4 * t, 4);
}

/* a * 2^n for integral n. */
V_INLINE vf32 vf32_scale_by_power(vf32 a, vf32 n) {
    V_EACH a.f[l] = n.f[l] == n.f[l] ? ldexpf(a.f[l], (int)n.f[l]) : a.f[l];
    return a;
}
#define v_prefetch(p) __builtin_prefetch(p)

#include "simd_math.h"

#endif
