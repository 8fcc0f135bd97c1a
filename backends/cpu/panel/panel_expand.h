/* SPDX-License-Identifier: Apache-2.0 */
/* Units of small floats to units of bf16 or f32, exactly. A tile of few rows does this in its
 * registers (panel_tile_float.h), more rows share one copy in the L1 cache. Include a simd_*.h
 * first. */
#ifndef TENON_PANEL_EXPAND_H
#define TENON_PANEL_EXPAND_H

#include "panel_decode.h"
#include "simd/simd_float8.h"

/* Small floats in the lanes' low bytes. */
V_INLINE vf32 panel_coded_value(tenon_panel_kind kind, vi32 code) {
    switch (kind) {
    case TENON_PANEL_E4M3FNUZ:
        return decode_float8(code, 3, 8, 0x7f, true);
    case TENON_PANEL_E5M2:
    case TENON_PANEL_MXFP8_E5M2:
        return decode_float8(code, 2, 15, 0x7c, false);
    case TENON_PANEL_E5M2FNUZ:
        return decode_float8(code, 2, 16, 0x7f, true);
    default:
        return decode_float8(code, 3, 7, 0x7f, false);
    }
}

/* Four k of V_LANES columns as f32, with the scale that the unit has: step t. */
V_INLINE void panel_coded_values(tenon_panel_kind kind, const uint8_t *unit, int t, int col,
                                 vf32 value[4]) {
    if (kind == TENON_PANEL_NVFP4) {
        const vi32 codes = panel_codes(kind, unit, 0, t, col);
        const vf32 scale = panel_scale(kind, TENON_PANEL_TYPE_F16, unit, unit, 0, t >> 2, col);
        const vf32 half = vf32_mul(scale, vf32_set1(0.5f)),
                   offset = vf32_mul(scale, vf32_set1(-6.0f));
        V_UNROLL(4)
        for (int b = 0; b < 4; b++) value[b] = vf32_fma(panel_byte(codes, b), half, offset);
        return;
    }
    const vi32 v = vi32_load(unit + t * PANEL_VECTOR_BYTES + 4 * col), byte = vi32_set1(0xff);
    value[0] = panel_coded_value(kind, vi32_and(v, byte));
    value[1] = panel_coded_value(kind, vi32_and(vi32_srl(v, 8), byte));
    value[2] = panel_coded_value(kind, vi32_and(vi32_srl(v, 16), byte));
    value[3] = panel_coded_value(kind, vi32_srl(v, 24));
    if (!tenon_panel_is_mxfp8(kind)) return;
    const vf32 scale = panel_load_e8m0(unit + PANEL_MXFP8_SCALES + col);
    V_UNROLL(4)
    for (int b = 0; b < 4; b++) value[b] = vf32_mul(value[b], scale);
}

V_INLINE void panel_expand_f32(tenon_panel_kind kind, const uint8_t *unit, float *out) {
    for (int t = 0; t < 8; t++) V_UNROLL(4)
    for (int col = 0; col < TENON_PANEL_COLS; col += V_LANES) {
        vf32 value[4];
        panel_coded_values(kind, unit, t, col, value);
        V_UNROLL(4)
        for (int b = 0; b < 4; b++)
            vf32_store(out + (4 * t + b) * TENON_PANEL_COLS + col, value[b]);
    }
}

#if V_HAS_DOT_BF16
#    include "panel_float8_words.h"

V_INLINE v_table128 panel_word_table(tenon_panel_kind kind) {
    const panel_float8_words *words =
        kind == TENON_PANEL_E4M3FN || kind == TENON_PANEL_MXFP8_E4M3 ? &panel_words_e4m3fn
        : kind == TENON_PANEL_E4M3FNUZ                               ? &panel_words_e4m3fnuz
        : kind == TENON_PANEL_E5M2 || kind == TENON_PANEL_MXFP8_E5M2 ? &panel_words_e5m2
                                                                     : &panel_words_e5m2fnuz;
    return v_table128_load(words->low, words->high);
}

/* Four k of V_LANES columns to two pairs. */
V_INLINE void panel_coded_pairs(tenon_panel_kind kind, v_table128 table, const uint8_t *codes,
                                vi32 *first, vi32 *second) {
    if (kind == TENON_PANEL_E4M3FNUZ || kind == TENON_PANEL_E5M2FNUZ)
        vi32_words_of_fnuz(table, vi32_load(codes), first, second);
    else
        vi32_words_of_codes(table, vi32_load(codes), first, second);
}

/* Both words of each lane times a scale; exact where the product is one of bf16. */
V_INLINE vi32 panel_scale_pair(vi32 pair, vf32 scale) {
    const vf32 even = vf32_mul(vf32_from_bits(vi32_sll(pair, 16)), scale);
    const vf32 odd =
        vf32_mul(vf32_from_bits(vi32_and(pair, vi32_set1((int32_t)0xffff0000))), scale);
    return vi32_or(vi32_srl(vi32_from_bits(even), 16),
                   vi32_and(vi32_from_bits(odd), vi32_set1((int32_t)0xffff0000)));
}
V_INLINE vi32 panel_join_pair(vf32 even, vf32 odd) {
    return vi32_or(vi32_srl(vi32_from_bits(even), 16),
                   vi32_and(vi32_from_bits(odd), vi32_set1((int32_t)0xffff0000)));
}

V_INLINE void panel_expand_bf16(tenon_panel_kind kind, const uint8_t *unit, uint8_t *out) {
    const v_table128 table = panel_word_table(kind);
    V_UNROLL(2)
    for (int col = 0; col < TENON_PANEL_COLS; col += V_LANES) {
        vf32 scale = vf32_zero();
        if (tenon_panel_is_mxfp8(kind)) scale = panel_load_e8m0(unit + PANEL_MXFP8_SCALES + col);
        V_UNROLL(8)
        for (int t = 0; t < 8; t++) {
            vi32 pair[2];
            if (kind == TENON_PANEL_NVFP4) {
                vf32 value[4];
                panel_coded_values(kind, unit, t, col, value);
                pair[0] = panel_join_pair(value[0], value[1]);
                pair[1] = panel_join_pair(value[2], value[3]);
            } else {
                panel_coded_pairs(kind, table, unit + t * PANEL_VECTOR_BYTES + 4 * col, &pair[0],
                                  &pair[1]);
            }
            if (tenon_panel_is_mxfp8(kind)) {
                pair[0] = panel_scale_pair(pair[0], scale);
                pair[1] = panel_scale_pair(pair[1], scale);
            }
            vi32_store(out + 2 * t * PANEL_VECTOR_BYTES + 4 * col, pair[0]);
            vi32_store(out + (2 * t + 1) * PANEL_VECTOR_BYTES + 4 * col, pair[1]);
        }
    }
}
#endif

V_INLINE void panel_expand_units(tenon_panel_kind kind, tenon_panel_kind to, const uint8_t *units,
                                 int64_t n_units, uint8_t *out) {
    const int from_bytes = tenon_panel_unit_bytes(kind), to_bytes = tenon_panel_unit_bytes(to);
    for (int64_t u = 0; u < n_units; u++, units += from_bytes, out += to_bytes) {
        panel_prefetch(units, from_bytes);
#if V_HAS_DOT_BF16
        if (to == TENON_PANEL_BF16) {
            panel_expand_bf16(kind, units, out);
            continue;
        }
#endif
        panel_expand_f32(kind, units, (float *)(void *)out);
    }
}

#endif
