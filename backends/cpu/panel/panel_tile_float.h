/* SPDX-License-Identifier: Apache-2.0 */
/* The float tiles: sums[i][col] += sum_k a[i][k] * w[col][k] in k order, one fused multiply-add
 * each. Quantized weights become f32 in registers, once for all rows of the tile; products of a run
 * of 16 or 32 k are summed before they are scaled and added. The bf16 tile adds products in pairs
 * of k.
 */
#ifndef TENON_PANEL_TILE_FLOAT_H
#define TENON_PANEL_TILE_FLOAT_H

#include "panel_decode.h"
#include "panel_expand.h"
#include "panel_tile_int8.h"

/* Byte b of each lane, less 128, as f32: the product with the scale keeps more bits than one with
 * the code would. */
V_INLINE vf32 panel_signed_byte(vi32 codes, int b) {
    const vi32 v = vi32_xor(codes, vi32_set1((int32_t)0x80808080));
    return vf32_from_i32(vi32_sra(b == 0   ? vi32_sll(v, 24)
                                  : b == 1 ? vi32_sll(v, 16)
                                  : b == 2 ? vi32_sll(v, 8)
                                           : v,
                                  24));
}

/* k = 4 s + b of a plain unit. */
V_INLINE vf32 panel_plain(tenon_panel_kind kind, const uint8_t *unit, int s, int b, int col) {
    const int k = 4 * s + b;
    if (kind == TENON_PANEL_F32)
        return vf32_load((const float *)(const void *)unit + k * TENON_PANEL_COLS + col);
    if (kind == TENON_PANEL_F16) return vf32_load_f16(unit + 2 * (k * TENON_PANEL_COLS + col));
    const vi32 pair = vi32_load(unit + (k >> 1) * PANEL_VECTOR_BYTES + 4 * col);
    return vf32_from_bits(b & 1 ? vi32_and(pair, vi32_set1((int32_t)0xffff0000))
                                : vi32_sll(pair, 16));
}

/* Byte b of the codes as a weight; where there is no offset, less its zero and not yet scaled. */
V_INLINE vf32 panel_weight(tenon_panel_kind kind, vi32 codes, int b, vf32 scale, vf32 offset) {
    const int wide = tenon_panel_is_wide_code(kind);
    const vf32 code = wide ? panel_signed_byte(codes, b) : panel_byte(codes, b);
    if (tenon_panel_has_offset(kind)) return vf32_fma(code, scale, offset);
    return wide ? code : vf32_add(code, offset);
}

/* Steps [s0, s0 + n) of a group: the loop over steps stays rolled where the decoding is the same.
 */
V_INLINE void panel_steps_float(tenon_panel_kind kind, int rows, int nv, const float *act,
                                const uint8_t *part, int g, int s0, int n, int col,
                                const vf32 *scale, const vf32 *offset,
                                vf32 f[][PANEL_MAX_VECTORS]) {
    const int plain = tenon_panel_is_plain(kind);
    for (int t = 0; t < n; t++) {
        const int s = s0 + t;
        vi32 codes[PANEL_MAX_VECTORS];
        if (!plain) {
            /* s0 rather than s says which nibble, so that it is a constant. */
            V_UNROLL(4)
            for (int j = 0; j < nv; j++) {
                const int c = col + j * V_LANES;
                codes[j] = tenon_panel_is_nibble(kind)
                               ? panel_codes(kind, part + t * PANEL_VECTOR_BYTES, g, s0, c)
                               : panel_codes(kind, part, g, s, c);
            }
        }
        V_UNROLL(4)
        for (int b = 0; b < 4; b++) {
            vf32 w[PANEL_MAX_VECTORS];
            V_UNROLL(4)
            for (int j = 0; j < nv; j++)
                w[j] = plain ? panel_plain(kind, part, s, b, col + j * V_LANES)
                             : panel_weight(kind, codes[j], b, scale[j], offset[j]);
            V_UNROLL(12)
            for (int i = 0; i < rows; i++) {
                const vf32 a = vf32_set1(act[(4 * s + b) * rows + i]);
                V_UNROLL(4)
                for (int j = 0; j < nv; j++) f[i][j] = vf32_fma(a, w[j], f[i][j]);
            }
        }
    }
}

