/* SPDX-License-Identifier: Apache-2.0 */
#include "panel_order.h"

#include <string.h>

int64_t tenon_panel_group_of(const tenon_weight_view *view, int64_t col) {
    int32_t group;
    memcpy(&group, view->group_index.data + 4 * col * view->group_index.col_stride, 4);
    return group < 0 || group >= view->col_groups ? view->col_groups : group;
}

int64_t tenon_panel_order(const tenon_weight_view *view, int32_t *order, int32_t *first) {
    const int64_t groups = view->col_groups + 1;
    memset(first, 0, (size_t)groups * sizeof *first);
    for (int64_t k = 0; k < view->k; k++) first[tenon_panel_group_of(view, k)]++;
    int32_t columns = 0;
    for (int64_t g = 0; g < groups; g++) {
        const int32_t count = first[g];
        first[g] = columns;
        columns += (count + TENON_PANEL_GROUP - 1) / TENON_PANEL_GROUP * TENON_PANEL_GROUP;
    }
    memset(order, 0xff, (size_t)columns * sizeof *order);
    for (int64_t k = 0; k < view->k; k++) {
        /* Read again: an index that changes meanwhile must not lead out of bounds. */
        const int32_t at = first[tenon_panel_group_of(view, k)]++;
        if (at < columns) order[at] = (int32_t)k;
    }
    return columns;
}

void tenon_panel_reorder(const int32_t *order, int64_t columns, const void *row, int64_t k,
                         int32_t element_bytes, void *out) {
    const uint64_t end = (uint64_t)k;
    if (element_bytes == 1) {
        const uint8_t *in = row;
        uint8_t *to = out;
        for (int64_t i = 0; i < columns; i++)
            to[i] = (uint64_t)(int64_t)order[i] < end ? in[order[i]] : 0;
        return;
    }
    if (element_bytes == 2) {
        const uint16_t *in = row;
        uint16_t *to = out;
        for (int64_t i = 0; i < columns; i++)
            to[i] = (uint64_t)(int64_t)order[i] < end ? in[order[i]] : 0;
        return;
    }
    const uint32_t *in = row;
    uint32_t *to = out;
    for (int64_t i = 0; i < columns; i++)
        to[i] = (uint64_t)(int64_t)order[i] < end ? in[order[i]] : 0;
}
