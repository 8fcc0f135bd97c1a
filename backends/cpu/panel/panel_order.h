/* SPDX-License-Identifier: Apache-2.0 */
/* Weights whose columns belong to groups in any order (act-order, g_idx). Their columns are sorted
 * by group, and each group is filled up to whole units of 32, so that a unit has one scale for each
 * row as everywhere else; activations are gathered in the same order. Columns whose index is out of
 * range stand last, in units whose scale is NaN. */
#ifndef TENON_PANEL_ORDER_H
#define TENON_PANEL_ORDER_H

#include "panel_layout.h"
#include "weight_view.h"

/* Columns with padding, whatever the indices are: a multiple of 32. */
static inline int64_t tenon_panel_most_columns(const tenon_weight_view *view) {
    return (view->k + (TENON_PANEL_GROUP - 1) * (view->col_groups + 1)) / TENON_PANEL_GROUP *
           TENON_PANEL_GROUP;
}

/* Fills order[] for these weights and returns its length, at most tenon_panel_most_columns. Needs
 * first[col_groups + 1]. */
int64_t tenon_panel_order(const tenon_weight_view *view, int32_t *order, int32_t *first);

/* Group of a column, or col_groups where it has none. */
int64_t tenon_panel_group_of(const tenon_weight_view *view, int64_t col);

/* out[i] = row[order[i]], or 0; elements of 1, 2 or 4 bytes, k of them in row. */
void tenon_panel_reorder(const int32_t *order, int64_t columns, const void *row, int64_t k,
                         int32_t element_bytes, void *out);

#endif
