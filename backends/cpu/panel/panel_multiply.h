/* SPDX-License-Identifier: Apache-2.0 */
/* sums = prepared rows . weights^T over panels: cuts the work into tasks, packs unpacked weights in
 * front of the tiles, and hands each finished block to the operation. Used by every matmul of the
 * CPU. */
#ifndef TENON_PANEL_MULTIPLY_H
#define TENON_PANEL_MULTIPLY_H

#include <stddef.h>

#include "cpu_threads.h"
#include "panel_kernels.h"
#include "panel_rows.h"
#include "weight_view.h"

enum {
    /* Rows that one task takes through its panels: a multiple of every tile's rows; their sums (24
     * KB) and a chunk of weights (20 KB) stay in the L2 cache, the chunk also in L1. */
    TENON_PANEL_SEGMENT_ROWS = 192,
    TENON_PANEL_MAX_ROUND_ROWS = 10 * TENON_PANEL_SEGMENT_ROWS,
    TENON_PANEL_CHUNK_BYTES = 20480
};

/* Weights as panels, as the checkpoint's rows, or as elements with their scales beside them. */
typedef struct tenon_panel_weights {
    tenon_panel_kind kind;
    int64_t n, k, experts;
    const uint8_t *data;          /* expert 0; panels are 64-byte aligned */
    int64_t expert_stride;        /* bytes */
    int32_t packed;               /* panels */
    int64_t row_stride, k_stride; /* bytes, unpacked only; k_stride: of an element (plain kinds) */
    tenon_panel_type scale_type;  /* of 16-bit scales */
    int32_t beside;               /* unpacked only: units are put together from `view` */
    int32_t decoded;              /* .. or from the view's values, which it knows of every format */
    tenon_weight_view view;
    int32_t kept; /* unpacked, but in a blob that keeps the tensors (kept_blob.h) */

    /* Scales that are not in the units: value = element * scale of its column and of its group of
     * group_units along k. groups 0: none. */
    int64_t groups, group_units;
    const float *scales; /* packed: [experts][panels][groups][32]; else the view has them */

    /* Columns in the order of their groups, groups padded to whole units (panel_order.h): k counts
     * the padding. order[k]: the column of each, -1 for padding; NULL before it is known. */
    int32_t ordered;
    int64_t source_k;
    const int32_t *order;
} tenon_panel_weights;

/* What planning fixes. */
typedef struct tenon_panel_shape {
    const tenon_panel_kernels *kernels;
    tenon_panel_kind kind;
    tenon_panel_mode mode;
    int64_t n, k, units;
    int64_t groups;                      /* of weights that have scales beside the units; else 0 */
    int64_t row_groups, row_group_units; /* the same of rows of activations */
    int64_t loaded_row_bytes;            /* of quantized rows while they are prepared; else 0 */
    int64_t ordered_row_bytes;           /* of rows in the order of the weights' columns; else 0 */
    int32_t n_threads;
    int32_t sums_slots; /* blocks of sums that finish keeps at the same time */
} tenon_panel_shape;

/* How a segment's rows are cut into tiles of nearly equal size, and what those read: units of the
 * weights' kind, or units of BF16 or F32 that are made of them for many rows. */
typedef struct tenon_panel_tiles {
    tenon_panel_kind kind;
    int32_t count;
} tenon_panel_tiles;

tenon_panel_tiles tenon_panel_tiles_for(const tenon_panel_shape *shape, int32_t rows);

static inline int32_t tenon_panel_tile_begin(int32_t rows, int32_t tiles, int32_t tile) {
    return (int32_t)((int64_t)rows * tile / tiles);
}

static inline int64_t tenon_panel_row_bytes_of(const tenon_panel_shape *s) {
    return tenon_panel_prepared_bytes(s->mode, s->kind, s->k);
}

/* Rows of one expert, at most TENON_PANEL_SEGMENT_ROWS: the operation's rows from `origin` on,
 * prepared as rows from row0 on. */
