/* SPDX-License-Identifier: Apache-2.0 */
/* The inverse of packing, for giving a checkpoint back: plain C, not on any hot path. */
#ifndef TENON_PANEL_UNPACK_H
#define TENON_PANEL_UNPACK_H

#include "panel_layout.h"

/* The source bytes (tenon_panel_row_bytes) that column `col` had put into a unit; of kinds whose
 * scales lay beside, the codes alone. */
void tenon_panel_unpack_unit(tenon_panel_kind kind, const uint8_t *unit, int32_t col, uint8_t *row);

/* Where a unit has the scale of column `col` as the checkpoint had it, and its size; NULL if the
 * kind keeps it in another form. */
const uint8_t *tenon_panel_unit_scale(tenon_panel_kind kind, const uint8_t *unit, int32_t col,
                                      int32_t *bytes);

#endif
