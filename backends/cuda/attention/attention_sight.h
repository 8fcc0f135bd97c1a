/* SPDX-License-Identifier: Apache-2.0 */
/* Rows, kv positions, and which of them see each other. Everything here rests on records that
 * attention_check has found to be in bounds. */
#ifndef TENON_CUDA_ATTENTION_SIGHT_H
#define TENON_CUDA_ATTENTION_SIGHT_H

#include "attention_call.h"
#include "device/device_copy.h"
#include "device/device_matrix.h"
#include "device/device_pair.h"

#if defined(__CUDACC__)
#    define UNROLL _Pragma("unroll")
#else
#    define UNROLL
#endif

DEVICE float attention_load(tenon_device_const_bytes base, int64_t i, uint32_t number) {
    if (number == TENON_NUMBER_F32) return float_of(load_4(base + i * 4));
    if (number == TENON_NUMBER_BF16) return bf16_to_f32(load_2(base + i * 2));
    return f16_to_f32(load_2(base + i * 2));
}
DEVICE void attention_store(tenon_device_bytes base, int64_t i, uint32_t number, float x) {
    if (number == TENON_NUMBER_F32)
        store_4(base + i * 4, bits_of(x));
    else
        store_2(base + i * 2, number == TENON_NUMBER_BF16 ? f32_to_bf16(x) : f32_to_f16(x));
}

DEVICE int32_t attention_bounded(int64_t x) {
    return x < INT32_MIN ? INT32_MIN : x > INT32_MAX ? INT32_MAX : (int32_t)x;
}
DEVICE int32_t least_i32(int32_t a, int32_t b) {
    return a < b ? a : b;
}
DEVICE int32_t most_i32(int32_t a, int32_t b) {
    return a > b ? a : b;
}

/* kv positions that a token sees: [lower, upper]; a tree mask decides from the first new one on. */
DEVICE int32_t attention_lower(const attention_arguments *a, int64_t position) {
    return a->window_left ? attention_bounded(position - a->window_left) : INT32_MIN;
}
DEVICE int32_t attention_upper(const attention_arguments *a, int64_t position) {
    return a->tree || a->window_right < 0 ? INT32_MAX
                                          : attention_bounded(position + a->window_right);
}

/* A row is a pair (token, query head of the KV head), numbered in that order within its sequence.
 */
typedef struct attention_row {
    int32_t row; /* -1: none */
    int32_t token, lower, upper;
    float slope; /* of a base-2 logit */
} attention_row;

DEVICE attention_row attention_row_of(const attention_arguments *a, const attention_record *r,
                                      int32_t sequence, int32_t head, int32_t row) {
    attention_row x;
    const bool present = row < r->n_rows * a->group;
    x.row = present ? row : -1;
    x.token = present ? row / a->group : 0;
    const int64_t position = (int64_t)r->kv_len - r->n_rows + x.token;
    x.lower = attention_lower(a, position);
    x.upper = attention_upper(a, position);
    x.slope = present && a->slopes
                  ? a->slopes[sequence * a->slopes_sequence +
                              (head * a->group + row % a->group) * a->slopes_head] *
                        DEVICE_LOG2_E
                  : 0;
    return x;
}
/* Query head of a row. */
DEVICE int32_t attention_head_of(const attention_arguments *a, int32_t head, int32_t row) {
    return head * a->group + row % a->group;
}

/* Bit i: the row sees position tile + i, which is below end. */
DEVICE uint64_t attention_visible(const attention_arguments *a, const attention_record *r,
                                  const attention_row *row, int32_t tile, int32_t end) {
    const int64_t last = row->upper < end ? (int64_t)row->upper + 1 : end,
                  low = (int64_t)row->lower - tile, high = last - tile;
    if (high <= 0 || low >= ATTENTION_TILE) return 0;
    uint64_t bits = high >= ATTENTION_TILE ? ~UINT64_C(0) : (UINT64_C(1) << high) - 1;
    if (low > 0) bits &= ~UINT64_C(0) << low;
    const int32_t first_new = r->kv_len - r->n_rows;
    if (!a->tree || tile + ATTENTION_TILE <= first_new) return bits;
    const tenon_device_const_bytes tree =
        a->tree + ((int64_t)r->first_row + row->token) * a->tree_row;
    for (int32_t i = most_i32(first_new - tile, 0); i < ATTENTION_TILE && tile + i < end; i++) {
        const int32_t bit = tile + i - first_new;
        if (!(tree[bit / 8] >> bit % 8 & 1)) bits &= ~(UINT64_C(1) << i);
    }
    return bits;
}

/* What a block visits, and where no mask is needed. */
typedef struct attention_bounds {
    int32_t begin, end, all_begin, all_end;
} attention_bounds;

