/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of activations into a tile, and sums out into rows of results. Include a simd_*.h first. */
#ifndef TENON_PANEL_PREPARE_H
#define TENON_PANEL_PREPARE_H

#include <math.h>

#include "panel_kernels.h"
#include "tenon_base.h"

enum { PANEL_MOST_GROUP_K = 128, PANEL_MOST_GROUP_VECTORS = PANEL_MOST_GROUP_K / V_LANES };

/* Up to V_LANES elements; the rest is 0. */
V_INLINE vf32 panel_load(tenon_panel_type type, const void *row, int64_t at, int64_t left) {
    if (left <= 0) return vf32_zero();
    if (type == TENON_PANEL_TYPE_F32) {
        const float *p = (const float *)row + at;
        return left >= V_LANES ? vf32_load(p) : vf32_load_n(p, (int)left);
    }
    const uint16_t *p = (const uint16_t *)row + at;
    if (type == TENON_PANEL_TYPE_BF16)
        return left >= V_LANES ? vf32_load_bf16(p) : vf32_load_bf16_n(p, (int)left);
    return left >= V_LANES ? vf32_load_f16(p) : vf32_load_f16_n(p, (int)left);
}

V_INLINE void panel_save(tenon_panel_type type, void *row, int64_t at, vf32 x, int64_t left) {
    if (type == TENON_PANEL_TYPE_F32) {
        float *p = (float *)row + at;
        if (left >= V_LANES)
            vf32_store(p, x);
        else
            vf32_store_n(p, x, (int)left);
        return;
    }
    uint16_t *p = (uint16_t *)row + at;
    if (type == TENON_PANEL_TYPE_BF16) {
        if (left >= V_LANES)
            vf32_store_bf16(p, x);
        else
            vf32_store_bf16_n(p, x, (int)left);
    } else {
        if (left >= V_LANES)
            vf32_store_f16(p, x);
        else
            vf32_store_f16_n(p, x, (int)left);
    }
}

/* One group of 32 or 128: codes, corrections, scale, sum. scale = largest magnitude / 127. A group
 * with an infinity or a NaN gets the scale NaN, and so the row's results are NaN. Groups below
 * 2^-113 lose precision: the scale does not go under 2^-120, so that its reciprocal is finite. one:
 * what a weight's code of one more stands for, before its scale. */
V_INLINE void panel_quantize_group(const vf32 *x, int group_k, int n_scales, int zero,
                                   int has_offset, float one, int rows, int index, int32_t *group) {
    const int vectors = group_k / V_LANES;
    vi32 magnitude = vi32_zero();
    V_UNROLL(4)
    for (int v = 0; v < vectors; v++)
        magnitude = vi32_max_u(magnitude, vi32_from_bits(vf32_abs(x[v])));
    const uint32_t bits = vi32_reduce_max_u(magnitude);
    float largest;
    memcpy(&largest, &bits, 4);
    const int finite = bits < 0x7f800000;
    float scale = largest / 127.0f, inverse = 0.0f;
    if (scale < 0x1p-120f) scale = 0x1p-120f;
    if (finite) inverse = 1.0f / scale;

    vi32 sums = vi32_zero();
    int32_t total = 0, half[2] = {0, 0};
    int8_t codes[PANEL_MOST_GROUP_K];
    V_UNROLL(4)
    for (int v = 0; v < vectors; v++) {
        vi32 q = finite ? vi32_from_f32(vf32_mul(x[v], vf32_set1(inverse))) : vi32_zero();
        vi32_store_u8(codes + v * V_LANES, q);
        if (n_scales == 2)
            half[v * V_LANES / 16] += vi32_reduce_add(q);
        else
            sums = vi32_add(sums, q);
    }
    total = n_scales == 2 ? half[0] + half[1] : vi32_reduce_add(sums);
    for (int s = 0; s < group_k / 4; s++) memcpy(&group[s * rows + index], codes + 4 * s, 4);
    int32_t *next = group + group_k / 4 * rows + index;
    for (int h = 0; h < n_scales; h++, next += rows)
        *next = -zero * (n_scales == 2 ? half[h] : total);
    scale = finite ? scale * one : NAN;
    memcpy(next, &scale, 4);
    const float sum = scale * (float)total;
    if (has_offset) memcpy(next + rows, &sum, 4);
}

