/* SPDX-License-Identifier: Apache-2.0 */
/* One block of sums: rows of a segment times one panel.
 *
 * The panel goes by in chunks that stay in the L1 cache while all tiles of rows pass over them:
 * in place if it is packed, else packed on the way. Small floats are expanded on the way too where
 * there are more rows than one tile takes. Where scales stand beside the units, the products of a
 * group are summed in a part of their own, which is added to the sums times the scale. */
#include <string.h>

#include "panel_multiply.h"
#include "panel_source.h"

enum {
    SUMS_BYTES = TENON_PANEL_SEGMENT_ROWS * TENON_PANEL_COLS * 4,
    EDGE_BYTES = (TENON_PANEL_EDGE_BYTES + 63) / 64 * 64,
    EXPANDED_BYTES = 16384, /* of expanded units at a time: whole groups of 128 k */
    STAGE_BYTES = 8448,     /* of units that wait to be expanded: 8 of them */
    AHEAD_BYTES = 4608,     /* that tiles and expanding fetch ahead (panel_prefetch) */
    AHEAD_UNITS = 4,        /* of those that are expanded */
    FEW_TILES = 4
};

/* One thread's scratch. */
typedef struct scratch_view {
    float *sums;    /* of the slot */
    float *second;  /* of a second panel, for unaligned columns */
    float *part;    /* of a group */
    uint8_t *chunk; /* units as tiles read them */
    uint8_t *stage; /* units to be expanded */
    uint8_t *edge;  /* incomplete units */
    float *scales;  /* [groups][32] */
} scratch_view;

size_t tenon_panel_scratch_bytes(const tenon_panel_shape *s) {
    const size_t bytes = (size_t)(s->sums_slots + 2) * SUMS_BYTES + TENON_PANEL_CHUNK_BYTES +
                         STAGE_BYTES + EDGE_BYTES + (size_t)s->groups * TENON_PANEL_COLS * 4;
    /* At the same place, at another time. */
    const size_t row = (size_t)(s->loaded_row_bytes + s->ordered_row_bytes);
    return bytes > row ? bytes : row;
}

static scratch_view view_scratch(const tenon_panel_shape *s, int32_t slot, uint8_t *scratch) {
    scratch_view v;
    uint8_t *at = scratch + (size_t)s->sums_slots * SUMS_BYTES;
    v.sums = (float *)(void *)(scratch + (size_t)slot * SUMS_BYTES);
    v.second = (float *)(void *)at, at += SUMS_BYTES;
    v.part = (float *)(void *)at, at += SUMS_BYTES;
    v.chunk = at, at += TENON_PANEL_CHUNK_BYTES;
    v.stage = at, at += STAGE_BYTES;
    v.edge = at, at += EDGE_BYTES;
    v.scales = (float *)(void *)at;
    return v;
}

tenon_panel_tiles tenon_panel_tiles_for(const tenon_panel_shape *s, int32_t rows) {
    tenon_panel_kind kind = s->kind;
    int32_t most = s->kernels->max_rows[s->mode][kind];
    /* A kind with float tiles of its own keeps to them: their order of additions is another one. */
    const int expands = s->mode == TENON_PANEL_BF16_DOT || (s->mode == TENON_PANEL_FLOAT && !most);
    if (tenon_panel_is_coded(kind) && expands && rows > most) {
        kind = s->mode == TENON_PANEL_BF16_DOT ? TENON_PANEL_BF16 : TENON_PANEL_F32;
        most = s->kernels->max_rows[s->mode][kind];
    }
    return (tenon_panel_tiles){kind, (rows + most - 1) / most};
}

/* ---- packing ---------------------------------------------------------------------------- */

