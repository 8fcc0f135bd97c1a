/* SPDX-License-Identifier: Apache-2.0 */
/* From the checkpoint's rows to units. The codes of every kind keep their four consecutive k
 * together, so packing is a transposition of 32-bit words; 16 bytes of V_LANES rows at a time. Fast
 * enough to run in front of the tiles when weights were not packed ahead. Include a simd_*.h first.
 */
#ifndef TENON_PANEL_PACK_H
#define TENON_PANEL_PACK_H

#include "panel_decode.h"

/* n_words 32-bit words of each row from `offset` on become the code vectors at dst. */
V_INLINE void panel_transpose(const uint8_t *const *rows, ptrdiff_t offset, int n_words,
                              int32_t flip, uint8_t *dst, int col) {
    for (int t = 0; t < n_words; t += 4) {
        vi32 v[4];
        vi32_gather_16_bytes(rows, offset + 4 * t, v);
        V_UNROLL(4)
        for (int i = 0; i < 4; i++)
            vi32_store(dst + (t + i) * PANEL_VECTOR_BYTES + 4 * col,
                       flip ? vi32_xor(v[i], vi32_set1(flip)) : v[i]);
    }
}

/* The 6-bit scales and minimums of Q4_K: eight each in three words, spread to bytes. */
V_INLINE void panel_pack_q4k_scales(const vi32 head[4], uint8_t *unit, int col) {
    const vi32 six = vi32_set1(0x3f3f3f3f), four = vi32_set1(0x0f0f0f0f),
               two = vi32_set1(0x30303030);
    const vi32 a = head[1], b = head[2], c = head[3];
    const vi32 scale[2] = {vi32_and(a, six),
                           vi32_or(vi32_and(c, four), vi32_and(vi32_srl(a, 2), two))};
    const vi32 min[2] = {vi32_and(b, six),
                         vi32_or(vi32_and(vi32_srl(c, 4), four), vi32_and(vi32_srl(b, 2), two))};
    V_UNROLL(8)
    for (int g = 0; g < 8; g++) {
        uint8_t *part = unit + PANEL_Q4K_PARTS + (g >> 1) * PANEL_Q4K_PART_BYTES;
        vi32_store_u8(part + 1024 + 32 * (g & 1) + col, vi32_srl_by(scale[g >> 2], 8 * (g & 3)));
        vi32_store_u8(part + 1088 + 32 * (g & 1) + col, vi32_srl_by(min[g >> 2], 8 * (g & 3)));
    }
}

