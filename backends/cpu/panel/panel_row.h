/* SPDX-License-Identifier: Apache-2.0 */
/* One row out of packed panels, as the checkpoint had it: for reading values back. */
#ifndef TENON_PANEL_ROW_H
#define TENON_PANEL_ROW_H

#include "packed_blob.h"
#include "panel_weights.h"

typedef struct tenon_panel_source {
    tenon_panel_weights panels;
    tenon_panel_weights rows; /* what was packed; its elements, and scales of units, have no data */
    int64_t codes_bytes;      /* of one row */
    int32_t unit_scales;      /* scales stand in the units alone */
} tenon_panel_source;

/* NULL, or why this is no blob of panels that fit the tensors that it names. */
const char *tenon_panel_source_from(const DLTensor *blob, tenon_panel_source *out,
                                    tenon_reason *reason);

/* Scratch that a row takes; a multiple of 64. */
size_t tenon_panel_row_scratch_bytes(const tenon_panel_source *source);

/* A view of one expert in which that row, and no other, can be read; it leads into the scratch,
 * which must be aligned to 64 bytes, and into the blob. */
tenon_weight_view tenon_panel_row_view(const tenon_panel_source *source, int64_t expert,
                                       int64_t row, uint8_t *scratch);

#endif
