/* SPDX-License-Identifier: Apache-2.0 */
/* What a llama layer does between Tenon's calls: plain loops that a compiler vectorises. */
#ifndef SMOLLM_LLAMA_MATH_H
#define SMOLLM_LLAMA_MATH_H

#include <stdint.h>

/* out[r] = x[r] / sqrt(mean(x[r]^2) + epsilon) * weight;  rows of `cols`. */
void rms_norm(float *out, const float *x, const float *weight, int64_t rows, int64_t cols,
              float epsilon);

/* Turns each head by its position: (a, b) = (x[i], x[i + d/2]) becomes
 * (a cos - b sin, b cos + a sin). cosines and sines hold d/2 values for this position. */
void rotate_heads(float *x, int64_t heads, int64_t head_dim, const float *cosines,
                  const float *sines);

/* out[r][i] = silu(g) * u  with g = gate_up[r][i], u = gate_up[r][cols + i]. */
void silu_times_up(float *out, const float *gate_up, int64_t rows, int64_t cols);

/* x += y */
void add_to(float *x, const float *y, int64_t count);

int32_t index_of_largest(const float *values, int32_t count);

#endif