typedef struct tenon_panel_segment {
    int64_t row0, origin;
    int32_t rows, expert;
} tenon_panel_segment;

/* The table for a CPU's features. */
const tenon_panel_kernels *tenon_panel_kernels_for(uint64_t features);

/* int8 if `exact` is 0 and the kind is quantized; bf16 dot products where both sides are bf16. */
tenon_panel_mode tenon_panel_mode_for(const tenon_panel_kernels *kernels, tenon_panel_kind kind,
                                      tenon_panel_type type, int exact);

/* How many rows an operation prepares at a time, of at most `rows`: so many that the weights are
 * read seldom, so few that the workspace stays near 32 MB. */
int64_t tenon_panel_round_rows(const tenon_panel_shape *shape, int64_t rows);

/* Bytes of `rows` prepared rows, and of one thread's scratch: multiples of 64. */
size_t tenon_panel_rows_bytes(const tenon_panel_shape *shape, int64_t rows);
size_t tenon_panel_scratch_bytes(const tenon_panel_shape *shape);

typedef struct tenon_panel_job tenon_panel_job;
struct tenon_panel_job {
    const tenon_panel_shape *shape;
    const tenon_panel_weights *weights;
    const tenon_panel_segment *segments;
    int64_t n_segments;
    int64_t round_rows; /* that `prepared` has room for */
    uint8_t *prepared;  /* tenon_panel_rows_bytes */
    uint8_t *scratch;   /* n_threads x tenon_panel_scratch_bytes */

    /* The operation's row `row`: k contiguous elements of `type`, or NULL for zeros. */
    const void *(*row)(const void *operation, int64_t row);
    tenon_panel_type type;
    /* Or, where activations come quantized: the row of `rows` that it is, or -1 for zeros. */
    const tenon_panel_rows *rows;
    int64_t (*row_index)(const void *operation, int64_t row);
    /* Finishes one block of a segment: calls tenon_panel_sums for the columns it needs,
     * and writes its results. */
    void (*finish)(const tenon_panel_job *job, const tenon_panel_segment *segment, int64_t block,
                   uint8_t *scratch);
    int64_t n_blocks;
    const void *operation;
};

/* Where the scales of a prepared row lie: behind all prepared rows. */
float *tenon_panel_row_scales(const tenon_panel_job *job, int64_t row);

/* Plans quantized activations into a shape whose weights are known; shape->mode follows. */
void tenon_panel_shape_rows(tenon_panel_shape *shape, const tenon_weight_view *view,
                            tenon_panel_rows *rows);

/* Prepares all segments' rows, then runs finish for each segment and block. */
void tenon_panel_run(const tenon_panel_job *job, tenon_cpu_pool *pool);

/* sums[rows][32] of the segment for columns [col, col + 32), which may begin anywhere; columns past
 * n are unspecified. `slot` < sums_slots says which of the scratch's sums to use. */
float *tenon_panel_sums(const tenon_panel_job *job, const tenon_panel_segment *segment, int64_t col,
                        int32_t slot, uint8_t *scratch);

/* Cuts rows [origin, origin + rows) of an expert into segments; returns how many. */
int64_t tenon_panel_cut(int64_t row0, int64_t origin, int64_t rows, int32_t expert,
                        tenon_panel_segment *segments);

/* n elements to f32. */
void tenon_panel_load_row(tenon_panel_type type, const void *row, int32_t n, float *out);

/* Panel `panel` of an expert into units at dst (tenon_panel_bytes). edge: TENON_PANEL_EDGE_BYTES of
 * scratch.
 */
void tenon_panel_pack(const tenon_panel_kernels *kernels, const tenon_panel_weights *weights,
                      int64_t expert, int64_t panel, int64_t unit0, int64_t n_units, uint8_t *dst,
                      uint8_t *edge);

/* scales[groups][32] of a panel of weights that have them beside their elements. */
void tenon_panel_load_scales(const tenon_panel_weights *weights, int64_t expert, int64_t panel,
                             float *scales);

#endif
