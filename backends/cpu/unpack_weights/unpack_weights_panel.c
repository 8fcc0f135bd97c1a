/* SPDX-License-Identifier: Apache-2.0 */
/* unpack_weights from panels: every byte of the blob is checked first, then the checkpoint's rows
 * come back bit for bit. */
#include "compact_copy.h"
#include "cpu_backend.h"
#include "panel_source.h"
#include "panel_unpack.h"
#include "panel_weights.h"
#include "progress.h"

static const char *why_not(const tenon_problem *problem, tenon_reason *reason) {
    const tenon_unpack_weights_args *a = problem->args;
    tenon_panel_weights panels, rows;
    tenon_blob_header header;
    const char *why = tenon_panel_rows_from(a->w, a->w_quant, &rows, reason);
    if (why || !a->blob->data) return why;
    return tenon_panel_blob_from(a->blob, &panels, &header, reason);
}

typedef struct unpack_call {
    tenon_panel_weights panels, rows;
    tenon_progress progress;
} unpack_call;

static void unpack_panel(void *arg, int64_t task, int32_t thread) {
    unpack_call *c = arg;
    const tenon_panel_weights *rows = &c->rows;
    const tenon_panel_kind kind = c->panels.kind;
    const int64_t panels = tenon_panel_count(rows->n), expert = task / panels;
    const int64_t units = tenon_panel_units(kind, c->panels.k), first = task % panels * 32;
    const int64_t row_bytes = tenon_panel_row_bytes(kind);
    const int64_t element = tenon_panel_element_bytes(kind);
    const uint8_t *unit = c->panels.data + task * tenon_panel_bytes(kind, c->panels.k);
    const tenon_weight_view view = tenon_weight_expert(&rows->view, expert);
    const int64_t stored = rows->beside ? tenon_panel_stored_rows(&view) : rows->n;
    uint8_t buffer[256];
    for (int64_t u = 0; u < units; u++, unit += tenon_panel_unit_bytes(kind))
        for (int32_t col = 0; col < TENON_PANEL_COLS && first + col < stored; col++) {
            uint8_t *row = (uint8_t *)(uintptr_t)rows->data + expert * rows->expert_stride +
                           (first + col) * rows->row_stride;
            tenon_panel_unpack_unit(kind, unit, col, buffer);
            if (rows->beside) {
                tenon_panel_scatter(kind, &view, c->panels.order, first + col, u, buffer);
                continue;
            }
            if (!tenon_panel_is_plain(kind)) {
                memcpy(row + u * row_bytes, buffer, (size_t)row_bytes);
                continue;
            }
            for (int64_t i = 0; i < TENON_PANEL_GROUP && u * TENON_PANEL_GROUP + i < rows->k; i++)
                memcpy(row + (u * TENON_PANEL_GROUP + i) * rows->k_stride, buffer + i * element,
                       (size_t)element);
        }
    tenon_progress_add(&c->progress, (uint64_t)tenon_panel_bytes(kind, c->panels.k), thread == 0);
}

/* Scales that stand in the units alone. */
static void give_back_scales(const unpack_call *c) {
    const tenon_panel_weights *panels = &c->panels, *rows = &c->rows;
    const tenon_parameter_plane *to = &rows->view.scale;
    const int64_t panel_bytes = tenon_panel_bytes(panels->kind, rows->k);
    const int64_t unit_k = tenon_panel_unit_k(panels->kind);
    for (int64_t e = 0; e < rows->experts; e++)
        for (int64_t r = 0; r < rows->view.row_groups; r++)
            for (int64_t g = 0; g < rows->view.col_groups; g++) {
                const int64_t row = r * rows->view.group_rows, k = g * rows->view.group_cols;
                const int64_t panel = e * tenon_panel_count(rows->n) + row / TENON_PANEL_COLS;
                const uint8_t *unit = panels->data + panel * panel_bytes +
                                      k / unit_k * tenon_panel_unit_bytes(panels->kind);
                int32_t bytes;
                const uint8_t *scale = tenon_panel_unit_scale(
                    panels->kind, unit, (int32_t)(row % TENON_PANEL_COLS), &bytes);
                memcpy((uint8_t *)(uintptr_t)to->data +
                           (e * to->expert_stride + r * to->row_stride + g * to->col_stride) *
                               bytes,
                       scale, (size_t)bytes);
            }
}

/* What the blob keeps as it was. */
static void give_back_parts(const tenon_unpack_weights_args *a, const tenon_blob_header *header) {
    const tenon_quant *q = a->w_quant;
    if (!q) return;
    const DLTensor *tensors[TENON_BLOB_PARTS] = {NULL, q->scale, q->zero_point, q->global_scale,
                                                 q->group_index};
    for (int i = TENON_BLOB_SCALE; i < TENON_BLOB_PARTS; i++)
        if (header->part[i].offset_bytes)
            tenon_compact_copy(
                tensors[i], (uint8_t *)tenon_data(a->blob) + header->part[i].offset_bytes, false);
}

static int32_t run(const tenon_kernel_plan *self, const void *args, tenon_error *error) {
    const tenon_unpack_weights_args *a = args;
    tenon_blob_header header;
    tenon_reason reason;
    unpack_call call;
    int32_t status = TENON_STATUS_CORRUPT;
    const char *why = tenon_panel_blob_from(a->blob, &call.panels, &header, &reason);
    if (!why) {
        const tenon_blob_header *h = tenon_data(a->blob);
        status = tenon_blob_matches(h, a->w, a->w_quant, &reason);
        if (!status) status = tenon_blob_verify(h, &reason);
    }
    if (status)
        return tenon_fail(error, status, TENON_OP_UNPACK_WEIGHTS, -1, "unpack_weights: blob: %s",
                          reason.text);
    why = tenon_panel_rows_from(a->w, a->w_quant, &call.rows, &reason);
    if (why || call.rows.kind != call.panels.kind)
        return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, TENON_OP_UNPACK_WEIGHTS, -1,
                          "unpack_weights: w: %s", why ? why : "not the format of the blob");
    tenon_progress_begin(&call.progress, self->problem.platform, "unpack_weights",
                         header.blob_bytes);
    give_back_parts(a, &header);
    if (call.rows.beside && !header.part[TENON_BLOB_SCALE].offset_bytes) give_back_scales(&call);
    tenon_cpu_run(self, call.rows.experts * tenon_panel_count(call.rows.n), unpack_panel, &call);
    tenon_progress_end(&call.progress);
    return TENON_OK;
}

extern const tenon_kernel tenon_cpu_unpack_weights_panel;
const tenon_kernel tenon_cpu_unpack_weights_panel = {
    .name = "cpu_unpack_weights_panel",
    .op = TENON_OP_UNPACK_WEIGHTS,
    .traits = TENON_TRAIT_DETERMINISTIC,
    .checked_on = "hardware",
    .why_not = why_not,
    .run = run,
};