V_INLINE void panel_pack_unit(tenon_panel_kind kind, const uint8_t *const *rows, ptrdiff_t at,
                              uint8_t *unit, int col) {
    vi32 head[4];
    switch (kind) {
    case TENON_PANEL_BF16:
        panel_transpose(rows, at, 16, 0, unit, col);
        return;
    case TENON_PANEL_F32:
        panel_transpose(rows, at, 32, 0, unit, col);
        return;
    case TENON_PANEL_F16:
        for (int t = 0; t < 16; t += 4) {
            vi32_gather_16_bytes(rows, at + 4 * t, head);
            V_UNROLL(4)
            for (int i = 0; i < 4; i++) {
                vi32_store_u16(unit + 2 * (2 * (t + i) * TENON_PANEL_COLS + col), head[i]);
                vi32_store_u16(unit + 2 * ((2 * (t + i) + 1) * TENON_PANEL_COLS + col),
                               vi32_srl(head[i], 16));
            }
        }
        return;
    case TENON_PANEL_E4M3FN:
    case TENON_PANEL_E4M3FNUZ:
    case TENON_PANEL_E5M2:
    case TENON_PANEL_E5M2FNUZ:
        panel_transpose(rows, at, 8, 0, unit, col);
        return;
    case TENON_PANEL_Q4_0:
        vi32_gather_16_bytes(rows, at, head);
        vi32_store_u16(unit + PANEL_Q4_SCALES + 2 * col, head[0]);
        panel_transpose(rows, at + 2, 4, 0, unit, col);
        return;
    case TENON_PANEL_Q4_1:
        vi32_gather_16_bytes(rows, at, head);
        vi32_store_u16(unit + PANEL_Q4_SCALES + 2 * col, head[0]);
        vi32_store_u16(unit + PANEL_Q4_MINS + 2 * col, vi32_srl(head[0], 16));
        panel_transpose(rows, at + 4, 4, 0, unit, col);
        return;
    case TENON_PANEL_Q8_0:
        vi32_gather_16_bytes(rows, at, head);
        vi32_store_u16(unit + PANEL_Q8_SCALES + 2 * col, head[0]);
        panel_transpose(rows, at + 2, 8, (int32_t)0x80808080, unit, col);
        return;
    case TENON_PANEL_Q4_K:
        vi32_gather_16_bytes(rows, at, head);
        vi32_store_u16(unit + 2 * col, head[0]);
        vi32_store_u16(unit + 64 + 2 * col, vi32_srl(head[0], 16));
        panel_pack_q4k_scales(head, unit, col);
        for (int p = 0; p < 4; p++)
            panel_transpose(rows, at + 16 + 32 * p, 8, 0,
                            unit + PANEL_Q4K_PARTS + p * PANEL_Q4K_PART_BYTES, col);
        return;
    case TENON_PANEL_NVFP4:
        panel_transpose(rows, at, 4, 0, unit, col);
        vi32_gather_16_bytes(rows, at + 2, head);
        vi32_store_u8(unit + PANEL_NVFP4_SCALES + col, vi32_srl(head[3], 16));
        vi32_store_u8(unit + PANEL_NVFP4_SCALES + 32 + col, vi32_srl(head[3], 24));
        return;
    case TENON_PANEL_MXFP8_E4M3:
    case TENON_PANEL_MXFP8_E5M2:
        panel_transpose(rows, at, 8, 0, unit, col);
        vi32_gather_16_bytes(rows, at + 17, head);
        vi32_store_u8(unit + PANEL_MXFP8_SCALES + col, vi32_srl(head[3], 24));
        return;
    case TENON_PANEL_MXFP4:
        panel_transpose(rows, at, 4, 0, unit, col);
        vi32_gather_16_bytes(rows, at + 1, head);
        vi32_store_u8(unit + PANEL_MXFP4_SCALES + col, vi32_srl(head[3], 24));
        return;
    case TENON_PANEL_INT4_ZERO:
        panel_transpose(rows, at, 4, 0, unit, col);
        vi32_gather_16_bytes(rows, at + 3, head);
        vi32_store_u16(unit + PANEL_Q4_SCALES + 2 * col, vi32_srl(head[3], 8));
        vi32_store_u8(unit + PANEL_INT4_ZEROS + col, vi32_srl(head[3], 24));
        return;
    case TENON_PANEL_INT4_AFFINE:
        panel_transpose(rows, at, 4, 0, unit, col);
        vi32_gather_16_bytes(rows, at + 8, head);
        vi32_store(unit + PANEL_Q4_SCALES + 4 * col, head[2]);
        vi32_store(unit + PANEL_INT4_OFFSETS + 4 * col, head[3]);
        return;
    case TENON_PANEL_INT8_AFFINE:
        panel_transpose(rows, at, 8, (int32_t)0x80808080, unit, col);
        vi32_gather_16_bytes(rows, at + 24, head);
        vi32_store(unit + PANEL_Q8_SCALES + 4 * col, head[2]);
        vi32_store(unit + PANEL_INT8_OFFSETS + 4 * col, head[3]);
        return;
    case TENON_PANEL_INT4_128:
    case TENON_PANEL_INT4_ZERO_128:
        panel_transpose(rows, at, 16, 0, unit, col);
        vi32_gather_16_bytes(rows, at + 51, head);
        vi32_store_u16(unit + PANEL_INT4_128_SCALES + 2 * col, vi32_srl(head[3], 8));
        if (kind == TENON_PANEL_INT4_ZERO_128)
            vi32_store_u8(unit + PANEL_INT4_128_ZEROS + col, vi32_srl(head[3], 24));
        return;
    case TENON_PANEL_INT4_AFFINE_128:
        panel_transpose(rows, at, 16, 0, unit, col);
        vi32_gather_16_bytes(rows, at + 56, head);
        vi32_store(unit + PANEL_INT4_128_SCALES + 4 * col, head[2]);
        vi32_store(unit + PANEL_INT4_128_OFFSETS + 4 * col, head[3]);
        return;
    case TENON_PANEL_INT8_128:
    case TENON_PANEL_INT8_AFFINE_128:
        panel_transpose(rows, at, 32, (int32_t)0x80808080, unit, col);
        vi32_gather_16_bytes(rows, at + 124, head);
        vi32_store(unit + PANEL_INT8_128_SCALES + 4 * col, head[1]);
        if (kind == TENON_PANEL_INT8_AFFINE_128)
            vi32_store(unit + PANEL_INT8_128_OFFSETS + 4 * col, head[2]);
        return;
    case TENON_PANEL_Q6_K:
        /* The last 16 bytes of the block: its scale is the upper half of the last word. */
        vi32_gather_16_bytes(rows, at + 194, head);
        vi32_store_u16(unit + 2 * col, vi32_srl(head[3], 16));
        vi32_gather_16_bytes(rows, at + 192, head);
        for (int p = 0; p < 2; p++) {
            uint8_t *part = unit + PANEL_Q6K_PARTS + p * PANEL_Q6K_PART_BYTES;
            panel_transpose(rows, at + 64 * p, 16, 0, part, col);
            panel_transpose(rows, at + 128 + 32 * p, 8, 0, part + PANEL_Q6K_UPPER, col);
            V_UNROLL(8)
            for (int i = 0; i < 8; i++)
                vi32_store_u8(part + PANEL_Q6K_SCALES + 32 * i + col,
                              vi32_srl_by(head[2 * p + (i >> 2)], 8 * (i & 3)));
        }
        return;
    default:
        return;
    }
}

V_INLINE void panel_pack_units(tenon_panel_kind kind, const uint8_t *const *rows, int64_t n_units,
                               uint8_t *units) {
    /* 32 rows are more streams than the hardware prefetcher follows. Fetching ahead gains a fifth
     * to a half for blocks, nothing for plain rows, whose every unit is a new line of each. */
    enum { LINE = 64, AHEAD = 768 };
    const int row_bytes = tenon_panel_row_bytes(kind), unit_bytes = tenon_panel_unit_bytes(kind);
    int64_t fetched = 0;
    for (int64_t u = 0; u < n_units; u++) {
        for (; !tenon_panel_is_plain(kind) && fetched < (u + 1) * row_bytes; fetched += LINE)
            for (int c = 0; c < TENON_PANEL_COLS; c++) v_prefetch(rows[c] + fetched + AHEAD);
        V_UNROLL(4)
        for (int col = 0; col < TENON_PANEL_COLS; col += V_LANES)
            panel_pack_unit(kind, rows + col, u * row_bytes, units + u * unit_bytes, col);
    }
}

#endif
