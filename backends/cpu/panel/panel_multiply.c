/* SPDX-License-Identifier: Apache-2.0 */
#include "panel_multiply.h"

#include <string.h>

#include "bfloat16.h"
#include "cpu_features.h"
#include "float16.h"
#include "panel_order.h"

enum {
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
#elif defined(__aarch64__)
    if (!tenon_cpu_missing(features, TENON_CPU_LEVEL_NEONBF16)) return &tenon_panel_arm_neonbf16;
    if (!tenon_cpu_missing(features, TENON_CPU_LEVEL_NEONDOT)) return &tenon_panel_arm_neondot;
    if (!tenon_cpu_missing(features, TENON_CPU_LEVEL_NEON)) return &tenon_panel_arm_neon;
#endif
    (void)features;
    return &tenon_panel_scalar;
}

tenon_panel_mode tenon_panel_mode_for(const tenon_panel_kernels *kernels, tenon_panel_kind kind,
                                      tenon_panel_type type, int exact) {
    if (!tenon_panel_keeps_activations(kind) && !exact) return TENON_PANEL_INT8;
    return type == TENON_PANEL_TYPE_BF16 && tenon_panel_has_bf16(kernels, kind)
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

size_t tenon_panel_rows_bytes(const tenon_panel_shape *s, int64_t rows) {
    return round_up_64((size_t)rows * (size_t)tenon_panel_row_bytes_of(s)) +
           round_up_64((size_t)rows * (size_t)s->row_groups * 4);
}

float *tenon_panel_row_scales(const tenon_panel_job *job, int64_t row) {
    const tenon_panel_shape *s = job->shape;
    uint8_t *scales =
        job->prepared + round_up_64((size_t)job->round_rows * (size_t)tenon_panel_row_bytes_of(s));
    return (float *)(void *)scales + row * s->row_groups;
}

void tenon_panel_shape_rows(tenon_panel_shape *s, const tenon_weight_view *view,
                            tenon_panel_rows *rows) {
    tenon_panel_rows_plan(s->kernels, s->kind, view, rows);
    if (s->ordered_row_bytes && rows->groups > 1) /* groups of columns that do not stay together */
        rows->type = TENON_PANEL_TYPE_F32, rows->groups = 0;
    s->mode = rows->type == TENON_PANEL_TYPE_I8
                  ? TENON_PANEL_INT8
                  : tenon_panel_mode_for(s->kernels, s->kind, rows->type, 1);
    s->row_groups = rows->groups;
    s->row_group_units = rows->group_units;
    s->loaded_row_bytes = (view->k * 4 + 63) / 64 * 64;
}

int64_t tenon_panel_round_rows(const tenon_panel_shape *s, int64_t rows) {
    const int64_t each = tenon_panel_row_bytes_of(s);
    int64_t most = each ? PREPARED_BYTES / each : TENON_PANEL_MAX_ROUND_ROWS;
    most -= most % TENON_PANEL_SEGMENT_ROWS;
    if (most < TENON_PANEL_SEGMENT_ROWS) most = TENON_PANEL_SEGMENT_ROWS;
    if (most > TENON_PANEL_MAX_ROUND_ROWS) most = TENON_PANEL_MAX_ROUND_ROWS;
    return rows < most ? rows : most;
}

/* ---- tasks ------------------------------------------------------------------------------ */

typedef struct run_state {
    const tenon_panel_job *job;
    int64_t blocks_per_task, n_groups;
    int64_t max_tiles; /* of any segment */
} run_state;

/* A quantized row's values in the thread's scratch, NULL for zeros; its scales to their place. */
static const void *load_row(const tenon_panel_job *job, int64_t row, int64_t prepared_row,
                            int32_t thread) {
    const tenon_panel_shape *s = job->shape;
    const int64_t index = job->row_index(job->operation, row);
    float *scales = tenon_panel_row_scales(job, prepared_row);
    uint8_t *values = job->scratch + (size_t)thread * tenon_panel_scratch_bytes(s);
    if (index < 0) {
        for (int64_t g = 0; g < s->row_groups; g++) scales[g] = 0;
        return NULL;
    }
    tenon_panel_rows_load(job->rows, index, values, scales);
    return values;
}

static void prepare_task(void *arg, int64_t task, int32_t thread) {
    const run_state *st = arg;
    const tenon_panel_job *job = st->job;
    const tenon_panel_shape *s = job->shape;
    const tenon_panel_segment *seg = &job->segments[task / st->max_tiles];
    const int32_t tile = (int32_t)(task % st->max_tiles);
    const int32_t tiles = tenon_panel_tiles_for(s, seg->rows).count;
    if (tile >= tiles) return;
    const int32_t begin = tenon_panel_tile_begin(seg->rows, tiles, tile);
    const int32_t rows = tenon_panel_tile_begin(seg->rows, tiles, tile + 1) - begin;
    uint8_t *act = job->prepared + (seg->row0 + begin) * tenon_panel_row_bytes_of(s);
    for (int32_t i = 0; i < rows; i++) {
        const int64_t row = seg->origin + begin + i;
        const void *values = job->rows ? load_row(job, row, seg->row0 + begin + i, thread)
                                       : job->row(job->operation, row);
        if (values && job->weights->order) {
            uint8_t *to =
                job->scratch + (size_t)thread * tenon_panel_scratch_bytes(s) + s->loaded_row_bytes;
            tenon_panel_reorder(job->weights->order, s->k, values, job->weights->source_k,
                                job->type == TENON_PANEL_TYPE_F32  ? 4
                                : job->type == TENON_PANEL_TYPE_I8 ? 1
                                                                   : 2,
                                to);
            values = to;
        }
        s->kernels->prepare(s->mode, s->kind, job->type, values, s->k, rows, i, act);
    }
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
        const int64_t n = tenon_panel_tiles_for(s, job->segments[i].rows).count;
        rows += job->segments[i].rows;
        tiles += n;
        if (n > st.max_tiles) st.max_tiles = n;
    }
    const int64_t weight_bytes = job->n_blocks * tenon_panel_bytes(s->kind, s->k) * tiles;
    if (rows * tenon_panel_row_bytes_of(s) <= SERIAL_PREPARED_BYTES)
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