/* Elements whose rows are not contiguous, or whose last unit is not full, go through a copy. */
static void copy_unit(const tenon_panel_weights *w, const uint8_t *const *rows, int64_t unit,
                      uint8_t *edge) {
    const int64_t element = tenon_panel_element_bytes(w->kind), unit_k = TENON_PANEL_GROUP;
    const int64_t k0 = unit * unit_k, n = w->k - k0 < unit_k ? w->k - k0 : unit_k;
    memset(edge, 0, TENON_PANEL_EDGE_BYTES);
    for (int c = 0; c < TENON_PANEL_COLS; c++)
        for (int64_t i = 0; i < n; i++)
            memcpy(edge + (c * unit_k + i) * element, rows[c] + (k0 + i) * w->k_stride,
                   (size_t)element);
}

static void decode_unit(const tenon_weight_view *view, int64_t panel, int64_t unit, uint8_t *edge) {
    float *values = (float *)(void *)edge;
    const int64_t k0 = unit * TENON_PANEL_GROUP, left = view->k - k0;
    memset(edge, 0, TENON_PANEL_EDGE_BYTES);
    for (int64_t c = 0; c < TENON_PANEL_COLS; c++) {
        int64_t row = panel * TENON_PANEL_COLS + c;
        if (row >= view->n) row = view->n - 1;
        tenon_weight_decode(view, row, k0, left < TENON_PANEL_GROUP ? left : TENON_PANEL_GROUP,
                            values + c * TENON_PANEL_GROUP);
    }
}

void tenon_panel_pack(const tenon_panel_kernels *kernels, const tenon_panel_weights *w,
                      int64_t expert, int64_t panel, int64_t unit0, int64_t n_units, uint8_t *dst,
                      uint8_t *edge) {
    const uint8_t *rows[TENON_PANEL_COLS], *at[TENON_PANEL_COLS];
    const int64_t row_bytes = tenon_panel_row_bytes(w->kind);
    const int64_t unit_bytes = tenon_panel_unit_bytes(w->kind);
    if (w->beside || w->decoded) {
        const tenon_weight_view view = tenon_weight_expert(&w->view, expert);
        for (int c = 0; c < TENON_PANEL_COLS; c++) at[c] = edge + c * row_bytes;
        for (int64_t u = 0; u < n_units; u++) {
            if (w->decoded)
                decode_unit(&view, panel, unit0 + u, edge);
            else
                tenon_panel_gather(w->kind, &view, w->order, panel * TENON_PANEL_COLS, unit0 + u,
                                   edge);
            kernels->pack(w->kind, at, 1, dst + u * unit_bytes);
        }
        return;
    }
    for (int64_t c = 0; c < TENON_PANEL_COLS; c++) {
        int64_t row = panel * TENON_PANEL_COLS + c;
        if (row >= w->n) row = w->n - 1;
        rows[c] = w->data + expert * w->expert_stride + row * w->row_stride;
    }
    int64_t whole = n_units; /* units that can be read in place */
    if (tenon_panel_is_plain(w->kind)) {
        if (w->k_stride != tenon_panel_element_bytes(w->kind))
            whole = 0;
        else if (unit0 + n_units > w->k / TENON_PANEL_GROUP)
            whole = w->k / TENON_PANEL_GROUP - unit0;
    }
    if (whole > 0) {
        for (int c = 0; c < TENON_PANEL_COLS; c++) at[c] = rows[c] + unit0 * row_bytes;
        kernels->pack(w->kind, at, whole, dst);
    }
    for (int64_t u = whole > 0 ? whole : 0; u < n_units; u++) {
        copy_unit(w, rows, unit0 + u, edge);
        for (int c = 0; c < TENON_PANEL_COLS; c++) at[c] = edge + c * row_bytes;
        kernels->pack(w->kind, at, 1, dst + u * unit_bytes);
    }
}

/* ---- scales ----------------------------------------------------------------------------- */

static float scale_at(const tenon_parameter_plane *plane, int64_t at) {
    float value;
    if (plane->number != TENON_NUMBER_F32)
        return (float)tenon_number_load(plane->number, plane->data, at);
    memcpy(&value, plane->data + 4 * at, 4);
    return value;
}

