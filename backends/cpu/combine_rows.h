/* SPDX-License-Identifier: Apache-2.0 */
/* A weighted sum of rows, one function for each instruction set: the end of every mixture of
 * experts. */
#ifndef TENON_COMBINE_ROWS_H
#define TENON_COMBINE_ROWS_H

#include "number.h"

/* out[i] = scale * sum_s weight[s] * row[s][i] + shared[i] for i < count. The sum starts at 0 and
 * takes row 0 first, in f32, one multiply-add each (fused except in the scalar form); the result is
 * rounded once. Pointers lead to the first element of the span. */
typedef struct tenon_combine_span {
    const void *const *row;
    const float *weight;
    int32_t n_rows;
    float scale;
    const void *shared; /* or NULL */
    void *out;
    int64_t count;
    tenon_number row_type, shared_type, out_type; /* F32, BF16 or F16 */
} tenon_combine_span;

typedef void (*tenon_combine_fn)(const tenon_combine_span *span);

void tenon_combine_rows_scalar(const tenon_combine_span *span);
void tenon_combine_rows_arm_neon(const tenon_combine_span *span);
void tenon_combine_rows_x86_avx2(const tenon_combine_span *span);
void tenon_combine_rows_x86_avx512(const tenon_combine_span *span);

#endif /* TENON_COMBINE_ROWS_H */
