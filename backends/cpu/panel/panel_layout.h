/* SPDX-License-Identifier: Apache-2.0 */
/* clang-format off: a table */
/* Panels: how matmul weights lie in memory for the CPU kernels.
 *
 * A panel is 32 output columns (rows of the checkpoint's [n, k]) over all of k, one contiguous
 * stream of units. A unit is 32 or 256 steps of k and holds, interleaved in this order of bytes,
 *
 *   code vector t, t = 0, 1, ..: 32 columns x 4 bytes; the four bytes of a column are four
 *   consecutive k, so that one 32-bit lane of a dot-product instruction is one column.
 *
 *   kind              k  bytes  unit
 *   BF16             32   2048  [16][32][2] bf16: pairs of k side by side
 *   F16              32   2048  [32][32] f16
 *   F32              32   4096  [32][32] f32
 *   Q4_0             32    576  4 code vectors, low nibble k = 4 t.., high k = 16 + 4 t..;
 *                               then scale[32] f16 or bf16
 *   Q4_1             32    640  as Q4_0 with f16; then m[32] f16
 *   Q8_0             32   1088  8 code vectors of w + 128; then scale[32] f16 or bf16
 *   Q4_K            256   4736  d[32], dmin[32] f16; 4 x { 8 code vectors, low nibble group 2 i,
 *                               high 2 i + 1; scale[2][32], min[2][32] u8 }
 *   Q6_K            256   6720  d[32] f16; 2 x { 16 code vectors of low nibbles: t < 8 groups 0
 *                               (low), 2 (high), t >= 8 groups 1, 3; 8 code vectors of upper
 *                               bits, bits 2 i of group i; scale[8][32] s8 }
 *   MXFP4            32    544  4 code vectors as Q4_0; then scale[32] e8m0
 *   INT4_ZERO        32    608  as Q4_0; then 16 - zero point [32] u8
 *   INT4_AFFINE      32    768  4 code vectors as Q4_0; then scale[32], offset[32] f32
 *   INT8_AFFINE      32   1280  8 code vectors of w + 128; then scale[32], offset[32] f32
 *   INT4_128        128   2112  the codes of 4 units of Q4_0; then scale[32] f16 or bf16
 *   INT4_ZERO_128   128   2144  as INT4_128; then 16 - zero point [32] u8
 *   INT4_AFFINE_128 128   2304  the codes of 4 units of Q4_0; then scale[32], offset[32] f32
 *   INT8_128        128   4224  the codes of 4 units of Q8_0; then scale[32] f32
 *   INT8_AFFINE_128 128   4352  as INT8_128; then offset[32] f32
 *   E4M3FN, E4M3FNUZ, E5M2, E5M2FNUZ
 *                    32   1024  8 code vectors; scales are not in the unit (panel_multiply.h)
 *   NVFP4            32    576  4 code vectors as Q4_0; then scale[2][32] e4m3fn
 *   MXFP8_E4M3, MXFP8_E5M2
 *                    32   1056  8 code vectors; then scale[32] e8m0. MXFP6 too, its codes as e4m3fn
 *
 * INT4 without zero points is Q4_0, INT8 with 16-bit scales Q8_0; `scale type` says f16 or bf16.
 * Every kind keeps the checkpoint's codes: nothing is rounded, and unpacking gives the source back.
 * Zero points, and scales that the units have in another form, are kept behind the panels as they
 * were. Columns past n repeat the last row; k past its end is zero. */
/* clang-format on */
#ifndef TENON_PANEL_LAYOUT_H
#define TENON_PANEL_LAYOUT_H

#include <stdint.h>

enum { TENON_PANEL_COLS = 32, TENON_PANEL_GROUP = 32, TENON_PANEL_MAX_UNIT_BYTES = 6720 };

/* A unit's source rows put side by side, and a little more: vectors are read whole. */
enum { TENON_PANEL_EDGE_BYTES = TENON_PANEL_COLS * 136 + 64 };

/*  X(kind, k of a unit, bytes of a unit, source bytes of a unit in one row) */
#define TENON_PANEL_KINDS(X)                                                                       \
    X(BF16, 32, 2048, 64)                                                                          \
    X(F16, 32, 2048, 64)                                                                           \
    X(F32, 32, 4096, 128)                                                                          \
    X(Q4_0, 32, 576, 18)                                                                           \
    X(Q4_1, 32, 640, 20)                                                                           \
    X(Q8_0, 32, 1088, 34)                                                                          \
    X(Q4_K, 256, 4736, 144)                                                                        \
    X(Q6_K, 256, 6720, 210)                                                                        \
    X(MXFP4, 32, 544, 17)                                                                          \
    X(INT4_ZERO, 32, 608, 19)                                                                      \
    X(INT4_AFFINE, 32, 768, 24)                                                                    \
    X(INT8_AFFINE, 32, 1280, 40)                                                                   \
    X(INT4_128, 128, 2112, 66)                                                                     \
    X(INT4_ZERO_128, 128, 2144, 67)                                                                \
    X(INT4_AFFINE_128, 128, 2304, 72)                                                              \
    X(INT8_128, 128, 4224, 132)                                                                    \
    X(INT8_AFFINE_128, 128, 4352, 136)                                                             \
    X(E4M3FN, 32, 1024, 32)                                                                        \
    X(E4M3FNUZ, 32, 1024, 32)                                                                      \
    X(E5M2, 32, 1024, 32)                                                                          \
    X(E5M2FNUZ, 32, 1024, 32)                                                                      \
    X(NVFP4, 32, 576, 18)                                                                          \
    X(MXFP8_E4M3, 32, 1056, 33)                                                                    \
    X(MXFP8_E5M2, 32, 1056, 33)

