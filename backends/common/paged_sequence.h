/* SPDX-License-Identifier: Apache-2.0 */
/* The lengths and page lists of a run, checked before anything is read through them. They come from
 * tensors that may hold anything.
 *
 *     tenon_paged_batch batch = tenon_attention_batch(args, pages, page_size);
 *     if (!tenon_paged_batch_ok(&batch)) every row becomes empty;
 *     for each b: if (!tenon_paged_sequence_at(&batch, b, &s)) the rows s.first_row .. + s.n_rows
 * become empty; else s is safe to walk rows from tenon_paged_batch_end(&batch) on belong to no
 * sequence and become empty
 *
 * An empty row is 0, its lse -inf. What is wrong goes to the run's fault slot:
 *   LENGTH_OUT_OF_RANGE  row offsets that do not start at 0, fall, or pass the last row (position:
 * the entry; all rows are empty); a length, start or page list bound that contradicts a tensor
 * (position: the sequence) PAGE_OUT_OF_RANGE    a page id outside the cache, of a page that some
 * row of the sequence can see (position: the list entry) Fewer rows than the tensors have is not a
 * fault: a replayed graph pads its tokens. */
#ifndef TENON_PAGED_SEQUENCE_H
#define TENON_PAGED_SEQUENCE_H

#include "backend.h"

typedef struct tenon_paged_batch {
    int32_t op;
    bool new_tokens_cached; /* causal or tree mask: a sequence's rows are its last kv positions, so
                               it cannot have fewer of these */
    int64_t n_sequences, n_rows;
    int64_t pages, page_size;     /* of the cache */
    int64_t max_rows, max_kv_len; /* of one sequence, promised by the plan; INT64_MAX: none */
    int64_t window_left;          /* 0 or -1: none */
    const int32_t *row_offsets;   /* [n_sequences + 1] */
    const int32_t *kv_lens;       /* [n_sequences]; NULL: kv_starts + rows */
    const int32_t *kv_starts;     /* [n_sequences], or NULL: 0; only without kv_lens */
    const int32_t *table;         /* [n_sequences, table_pages], rows table_stride apart; or NULL */
    int64_t table_pages, table_stride;
    const int32_t *page_indptr, *page_indices;
    int64_t page_entries;
    tenon_fault *fault;
} tenon_paged_batch;

/* After the check: rows, kv positions and page ids are inside their tensors. */
typedef struct tenon_paged_sequence {
    int64_t first_row, n_rows;
    int64_t kv_len;
    int64_t visible_begin,
        visible_end;      /* kv positions that at least one row may see; nothing outside is read */
    const int32_t *pages; /* page id of kv position j: pages[j / page_size]; checked from
                             visible_begin to visible_end */
} tenon_paged_sequence;

static inline void tenon_paged_batch_lists(tenon_paged_batch *batch, const DLTensor *block_table,
                                           const DLTensor *page_indptr,
                                           const DLTensor *page_indices) {
    batch->table = (const int32_t *)tenon_data(block_table);
    batch->table_pages = block_table ? block_table->shape[1] : 0;
    batch->table_stride = block_table ? block_table->strides[0] : 0;
    batch->page_indptr = (const int32_t *)tenon_data(page_indptr);
    batch->page_indices = (const int32_t *)tenon_data(page_indices);
    batch->page_entries = page_indices ? page_indices->shape[0] : 0;
}

static inline tenon_paged_batch tenon_attention_batch(const tenon_attention_args *a, int64_t pages,
                                                      int64_t page_size) {
    tenon_paged_batch batch = {.op = TENON_OP_ATTENTION,
                               .new_tokens_cached =
                                   (a->flags & TENON_ATTENTION_CAUSAL) || a->tree_mask,
                               .n_sequences = a->seq_lens->shape[0],
                               .n_rows = a->q->shape[0],
                               .pages = pages,
                               .page_size = page_size,
                               .max_rows = a->max_q_len ? a->max_q_len : INT64_MAX,
                               .max_kv_len = a->max_kv_len ? a->max_kv_len : INT64_MAX,
                               .window_left = a->window_left,
                               .row_offsets = (const int32_t *)tenon_data(a->cu_seqlens_q),
                               .kv_lens = (const int32_t *)tenon_data(a->seq_lens),
                               .fault = a->fault};
    tenon_paged_batch_lists(&batch, a->block_table, a->page_indptr, a->page_indices);
    return batch;
}

static inline tenon_paged_batch tenon_mla_attention_batch(const tenon_mla_attention_args *a) {
    tenon_paged_batch batch = {.op = TENON_OP_MLA_ATTENTION,
                               .new_tokens_cached = a->flags & TENON_MLA_ATTENTION_CAUSAL,
                               .n_sequences = a->seq_lens->shape[0],
                               .n_rows = a->q->shape[0],
                               .pages = a->cache->shape[0],
                               .page_size = a->cache->shape[1],
                               .max_rows = a->max_q_len ? a->max_q_len : INT64_MAX,
                               .max_kv_len = a->max_kv_len ? a->max_kv_len : INT64_MAX,
                               .window_left = -1,
                               .row_offsets = (const int32_t *)tenon_data(a->cu_seqlens_q),
                               .kv_lens = (const int32_t *)tenon_data(a->seq_lens),
                               .fault = a->fault};
    tenon_paged_batch_lists(&batch, a->block_table, a->page_indptr, a->page_indices);
    return batch;
}

