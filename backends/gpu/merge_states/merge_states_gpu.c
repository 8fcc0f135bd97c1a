/* SPDX-License-Identifier: Apache-2.0 */
/* merge_states: one group of lanes for each (token, head), each lane with 16 bytes of a state's row
 * at a time. The group finds the largest lse first, so that every partial result is read once:
 * states * d_v elements in, d_v out, and 4 * states bytes of lse, which the lanes share. */
#include "device/device_row.h"
#include "merge_states_arguments.h"

/* -inf for an empty state, which some hosts mark with +inf. */
DEVICE float lse_of(const merge_states_arguments *a, int64_t state, int64_t token, int64_t head) {
    const float lse = ((TENON_GLOBAL const float *)
                           a->partial_lse)[state * a->in_lse_state + token * a->in_lse_token +
                                           head * a->in_lse_head];
    return lse == DEVICE_INFINITY ? -DEVICE_INFINITY : lse;
}

DEVICE void merge_rows(const merge_states_arguments *a, uint32_t in_number, const int piece) {
    const uint32_t lane = thread_x() % a->row_lanes;
    const uint32_t row = (block_x() * MERGE_STATES_BLOCK_LANES + thread_x()) / a->row_lanes;
    if (row >= a->rows) return;
    const int64_t token = row / (uint32_t)a->n_heads, head = row % (uint32_t)a->n_heads;
    float max = -DEVICE_INFINITY;
    for (int32_t s = 0; s < a->n_states; s++) max = larger_f32(max, lse_of(a, s, token, head));
    float sum = 0;
    for (int32_t s = 0; s < a->n_states; s++) {
        const float lse = lse_of(a, s, token, head);
        if (lse != -DEVICE_INFINITY) sum += exp2_f32((lse - max) * a->log2_of_base);
    }
    const float scale = sum == 0 ? 0 : 1 / sum;
    for (int32_t d = (int32_t)lane * piece; d < a->d_v; d += (int32_t)a->row_lanes * piece) {
        float total[8] = {0};
        for (int32_t s = 0; s < a->n_states; s++) {
            const float lse = lse_of(a, s, token, head);
            if (lse == -DEVICE_INFINITY) continue;
            const float weight = exp2_f32((lse - max) * a->log2_of_base);
            float x[8];
            load_piece(a->partial_out,
                       s * a->in_state + token * a->in_token + head * a->in_head + d, in_number,
                       piece, x);
            for (int j = 0; j < piece; j++) total[j] = fma_f32(weight, x[j], total[j]);
        }
        for (int j = 0; j < piece; j++) total[j] *= scale;
        store_piece(a->out, token * a->out_token + head * a->out_head + d, a->out_number, piece,
                    total);
    }
    if (a->lse && lane == 0)
        ((TENON_GLOBAL float *)a->lse)[token * a->lse_token + head * a->lse_head] =
            sum == 0 ? -DEVICE_INFINITY : max + log2_f32(sum) / a->log2_of_base;
}

/* Rows on 16-byte boundaries, and of whole pieces. */
DEVICE_KERNEL(merge_states_f32,
              MERGE_STATES_BLOCK_LANES)(DEVICE_ARGUMENT merge_states_arguments a) {
    merge_rows(&a, TENON_NUMBER_F32, 4);
}
DEVICE_KERNEL(merge_states_f16,
              MERGE_STATES_BLOCK_LANES)(DEVICE_ARGUMENT merge_states_arguments a) {
    merge_rows(&a, TENON_NUMBER_F16, 8);
}
DEVICE_KERNEL(merge_states_bf16,
              MERGE_STATES_BLOCK_LANES)(DEVICE_ARGUMENT merge_states_arguments a) {
    merge_rows(&a, TENON_NUMBER_BF16, 8);
}
/* Any others: neighbouring lanes still read neighbouring elements. */
DEVICE_KERNEL(merge_states_elements,
              MERGE_STATES_BLOCK_LANES)(DEVICE_ARGUMENT merge_states_arguments a) {
    merge_rows(&a, a.in_number, 1);
}
