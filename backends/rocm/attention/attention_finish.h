/* SPDX-License-Identifier: Apache-2.0 */
/* After the rows: folds the chunks of split sequences, in order, and empties the rows that belong
 * to no sequence or to one whose lengths contradict themselves. A workgroup for each token, a wave
 * for each head. */
#ifndef TENON_ATTENTION_FINISH_H
#define TENON_ATTENTION_FINISH_H

#include "attention_paged.h"
#include "device/device_row.h"

/* The sequence of a token; row offsets are good, and the token is below the last. */
DEVICE int32_t sequence_of(const attention_arguments *a, int32_t token) {
    int32_t low = 0, high = a->n_sequences - 1;
    if (token <= high && a->row_offsets[token] <= token && token < a->row_offsets[token + 1])
        return token; /* decode: one token for each */
    while (low < high) {
        const int32_t middle = (low + high + 1) / 2;
        if (a->row_offsets[middle] <= token)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

DEVICE void store_row(const attention_arguments *a, int32_t token, uint32_t head, uint32_t d,
                      float x) {
    store_float(a->out, ((int64_t)token * a->heads_q + head) * a->v.d + d, a->out_number, x);
}

DEVICE void store_lse(const attention_arguments *a, int32_t token, uint32_t head, float lse) {
    if (a->lse && lane_id() == 0)
        a->lse[token * a->lse_token + head * a->lse_head] = a->base2 ? lse : lse * DEVICE_LN_2;
}

DEVICE void fold_row(const attention_arguments *a, const attention_sequence *s, int32_t b,
                     int32_t token, uint32_t head, uint32_t d_held) {
    const uint32_t kv_head = head / a->group,
                   row = (uint32_t)(token - s->first_token) * a->group + head % a->group;
    const int64_t first = (((int64_t)b * a->heads_kv + kv_head) * a->chunks) * a->split_rows + row;
    float max = -DEVICE_INFINITY, weight = 0;
    bool bad_page = false;
    for (int32_t c = 0; c < s->n_chunks; c++) {
        TENON_GLOBAL const float *state =
            a->partial_state + 2 * (first + (int64_t)c * a->split_rows);
        max = __builtin_fmaxf(max, state[0]);
        bad_page |= state[1] == -1;
    }
    const float reference = max == -DEVICE_INFINITY ? 0 : max;
    for (int32_t c = 0; c < s->n_chunks; c++) {
        TENON_GLOBAL const float *state =
            a->partial_state + 2 * (first + (int64_t)c * a->split_rows);
        weight += state[1] * exp2_f32(state[0] - reference);
    }
    const bool empty = bad_page || weight == 0;
    const float sink =
        a->sinks ? exp2_f32(load_float(a->sinks, head, a->sinks_number) * DEVICE_LOG2_E - reference)
                 : 0;
    float factor = 1 / (weight + sink);
    if (a->v.scale && !a->v.scale_is_per_slot) factor *= a->v.scale[kv_head * a->v.scale_head];
    for (uint32_t d = lane_id(); d < a->v.d; d += WAVE_LANES) {
        float sum = 0;
        for (int32_t c = 0; c < s->n_chunks && !empty; c++) {
            const int64_t at = first + (int64_t)c * a->split_rows;
            const float x = a->partial[at * d_held + d],
                        share = exp2_f32(a->partial_state[2 * at] - reference);
            /* an infinity stays one, however small its weight */
            sum += is_finite(x) ? x * share : x;
        }
        store_row(a, token, head, d, empty ? 0 : sum * factor);
    }
    store_lse(a, token, head, empty ? -DEVICE_INFINITY : max + log2_f32(weight));
}

DEVICE_KERNEL(attention_finish, ATTENTION_BLOCK_LANES)(attention_arguments a) {
    const int32_t token = (int32_t)block_x();
    int32_t where = 0, b = 0;
    attention_sequence s = {0};
    bool empty = true;
    if (!batch_is_good(&a, &where)) {
        if (token == 0 && thread_x() == 0)
            report_fault(a.fault, a.op, TENON_FAULT_LENGTH_OUT_OF_RANGE, where,
                         a.row_offsets[where], (where == 0 ? 0 : (int64_t)a.n_tokens) + 1);
    } else if (token < a.row_offsets[a.n_sequences]) {
        b = sequence_of(&a, token);
        empty = !read_sequence(&a, b, &s);
        if (empty && token == s.first_token && thread_x() == 0)
            report_fault(a.fault, a.op, TENON_FAULT_LENGTH_OUT_OF_RANGE, b, s.value, s.limit);
        if (!empty && s.n_chunks == 1) return;
        empty |= s.n_chunks == 0;
    }
    for (uint32_t head = wave_id(); head < a.heads_q; head += ATTENTION_WAVES) {
        if (empty) {
            for (uint32_t d = lane_id(); d < a.v.d; d += WAVE_LANES)
                store_row(&a, token, head, d, 0);
            store_lse(&a, token, head, -DEVICE_INFINITY);
        } else {
            fold_row(&a, &s, b, token, head, a.d_held);
        }
    }
}

#endif /* TENON_ATTENTION_FINISH_H */
