/* SPDX-License-Identifier: Apache-2.0 */
#include "panel_multiply.h"

#include <string.h>

#include "bfloat16.h"
#include "cpu_features.h"
#include "float16.h"
#include "panel_source.h"

enum {
    SUMS_BYTES = TENON_PANEL_SEGMENT_ROWS * TENON_PANEL_COLS * 4,
    EDGE_BYTES = (TENON_PANEL_EDGE_BYTES + 63) / 64 * 64,
    TASKS_PER_THREAD = 8,
    PREPARED_BYTES = 32 << 20, /* of one round */
    /* Below these the workers are not asked: sharing costs more than it saves (0.2 to 0.6 us, when
     * they are awake). Bytes of prepared rows; bytes of weights, counted once for each tile that
     * reads them. */
    SERIAL_PREPARED_BYTES = 16 << 10,
    SERIAL_WEIGHT_BYTES = 96 << 10,
};

const tenon_panel_kernels *tenon_panel_kernels_for(uint64_t features) {
#if defined(__x86_64__)
    if (!tenon_cpu_missing(features, TENON_CPU_LEVEL_AVX512VNNI))
        return &tenon_panel_x86_avx512vnni;
    if (!tenon_cpu_missing(features, TENON_CPU_LEVEL_AVX512)) return &tenon_panel_x86_avx512;
    if (!tenon_cpu_missing(features, TENON_CPU_LEVEL_AVX2)) return &tenon_panel_x86_avx2;
#endif
    (void)features;
    return &tenon_panel_scalar;
}

tenon_panel_mode tenon_panel_mode_for(const tenon_panel_kernels *kernels, tenon_panel_kind kind,
                                      tenon_panel_type type, int exact) {
    if (!tenon_panel_is_plain(kind)) return exact ? TENON_PANEL_FLOAT : TENON_PANEL_INT8;
    return type == TENON_PANEL_TYPE_BF16 && kernels->max_rows[TENON_PANEL_BF16_DOT][kind]
               ? TENON_PANEL_BF16_DOT
               : TENON_PANEL_FLOAT;
}

int64_t tenon_panel_cut(int64_t row0, int64_t origin, int64_t rows, int32_t expert,
                        tenon_panel_segment *segments) {
    int64_t n = 0;
    for (int64_t r = 0; r < rows; r += TENON_PANEL_SEGMENT_ROWS) {
        const int64_t left = rows - r;
        segments[n++] = (tenon_panel_segment){
            row0 + r, origin + r,
            left < TENON_PANEL_SEGMENT_ROWS ? (int32_t)left : TENON_PANEL_SEGMENT_ROWS, expert};
    }
    return n;
}

void tenon_panel_load_row(tenon_panel_type type, const void *row, int32_t n, float *out) {
    if (type == TENON_PANEL_TYPE_F32) {
        memcpy(out, row, (size_t)n * 4);
        return;
    }
    for (int32_t i = 0; i < n; i++) {
        uint16_t bits;
        memcpy(&bits, (const uint8_t *)row + 2 * i, 2);
        out[i] = type == TENON_PANEL_TYPE_BF16 ? tenon_bf16_to_f32(bits) : tenon_f16_to_f32(bits);
    }
}

static size_t round_up_64(size_t bytes) {
    return (bytes + 63) / 64 * 64;
}

static int64_t row_bytes_of(const tenon_panel_shape *s) {
    return tenon_panel_prepared_bytes(s->mode, s->kind, s->k);
}

size_t tenon_panel_rows_bytes(const tenon_panel_shape *s, int64_t rows) {
    return round_up_64((size_t)rows * (size_t)row_bytes_of(s));
}

int64_t tenon_panel_round_rows(const tenon_panel_shape *s, int64_t rows) {
    const int64_t each = row_bytes_of(s);
    int64_t most = each ? PREPARED_BYTES / each : TENON_PANEL_MAX_ROUND_ROWS;
    most -= most % TENON_PANEL_SEGMENT_ROWS;
    if (most < TENON_PANEL_SEGMENT_ROWS) most = TENON_PANEL_SEGMENT_ROWS;
    if (most > TENON_PANEL_MAX_ROUND_ROWS) most = TENON_PANEL_MAX_ROUND_ROWS;
    return rows < most ? rows : most;
}

/* sums of the blocks, sums of a second panel for unaligned columns, a chunk of packed weights, and
 * the copy of incomplete units. */
size_t tenon_panel_scratch_bytes(const tenon_panel_shape *s) {
    return (size_t)(s->sums_slots + 1) * SUMS_BYTES + TENON_PANEL_CHUNK_BYTES + EDGE_BYTES;
}

static int64_t chunk_units(tenon_panel_kind kind) {
    return TENON_PANEL_CHUNK_BYTES / tenon_panel_unit_bytes(kind);
}

/* ---- packing ---------------------------------------------------------------------------- */

