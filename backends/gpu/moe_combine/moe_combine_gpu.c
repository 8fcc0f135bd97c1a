/* SPDX-License-Identifier: Apache-2.0 */
/* moe_combine: one lane for each 16 bytes of a token's row. It walks the token's k pairs in their
 * order, so that the sum is the same every time: k * hidden elements in, hidden out. */
#include "device/device_fault.h"
#include "device/device_row.h"
#include "moe_combine_arguments.h"

DEVICE void combine(const moe_combine_arguments *a, const int piece) {
    const uint32_t at = block_x() * MOE_COMBINE_BLOCK_LANES + thread_x();
    const uint32_t token = at / a->row_pieces, h = at % a->row_pieces * (uint32_t)piece;
    if (token >= a->n_tokens) return;
    float sum[8] = {0};
    for (uint32_t slot = 0; slot < a->k; slot++) {
        const int32_t row =
            ((TENON_GLOBAL const int32_t *)a->pair_rows)[token * a->pair_token + slot];
        if (row < 0 || (uint32_t)row >= a->n_rows) {
            if (row != -1 && h == 0)
                report_fault(a->fault, TENON_OP_MOE_COMBINE, TENON_FAULT_ROW_OUT_OF_RANGE,
                             token * (int64_t)a->k + slot, row, a->n_rows);
            continue;
        }
        const float weight =
            a->weights ? ((TENON_GLOBAL const float *)a->weights)[token * a->weight_token + slot]
                       : 1;
        float y[8];
        load_piece(a->y,
                   (uint32_t)row / a->table_rows * a->y_table +
                       (uint32_t)row % a->table_rows * a->y_row + h,
                   a->y_number, piece, y);
        for (int j = 0; j < piece; j++) sum[j] = fma_f32(weight, y[j], sum[j]);
    }
    float shared[8] = {0};
    if (a->shared)
        load_piece(a->shared, token * a->shared_token + h, a->shared_number, piece, shared);
    for (int j = 0; j < piece; j++) sum[j] = fma_f32(a->scale, sum[j], shared[j]);
    store_piece(a->out, token * a->out_token + h, a->out_number, piece, sum);
}

/* Rows on 16-byte boundaries and of whole pieces, or element by element. */
DEVICE_KERNEL(moe_combine_by_8, MOE_COMBINE_BLOCK_LANES)(DEVICE_ARGUMENT moe_combine_arguments a) {
    combine(&a, 8);
}
DEVICE_KERNEL(moe_combine_by_4, MOE_COMBINE_BLOCK_LANES)(DEVICE_ARGUMENT moe_combine_arguments a) {
    combine(&a, 4);
}
DEVICE_KERNEL(moe_combine_elements,
              MOE_COMBINE_BLOCK_LANES)(DEVICE_ARGUMENT moe_combine_arguments a) {
    combine(&a, 1);
}