typedef enum tenon_panel_kind {
#define X(kind, unit_k, unit_bytes, row_bytes) TENON_PANEL_##kind,
    TENON_PANEL_KINDS(X)
#undef X
        TENON_PANEL_KIND_COUNT
} tenon_panel_kind;

/* How the activations meet the weights. */
typedef enum tenon_panel_mode {
    TENON_PANEL_INT8,     /* activations rounded to int8 with one scale per 32 */
    TENON_PANEL_FLOAT,    /* activations and weights as f32, fused multiply-add */
    TENON_PANEL_BF16_DOT, /* bf16 activations, bf16 weights, f32 sums */
    TENON_PANEL_MODE_COUNT
} tenon_panel_mode;

#define TENON_PANEL_FIELD(name, value)                                                             \
    static inline int32_t tenon_panel_##name(tenon_panel_kind kind) {                              \
        switch (kind) {                                                                            \
            TENON_PANEL_KINDS(value)                                                               \
        default:                                                                                   \
            return 0;                                                                              \
        }                                                                                          \
    }
#define TENON_PANEL_UNIT_K(kind, unit_k, unit_bytes, row_bytes)                                    \
case TENON_PANEL_##kind:                                                                           \
    return unit_k;
#define TENON_PANEL_UNIT_BYTES(kind, unit_k, unit_bytes, row_bytes)                                \
case TENON_PANEL_##kind:                                                                           \
    return unit_bytes;
#define TENON_PANEL_ROW_BYTES(kind, unit_k, unit_bytes, row_bytes)                                 \
case TENON_PANEL_##kind:                                                                           \
    return row_bytes;
TENON_PANEL_FIELD(unit_k, TENON_PANEL_UNIT_K)
TENON_PANEL_FIELD(unit_bytes, TENON_PANEL_UNIT_BYTES)
/* Bytes of the checkpoint that one row puts into a unit. */
TENON_PANEL_FIELD(row_bytes, TENON_PANEL_ROW_BYTES)

/* Bytes of an element where each stands for itself, at any k; 0: blocks. */
static inline int32_t tenon_panel_element_bytes(tenon_panel_kind kind) {
    switch (kind) {
    case TENON_PANEL_F32:
        return 4;
    case TENON_PANEL_BF16:
    case TENON_PANEL_F16:
        return 2;
    case TENON_PANEL_E4M3FN:
    case TENON_PANEL_E4M3FNUZ:
    case TENON_PANEL_E5M2:
    case TENON_PANEL_E5M2FNUZ:
        return 1;
    default:
        return 0;
    }
}
/* Elements that are numbers by themselves: activations are not rounded to meet them. */
static inline int tenon_panel_is_plain(tenon_panel_kind kind) {
    return tenon_panel_element_bytes(kind) != 0;
}
static inline int tenon_panel_is_float8(tenon_panel_kind kind) {
    return tenon_panel_element_bytes(kind) == 1;
}
static inline int tenon_panel_is_mxfp8(tenon_panel_kind kind) {
    return kind == TENON_PANEL_MXFP8_E4M3 || kind == TENON_PANEL_MXFP8_E5M2;
}
/* Small floats: tiles of many rows read them as bf16 or f32 units that are made once for all rows
 * (panel_expand.h). All their values, with the scales that a unit has, are bf16 values. */
static inline int tenon_panel_is_coded(tenon_panel_kind kind) {
    return tenon_panel_is_float8(kind) || tenon_panel_is_mxfp8(kind) || kind == TENON_PANEL_NVFP4;
}
/* Activations are never rounded to 8 bits to meet these. */
static inline int tenon_panel_keeps_activations(tenon_panel_kind kind) {
    return tenon_panel_is_plain(kind) || tenon_panel_is_mxfp8(kind);
}

static inline int64_t tenon_panel_units(tenon_panel_kind kind, int64_t k) {
    return (k + tenon_panel_unit_k(kind) - 1) / tenon_panel_unit_k(kind);
}
static inline int64_t tenon_panel_count(int64_t n) {
    return (n + TENON_PANEL_COLS - 1) / TENON_PANEL_COLS;
}
static inline int64_t tenon_panel_bytes(tenon_panel_kind kind, int64_t k) {
    return tenon_panel_units(kind, k) * tenon_panel_unit_bytes(kind);
}