/* Plain kinds whose rows are not contiguous, or whose last unit is not full, go through a copy. */
static void copy_unit(const tenon_panel_weights *w, const uint8_t *const *rows, int64_t unit,
                      uint8_t *edge) {
    const int64_t element = w->kind == TENON_PANEL_F32 ? 4 : 2, unit_k = TENON_PANEL_GROUP;
    const int64_t k0 = unit * unit_k, n = w->k - k0 < unit_k ? w->k - k0 : unit_k;
    memset(edge, 0, TENON_PANEL_EDGE_BYTES);
    for (int c = 0; c < TENON_PANEL_COLS; c++)
        for (int64_t i = 0; i < n; i++)
            memcpy(edge + (c * unit_k + i) * element, rows[c] + (k0 + i) * w->k_stride,
                   (size_t)element);
}

void tenon_panel_pack(const tenon_panel_kernels *kernels, const tenon_panel_weights *w,
                      int64_t expert, int64_t panel, int64_t unit0, int64_t n_units, uint8_t *dst,
                      uint8_t *edge) {
    const uint8_t *rows[TENON_PANEL_COLS], *at[TENON_PANEL_COLS];
    const int64_t row_bytes = tenon_panel_row_bytes(w->kind);
    const int64_t unit_bytes = tenon_panel_unit_bytes(w->kind);
    if (w->beside) {
        const tenon_weight_view view = tenon_weight_expert(&w->view, expert);
        for (int c = 0; c < TENON_PANEL_COLS; c++) at[c] = edge + c * row_bytes;
        for (int64_t u = 0; u < n_units; u++) {
            tenon_panel_gather(w->kind, &view, panel * TENON_PANEL_COLS, unit0 + u, edge);
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
        if (w->k_stride != (w->kind == TENON_PANEL_F32 ? 4 : 2))
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

/* ---- one block of sums ------------------------------------------------------------------ */

/* A segment's rows are cut into tiles of nearly equal size. */
static int32_t tiles_of(int32_t rows, int32_t max_rows) {
    return (rows + max_rows - 1) / max_rows;
}
static int32_t tile_begin(int32_t rows, int32_t tiles, int32_t tile) {
    return (int32_t)((int64_t)rows * tile / tiles);
}

static void panel_sums(const tenon_panel_job *job, const tenon_panel_segment *seg, int64_t panel,
                       float *sums, uint8_t *chunk) {
    const tenon_panel_shape *s = job->shape;
    const tenon_panel_weights *w = job->weights;
    const int32_t max_rows = s->kernels->max_rows[s->mode][s->kind];
    const int32_t tiles = tiles_of(seg->rows, max_rows);
    const int64_t unit_bytes = tenon_panel_unit_bytes(s->kind);
    const int64_t act_row_bytes = row_bytes_of(s);
    const int64_t act_unit_bytes = s->units ? act_row_bytes / s->units : 0;
    const uint8_t *packed =
        w->data + seg->expert * w->expert_stride + panel * s->units * unit_bytes;
    /* One tile reads the panel once: no chunks, unless the weights have to be packed first. */
    const int64_t step = w->packed && tiles == 1 ? s->units : chunk_units(s->kind);

    memset(sums, 0, (size_t)seg->rows * TENON_PANEL_COLS * 4);
    for (int64_t unit = 0; unit < s->units; unit += step) {
        const int64_t n = s->units - unit < step ? s->units - unit : step;
        const uint8_t *units = packed + unit * unit_bytes;
        if (!w->packed) {
            tenon_panel_pack(s->kernels, w, seg->expert, panel, unit, n, chunk,
                             chunk + TENON_PANEL_CHUNK_BYTES);
            units = chunk;
        }
        for (int32_t t = 0; t < tiles; t++) {
            const int32_t r = tile_begin(seg->rows, tiles, t);
            const int32_t rows = tile_begin(seg->rows, tiles, t + 1) - r;
            const uint8_t *act = job->prepared + (seg->row0 + r) * act_row_bytes;
            s->kernels->tile[s->mode][s->kind][rows - 1](act + unit * act_unit_bytes * rows, units,
                                                         n, w->scale_type,
                                                         sums + r * TENON_PANEL_COLS);
        }
    }
}

float *tenon_panel_sums(const tenon_panel_job *job, const tenon_panel_segment *seg, int64_t col,
                        int32_t slot, uint8_t *scratch) {
    const int32_t slots = job->shape->sums_slots;
    float *sums = (float *)(void *)(scratch + (size_t)slot * SUMS_BYTES);
    float *second = (float *)(void *)(scratch + (size_t)slots * SUMS_BYTES);
    uint8_t *chunk = scratch + (size_t)(slots + 1) * SUMS_BYTES;
    const int64_t panel = col / TENON_PANEL_COLS;
    const int32_t skip = (int32_t)(col % TENON_PANEL_COLS), keep = TENON_PANEL_COLS - skip;
    panel_sums(job, seg, panel, sums, chunk);
    if (!skip) return sums;
    const int has_second = (panel + 1) * TENON_PANEL_COLS < job->shape->n;
    if (has_second) panel_sums(job, seg, panel + 1, second, chunk);
    for (int32_t r = 0; r < seg->rows; r++) {
        float *row = sums + r * TENON_PANEL_COLS;
        memmove(row, row + skip, (size_t)keep * 4);
        if (has_second) memcpy(row + keep, second + r * TENON_PANEL_COLS, (size_t)skip * 4);
    }
    return sums;
}

/* ---- tasks ------------------------------------------------------------------------------ */

typedef struct run_state {
    const tenon_panel_job *job;
    int64_t blocks_per_task, n_groups;
    int64_t max_tiles; /* of any segment */
} run_state;

static void prepare_task(void *arg, int64_t task, int32_t thread) {
    const run_state *st = arg;
    const tenon_panel_job *job = st->job;
    const tenon_panel_shape *s = job->shape;
    const tenon_panel_segment *seg = &job->segments[task / st->max_tiles];
    const int32_t tile = (int32_t)(task % st->max_tiles);
    const int32_t tiles = tiles_of(seg->rows, s->kernels->max_rows[s->mode][s->kind]);
    (void)thread;
    if (tile >= tiles) return;
    const int32_t begin = tile_begin(seg->rows, tiles, tile);
    const int32_t rows = tile_begin(seg->rows, tiles, tile + 1) - begin;
    uint8_t *act = job->prepared + (seg->row0 + begin) * row_bytes_of(s);
    for (int32_t i = 0; i < rows; i++)
        s->kernels->prepare(s->mode, s->kind, job->type,
                            job->row(job->operation, seg->origin + begin + i), s->k, rows, i, act);
}

static void prepare_segment(void *arg, int64_t task, int32_t thread) {
    const int64_t max_tiles = ((const run_state *)arg)->max_tiles;
    for (int64_t tile = 0; tile < max_tiles; tile++)
        prepare_task(arg, task * max_tiles + tile, thread);
}

static void finish_task(void *arg, int64_t task, int32_t thread) {
    const run_state *st = arg;
    const tenon_panel_job *job = st->job;
    /* One expert: all segments of a group of panels one after the other, so that its weights come
     * from DRAM once. Several: an expert's panels one after the other, one stream of memory. */
    const int by_panel = job->weights->experts == 1;
    const int64_t seg = by_panel ? task % job->n_segments : task / st->n_groups;
    const int64_t group = by_panel ? task / job->n_segments : task % st->n_groups;
    const int64_t begin = group * st->blocks_per_task;
    const int64_t end =
        begin + st->blocks_per_task < job->n_blocks ? begin + st->blocks_per_task : job->n_blocks;
    uint8_t *scratch = job->scratch + (size_t)thread * tenon_panel_scratch_bytes(job->shape);
    for (int64_t block = begin; block < end; block++)
        job->finish(job, &job->segments[seg], block, scratch);
}

void tenon_panel_run(const tenon_panel_job *job, tenon_cpu_pool *pool) {
    const tenon_panel_shape *s = job->shape;
    if (!job->n_segments || !job->n_blocks) return;
    run_state st = {job, 1, job->n_blocks, 0};

    int64_t rows = 0, tiles = 0;
    for (int64_t i = 0; i < job->n_segments; i++) {
        const int64_t n = tiles_of(job->segments[i].rows, s->kernels->max_rows[s->mode][s->kind]);
        rows += job->segments[i].rows;
        tiles += n;
        if (n > st.max_tiles) st.max_tiles = n;
    }
    const int64_t weight_bytes = job->n_blocks * tenon_panel_bytes(s->kind, s->k) * tiles;
    if (rows * row_bytes_of(s) <= SERIAL_PREPARED_BYTES)
        tenon_cpu_pool_run(NULL, job->n_segments, prepare_segment, &st);
    else if (job->n_segments > 4 * s->n_threads)
        tenon_cpu_pool_run(pool, job->n_segments, prepare_segment, &st);
    else
        tenon_cpu_pool_run(pool, job->n_segments * st.max_tiles, prepare_task, &st);

    /* Groups of neighbouring panels, so that a thread reads one long stream; enough of them that
     * the threads end together. */
    const int64_t wanted = (int64_t)s->n_threads * TASKS_PER_THREAD;
    st.blocks_per_task = job->n_blocks * job->n_segments / wanted;
    if (st.blocks_per_task < 1) st.blocks_per_task = 1;
    if (st.blocks_per_task > 32) st.blocks_per_task = 32;
    st.n_groups = (job->n_blocks + st.blocks_per_task - 1) / st.blocks_per_task;
    tenon_cpu_pool_run(weight_bytes <= SERIAL_WEIGHT_BYTES ? NULL : pool,
                       job->n_segments * st.n_groups, finish_task, &st);
}