static inline tenon_paged_batch tenon_kv_gather_batch(const tenon_kv_gather_args *a, int64_t pages,
                                                      int64_t page_size) {
    tenon_paged_batch batch = {.op = TENON_OP_KV_GATHER,
                               .n_sequences = a->cu_rows->shape[0] - 1,
                               .n_rows = a->key->shape[0],
                               .pages = pages,
                               .page_size = page_size,
                               .max_rows = INT64_MAX,
                               .max_kv_len = INT64_MAX,
                               .window_left = -1,
                               .row_offsets = (const int32_t *)tenon_data(a->cu_rows),
                               .kv_starts = (const int32_t *)tenon_data(a->seq_starts),
                               .fault = a->fault};
    tenon_paged_batch_lists(&batch, a->block_table, a->page_indptr, a->page_indices);
    return batch;
}

/* Row offsets that run from 0 upwards and end inside the tensor. */
static inline bool tenon_paged_batch_ok(const tenon_paged_batch *batch) {
    int64_t last = 0;
    for (int64_t b = 0; b <= batch->n_sequences; b++) {
        int64_t offset = batch->row_offsets[b];
        if (offset < last || offset > batch->n_rows || (b == 0 && offset != 0)) {
            tenon_report_fault(batch->fault, batch->op, TENON_FAULT_LENGTH_OUT_OF_RANGE, b, offset,
                               (b == 0 ? 0 : batch->n_rows) + 1);
            return false;
        }
        last = offset;
    }
    return true;
}

/* First row that belongs to no sequence; row offsets must be right. */
static inline int64_t tenon_paged_batch_end(const tenon_paged_batch *batch) {
    return batch->row_offsets[batch->n_sequences];
}

static inline bool tenon_paged_length_fault(const tenon_paged_batch *batch, int64_t b,
                                            int64_t value, int64_t limit) {
    tenon_report_fault(batch->fault, batch->op, TENON_FAULT_LENGTH_OUT_OF_RANGE, b, value, limit);
    return false;
}

/* Row offsets must be right. False: a fault was reported, and only first_row and n_rows mean
 * something. */
static inline bool tenon_paged_sequence_at(const tenon_paged_batch *batch, int64_t b,
                                           tenon_paged_sequence *s) {
    *s = (tenon_paged_sequence){.first_row = batch->row_offsets[b],
                                .n_rows =
                                    batch->row_offsets[b + 1] - (int64_t)batch->row_offsets[b]};
    int64_t start = batch->kv_starts ? batch->kv_starts[b] : 0;
    int64_t kv_len = batch->kv_lens ? batch->kv_lens[b] : start + s->n_rows;
    if (s->n_rows == 0) return true; /* whatever its lengths and pages say: nothing is read */
    if (start < 0) return tenon_paged_length_fault(batch, b, start, INT32_MAX);
    if (s->n_rows > batch->max_rows)
        return tenon_paged_length_fault(batch, b, s->n_rows, batch->max_rows + 1);
    if (kv_len < 0 || kv_len > batch->max_kv_len)
        return tenon_paged_length_fault(
            batch, b, kv_len, batch->max_kv_len == INT64_MAX ? INT64_MAX : batch->max_kv_len + 1);
    if (kv_len == 0) return true; /* padding: rows that see nothing */
    if (batch->new_tokens_cached && s->n_rows > kv_len)
        return tenon_paged_length_fault(batch, b, s->n_rows, kv_len + 1);

    int64_t first_entry = 0, entries = batch->table_pages;
    if (batch->table) {
        s->pages = batch->table + b * batch->table_stride;
        first_entry = b * batch->table_pages;
    } else if (batch->page_indptr) {
        int64_t end = batch->page_indptr[b + 1];
        first_entry = batch->page_indptr[b];
        if (first_entry < 0 || first_entry > end)
            return tenon_paged_length_fault(batch, b, first_entry, end + 1);
        if (end > batch->page_entries)
            return tenon_paged_length_fault(batch, b, end, batch->page_entries + 1);
        entries = end - first_entry;
        s->pages = entries ? batch->page_indices + first_entry : NULL;
    }
    if ((kv_len - 1) / batch->page_size >= entries)
        return tenon_paged_length_fault(batch, b, kv_len, entries * batch->page_size + 1);

    s->kv_len = kv_len;
    s->visible_begin = start;
    s->visible_end = kv_len; /* the last row stands at the last position */
    int64_t first_position =
        kv_len -
        s->n_rows; /* of the sequence's first row; below 0 only where rows are not kv positions */
    if (batch->window_left > 0 && first_position - batch->window_left > start)
        s->visible_begin = first_position - batch->window_left;

    for (int64_t p = s->visible_begin / batch->page_size;
         p <= (s->visible_end - 1) / batch->page_size; p++)
        if (s->pages[p] < 0 || s->pages[p] >= batch->pages) {
            tenon_report_fault(batch->fault, batch->op, TENON_FAULT_PAGE_OUT_OF_RANGE,
                               first_entry + p, s->pages[p], batch->pages);
            return false;
        }
    return true;
}

#endif /* TENON_PAGED_SEQUENCE_H */
