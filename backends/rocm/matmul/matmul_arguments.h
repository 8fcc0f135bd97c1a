/* SPDX-License-Identifier: Apache-2.0 */
/* What the launchers of matmul and moe_matmul hand to their kernels; both operations run the same
 * code. A matmul is one expert whose rows are all rows.
 *
 * Virtual rows: what an output needs lies side by side. Output j of a gated activation has the gate
 * at virtual row 2 j and the value that it multiplies at 2 j + 1, wherever the weight keeps them.
 */
#ifndef TENON_MATMUL_ARGUMENTS_H
#define TENON_MATMUL_ARGUMENTS_H

#include "device/device_arguments.h"

enum {
    MATMUL_PLAIN_LANES = 256,
    MATMUL_PLAIN_ROWS = 32, /* rows of x and virtual rows of w in a block */
    MATMUL_PLAIN_COLS = 64,
    MATMUL_STREAM_LANES = 512,
    MATMUL_STREAM_COLS = 16,
    MATMUL_TILE_LANES = 256,
    MATMUL_TILE_COLS = 128
};

/* A tensor of scales or zero points: strides in elements. */
typedef struct matmul_plane {
    tenon_device_const_bytes data; /* NULL: there is none */
    int64_t expert_stride, row_stride, col_stride;
    uint32_t number;
    uint32_t swizzled; /* the 128x4 order: blocks of a row */
} matmul_plane;

/* x or w as tenon_weight_view has it: strides in bytes. */
typedef struct matmul_operand {
    tenon_device_const_bytes data;
    int64_t expert_stride, row_stride, k_stride;
    matmul_plane scale, zero, global;
    tenon_device_const_bytes group_index;
    int64_t group_index_stride;
    uint32_t format, number; /* TENON_FORMAT_*, tenon_number */
    uint32_t group_rows, group_cols, col_groups;
    uint32_t global_divides;
    uint32_t gptq; /* zero points are stored less one */
} matmul_operand;

typedef struct matmul_arguments {
    matmul_operand x, w;
    tenon_device_const_bytes bias;
    tenon_device_bytes out;
    int64_t bias_expert, out_row, out_table; /* elements; out_table: of the masked layout */
    tenon_device_const_bytes expert_offsets, expert_counts, row_pairs, row_weights;
    tenon_device_fault fault;
    uint32_t n, k;
    uint32_t rows, x_rows; /* of out; of x, all experts of the masked layout together */
    uint32_t local;        /* 0: matmul, no experts */
    uint32_t max_rows;     /* masked layout: rows of a table; else 0 */
    uint32_t offsets_64, in_order, pairs_per_token, n_pairs;
    uint32_t bias_number, out_number;
    uint32_t activation, gate_layout, gated;
    float alpha, limit;
} matmul_arguments;

#endif /* TENON_MATMUL_ARGUMENTS_H */
