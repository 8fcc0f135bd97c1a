/* SPDX-License-Identifier: Apache-2.0 */
/* From sums to results: scales of whole rows, bias, activation, weight of the pair. */
#ifndef TENON_MULTIPLY_FINISH_H
#define TENON_MULTIPLY_FINISH_H

#include "multiply_scales.h"

DEVICE float sigmoid_f32(float x) {
    return 1 / (1 + expf(-x));
}

DEVICE float clamped(float x, float low, float high) { /* a NaN stays one */
    return x < low ? low : x > high ? high : x;
}

/* As tenon_ref_activation of backends/ref. */
DEVICE float activate(const multiply_arguments *a, float g, float u) {
    if (a->limit > 0) {
        g = g > a->limit ? a->limit : g;
        u = clamped(u, -a->limit, a->limit);
    }
    switch (a->activation) {
    case TENON_ACTIVATION_SILU_GATED:
        return g * sigmoid_f32(g) * u;
    case TENON_ACTIVATION_GELU_GATED:
        return 0.5f * g * erfcf(-g * 0.70710678f) * u;
    case TENON_ACTIVATION_GELU_TANH_GATED:
        return g * sigmoid_f32(1.5957691f * (g + 0.044715f * g * g * g)) * u;
    case TENON_ACTIVATION_SWIGLU_OAI:
        return g * sigmoid_f32(a->alpha * g) * (u + 1);
    case TENON_ACTIVATION_SILU:
        return g * sigmoid_f32(g);
    case TENON_ACTIVATION_GELU:
        return 0.5f * g * erfcf(-g * 0.70710678f);
    case TENON_ACTIVATION_RELU2:
        return g > 0 ? g * g : g != g ? g : 0;
    default:
        return g;
    }
}

/* What multiplies a whole sum of a weight row, and what is added to it. */
typedef struct row_finish {
    float scale, bias;
} row_finish;

DEVICE row_finish row_finish_of(const multiply_arguments *a, uint32_t expert, uint32_t row,
                                bool scaled) {
    row_finish f = {expert_global(a, expert), 0};
    if (scaled) f.scale *= weight_scale(a, expert_scales(a, expert), row, 0);
    if (a->bias) f.bias = load_scale(a->bias, a->bias_number, expert * a->bias_expert + row);
    return f;
}

DEVICE void store_result(const multiply_arguments *a, int64_t row, uint32_t col, float value) {
    const int64_t at = row / a->table_rows * a->out_table + row % a->table_rows * a->out_row + col;
    if (a->out_number == TENON_NUMBER_F32)
        store_4(a->out + 4 * at, bits_of(value));
    else
        store_2(a->out + 2 * at,
                a->out_number == TENON_NUMBER_BF16 ? f32_to_bf16(value) : f32_to_f16(value));
}

/* Sums of a place and of the one eight further, for one row of out. */
DEVICE void finish_pair(const multiply_arguments *a, const multiply_rows *rows, uint32_t tile,
                        uint32_t base, const uint32_t places, uint32_t place, uint32_t token,
                        const row_finish f[2], const float sum[2]) {
    if (rows->state[token] == ROW_ABSENT) return;
    const bool zero = rows->state[token] == ROW_ZERO;
    const int64_t row = (int64_t)rows->first + token;
    const float weight = rows->weight[token];
    float v[2];
    for (int h = 0; h < 2; h++) v[h] = fma_f32(sum[h], f[h].scale, f[h].bias);
    if (a->gated) {
        const uint32_t j = tile * (places / 2) + place / 16 * 8 + place % 8;
        if (j < a->n_out) store_result(a, row, j, zero ? 0 : weight * activate(a, v[0], v[1]));
        return;
    }
    for (uint32_t h = 0; h < 2; h++) {
        const uint32_t j = weight_row(a, base, place + 8 * h);
        if (j < a->n) store_result(a, row, j, zero ? 0 : weight * activate(a, v[h], 0));
    }
}

#endif /* TENON_MULTIPLY_FINISH_H */