/* The same for codes that are given; their scale waits for the sums. */
V_INLINE void panel_given_group(const int8_t *row, int64_t left, int group_k, int n_scales,
                                int zero, int has_offset, float one, int rows, int index,
                                int32_t *group) {
    int8_t codes[PANEL_MOST_GROUP_K] = {0};
    if (left > 0) memcpy(codes, row, (size_t)(left < group_k ? left : group_k));
    int32_t half[2] = {0, 0};
    for (int i = 0; i < group_k; i++) half[n_scales == 2 && i >= 16] += codes[i];
    const float sum = one * (float)(half[0] + half[1]);
    for (int s = 0; s < group_k / 4; s++) memcpy(&group[s * rows + index], codes + 4 * s, 4);
    int32_t *next = group + group_k / 4 * rows + index;
    for (int h = 0; h < n_scales; h++, next += rows) *next = -zero * half[h];
    memcpy(next, &one, 4);
    if (has_offset) memcpy(next + rows, &sum, 4);
}

V_INLINE void panel_prepare_row(tenon_panel_mode mode, tenon_panel_kind kind, tenon_panel_type type,
                                const void *row, int64_t k, int32_t rows, int32_t index,
                                void *tile) {
    const int64_t groups = tenon_panel_groups(mode, kind, k);
    const int words = tenon_panel_group_words(mode, kind) * rows;
    const int zero = tenon_panel_is_wide_code(kind) ? V_DOT_OFFSET : tenon_panel_zero(kind);
    const int n_scales = tenon_panel_scales_per_group(kind);
    const int has_offset = tenon_panel_has_offset(kind), group_k = tenon_panel_group_k(mode, kind);
    const float one = kind == TENON_PANEL_MXFP4 || kind == TENON_PANEL_NVFP4 ? 0.5f : 1.0f;
    int32_t *group = tile;
    if (!row) k = 0;
    for (int64_t g = 0; g < groups; g++, group += words) {
        const int64_t at = g * group_k;
        if (type == TENON_PANEL_TYPE_I8) {
            panel_given_group((const int8_t *)row + at, k - at, group_k, n_scales, zero, has_offset,
                              one, rows, index, group);
            continue;
        }
        if (mode == TENON_PANEL_BF16_DOT) {
            uint16_t pairs[TENON_PANEL_GROUP] = {0};
            const int64_t left = k - at < TENON_PANEL_GROUP ? k - at : TENON_PANEL_GROUP;
            if (left > 0) memcpy(pairs, (const uint16_t *)row + at, (size_t)left * 2);
            for (int p = 0; p < TENON_PANEL_GROUP / 2; p++)
                memcpy(&group[p * rows + index], pairs + 2 * p, 4);
            continue;
        }
        enum { VECTORS = TENON_PANEL_GROUP / V_LANES };
        vf32 x[PANEL_MOST_GROUP_VECTORS];
        if (group_k == PANEL_MOST_GROUP_K) {
            for (int v = 0; v < PANEL_MOST_GROUP_VECTORS; v++)
                x[v] = panel_load(type, row, at + v * V_LANES, k - at - v * V_LANES);
            panel_quantize_group(x, PANEL_MOST_GROUP_K, 1, zero, has_offset, one, rows, index,
                                 group);
            continue;
        }
        V_UNROLL(4)
        for (int v = 0; v < VECTORS; v++)
            x[v] = panel_load(type, row, at + v * V_LANES, k - at - v * V_LANES);
        if (mode == TENON_PANEL_INT8) {
            panel_quantize_group(x, TENON_PANEL_GROUP, n_scales, zero, has_offset, one, rows, index,
                                 group);
        } else if (rows == 1) {
            for (int v = 0; v < VECTORS; v++)
                vf32_store((float *)(void *)group + v * V_LANES, x[v]);
        } else {
            float values[TENON_PANEL_GROUP];
            for (int v = 0; v < VECTORS; v++) vf32_store(values + v * V_LANES, x[v]);
            for (int i = 0; i < TENON_PANEL_GROUP; i++)
                memcpy(&group[i * rows + index], values + i, 4);
        }
    }
}

