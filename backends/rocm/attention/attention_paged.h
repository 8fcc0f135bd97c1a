/* SPDX-License-Identifier: Apache-2.0 */
/* Lengths and page lists on the device, checked before anything is read through them: the same
 * rules, in the same order, as backends/common/paged_sequence.h. */
#ifndef TENON_ATTENTION_PAGED_H
#define TENON_ATTENTION_PAGED_H

#include "attention_arguments.h"
#include "device/device_fault.h"

typedef struct attention_sequence {
    int32_t first_token, n_tokens, kv_len, begin; /* kv positions begin .. kv_len are visible */
    TENON_GLOBAL const int32_t *pages;
    int32_t chunk, n_chunks; /* positions of a chunk; 0 chunks: empty rows */
    bool failed;
    int64_t value, limit; /* of the fault */
} attention_sequence;

/* Row offsets that run from 0 upwards and end inside the tensor. Each wave looks at all. */
DEVICE bool batch_is_good(const attention_arguments *a, int32_t *where) {
    for (int32_t i = 0; i <= a->n_sequences; i += WAVE_LANES) {
        const int32_t b = i + (int32_t)lane_id();
        bool bad = false;
        if (b <= a->n_sequences) {
            const int32_t offset = a->row_offsets[b], last = b ? a->row_offsets[b - 1] : 0;
            bad = offset < last || offset > a->n_tokens || (b == 0 && offset != 0);
        }
        const uint64_t all = wave_ballot(bad);
        if (all) {
            *where = i + (int32_t)__builtin_ctzll(all);
            return false;
        }
    }
    return true;
}

DEVICE bool sequence_fails(attention_sequence *s, int64_t value, int64_t limit) {
    s->failed = true;
    s->value = value;
    s->limit = limit;
    return false;
}

/* Row offsets must be good. False: the sequence contradicts itself. */
DEVICE bool read_sequence(const attention_arguments *a, int32_t b, attention_sequence *s) {
    s->first_token = a->row_offsets[b];
    s->n_tokens = a->row_offsets[b + 1] - s->first_token;
    s->kv_len = s->begin = s->n_chunks = s->chunk = 0;
    s->pages = NULL;
    s->failed = false;
    s->value = s->limit = 0;
    const int32_t kv_len = a->kv_lens[b];
    if (s->n_tokens == 0) return true;
    if (s->n_tokens > a->max_rows) return sequence_fails(s, s->n_tokens, (int64_t)a->max_rows + 1);
    if (kv_len < 0 || kv_len > a->max_kv_len)
        return sequence_fails(s, kv_len,
                              a->max_kv_len == INT32_MAX ? INT64_MAX : (int64_t)a->max_kv_len + 1);
    if (kv_len == 0) return true;
    if ((a->causal || a->tree_mask) && s->n_tokens > kv_len)
        return sequence_fails(s, s->n_tokens, (int64_t)kv_len + 1);
    int64_t entries = a->table_pages;
    if (a->table) {
        s->pages = a->table + b * a->table_stride;
    } else if (a->page_indptr) {
        const int64_t begin = a->page_indptr[b], end = a->page_indptr[b + 1];
        if (begin < 0 || begin > end) return sequence_fails(s, begin, end + 1);
        if (end > a->page_entries) return sequence_fails(s, end, (int64_t)a->page_entries + 1);
        entries = end - begin;
        s->pages = a->page_indices + begin;
    }
    if ((int64_t)((kv_len - 1) / a->page_size) >= entries)
        return sequence_fails(s, kv_len, entries * a->page_size + 1);
    s->kv_len = kv_len;
    const int64_t oldest = (int64_t)kv_len - s->n_tokens - a->window_left;
    if (a->window_left > 0 && oldest > 0) s->begin = (int32_t)oldest;
    /* Chunks follow from the sequence alone, so that its bits do not depend on the batch. */
    const int32_t n = kv_len - s->begin;
    s->chunk = n;
    s->n_chunks = 1;
    if ((int64_t)s->n_tokens * a->group <= ATTENTION_SPLIT_ROWS) {
        const int32_t share =
            (n / ATTENTION_CHUNKS_MOST + ATTENTION_CHUNK_UNIT) & -ATTENTION_CHUNK_UNIT;
        s->chunk = share > ATTENTION_CHUNK_LEAST ? share : ATTENTION_CHUNK_LEAST;
        s->n_chunks = (int32_t)(((uint32_t)n + (uint32_t)s->chunk - 1) / (uint32_t)s->chunk);
    }
    return true;
}

DEVICE uint32_t page_of(const attention_arguments *a, uint32_t position) {
    if (a->page_size == 1) return position;
    return (uint32_t)(((uint64_t)position * a->page_magic) >> 32) >> a->page_shift;
}

#endif /* TENON_ATTENTION_PAGED_H */
