/* SPDX-License-Identifier: Apache-2.0 */
/* Between checkpoints that keep scales beside the elements and the rows that a kind's packer takes:
 *
 *   kind          row of a unit (tenon_panel_row_bytes)
 *   Q4_0, Q8_0    as GGUF: scale f16 or bf16, codes
 *   MXFP4         codes[16], scale e8m0            codes: byte j = code j | code (j + 16) << 4
 *   INT4_ZERO     codes[16], scale f16 or bf16, 16 - zero point u8
 *   INT4_AFFINE   codes[16], scale f32, offset f32
 *   INT8_AFFINE   codes[32] signed, scale f32, offset f32
 *   *_128         the codes of four groups, then what the kind without 128 has; INT8_128 without
 *                 an offset
 *
 * Plain C; on the way of weights that were not packed ahead, so not slow. */
#ifndef TENON_PANEL_SOURCE_H
#define TENON_PANEL_SOURCE_H

#include "panel_kernels.h"
#include "weight_view.h"

/* The kind for weights, whether their rows can be read in place or not, and the type of its 16-bit
 * scales; -1 if there is none. *beside: through tenon_panel_gather. */
int32_t tenon_panel_kind_of(const tenon_weight_view *view, tenon_panel_type *scale_type,
                            int32_t *beside);

/* Rows first .. first + 31 of unit `unit` of one expert's weights, side by side at rows
 * (TENON_PANEL_EDGE_BYTES). Rows past n repeat the last one. order: the column of each
 * place, or NULL. */
void tenon_panel_gather(tenon_panel_kind kind, const tenon_weight_view *view, const int32_t *order,
                        int64_t first, int64_t unit, uint8_t *rows);

/* The codes of a unit's row back to where gather found them. */
void tenon_panel_scatter(tenon_panel_kind kind, const tenon_weight_view *view, const int32_t *order,
                         int64_t row, int64_t unit, const uint8_t *unit_row);

/* Whether a unit's row has something to give back: rows past n may, where a word holds several. */
int64_t tenon_panel_stored_rows(const tenon_weight_view *view);

#endif
