/* SPDX-License-Identifier: Apache-2.0 */
/* From sums to outputs: bias, activation, the row's weight, one rounding. A lane holds four
 * neighbouring virtual rows of one row of x, which is how the matrix instructions leave them. */
#ifndef TENON_MATMUL_FINISH_H
#define TENON_MATMUL_FINISH_H

#include "device/device_row.h"
#include "matmul_rows.h"

DEVICE float sigmoid_f32(float x) {
    return 1 / (1 + exp2_f32(-DEVICE_LOG2_E * x));
}

/* erf to 2^-22: by its series below 1, by a continued fraction with exp(-x^2) above. */
DEVICE float erf_f32(float x) {
    const float magnitude = __builtin_fabsf(x), square = x * x;
    if (magnitude < 1) {
        /* 2/sqrt(pi) * sum (-1)^i x^(2i+1) / (i! (2i+1)), Horner from i = 9 */
        static const float inverse[10] = {1.0f,          -1.0f / 3,      1.0f / 10,   -1.0f / 42,
                                          1.0f / 216,    -1.0f / 1320,   1.0f / 9360, -1.0f / 75600,
                                          1.0f / 685440, -1.0f / 6894720};
        float sum = inverse[9];
#pragma unroll
        for (int i = 8; i >= 0; i--) sum = fma_f32(sum, square, inverse[i]);
        return 1.1283791670955126f * x * sum;
    }
    if (!(magnitude < 4)) return is_nan(x) ? x : __builtin_copysignf(1, x);
    /* erfc(x) = exp(-x^2) / sqrt(pi) / (x + (1/2) / (x + 1 / (x + (3/2) / (x + ..)))) */
    float fraction = magnitude;
#pragma unroll 1
    for (int i = 40; i > 0; i--) fraction = magnitude + 0.5f * (float)i / fraction;
    const float tail = exp2_f32(-DEVICE_LOG2_E * square) * 0.5641895835477563f / fraction;
    return __builtin_copysignf(1 - tail, x);
}

DEVICE float gelu_f32(float x) {
    return 0.5f * x * (1 + erf_f32(x * 0.70710678118654752440f));
}
DEVICE float gelu_tanh_f32(float x) { /* (1 + tanh(y)) / 2 = sigmoid(2 y) */
    return x * sigmoid_f32(1.5957691216057308f * (x + 0.044715f * x * x * x));
}

DEVICE float activate(const matmul_arguments *a, float g, float u) {
    if (a->limit > 0) {
        g = g > a->limit ? a->limit : g;
        u = u < -a->limit ? -a->limit : u > a->limit ? a->limit : u;
    }
    switch (a->activation) {
    case TENON_ACTIVATION_SILU_GATED:
        return g * sigmoid_f32(g) * u;
    case TENON_ACTIVATION_GELU_GATED:
        return gelu_f32(g) * u;
    case TENON_ACTIVATION_GELU_TANH_GATED:
        return gelu_tanh_f32(g) * u;
    case TENON_ACTIVATION_SWIGLU_OAI:
        return g * sigmoid_f32(a->alpha * g) * (u + 1);
    case TENON_ACTIVATION_SILU:
        return g * sigmoid_f32(g);
    case TENON_ACTIVATION_GELU:
        return gelu_f32(g);
    case TENON_ACTIVATION_RELU2:
        return g > 0 ? g * g : is_nan(g) ? g : 0;
    default:
        return g;
    }
}

/* count outputs from `at` on: in one store where they are all there and aligned. */
DEVICE void store_outputs(const matmul_arguments *a, int64_t at, const float *y, const uint32_t n,
                          uint32_t count) {
    const uint32_t shift = number_shift(a->out_number);
    const tenon_device_bytes p = a->out + (at << shift);
    if (count == n && !((uintptr_t)p % (n << shift))) {
        if (n == 4 && shift == 2)
            store_16(p, (u32x4){bits_of(y[0]), bits_of(y[1]), bits_of(y[2]), bits_of(y[3])});
        else if (n == 4)
            store_8(p, (u32x2){pack_halves(a->out_number, y), pack_halves(a->out_number, y + 2)});
        else if (shift == 2)
            store_8(p, (u32x2){bits_of(y[0]), bits_of(y[1])});
        else
            store_4(p, pack_halves(a->out_number, y));
        return;
    }
#pragma unroll
    for (uint32_t i = 0; i < n; i++)
        if (i < count) store_float(a->out, at + i, a->out_number, y[i]);
}

/* sums[i]: virtual row v + i of row r. v is a multiple of 4. */
DEVICE void finish_outputs(const matmul_arguments *a, uint32_t expert, uint32_t r,
                           matmul_source source, uint32_t v, f32x4 sums) {
    if (v >= a->n) return;
    float y[4];
#pragma unroll
    for (uint32_t i = 0; i < 4; i++) {
        y[i] = sums[i];
        if (a->bias && v + i < a->n)
            y[i] +=
                load_float(a->bias, expert * a->bias_expert + weight_row(a, v + i), a->bias_number);
    }
    const int64_t row = out_row_at(a, r);
    const uint32_t left = a->n - v < 4 ? a->n - v : 4;
    if (a->gated) {
        float half[2];
#pragma unroll
        for (uint32_t i = 0; i < 2; i++)
            half[i] = source.there ? source.weight * activate(a, y[2 * i], y[2 * i + 1]) : 0;
        store_outputs(a, row + v / 2, half, 2, left / 2);
    } else {
#pragma unroll
        for (uint32_t i = 0; i < 4; i++)
            y[i] = source.there ? source.weight * (a->activation ? activate(a, y[i], 0) : y[i]) : 0;
        store_outputs(a, row + v, y, 4, left);
    }
}

#endif /* TENON_MATMUL_FINISH_H */
