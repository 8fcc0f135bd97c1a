/* SPDX-License-Identifier: Apache-2.0 */
/* The int8 tile: sums[i][col] += sum_g sa[i][g] * (sw[col][g] * sum_k aq[i][k] (wq[col][k] - zero)
 * + offset ..).
 *
 * Codes are decoded once per unit for all rows of the tile. The zero point costs nothing: the
 * integer accumulator starts at -zero * sum(aq), which was computed once per activation. Per group
 * of 32 and vector there are 8 dot products, a conversion, a multiplication and a fused
 * multiply-add, in k order, whatever the number of rows: a row's bits do not depend on its
 * neighbours. */
#ifndef TENON_PANEL_TILE_INT8_H
#define TENON_PANEL_TILE_INT8_H

#include "panel_decode.h"

enum { PANEL_MAX_VECTORS = 4 };

V_INLINE vi32 panel_dot(tenon_panel_kind kind, vi32 acc, vi32 codes, vi32 act) {
    return tenon_panel_is_wide_code(kind) ? vi32_dot_code8(acc, codes, act)
                                          : vi32_dot_u8s8(acc, codes, act);
}

/* One group for `rows` rows and `nv` vectors of columns from col on. */
V_INLINE void panel_group_int8(tenon_panel_kind kind, int rows, int nv, const int32_t *act,
                               tenon_panel_type type, const uint8_t *unit, const uint8_t *part,
                               int g, int col, vf32 f[][PANEL_MAX_VECTORS]) {
    const int n_scales = tenon_panel_scales_per_group(kind), steps = 8 / n_scales;
    const int blocks = tenon_panel_is_128(kind) ? 4 : 1;
    const int block_bytes = tenon_panel_is_nibble(kind) ? 512 : 1024;
    const int32_t *start = act + 8 * blocks * rows;
    const float *scale = (const float *)(start + n_scales * rows);
    vi32 shift[PANEL_MAX_VECTORS];
    if (tenon_panel_has_zeros(kind)) {
        V_UNROLL(4)
        for (int j = 0; j < nv; j++) shift[j] = panel_zero_shift(kind, part, col + j * V_LANES);
    }
    V_UNROLL(2)
    for (int h = 0; h < n_scales; h++) {
        vi32 acc[TENON_PANEL_MAX_ROWS][PANEL_MAX_VECTORS];
        V_UNROLL(12)
        for (int i = 0; i < rows; i++) {
            const vi32 first = vi32_set1(start[h * rows + i]);
            V_UNROLL(4)
            for (int j = 0; j < nv; j++) acc[i][j] = first;
        }
        V_UNROLL(1)
        for (int b = 0; b < blocks; b++) {
            const int32_t *codes = act + 8 * b * rows;
            if (blocks > 1) panel_prefetch(part + b * block_bytes, block_bytes);
            V_UNROLL(8)
            for (int t = 0; t < steps; t++) {
                /* Both nibbles of a vector one after the other: one load serves two steps. */
                const int s = tenon_panel_is_nibble(kind) && n_scales == 1 ? (t >> 1) + 4 * (t & 1)
                                                                           : h * steps + t;
                vi32 w[PANEL_MAX_VECTORS];
                V_UNROLL(4)
                for (int j = 0; j < nv; j++) {
                    w[j] = panel_codes(kind, part + b * block_bytes, g, s, col + j * V_LANES);
                    if (tenon_panel_has_zeros(kind)) w[j] = vi32_add(w[j], shift[j]);
                }
                V_UNROLL(12)
                for (int i = 0; i < rows; i++) {
                    const vi32 a = vi32_set1(codes[s * rows + i]);
                    V_UNROLL(4)
                    for (int j = 0; j < nv; j++) acc[i][j] = panel_dot(kind, acc[i][j], w[j], a);
                }
            }
        }
        vf32 sw[PANEL_MAX_VECTORS];
        V_UNROLL(4)
        for (int j = 0; j < nv; j++)
            sw[j] = panel_scale(kind, type, unit, part, g, h, col + j * V_LANES);
        V_UNROLL(12)
        for (int i = 0; i < rows; i++) {
            const vf32 sa = vf32_set1(scale[i]);
            V_UNROLL(4)
            for (int j = 0; j < nv; j++)
                f[i][j] = vf32_fma(vf32_from_i32(acc[i][j]), vf32_mul(sw[j], sa), f[i][j]);
        }
    }
    if (tenon_panel_has_offset(kind)) {
        vf32 offset[PANEL_MAX_VECTORS];
        V_UNROLL(4)
        for (int j = 0; j < nv; j++)
            offset[j] = panel_offset(kind, unit, part, g, col + j * V_LANES);
        V_UNROLL(12)
        for (int i = 0; i < rows; i++) {
            const vf32 sum = vf32_set1(scale[rows + i]);
            V_UNROLL(4)
            for (int j = 0; j < nv; j++) f[i][j] = vf32_fma(offset[j], sum, f[i][j]);
        }
    }
}

V_INLINE void panel_tile_int8(tenon_panel_kind kind, int rows, int nv, const int32_t *act,
                              const uint8_t *unit, int64_t n_units, tenon_panel_type type,
                              float *sums) {
    const int parts = panel_parts(kind), per_part = panel_groups_per_part(kind);
    const int words = tenon_panel_group_words(TENON_PANEL_INT8, kind) * rows;
    const int unit_bytes = tenon_panel_unit_bytes(kind);
    for (int col = 0; col < TENON_PANEL_COLS; col += nv * V_LANES) {
        vf32 f[TENON_PANEL_MAX_ROWS][PANEL_MAX_VECTORS];
        V_UNROLL(12)
        for (int i = 0; i < rows; i++) V_UNROLL(4)
        for (int j = 0; j < nv; j++)
            f[i][j] = vf32_load(sums + i * TENON_PANEL_COLS + col + j * V_LANES);
        const int32_t *a = act;
        const uint8_t *u = unit;
        for (int64_t n = 0; n < n_units; n++, u += unit_bytes) {
            for (int p = 0; p < parts; p++) {
                const uint8_t *part = panel_part(kind, u, p);
                /* Kinds of 128 fetch their codes a block at a time: in one burst, they wait. */
                if (tenon_panel_is_128(kind))
                    panel_prefetch(part + unit_bytes / 512 * 512, unit_bytes % 512);
                V_UNROLL(4)
                for (int g = 0; g < per_part; g++, a += words) {
                    const int share = unit_bytes / (parts * per_part);
                    if (!tenon_panel_is_128(kind)) panel_prefetch(part + g * share, share);
                    panel_group_int8(kind, rows, nv, a, type, u, part, g, col, f);
                }
            }
        }
        V_UNROLL(12)
        for (int i = 0; i < rows; i++) V_UNROLL(4)
        for (int j = 0; j < nv; j++)
            vf32_store(sums + i * TENON_PANEL_COLS + col + j * V_LANES, f[i][j]);
    }
}

#endif