/* What makes values of the codes of a group: code * scale + offset, or (code + offset) * scale
 * where the kind has no offset of its own. */
V_INLINE void panel_scales_float(tenon_panel_kind kind, tenon_panel_type type, int nv,
                                 const uint8_t *unit, const uint8_t *part, int g, int i, int col,
                                 vf32 *scale, vf32 *offset) {
    V_UNROLL(4)
    for (int j = 0; j < nv; j++) {
        const int c = col + j * V_LANES;
        scale[j] = panel_scale(kind, type, unit, part, g, i, c);
        if (kind == TENON_PANEL_MXFP4 || kind == TENON_PANEL_NVFP4)
            scale[j] = vf32_mul(scale[j], vf32_set1(0.5f));
        offset[j] = tenon_panel_has_offset(kind) ? panel_offset(kind, unit, part, g, c)
                                                 : vf32_set1((float)-tenon_panel_zero(kind));
        if (tenon_panel_has_zeros(kind))
            offset[j] = vf32_add(offset[j], vf32_from_i32(panel_zeros(kind, part, c)));
    }
}

V_INLINE void panel_group_float(tenon_panel_kind kind, int rows, int nv, const float *act,
                                tenon_panel_type type, const uint8_t *unit, const uint8_t *part,
                                int g, int col, vf32 f[][PANEL_MAX_VECTORS]) {
    vf32 scale[PANEL_MAX_VECTORS], offset[PANEL_MAX_VECTORS];
    if (tenon_panel_is_plain(kind)) {
        panel_steps_float(kind, rows, nv, act, part, g, 0, 8, col, scale, offset, f);
        return;
    }
    const int n_scales = tenon_panel_scales_per_group(kind);
    const int runs = tenon_panel_is_nibble(kind) || n_scales == 2 ? 2 : 1, steps = 8 / runs;
    const int blocks = tenon_panel_is_128(kind) ? 4 : 1;
    const int block_bytes = tenon_panel_is_nibble(kind) ? 512 : 1024;
    panel_scales_float(kind, type, nv, unit, part, g, 0, col, scale, offset);
    /* Each run of 16 or 32 k has a sum of its own: with one row, the runs' chains of additions go
     * side by side; and a kind without an offset is scaled once for a run. */
    V_UNROLL(1)
    for (int b = 0; b < blocks; b++) {
        V_UNROLL(2)
        for (int r = 0; r < runs; r++) {
            if (r && n_scales == 2)
                panel_scales_float(kind, type, nv, unit, part, g, 1, col, scale, offset);
            vf32 run[TENON_PANEL_MAX_ROWS][PANEL_MAX_VECTORS];
            V_UNROLL(12)
            for (int i = 0; i < rows; i++) V_UNROLL(4)
            for (int j = 0; j < nv; j++) run[i][j] = vf32_zero();
            panel_steps_float(kind, rows, nv, act + TENON_PANEL_GROUP * b * rows,
                              part + b * block_bytes, g, r * steps, steps, col, scale, offset, run);
            V_UNROLL(12)
            for (int i = 0; i < rows; i++) V_UNROLL(4)
            for (int j = 0; j < nv; j++)
                f[i][j] = tenon_panel_has_offset(kind) ? vf32_add(f[i][j], run[i][j])
                                                       : vf32_fma(run[i][j], scale[j], f[i][j]);
        }
    }
}

V_INLINE void panel_tile_float(tenon_panel_kind kind, int rows, int nv, const float *act,
                               const uint8_t *unit, int64_t n_units, tenon_panel_type type,
                               float *sums) {
    const int parts = panel_parts(kind), per_part = panel_groups_per_part(kind);
    const int unit_bytes = tenon_panel_unit_bytes(kind);
    const int group_k = tenon_panel_unit_k(kind) / (parts * per_part);
    for (int col = 0; col < TENON_PANEL_COLS; col += nv * V_LANES) {
        vf32 f[TENON_PANEL_MAX_ROWS][PANEL_MAX_VECTORS];
        V_UNROLL(12)
        for (int i = 0; i < rows; i++) V_UNROLL(4)
        for (int j = 0; j < nv; j++)
            f[i][j] = vf32_load(sums + i * TENON_PANEL_COLS + col + j * V_LANES);
        const float *a = act;
        const uint8_t *u = unit;
        for (int64_t n = 0; n < n_units; n++, u += unit_bytes) {
            for (int p = 0; p < parts; p++) {
                const uint8_t *part = panel_part(kind, u, p);
                panel_prefetch(part, unit_bytes / parts);
                V_UNROLL(4)
                for (int g = 0; g < per_part; g++, a += group_k * rows)
                    panel_group_float(kind, rows, nv, a, type, u, part, g, col, f);
            }
        }
        V_UNROLL(12)
        for (int i = 0; i < rows; i++) V_UNROLL(4)
        for (int j = 0; j < nv; j++)
            vf32_store(sums + i * TENON_PANEL_COLS + col + j * V_LANES, f[i][j]);
    }
}