void tenon_panel_load_scales(const tenon_panel_weights *w, int64_t expert, int64_t panel,
                             float *out) {
    const tenon_parameter_plane *plane = &w->view.scale;
    const int64_t first = panel * TENON_PANEL_COLS, last_row = w->n - 1;
    const int64_t end =
        first + TENON_PANEL_COLS - 1 < last_row ? first + TENON_PANEL_COLS - 1 : last_row;
    if (w->view.format == TENON_FORMAT_NVFP4) { /* the others are in the units */
        float global;
        memcpy(&global, w->view.global_scale.data + 4 * expert * w->view.global_scale.expert_stride,
               4);
        if (w->view.global_divides) global = 1 / global;
        for (int c = 0; c < TENON_PANEL_COLS; c++) out[c] = global;
        return;
    }
    const int64_t group_rows = w->view.group_rows, base = expert * plane->expert_stride;
    const int shared = first / group_rows == end / group_rows; /* by all columns */
    for (int64_t g = 0; g < w->groups; g++)
        for (int64_t c = 0; c < TENON_PANEL_COLS; c++) {
            const int64_t row = first + c < last_row ? first + c : last_row;
            out[g * TENON_PANEL_COLS + c] =
                shared && c > 0 ? out[g * TENON_PANEL_COLS]
                                : scale_at(plane, base + row / group_rows * plane->row_stride +
                                                      g * plane->col_stride);
        }
}

static const float *panel_scales(const tenon_panel_weights *w, int64_t expert, int64_t panel,
                                 float *buffer) {
    if (!w->groups) return NULL;
    if (w->scales)
        return w->scales +
               (expert * tenon_panel_count(w->n) + panel) * w->groups * TENON_PANEL_COLS;
    tenon_panel_load_scales(w, expert, panel, buffer);
    return buffer;
}

/* ---- sums ------------------------------------------------------------------------------- */

/* Units [unit, unit + n) as the tiles read them. */
static const uint8_t *tile_units(const tenon_panel_job *job, const tenon_panel_segment *seg,
                                 int64_t panel, int64_t unit, int64_t n, tenon_panel_kind kind,
                                 const scratch_view *v) {
    const tenon_panel_shape *s = job->shape;
    const tenon_panel_weights *w = job->weights;
    const int64_t unit_bytes = tenon_panel_unit_bytes(s->kind);
    const uint8_t *units =
        w->data + seg->expert * w->expert_stride + (panel * s->units + unit) * unit_bytes;
    if (!w->packed) {
        uint8_t *to = kind == s->kind ? v->chunk : v->stage;
        tenon_panel_pack(s->kernels, w, seg->expert, panel, unit, n, to, v->edge);
        units = to;
    }
    if (kind == s->kind) return units;
    s->kernels->expand(s->kind, kind, units, n, v->chunk);
    return v->chunk;
}

/* Tile t over n units from `unit` on, cut where groups end. */
static void tile_sums(const tenon_panel_job *job, const tenon_panel_segment *seg,
                      tenon_panel_tiles tiles, int32_t t, int64_t unit, int64_t n,
                      const uint8_t *units, const float *scales, float *sums, float *part) {
    const tenon_panel_shape *s = job->shape;
    const int32_t r = tenon_panel_tile_begin(seg->rows, tiles.count, t);
    const int32_t rows = tenon_panel_tile_begin(seg->rows, tiles.count, t + 1) - r;
    const int64_t act_row_bytes = tenon_panel_row_bytes_of(s);
    const int64_t act_bytes = act_row_bytes / s->units * rows, end = unit + n;
    const uint8_t *act = job->prepared + (seg->row0 + r) * act_row_bytes + unit * act_bytes;
    const tenon_panel_tile_fn tile = s->kernels->tile[s->mode][tiles.kind][rows - 1];
    const int64_t unit_bytes = tenon_panel_unit_bytes(tiles.kind);
    const tenon_panel_type type = job->weights->scale_type;
    sums += r * TENON_PANEL_COLS;
    if (!part) {
        tile(act, units, n, type, sums);
        return;
    }
    part += r * TENON_PANEL_COLS;
    const int64_t col_units = scales ? job->weights->group_units : s->units;
    const int64_t row_units = s->row_groups ? s->row_group_units : s->units;
    const float *row_scales = s->row_groups ? tenon_panel_row_scales(job, seg->row0 + r) : NULL;
    while (unit < end) {
        const int64_t col_group = unit / col_units, row_group = unit / row_units;
        const int64_t col_end = (col_group + 1) * col_units, row_end = (row_group + 1) * row_units;
        const int64_t group_end = col_end < row_end ? col_end : row_end;
        const int64_t run = (group_end < end ? group_end : end) - unit;
        tile(act, units, run, type, part);
        unit += run, act += run * act_bytes, units += run * unit_bytes;
        if (unit == group_end || unit == s->units)
            s->kernels->accumulate(part, rows,
                                   scales ? scales + col_group * TENON_PANEL_COLS : NULL,
                                   row_scales ? row_scales + row_group : NULL, s->row_groups, sums);
    }
}

