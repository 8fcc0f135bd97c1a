/* SPDX-License-Identifier: Apache-2.0 */
/* Weights as an operation is given them, resolved to panels or to rows that can be packed on the
 * way. */
#ifndef TENON_PANEL_WEIGHTS_H
#define TENON_PANEL_WEIGHTS_H

#include "backend.h"
#include "packed_blob.h"
#include "panel_multiply.h"

/* Name of the layout in a blob's header. Its payload is, for each expert, tenon_panel_count(n)
 * panels of tenon_panel_bytes(kind, k), right behind the header; where scales are not in the units,
 * these as f32 [experts][panels][groups][32]; where columns are not in the
 * checkpoint's order, their order as i32; then zero points and so on that lay beside the
 * elements, as they were, and scales if the units have them in another form or not at all.
 * layout_words: kind, type of 16-bit scales, groups, units of a group, length of the order or 0. */
#define TENON_PANEL_LAYOUT_NAME "cpu_panel32"

/* NULL and the kind and the rows, or why these weights cannot be read in place. Data may be NULL.
 */
const char *tenon_panel_rows_from(const DLTensor *w, const tenon_quant *quant,
                                  tenon_panel_weights *out, tenon_reason *reason);

/* Sets the layout's words, the places of the parts and the size of a header for these weights. */
void tenon_panel_describe(const tenon_panel_weights *weights, tenon_blob_header *header);

/* The same for a blob, whose header must be readable. *header: a copy, to compare with when
 * running. */
const char *tenon_panel_blob_from(const DLTensor *w, tenon_panel_weights *out,
                                  tenon_blob_header *header, tenon_reason *reason);

/* Either, as the descriptor says; and whatever else a view can be made of, which is then decoded to
 * f32 on the way. A blob that keeps the checkpoint's tensors is taken for them. */
const char *tenon_panel_weights_from(const DLTensor *w, const tenon_quant *quant,
                                     tenon_panel_weights *out, tenon_blob_header *header,
                                     tenon_reason *reason);

/* For a run: the plan's weights at this run's address. A blob is compared with the planned header,
 * so that another layer's blob of the same kind and shape is taken and everything else is refused.
 */
int32_t tenon_panel_weights_at(const tenon_panel_weights *planned, const tenon_blob_header *header,
                               const DLTensor *w, const tenon_quant *quant,
                               tenon_panel_weights *out, tenon_reason *reason);

/* Panels, and panels with the scales or the order behind them. */
static inline uint64_t tenon_panel_units_bytes(const tenon_panel_weights *w) {
    return (uint64_t)w->experts * (uint64_t)tenon_panel_count(w->n) *
           (uint64_t)tenon_panel_bytes(w->kind, w->k);
}
static inline uint64_t tenon_panel_payload_bytes(const tenon_panel_weights *w) {
    return tenon_panel_units_bytes(w) +
           (uint64_t)w->experts * (uint64_t)tenon_panel_count(w->n) * (uint64_t)w->groups *
               TENON_PANEL_COLS * 4 +
           (w->ordered ? 4 * (uint64_t)w->k : 0);
}

/* The element type of activations, results and bias; false for others. */
static inline bool tenon_panel_type_of(DLDataType type, tenon_panel_type *out) {
    switch (tenon_number_of(type)) {
    case TENON_NUMBER_F32:
        *out = TENON_PANEL_TYPE_F32;
        return true;
    case TENON_NUMBER_BF16:
        *out = TENON_PANEL_TYPE_BF16;
        return true;
    case TENON_NUMBER_F16:
        *out = TENON_PANEL_TYPE_F16;
        return true;
    default:
        return false;
    }
}

#endif
