/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel that takes what no other does: every format, stride and alignment, with f32 products.
 *
 * A block makes 32 rows by 64 virtual rows of w. Both operands are decoded element by element into
 * LDS, 32 columns at a time; a wave multiplies 16 virtual rows with all 32 rows. */
#ifndef TENON_MATMUL_PLAIN_H
#define TENON_MATMUL_PLAIN_H

#include "matmul_decode.h"
#include "matmul_finish.h"

enum { PLAIN_STEP = 32, PLAIN_PITCH = PLAIN_STEP + 1 };

SHARED_ARRAY(float, plain_x, MATMUL_PLAIN_ROWS *PLAIN_PITCH);
SHARED_ARRAY(float, plain_w, MATMUL_PLAIN_COLS *PLAIN_PITCH);

DEVICE void plain_stage(const matmul_block *block, uint32_t v0, uint32_t k0) {
    const uint32_t col = k0 + thread_x() % PLAIN_STEP, first = thread_x() / PLAIN_STEP;
    enum { ROWS_AT_ONCE = MATMUL_PLAIN_LANES / PLAIN_STEP };
#pragma unroll 1
    for (uint32_t i = first; i < MATMUL_PLAIN_ROWS; i += ROWS_AT_ONCE) {
        const matmul_arguments a = arguments_again();
        float x = 0;
        if (i < block->count && col < a.k) {
            const matmul_source s = source_of(&a, block->first + i, false);
            const uint32_t table = a.max_rows ? s.row / a.max_rows : 0;
            if (s.there) x = operand_element(&a.x, table, s.row - table * a.max_rows, col);
        }
        plain_x[i * PLAIN_PITCH + thread_x() % PLAIN_STEP] = x;
    }
#pragma unroll 1
    for (uint32_t i = first; i < MATMUL_PLAIN_COLS; i += ROWS_AT_ONCE) {
        const matmul_arguments a = arguments_again();
        const bool there = v0 + i < a.n && col < a.k;
        plain_w[i * PLAIN_PITCH + thread_x() % PLAIN_STEP] =
            there ? operand_element(&a.w, block->expert, weight_row(&a, v0 + i), col) : 0;
    }
}

DEVICE void matmul_plain(void) {
    const matmul_arguments a = arguments_again();
    const uint32_t n_columns = a.k;
    const matmul_block block = find_block(&a, block_y(), MATMUL_PLAIN_ROWS);
    if (!block.count) return;
    const uint32_t v0 = block_x() * MATMUL_PLAIN_COLS, in_16 = lane_id() % 16,
                   quarter = lane_id() / 16;
    f32x4 sums[2] = {{0, 0, 0, 0}, {0, 0, 0, 0}};
    for (uint32_t k0 = 0; k0 < n_columns; k0 += PLAIN_STEP) {
        plain_stage(&block, v0, k0);
        workgroup_barrier();
        for (uint32_t k = quarter; k < PLAIN_STEP; k += 4) {
            const float w = plain_w[(wave_id() * 16 + in_16) * PLAIN_PITCH + k];
#pragma unroll
            for (uint32_t i = 0; i < 2; i++)
                sums[i] = __builtin_amdgcn_mfma_f32_16x16x4f32(
                    w, plain_x[(i * 16 + in_16) * PLAIN_PITCH + k], sums[i], 0, 0, 0);
        }
        workgroup_barrier();
    }
    for (uint32_t i = 0; i < 2; i++) {
        const matmul_arguments end = arguments_again();
        const uint32_t in_block = i * 16 + in_16;
        if (in_block >= block.count) continue;
        const matmul_source s = source_of(&end, block.first + in_block, !block_x());
        finish_outputs(&end, block.expert, block.first + in_block, s,
                       v0 + wave_id() * 16 + 4 * quarter, sums[i]);
    }
}

/* Every object has it: what a run brings need not be aligned as its plan was. */
#define MATMUL_PLAIN_KERNEL                                                                        \
    DEVICE_KERNEL(matmul_any, MATMUL_PLAIN_LANES)(matmul_arguments named) {                        \
        (void)named; /* read from where the launch puts it */                                      \
        matmul_plain();                                                                            \
    }

#endif /* TENON_MATMUL_PLAIN_H */
