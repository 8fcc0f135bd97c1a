/* SPDX-License-Identifier: Apache-2.0 */
/* What each instruction set offers for panels; one table per panel_<arch>.c. */
#ifndef TENON_PANEL_KERNELS_H
#define TENON_PANEL_KERNELS_H

#include <stdint.h>

#include "panel_layout.h"

typedef enum tenon_panel_type {
    TENON_PANEL_TYPE_F32,
    TENON_PANEL_TYPE_BF16,
    TENON_PANEL_TYPE_F16,
    TENON_PANEL_TYPE_I8 /* activations that come as int8 */
} tenon_panel_type;

/* sums[row][32] += tile . units^T over n_units. act: a prepared tile of the function's own number
 * of rows. scale_type: of kinds whose 16-bit scales may be f16 or bf16. */
typedef void (*tenon_panel_tile_fn)(const void *act, const uint8_t *units, int64_t n_units,
                                    tenon_panel_type scale_type, float *sums);

/* From sums to results: value = activation(sum + bias) * weight, rounded once to `type`. */
typedef struct tenon_panel_epilogue {
    int32_t activation; /* TENON_ACTIVATION_*; gated ones take g from `gate` and u from `up` */
    float alpha, limit;
} tenon_panel_epilogue;

typedef struct tenon_panel_kernels {
    const char *name;
    int32_t takes_minus_128; /* codes of 8 bits may meet an activation of -128 */
    /* [mode][kind]: the largest tile, 0 where there is none; tile[..][rows - 1]. */
    int32_t max_rows[TENON_PANEL_MODE_COUNT][TENON_PANEL_KIND_COUNT];
    tenon_panel_tile_fn tile[TENON_PANEL_MODE_COUNT][TENON_PANEL_KIND_COUNT][TENON_PANEL_MAX_ROWS];

    /* Row `index` of a tile of `rows` rows, from k contiguous elements; NULL: a row of zeros. */
    void (*prepare)(tenon_panel_mode mode, tenon_panel_kind kind, tenon_panel_type type,
                    const void *row, int64_t k, int32_t rows, int32_t index, void *tile);

    /* rows[32]: where each column's source bytes of the first unit begin. */
    void (*pack)(tenon_panel_kind kind, const uint8_t *const *rows, int64_t n_units,
                 uint8_t *units);

    /* Small floats to units of F32 or, where there are bf16 dot products, of BF16. */
    void (*expand)(tenon_panel_kind kind, tenon_panel_kind to, const uint8_t *units,
                   int64_t n_units, uint8_t *out);

    /* sums[row][col] += part[row][col] * col_scale[col] * row_scale[row * stride], and part
     * becomes 0. Either scale may be NULL, which is 1. */
    void (*accumulate)(float *part, int32_t rows, const float *col_scale, const float *row_scale,
                       int64_t row_scale_stride, float *sums);

    /* n values: out = in (+ bias), and out = activation(g, u) * weight. bias may be NULL. */
    void (*store)(const float *in, const float *bias, int32_t n, tenon_panel_type type, void *out);
    void (*activate)(const tenon_panel_epilogue *epilogue, const float *gate, const float *up,
                     float weight, int32_t n, tenon_panel_type type, void *out);
} tenon_panel_kernels;

/* Whether weights of a kind can meet bf16 activations in bf16 dot products. */
static inline int tenon_panel_has_bf16(const tenon_panel_kernels *kernels, tenon_panel_kind kind) {
    return kernels->max_rows[TENON_PANEL_BF16_DOT][TENON_PANEL_BF16] &&
           (kind == TENON_PANEL_BF16 || tenon_panel_is_coded(kind));
}

extern const tenon_panel_kernels tenon_panel_scalar;
#if defined(__x86_64__)
extern const tenon_panel_kernels tenon_panel_x86_avx2;
extern const tenon_panel_kernels tenon_panel_x86_avx512;
extern const tenon_panel_kernels tenon_panel_x86_avx512vnni;
#elif defined(__aarch64__)
extern const tenon_panel_kernels tenon_panel_arm_neon;
extern const tenon_panel_kernels tenon_panel_arm_neondot;
extern const tenon_panel_kernels tenon_panel_arm_neonbf16;
#endif

#endif
