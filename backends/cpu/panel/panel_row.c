/* SPDX-License-Identifier: Apache-2.0 */
#include "panel_row.h"

#include <string.h>

#include "panel_source.h"
#include "panel_unpack.h"

enum { MAX_SCALE_BYTES = 4 };

static int64_t round_up(int64_t x, int64_t step) {
    return (x + step - 1) / step * step;
}

/* With room for the padding of the last unit. */
static int64_t codes_bytes(const tenon_panel_source *s) {
    const tenon_panel_kind kind = s->panels.kind;
    const int64_t units = tenon_panel_units(kind, s->panels.k);
    if (!s->rows.beside) return units * tenon_panel_row_bytes(kind);
    const tenon_format_storage *storage = tenon_format_storage_of(s->rows.view.format);
    return round_up(units * tenon_panel_unit_k(kind), storage->k_per) / storage->k_per *
           storage->k_entries * storage->entry_bytes;
}

const char *tenon_panel_source_from(const DLTensor *blob, tenon_panel_source *out,
                                    tenon_reason *reason) {
    tenon_blob_header header;
    tenon_blob_tensors parts;
    const char *why = tenon_panel_blob_from(blob, &out->panels, &header, reason);
    if (why) return why;
    tenon_blob_tensors_of(tenon_data(blob), &parts);
    why = tenon_panel_rows_from(&parts.tensor[TENON_BLOB_W], &parts.quant, &out->rows, reason);
    if (why) return why;
    const tenon_panel_weights *panels = &out->panels, *rows = &out->rows;
    const int64_t k = panels->ordered ? panels->source_k : panels->k;
    if (rows->kind != panels->kind || rows->n != panels->n || rows->view.k != k ||
        rows->experts != panels->experts || rows->ordered != panels->ordered)
        return tenon_decline(reason,
                             "the blob's panels (kind %d, n=%lld, k=%lld) are not of the weights "
                             "that its header names (kind %d, n=%lld, k=%lld)",
                             (int)panels->kind, (long long)panels->n, (long long)k, (int)rows->kind,
                             (long long)rows->n, (long long)rows->view.k);
    out->codes_bytes = codes_bytes(out);
    out->unit_scales = rows->view.scale.present && !header.part[TENON_BLOB_SCALE].offset_bytes;
    return NULL;
}

size_t tenon_panel_row_scratch_bytes(const tenon_panel_source *s) {
    const int64_t scales = s->unit_scales ? s->rows.view.col_groups * MAX_SCALE_BYTES : 0;
    return (size_t)(round_up(s->codes_bytes, 64) + round_up(scales, 64));
}

/* The scales of a row whose kind keeps them in the units. */
static void take_scales(const tenon_panel_source *s, const uint8_t *panel, int32_t col,
                        const tenon_weight_view *view, uint8_t *scales) {
    const tenon_panel_kind kind = s->panels.kind;
    for (int64_t g = 0; g < view->col_groups; g++) {
        const int64_t unit = g * view->group_cols / tenon_panel_unit_k(kind);
        int32_t bytes;
        const uint8_t *scale =
            tenon_panel_unit_scale(kind, panel + unit * tenon_panel_unit_bytes(kind), col, &bytes);
        memcpy(scales + g * bytes, scale, (size_t)bytes);
    }
}

/* Bytes from one entry along k to the next, when a row lies by itself. */
static int64_t entry_bytes(const tenon_weight_view *view) {
    const tenon_format_storage *storage = tenon_format_storage_of(view->format);
    return storage ? storage->entry_bytes : tenon_number_bytes(view->number);
}

tenon_weight_view tenon_panel_row_view(const tenon_panel_source *s, int64_t expert, int64_t row,
                                       uint8_t *scratch) {
    const tenon_panel_kind kind = s->panels.kind;
    const int32_t col = (int32_t)(row % TENON_PANEL_COLS);
    const int64_t units = tenon_panel_units(kind, s->panels.k);
    const uint8_t *panel = s->panels.data + expert * s->panels.expert_stride +
                           row / TENON_PANEL_COLS * tenon_panel_bytes(kind, s->panels.k);
    tenon_weight_view view = tenon_weight_expert(&s->rows.view, expert);
    uint8_t unit_row[256];
    view.data = scratch;
    view.n_stride = 0; /* whichever row is asked for */
    view.k_stride = entry_bytes(&view);
    if (s->unit_scales) {
        uint8_t *scales = scratch + round_up(s->codes_bytes, 64);
        take_scales(s, panel, col, &view, scales);
        view.scale.data = scales;
        view.scale.row_stride = 0, view.scale.col_stride = 1;
    }
    /* Words of which this row or this order fills a part. */
    if (s->rows.beside) memset(scratch, 0, (size_t)s->codes_bytes);
    for (int64_t u = 0; u < units; u++, panel += tenon_panel_unit_bytes(kind)) {
        if (!s->rows.beside) {
            tenon_panel_unpack_unit(kind, panel, col, scratch + u * tenon_panel_row_bytes(kind));
            continue;
        }
        tenon_panel_unpack_unit(kind, panel, col, unit_row);
        tenon_panel_scatter(kind, &view, s->panels.order, row, u, unit_row);
    }
    return view;
}
