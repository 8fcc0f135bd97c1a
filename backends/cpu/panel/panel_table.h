/* SPDX-License-Identifier: Apache-2.0 */
/* The bodies as functions, and the table of them, for one instruction set. Included once by each
 * panel_<arch>.c after its simd_*.h, with
 *   PANEL_TABLE, PANEL_NAME   the table's symbol and its name as text
 *   PANEL_INT8(X)             X(kind, rows, vectors) for each int8 tile, made of
 * PANEL_ROWS_<largest> PANEL_FLOAT(X), PANEL_BF16(X)   alike; empty where there is none
 *   PANEL_INT8_ROWS, ..       the largest tile of each of these kinds */
#ifndef TENON_PANEL_TABLE_H
#define TENON_PANEL_TABLE_H

#include "panel_pack.h"
#include "panel_prepare.h"
#include "panel_tile_float.h"
#include "panel_tile_int8.h"

#define PANEL_DEFINE_INT8(kind, rows, nv)                                                          \
    static void int8_##kind##_##rows(const void *act, const uint8_t *units, int64_t n_units,       \
                                     tenon_panel_type type, float *sums) {                         \
        panel_tile_int8(TENON_PANEL_##kind, rows, nv, act, units, n_units, type, sums);            \
    }
#define PANEL_DEFINE_FLOAT(kind, rows, nv)                                                         \
    static void float_##kind##_##rows(const void *act, const uint8_t *units, int64_t n_units,      \
                                      tenon_panel_type type, float *sums) {                        \
        panel_tile_float(TENON_PANEL_##kind, rows, nv, act, units, n_units, type, sums);           \
    }
#define PANEL_DEFINE_BF16(kind, rows, nv)                                                          \
    static void bf16_##kind##_##rows(const void *act, const uint8_t *units, int64_t n_units,       \
                                     tenon_panel_type type, float *sums) {                         \
        (void)type;                                                                                \
        if (tenon_panel_is_coded(TENON_PANEL_##kind))                                              \
            panel_tile_coded(TENON_PANEL_##kind, rows, nv, act, units, n_units, sums);             \
        else                                                                                       \
            panel_tile_bf16(rows, nv, act, units, n_units, sums);                                  \
    }
#define PANEL_ENTER_INT8(kind, rows, nv)                                                           \
    .tile[TENON_PANEL_INT8][TENON_PANEL_##kind][rows - 1] = int8_##kind##_##rows,
#define PANEL_ENTER_FLOAT(kind, rows, nv)                                                          \
    .tile[TENON_PANEL_FLOAT][TENON_PANEL_##kind][rows - 1] = float_##kind##_##rows,
#define PANEL_ENTER_BF16(kind, rows, nv)                                                           \
    .tile[TENON_PANEL_BF16_DOT][TENON_PANEL_##kind][rows - 1] = bf16_##kind##_##rows,

/* The kinds that all instruction sets have: M(a, kind, b, c) for each. With M =
 * PANEL_ROWS_<largest> they are tiles, with PANEL_LARGEST the entries of max_rows. */
#define PANEL_QUANTIZED(M, a, b, c)                                                                \
    M(a, Q4_0, b, c)                                                                               \
    M(a, Q4_1, b, c)                                                                               \
    M(a, Q8_0, b, c)                                                                               \
    M(a, Q4_K, b, c)                                                                               \
    M(a, Q6_K, b, c)                                                                               \
    M(a, MXFP4, b, c)                                                                              \
    M(a, NVFP4, b, c)                                                                              \
    M(a, INT4_ZERO, b, c)                                                                          \
    M(a, INT4_AFFINE, b, c)                                                                        \
    M(a, INT8_AFFINE, b, c)                                                                        \
    M(a, INT4_128, b, c)                                                                           \
    M(a, INT4_ZERO_128, b, c)                                                                      \
    M(a, INT4_AFFINE_128, b, c)                                                                    \
    M(a, INT8_128, b, c)                                                                           \
    M(a, INT8_AFFINE_128, b, c)
#define PANEL_PLAIN(M, a, b, c)                                                                    \
    M(a, BF16, b, c)                                                                               \
    M(a, F16, b, c)                                                                                \
    M(a, F32, b, c)
#define PANEL_FLOAT8(M, a, b, c)                                                                   \
    M(a, E4M3FN, b, c)                                                                             \
    M(a, E4M3FNUZ, b, c)                                                                           \
    M(a, E5M2, b, c)                                                                               \
    M(a, E5M2FNUZ, b, c)
#define PANEL_LARGEST(a, kind, b, c) [TENON_PANEL_##kind] = a,

/* Rows 1.. of a kind. nv1: vectors in the tile of one row, which reads each unit in one pass. */
#define PANEL_ROWS_1(X, kind, nv1, nv) X(kind, 1, nv1)
#define PANEL_ROWS_3(X, kind, nv1, nv) X(kind, 1, nv1) X(kind, 2, nv) X(kind, 3, nv)
#define PANEL_ROWS_4(X, kind, nv1, nv) PANEL_ROWS_3(X, kind, nv1, nv) X(kind, 4, nv)
#define PANEL_ROWS_6(X, kind, nv1, nv) PANEL_ROWS_4(X, kind, nv1, nv) X(kind, 5, nv) X(kind, 6, nv)
#define PANEL_ROWS_8(X, kind, nv1, nv) PANEL_ROWS_6(X, kind, nv1, nv) X(kind, 7, nv) X(kind, 8, nv)
#define PANEL_ROWS_12(X, kind, nv1, nv)                                                            \
    PANEL_ROWS_8(X, kind, nv1, nv)                                                                 \
    X(kind, 9, nv) X(kind, 10, nv) X(kind, 11, nv) X(kind, 12, nv)

PANEL_INT8(PANEL_DEFINE_INT8)
PANEL_FLOAT(PANEL_DEFINE_FLOAT)
PANEL_BF16(PANEL_DEFINE_BF16)

static void prepare_row(tenon_panel_mode mode, tenon_panel_kind kind, tenon_panel_type type,
                        const void *row, int64_t k, int32_t rows, int32_t index, void *tile) {
    if (rows == 1)
        panel_prepare_row(mode, kind, type, row, k, 1, 0, tile);
    else
        panel_prepare_row(mode, kind, type, row, k, rows, index, tile);
}

#define PANEL_PACK_CASE(kind_, unit_k, unit_bytes, row_bytes)                                      \
case TENON_PANEL_##kind_:                                                                          \
    panel_pack_units(TENON_PANEL_##kind_, rows, n_units, units);                                   \
    return;
static void pack_units(tenon_panel_kind kind, const uint8_t *const *rows, int64_t n_units,
                       uint8_t *units) {
    switch (kind) {
        TENON_PANEL_KINDS(PANEL_PACK_CASE)
    default:
        return;
    }
}

#define PANEL_EXPAND_CASE(kind_, unit_k, unit_bytes, row_bytes)                                    \
case TENON_PANEL_##kind_:                                                                          \
    if (tenon_panel_is_coded(TENON_PANEL_##kind_))                                                 \
        panel_expand_units(TENON_PANEL_##kind_, to, units, n_units, out);                          \
    return;
static void expand_units(tenon_panel_kind kind, tenon_panel_kind to, const uint8_t *units,
                         int64_t n_units, uint8_t *out) {
    switch (kind) {
        TENON_PANEL_KINDS(PANEL_EXPAND_CASE)
    default:
        return;
    }
}

static void accumulate_rows(float *part, int32_t rows, const float *col_scale,
                            const float *row_scale, int64_t row_scale_stride, float *sums) {
    panel_accumulate(part, rows, col_scale, row_scale, row_scale_stride, sums);
}

static void store_row(const float *in, const float *bias, int32_t n, tenon_panel_type type,
                      void *out) {
    panel_store_row(in, bias, n, type, out);
}
static void activate_row(const tenon_panel_epilogue *epilogue, const float *gate, const float *up,
                         float weight, int32_t n, tenon_panel_type type, void *out) {
    panel_activate_row(epilogue, gate, up, weight, n, type, out);
}

const tenon_panel_kernels PANEL_TABLE = {
    .name = PANEL_NAME,
    .takes_minus_128 = V_DOT_OFFSET != 0,
    .max_rows = {[TENON_PANEL_INT8] = {PANEL_INT8_ROWS},
                 [TENON_PANEL_FLOAT] = {PANEL_FLOAT_ROWS},
                 [TENON_PANEL_BF16_DOT] = {PANEL_BF16_ROWS}},
    PANEL_INT8(PANEL_ENTER_INT8) PANEL_FLOAT(PANEL_ENTER_FLOAT) PANEL_BF16(PANEL_ENTER_BF16)
        .prepare = prepare_row,
    .pack = pack_units,
    .expand = expand_units,
    .accumulate = accumulate_rows,
    .store = store_row,
    .activate = activate_row,
};

#endif