V_INLINE void panel_accumulate(float *part, int32_t rows, const float *col_scale,
                               const float *row_scale, int64_t row_scale_stride, float *sums) {
    for (int c = 0; c < TENON_PANEL_COLS; c += V_LANES) {
        const vf32 scale = col_scale ? vf32_load(col_scale + c) : vf32_set1(1.0f);
        for (int32_t i = 0; i < rows; i++) {
            float *p = part + i * TENON_PANEL_COLS + c, *s = sums + i * TENON_PANEL_COLS + c;
            const vf32 both =
                row_scale ? vf32_mul(scale, vf32_set1(row_scale[i * row_scale_stride])) : scale;
            vf32_store(s, vf32_fma(vf32_load(p), both, vf32_load(s)));
            vf32_store(p, vf32_zero());
        }
    }
}

V_INLINE void panel_store_row(const float *in, const float *bias, int32_t n, tenon_panel_type type,
                              void *out) {
    for (int32_t i = 0; i < n; i += V_LANES) {
        vf32 x = vf32_load_n(in + i, n - i < V_LANES ? n - i : V_LANES);
        if (bias) x = vf32_add(x, vf32_load_n(bias + i, n - i < V_LANES ? n - i : V_LANES));
        panel_save(type, out, i, x, n - i);
    }
}

/* x * Phi(x) by the scalar erff: rare enough. */
V_INLINE vf32 panel_gelu_erf(vf32 x) {
    float v[V_LANES];
    vf32_store(v, x);
    for (int l = 0; l < V_LANES; l++) v[l] = 0.5f * v[l] * (1.0f + erff(v[l] * 0.70710678f));
    return vf32_load(v);
}

V_INLINE vf32 panel_gelu_tanh(vf32 x) {
    const vf32 cube = vf32_mul(vf32_mul(x, x), x);
    const vf32 inner = vf32_mul(vf32_set1(0.7978845608f), vf32_fma(vf32_set1(0.044715f), cube, x));
    return vf32_mul(vf32_mul(vf32_set1(0.5f), x), vf32_add(vf32_set1(1.0f), vf32_tanh(inner)));
}

V_INLINE vf32 panel_activation(const tenon_panel_epilogue *e, vf32 g, vf32 u) {
    const vf32 limit = vf32_set1(e->limit), minus = vf32_set1(-e->limit);
    if (e->limit > 0.0f && (e->activation == TENON_ACTIVATION_SILU_GATED ||
                            e->activation == TENON_ACTIVATION_SWIGLU_OAI)) {
        g = vf32_min(limit, g);
        u = vf32_max(minus, vf32_min(limit, u));
    }
    switch (e->activation) {
    case TENON_ACTIVATION_SILU_GATED:
        return vf32_mul(vf32_mul(g, vf32_sigmoid(g)), u);
    case TENON_ACTIVATION_GELU_GATED:
        return vf32_mul(panel_gelu_erf(g), u);
    case TENON_ACTIVATION_GELU_TANH_GATED:
        return vf32_mul(panel_gelu_tanh(g), u);
    case TENON_ACTIVATION_SWIGLU_OAI:
        return vf32_mul(vf32_mul(g, vf32_sigmoid(vf32_mul(vf32_set1(e->alpha), g))),
                        vf32_add(u, vf32_set1(1.0f)));
    case TENON_ACTIVATION_SILU:
        return vf32_mul(g, vf32_sigmoid(g));
    case TENON_ACTIVATION_GELU:
        return panel_gelu_erf(g);
    case TENON_ACTIVATION_RELU2: {
        const vf32 r = vf32_max(vf32_zero(), g);
        return vf32_mul(r, r);
    }
    default:
        return g;
    }
}

V_INLINE void panel_activate_row(const tenon_panel_epilogue *e, const float *gate, const float *up,
                                 float weight, int32_t n, tenon_panel_type type, void *out) {
    for (int32_t i = 0; i < n; i += V_LANES) {
        const int left = n - i < V_LANES ? n - i : V_LANES;
        const vf32 g = vf32_load_n(gate + i, left);
        const vf32 u = up ? vf32_load_n(up + i, left) : vf32_zero();
        panel_save(type, out, i, vf32_mul(panel_activation(e, g, u), vf32_set1(weight)), left);
    }
}

#endif
