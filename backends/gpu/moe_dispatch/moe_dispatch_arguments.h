/* SPDX-License-Identifier: Apache-2.0 */
/* What the launcher of moe_dispatch hands to its kernels, the same struct to all of them. Strides
 * in elements. */
#ifndef TENON_MOE_DISPATCH_ARGUMENTS_H
#define TENON_MOE_DISPATCH_ARGUMENTS_H

#include "device/device_arguments.h"

enum {
    MOE_DISPATCH_BLOCK_LANES = 256,
    MOE_DISPATCH_CHUNK = 1024, /* pairs that a wave counts and places */
    MOE_DISPATCH_MAX_LOCAL = 1056
};

typedef struct moe_dispatch_arguments {
    tenon_device_const_bytes topk_ids, expert_map, x; /* expert_map, x: or NULL */
    /* expert_offsets is there; the others may be NULL. */
    tenon_device_bytes expert_offsets, expert_counts, row_pairs, pair_rows, block_experts, n_rows,
        x_out, scale;
    tenon_device_fault fault;

    /* Workspace: pairs of each expert in each chunk [chunk][local], before them after the second
     * kernel; first row [local + 1] and rows with a pair [local] of each expert; row of each pair.
     */
    TENON_GLOBAL uint32_t *chunk_counts, *first, *kept;
    TENON_GLOBAL int32_t *row_of_pair;

    int64_t ids_token, pair_rows_token, x_token;
    int64_t out_table, out_row, scale_table, scale_row;
    uint32_t n_pairs, k, n_chunks, n_experts, n_local;
    uint32_t rows;       /* capacity, of all experts */
    uint32_t table_rows; /* of one expert in the masked layout; 0: contiguous */
    uint32_t n_row_pairs, n_blocks, block_rows;
    uint32_t ids_are_64, offsets_are_64;

    uint32_t n_tokens, hidden;
    uint32_t row_units;     /* of a row that is copied: 16 bytes, or an element */
    uint32_t element_bytes; /* of x_out, and of x where rows are copied */
    uint32_t clears_16;     /* rows of x_out are whole units of 16 bytes */
    uint32_t n_groups, group_cols, group_lanes;
    uint32_t x_number, number, is_integer;
    float element_max;
} moe_dispatch_arguments;

#endif /* TENON_MOE_DISPATCH_ARGUMENTS_H */