#if V_HAS_DOT_BF16
/* Small floats become pairs of bf16 in registers: for few rows. */
V_INLINE void panel_tile_coded(tenon_panel_kind kind, int rows, int nv, const int32_t *act,
                               const uint8_t *unit, int64_t n_units, float *sums) {
    const v_table128 table = panel_word_table(kind);
    for (int col = 0; col < TENON_PANEL_COLS; col += nv * V_LANES) {
        vf32 f[TENON_PANEL_MAX_ROWS][PANEL_MAX_VECTORS];
        V_UNROLL(12)
        for (int i = 0; i < rows; i++) V_UNROLL(4)
        for (int j = 0; j < nv; j++)
            f[i][j] = vf32_load(sums + i * TENON_PANEL_COLS + col + j * V_LANES);
        const int32_t *a = act;
        const uint8_t *u = unit;
        for (int64_t n = 0; n < n_units; n++) {
            V_UNROLL(2)
            for (int t = 0; t < 8; t++, a += 2 * rows, u += PANEL_VECTOR_BYTES) {
                vi32 w[PANEL_MAX_VECTORS][2];
                panel_prefetch(u, PANEL_VECTOR_BYTES);
                V_UNROLL(4)
                for (int j = 0; j < nv; j++)
                    panel_coded_pairs(kind, table, u + (col + j * V_LANES) * 4, &w[j][0], &w[j][1]);
                V_UNROLL(2)
                for (int p = 0; p < 2; p++) V_UNROLL(12)
                for (int i = 0; i < rows; i++) {
                    const vi32 x = vi32_set1(a[p * rows + i]);
                    V_UNROLL(4)
                    for (int j = 0; j < nv; j++) f[i][j] = vf32_dot_bf16(f[i][j], x, w[j][p]);
                }
            }
        }
        V_UNROLL(12)
        for (int i = 0; i < rows; i++) V_UNROLL(4)
        for (int j = 0; j < nv; j++)
            vf32_store(sums + i * TENON_PANEL_COLS + col + j * V_LANES, f[i][j]);
    }
}

V_INLINE void panel_tile_bf16(int rows, int nv, const int32_t *act, const uint8_t *unit,
                              int64_t n_units, float *sums) {
    for (int col = 0; col < TENON_PANEL_COLS; col += nv * V_LANES) {
        vf32 f[TENON_PANEL_MAX_ROWS][PANEL_MAX_VECTORS];
        V_UNROLL(12)
        for (int i = 0; i < rows; i++) V_UNROLL(4)
        for (int j = 0; j < nv; j++)
            f[i][j] = vf32_load(sums + i * TENON_PANEL_COLS + col + j * V_LANES);
        const int32_t *a = act;
        const uint8_t *u = unit;
        for (int64_t n = 0; n < n_units; n++) {
            V_UNROLL(2)
            for (int p = 0; p < 16; p++, a += rows, u += PANEL_VECTOR_BYTES) {
                vi32 w[PANEL_MAX_VECTORS];
                panel_prefetch(u, PANEL_VECTOR_BYTES);
                V_UNROLL(4)
                for (int j = 0; j < nv; j++) w[j] = vi32_load(u + (col + j * V_LANES) * 4);
                V_UNROLL(12)
                for (int i = 0; i < rows; i++) {
                    const vi32 x = vi32_set1(a[i]);
                    V_UNROLL(4)
                    for (int j = 0; j < nv; j++) f[i][j] = vf32_dot_bf16(f[i][j], x, w[j]);
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

#endif