DEVICE attention_bounds attention_bounds_of(const attention_arguments *a, const attention_record *r,
                                            int32_t first_token, int32_t last_token, int32_t from,
                                            int32_t to) {
    const int64_t first_new = (int64_t)r->kv_len - r->n_rows;
    const int32_t upper_first = attention_upper(a, first_new + first_token),
                  upper_last = attention_upper(a, first_new + last_token);
    attention_bounds b;
    b.begin = most_i32(from, attention_lower(a, first_new + first_token));
    b.end = upper_last == INT32_MAX ? to : least_i32(to, upper_last + 1);
    b.all_begin = most_i32(b.begin, attention_lower(a, first_new + last_token));
    b.all_end = upper_first == INT32_MAX ? b.end : least_i32(b.end, upper_first + 1);
    if (a->tree) b.all_end = least_i32(b.all_end, (int32_t)first_new);
    return b;
}

/* Place of a kv position in the caches; page < 0: nothing is to be read. */
typedef struct attention_place {
    int64_t page;
    int32_t slot;
} attention_place;

DEVICE attention_place attention_find(const attention_arguments *a, const attention_record *r,
                                      int32_t j, int32_t begin, int32_t end) {
    attention_place p;
    p.page = -1, p.slot = 0;
    if (j < begin || j >= end) return p;
    const uint32_t entry = (uint32_t)j / (uint32_t)a->page_size;
    p.slot = (int32_t)((uint32_t)j - entry * (uint32_t)a->page_size);
    p.page = (a->table ? a->table : a->page_indices)[r->first_entry + entry];
    return p;
}

/* From q . k to a base-2 logit. */
DEVICE float attention_scale_of(const attention_arguments *a, int32_t sequence, int32_t head) {
    float scale = a->logit_scale;
    if (a->q_scale) scale *= a->q_scale[sequence * a->q_scale_sequence + head * a->q_scale_head];
    if (a->k.scale) scale *= a->k.scale[head * a->k.scale_head];
    return scale;
}
/* Soft-cap and ALiBi. 1 - 2 / (e^2x + 1) is tanh x, off by the last bits of 1. */
DEVICE float attention_logit(const attention_arguments *a, const attention_record *r,
                             const attention_row *row, float x, int32_t j) {
    if (a->softcap > 0) {
        const float e = exp2_approx(a->softcap_exponent * x);
        x = a->softcap * fma_f32(-2, reciprocal_f32(e + 1), 1);
    }
    return x + row->slope * (float)(j - (r->kv_len - r->n_rows + row->token));
}

/* What the numerators of a row are multiplied with; stores its lse. */
DEVICE float attention_finish(const attention_arguments *a, const attention_record *r, int32_t head,
                              int32_t row, float max, float sum, bool stores) {
    const int32_t q_head = attention_head_of(a, head, row);
    if (a->lse && stores)
        a->lse[((int64_t)r->first_row + row / a->group) * a->lse_token + q_head * a->lse_head] =
            sum == 0 ? -DEVICE_INFINITY : (max + log2_f32(sum)) * a->lse_scale;
    if (sum == 0) return 0;
    if (a->sinks)
        sum +=
            exp2_f32(attention_load(a->sinks, (int64_t)q_head * a->sinks_stride, a->sinks_number) *
                         DEVICE_LOG2_E -
                     max);
    return (a->v.scale ? a->v.scale[head * a->v.scale_head] : 1) / sum;
}
DEVICE int64_t attention_out_of(const attention_arguments *a, const attention_record *r,
                                int32_t head, int32_t row) {
    return ((int64_t)r->first_row + row / a->group) * a->out_token +
           attention_head_of(a, head, row) * a->out_head;
}

/* Splits of a short sequence: from where on, how many kv positions each, how many. Of its own
 * lengths alone, so that its bits do not depend on the batch. */
typedef struct attention_splits {
    int32_t begin, chunk, count;
} attention_splits;

DEVICE attention_splits attention_splits_of(const attention_record *r) {
    attention_splits s;
    s.begin = r->visible_begin / ATTENTION_TILE * ATTENTION_TILE;
    const int64_t length = (int64_t)r->kv_len - s.begin,
                  share = (length + ATTENTION_SPLITS - 1) / ATTENTION_SPLITS,
                  whole = (share + ATTENTION_TILE - 1) / ATTENTION_TILE * ATTENTION_TILE;
    s.chunk = whole < ATTENTION_CHUNK ? ATTENTION_CHUNK : (int32_t)whole;
    s.count = (int32_t)((length + s.chunk - 1) / s.chunk);
    return s;
}
DEVICE bool attention_is_short(const attention_arguments *a, const attention_record *r) {
    return r->n_rows * a->group <= ATTENTION_SHORT_ROWS;
}
/* Partial results of a sequence, KV head and split. */
DEVICE float *attention_partial_of(const attention_arguments *a, int32_t sequence, int32_t head,
                                   int32_t split) {
    return a->partial + (((int64_t)sequence * a->heads_kv + head) * a->n_splits + split) *
                            a->short_rows * a->partial_row;
}

#endif /* TENON_CUDA_ATTENTION_SIGHT_H */
