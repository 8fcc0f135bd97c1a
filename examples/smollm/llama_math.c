/* SPDX-License-Identifier: Apache-2.0 */
#include "llama_math.h"

#include <math.h>
#include <string.h>

/* One binary for every x86-64 machine: the loader takes the copy that fits. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(SMOLLM_NO_CLONES)
#    define SMOLLM_CLONES __attribute__((target_clones("arch=x86-64-v3", "default")))
#else
#    define SMOLLM_CLONES
#endif

enum { LANES = 16 }; /* independent sums, so that the compiler may vectorise them */

SMOLLM_CLONES
void rms_norm(float *out, const float *x, const float *weight, int64_t rows, int64_t cols,
              float epsilon) {
    for (int64_t r = 0; r < rows; r++, x += cols, out += cols) {
        float lanes[LANES] = {0}, sum = 0;
        int64_t c = 0;
        for (; c + LANES <= cols; c += LANES) {
            for (int l = 0; l < LANES; l++) lanes[l] += x[c + l] * x[c + l];
        }
        for (int l = 0; l < LANES; l++) sum += lanes[l];
        for (; c < cols; c++) sum += x[c] * x[c];
        const float scale = 1.0f / sqrtf(sum / (float)cols + epsilon);
        for (c = 0; c < cols; c++) out[c] = x[c] * scale * weight[c];
    }
}

SMOLLM_CLONES
void rotate_heads(float *x, int64_t heads, int64_t head_dim, const float *cosines,
                  const float *sines) {
    const int64_t half = head_dim / 2;
    for (int64_t h = 0; h < heads; h++) {
        float *restrict low = x + h * head_dim, *restrict high = low + half;
        for (int64_t i = 0; i < half; i++) {
            const float a = low[i], b = high[i];
            low[i] = a * cosines[i] - b * sines[i];
            high[i] = b * cosines[i] + a * sines[i];
        }
    }
}

/* e^x by 2^n * p(f), |f| <= ln2 / 2; relative error below 2e-7. libm's expf is a call, which a
 * vectorised loop cannot contain. Beyond 60 it stays at e^60, which moves silu by
 * less than 1e-24; compilers divide by the clamp's value in every lane, and that crawls where the
 * quotient is denormal. */
static inline float exponential(float x) {
    x = x > 60.0f ? 60.0f : x;
    x = x < -60.0f ? -60.0f : x;
    const float shifted = x * 1.44269504f + 12582912.0f; /* adding 1.5 * 2^23 rounds to integer */
    const float n = shifted - 12582912.0f;
    const float f = x - n * 0.693145752f - n * 1.42860677e-6f;
    float p = 1.0f / 5040.0f;
    p = p * f + 1.0f / 720.0f;
    p = p * f + 1.0f / 120.0f;
    p = p * f + 1.0f / 24.0f;
    p = p * f + 1.0f / 6.0f;
    p = p * f + 0.5f;
    p = p * f + 1.0f;
    p = p * f + 1.0f;
    /* The low bits of shifted are n; they move to where a float has its exponent. */
    uint32_t bits;
    float power;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 127u) << 23;
    memcpy(&power, &bits, sizeof power);
    return p * power;
}

SMOLLM_CLONES
void silu_times_up(float *restrict out, const float *restrict gate_up, int64_t rows, int64_t cols) {
    for (int64_t r = 0; r < rows; r++, out += cols, gate_up += 2 * cols) {
        for (int64_t c = 0; c < cols; c++) {
            const float gate = gate_up[c];
            out[c] = gate / (1.0f + exponential(-gate)) * gate_up[cols + c];
        }
    }
}

SMOLLM_CLONES
void add_to(float *restrict x, const float *restrict y, int64_t count) {
    for (int64_t i = 0; i < count; i++) x[i] += y[i];
}

int32_t index_of_largest(const float *values, int32_t count) {
    int32_t best = 0;
    for (int32_t i = 1; i < count; i++) {
        if (values[i] > values[best]) best = i;
    }
    return best;
}