/* Code = value + zero, before the group's scale. */
static inline int tenon_panel_zero(tenon_panel_kind kind) {
    switch (kind) {
    case TENON_PANEL_Q4_0:
    case TENON_PANEL_INT4_128:
        return 8;
    case TENON_PANEL_Q8_0:
    case TENON_PANEL_INT8_AFFINE:
    case TENON_PANEL_INT8_128:
    case TENON_PANEL_INT8_AFFINE_128:
        return 128;
    case TENON_PANEL_Q6_K:
        return 32;
    case TENON_PANEL_MXFP4:
    case TENON_PANEL_NVFP4:
        return 12; /* the table holds twice the value, and 12 more */
    case TENON_PANEL_INT4_ZERO:
    case TENON_PANEL_INT4_ZERO_128:
        return 16; /* the code has 16 less its zero point added */
    default:
        return 0;
    }
}
/* Codes are all of a byte, 128 more than what they mean. */
static inline int tenon_panel_is_wide_code(tenon_panel_kind kind) {
    return kind == TENON_PANEL_Q8_0 || kind == TENON_PANEL_INT8_AFFINE ||
           kind == TENON_PANEL_INT8_128 || kind == TENON_PANEL_INT8_AFFINE_128;
}
/* Four groups of 32 in a unit have the scale, the zero point and the scale of the activations in
 * common. */
static inline int tenon_panel_is_128(tenon_panel_kind kind) {
    return kind >= TENON_PANEL_INT4_128 && kind <= TENON_PANEL_INT8_AFFINE_128;
}
/* Each code has 16 less the column's zero point added. */
static inline int tenon_panel_has_zeros(tenon_panel_kind kind) {
    return kind == TENON_PANEL_INT4_ZERO || kind == TENON_PANEL_INT4_ZERO_128;
}
/* Code vectors hold k = 4 t.. in their low nibbles and k = 16 + 4 t.. in their high ones. */
static inline int tenon_panel_is_nibble(tenon_panel_kind kind) {
    return kind == TENON_PANEL_Q4_0 || kind == TENON_PANEL_Q4_1 || kind == TENON_PANEL_MXFP4 ||
           kind == TENON_PANEL_NVFP4 || kind == TENON_PANEL_INT4_ZERO ||
           kind == TENON_PANEL_INT4_AFFINE || kind == TENON_PANEL_INT4_128 ||
           kind == TENON_PANEL_INT4_ZERO_128 || kind == TENON_PANEL_INT4_AFFINE_128;
}
/* Value = code * scale + offset. */
static inline int tenon_panel_has_offset(tenon_panel_kind kind) {
    return kind == TENON_PANEL_Q4_1 || kind == TENON_PANEL_Q4_K ||
           kind == TENON_PANEL_INT4_AFFINE || kind == TENON_PANEL_INT8_AFFINE ||
           kind == TENON_PANEL_INT4_AFFINE_128 || kind == TENON_PANEL_INT8_AFFINE_128;
}
/* Scales within a group of 32. */
static inline int tenon_panel_scales_per_group(tenon_panel_kind kind) {
    return kind == TENON_PANEL_Q6_K || kind == TENON_PANEL_NVFP4 ? 2 : 1;
}

/* ---- prepared activations ----
 * A tile is 1 to TENON_PANEL_MAX_ROWS rows. Group by group of 32 k (INT8 with a kind of 128: of
 * 128) it holds, for its `rows` rows, INT8      codes[8][rows] (four s8 of consecutive k in 32
 * bits), correction[scales][rows] s32 (minus zero times the sum of the codes), scale[rows] f32,
 * then with an offset sum[rows] f32 (scale times the sum of the codes) FLOAT     value[32][rows]
 * f32 BF16_DOT  pair[16][rows] (two bf16) so a tile of rows r.. begins at r times the bytes of one
 * row, however rows are cut into tiles. */
enum { TENON_PANEL_MAX_ROWS = 12 };

static inline int32_t tenon_panel_group_words(tenon_panel_mode mode, tenon_panel_kind kind) {
    switch (mode) {
    case TENON_PANEL_INT8:
        return (tenon_panel_is_128(kind) ? 32 : 8) + tenon_panel_scales_per_group(kind) + 1 +
               tenon_panel_has_offset(kind);
    case TENON_PANEL_BF16_DOT:
        return 16;
    default:
        return 32;
    }
}
/* k that share the scale of an activation. */
static inline int tenon_panel_group_k(tenon_panel_mode mode, tenon_panel_kind kind) {
    return mode == TENON_PANEL_INT8 && tenon_panel_is_128(kind) ? 128 : TENON_PANEL_GROUP;
}
static inline int64_t tenon_panel_groups(tenon_panel_mode mode, tenon_panel_kind kind, int64_t k) {
    return tenon_panel_units(kind, k) *
           (tenon_panel_unit_k(kind) / tenon_panel_group_k(mode, kind));
}
static inline int64_t tenon_panel_prepared_bytes(tenon_panel_mode mode, tenon_panel_kind kind,
                                                 int64_t k) {
    return tenon_panel_groups(mode, kind, k) * tenon_panel_group_words(mode, kind) * 4;
}

#endif
