/* SPDX-License-Identifier: Apache-2.0 */
/* What the launchers of matmul and moe_matmul hand to their common kernels: a matmul is one expert
 * that has all rows. Bytes, unless the name says otherwise. */
#ifndef TENON_MULTIPLY_ARGUMENTS_H
#define TENON_MULTIPLY_ARGUMENTS_H

#include "device/device_arguments.h"

enum {
    MULTIPLY_BLOCK_LANES = 256,
    MULTIPLY_SLAB_COLS = 32, /* columns of two matrix instructions */
    MULTIPLY_PARTS =
        4, /* k is cut in so many parts, whatever m is; their sums are added in order */
    MULTIPLY_PART_COLS = 128,  /* a part is a multiple of it */
    MULTIPLY_ROWS_BYTES = 2608 /* of multiply_rows */
};

/* How the words of four-bit weights lie. */
enum {
    MULTIPLY_K_LAST,  /* eight columns of a row in a word, rows contiguous */
    MULTIPLY_K_FIRST, /* the same words, the rows of a word column contiguous (GPTQ) */
    MULTIPLY_N_WORDS  /* eight rows in a word, in the order of AWQ */
};

/* How the kernel gets 16-bit numbers, or operands of a matrix instruction, from stored weights. */
enum {
    MULTIPLY_CODE_16, /* they are 16-bit numbers */
    MULTIPLY_CODE_U4,
    MULTIPLY_CODE_E2M1,
    MULTIPLY_CODE_FP8
};

enum { MULTIPLY_ZERO_NONE, MULTIPLY_ZERO_PACKED, MULTIPLY_ZERO_I8, MULTIPLY_ZERO_U8 };

typedef struct multiply_arguments {
    tenon_device_const_bytes x, w, scale, zero, global_scale, bias, x_scale;
    tenon_device_bytes out;
    tenon_device_const_bytes expert_offsets, expert_counts, row_pairs, row_weights;
    tenon_device_fault fault;

    int64_t x_table_bytes, x_row_bytes; /* from one masked table to the next; from row to row */
    int64_t w_expert_bytes, w_n_bytes, w_k_bytes;
    int64_t scale_expert, scale_row, scale_col, zero_expert, zero_row, zero_col; /* elements */
    int64_t x_scale_row, x_scale_col, bias_expert, out_table, out_row;           /* elements */

    uint32_t n, n_out, k, part_cols;
    uint32_t rows, x_rows, pairs; /* of out, of x, of row_weights */
    uint32_t table_rows;          /* rows of a masked table; else rows */
    uint32_t local, is_grouped, is_masked, offsets_are_64, pairs_per_token, rows_in_order;
    uint32_t n_tiles, row_tiles; /* of this launch */

    /* Weight row of place p in a tile: base + p / 16 * step_16 + p % 16 / 8 * step_8 + p % 8 *
     * step_1, so that a gate and its up row are eight places, and in one lane two registers, apart.
     */
    int32_t tile_base, tile_step, step_16, step_8, step_1;

    uint32_t code, storage, w_number, w_unit, x_unit; /* unit: bytes of an aligned copy */
    uint32_t row_bytes;                               /* of the k columns of a weight row */
    uint32_t scale_number, scale_swizzled, scale_col_shift, scale_row_shift, scale_groups;
    uint32_t zero_kind, zero_is_awq, zero_add;
    uint32_t global_divides;
    uint32_t x_scale_col_shift;
    uint32_t bias_number, out_number;
    uint32_t activation;
    uint32_t gated;
    float alpha, limit;
} multiply_arguments;

#endif /* TENON_MULTIPLY_ARGUMENTS_H */
