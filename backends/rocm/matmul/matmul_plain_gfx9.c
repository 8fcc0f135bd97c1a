/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel that takes what no other does: every format, stride and alignment, with f32 products.
 *
 * A block makes 32 rows by 64 virtual rows of w. Both operands are decoded element by element into
 * LDS, 32 columns at a time; a wave multiplies 16 virtual rows with all 32 rows. */
#include "matmul_decode.h"
#include "matmul_finish.h"

enum { STEP = 32, PITCH = STEP + 1 };

SHARED_ARRAY(float, shared_x, MATMUL_PLAIN_ROWS *PITCH);
SHARED_ARRAY(float, shared_w, MATMUL_PLAIN_COLS *PITCH);

/* The arguments, read anew: kept in registers over the loops, there would be more of them than
 * registers. The compiler may not know that the address is always the same. */
DEVICE matmul_arguments arguments_again(void) {
    typedef __attribute__((address_space(4))) const matmul_arguments *constant_arguments;
    constant_arguments p = (constant_arguments)__builtin_amdgcn_kernarg_segment_ptr();
    __asm__ volatile("" : "+s"(p));
    return *p;
}

DEVICE void stage(const matmul_block *block, uint32_t v0, uint32_t k0) {
    const uint32_t col = k0 + thread_x() % STEP, first = thread_x() / STEP;
    enum { ROWS_AT_ONCE = MATMUL_PLAIN_LANES / STEP };
#pragma unroll 1
    for (uint32_t i = first; i < MATMUL_PLAIN_ROWS; i += ROWS_AT_ONCE) {
        const matmul_arguments a = arguments_again();
        float x = 0;
        if (i < block->count && col < a.k) {
            const matmul_source s = source_of(&a, block->first + i, false);
            const uint32_t table = a.max_rows ? s.row / a.max_rows : 0;
            if (s.there) x = operand_element(&a.x, table, s.row - table * a.max_rows, col);
        }
        shared_x[i * PITCH + thread_x() % STEP] = x;
    }
#pragma unroll 1
    for (uint32_t i = first; i < MATMUL_PLAIN_COLS; i += ROWS_AT_ONCE) {
        const matmul_arguments a = arguments_again();
        const bool there = v0 + i < a.n && col < a.k;
        shared_w[i * PITCH + thread_x() % STEP] =
            there ? operand_element(&a.w, block->expert, weight_row(&a, v0 + i), col) : 0;
    }
}

DEVICE_KERNEL(matmul_plain, MATMUL_PLAIN_LANES)(matmul_arguments named) {
    (void)named; /* what the launch passes */
    const matmul_arguments a = arguments_again();
    const uint32_t n_columns = a.k;
    const matmul_block block = find_block(&a, block_y(), MATMUL_PLAIN_ROWS);
    if (!block.count) return;
    const uint32_t v0 = block_x() * MATMUL_PLAIN_COLS, in_16 = lane_id() % 16,
                   quarter = lane_id() / 16;
    f32x4 sums[2] = {{0, 0, 0, 0}, {0, 0, 0, 0}};
    for (uint32_t k0 = 0; k0 < n_columns; k0 += STEP) {
        stage(&block, v0, k0);
        workgroup_barrier();
        for (uint32_t k = quarter; k < STEP; k += 4) {
            const float w = shared_w[(wave_id() * 16 + in_16) * PITCH + k];
#pragma unroll
            for (uint32_t i = 0; i < 2; i++)
                sums[i] = __builtin_amdgcn_mfma_f32_16x16x4f32(
                    w, shared_x[(i * 16 + in_16) * PITCH + k], sums[i], 0, 0, 0);
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