static void panel_sums(const tenon_panel_job *job, const tenon_panel_segment *seg, int64_t panel,
                       float *sums, const scratch_view *v) {
    const tenon_panel_shape *s = job->shape;
    const tenon_panel_weights *w = job->weights;
    const tenon_panel_tiles tiles = tenon_panel_tiles_for(s, seg->rows);
    const float *scales = panel_scales(w, seg->expert, panel, v->scales);
    /* One tile reads a packed panel in place and once: no chunks. */
    int64_t step = TENON_PANEL_CHUNK_BYTES / tenon_panel_unit_bytes(s->kind);
    if (tiles.kind != s->kind) {
        step = EXPANDED_BYTES / tenon_panel_unit_bytes(tiles.kind);
        /* Expanding, too, must fetch ahead what comes next (see below). */
        if (tiles.count <= FEW_TILES && step > AHEAD_UNITS) step = AHEAD_UNITS;
    } else if (w->packed && tiles.count == 1)
        step = s->units;
    else if (w->packed && tiles.count <= FEW_TILES) {
        /* Memory is the limit: what one tile fetches ahead must be what the next chunk needs. */
        step = AHEAD_BYTES / tenon_panel_unit_bytes(s->kind);
        if (step < 1) step = 1;
    }

    memset(sums, 0, (size_t)seg->rows * TENON_PANEL_COLS * 4);
    float *part = scales || s->row_groups ? v->part : NULL;
    if (part) memset(part, 0, (size_t)seg->rows * TENON_PANEL_COLS * 4);
    for (int64_t unit = 0; unit < s->units; unit += step) {
        const int64_t n = s->units - unit < step ? s->units - unit : step;
        const uint8_t *units = tile_units(job, seg, panel, unit, n, tiles.kind, v);
        for (int32_t t = 0; t < tiles.count; t++)
            tile_sums(job, seg, tiles, t, unit, n, units, scales, sums, part);
    }
}

float *tenon_panel_sums(const tenon_panel_job *job, const tenon_panel_segment *seg, int64_t col,
                        int32_t slot, uint8_t *scratch) {
    const scratch_view v = view_scratch(job->shape, slot, scratch);
    const int64_t panel = col / TENON_PANEL_COLS;
    const int32_t skip = (int32_t)(col % TENON_PANEL_COLS), keep = TENON_PANEL_COLS - skip;
    panel_sums(job, seg, panel, v.sums, &v);
    if (!skip) return v.sums;
    const int has_second = (panel + 1) * TENON_PANEL_COLS < job->shape->n;
    if (has_second) panel_sums(job, seg, panel + 1, v.second, &v);
    for (int32_t r = 0; r < seg->rows; r++) {
        float *row = v.sums + r * TENON_PANEL_COLS;
        memmove(row, row + skip, (size_t)keep * 4);
        if (has_second) memcpy(row + keep, v.second + r * TENON_PANEL_COLS, (size_t)skip * 4);
    }
    return v.sums;
}
