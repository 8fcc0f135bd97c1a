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
        return decode_float8(code, 2, 15, 0x7c, false);
    case TENON_PANEL_E5M2FNUZ:
        return decode_float8(code, 2, 16, 0x7f, true);
    default:
        return decode_float8(code, 3, 7, 0x7f, false);
    }
}

V_INLINE void panel_expand_f32(tenon_panel_kind kind, const uint8_t *unit, float *out) {
    const vi32 byte = vi32_set1(0xff);
    for (int t = 0; t < 8; t++) V_UNROLL(4)
    for (int col = 0; col < TENON_PANEL_COLS; col += V_LANES) {
        const vi32 v = vi32_load(unit + t * PANEL_VECTOR_BYTES + 4 * col);
        float *to = out + 4 * t * TENON_PANEL_COLS + col;
        vf32_store(to, panel_coded_value(kind, vi32_and(v, byte)));
        vf32_store(to + TENON_PANEL_COLS, panel_coded_value(kind, vi32_and(vi32_srl(v, 8), byte)));
        vf32_store(to + 2 * TENON_PANEL_COLS,
                   panel_coded_value(kind, vi32_and(vi32_srl(v, 16), byte)));
        vf32_store(to + 3 * TENON_PANEL_COLS, panel_coded_value(kind, vi32_srl(v, 24)));
    }
}

#if V_HAS_DOT_BF16
#    include "panel_float8_words.h"

V_INLINE v_table128 panel_word_table(tenon_panel_kind kind) {
    const panel_float8_words *words = kind == TENON_PANEL_E4M3FN     ? &panel_words_e4m3fn
                                      : kind == TENON_PANEL_E4M3FNUZ ? &panel_words_e4m3fnuz
                                      : kind == TENON_PANEL_E5M2     ? &panel_words_e5m2
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

V_INLINE void panel_expand_bf16(tenon_panel_kind kind, const uint8_t *unit, uint8_t *out) {
    const v_table128 table = panel_word_table(kind);
    for (int t = 0; t < 8; t++) V_UNROLL(2)
    for (int col = 0; col < TENON_PANEL_COLS; col += V_LANES) {
        vi32 pair[2];
        panel_coded_pairs(kind, table, unit + t * PANEL_VECTOR_BYTES + 4 * col, &pair[0], &pair[1]);
        vi32_store(out + 2 * t * PANEL_VECTOR_BYTES + 4 * col, pair[0]);
        vi32_store(out + (2 * t + 1) * PANEL_VECTOR_BYTES + 4 * col, pair[1]);
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
