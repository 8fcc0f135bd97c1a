/* SPDX-License-Identifier: Apache-2.0 */
/* What the launcher of attention hands to its kernels. Strides of caches in bytes, others in
 * elements.
 *
 * One run: attention_check, then attention_short and attention_long (either may have nothing to
 * do), then attention_merge. The workspace holds a record for each sequence, then partial results.
 */
#ifndef TENON_CUDA_ATTENTION_CALL_H
#define TENON_CUDA_ATTENTION_CALL_H

#include "device/device_arguments.h"

enum {
    ATTENTION_BLOCK_LANES = 128,
    ATTENTION_TILE = 64,       /* kv positions that a block has in shared memory at a time */
    ATTENTION_BLOCK_ROWS = 64, /* rows of a block of a long sequence */
    ATTENTION_SHORT_ROWS = 64, /* a sequence with at most this many rows for a KV head is split over
                                  its kv positions */
    ATTENTION_CHUNK = 256,     /* least kv positions of a split */
    ATTENTION_SPLITS = 32,     /* most splits of a sequence */
    ATTENTION_PARTIAL_HEAD =
        4, /* floats before the numerators of a partial row: maximum, sum, 2 unused */
    ATTENTION_RECORD_BYTES = 32
};

/* Of a sequence, checked: no rows where there is nothing to do. */
typedef struct attention_record {
    int64_t first_entry; /* of the page list, in the table or in page_indices */
    int32_t first_row, n_rows, kv_len, visible_begin;
    int64_t reserved;
} attention_record;

/* A cache, K or V. */
typedef struct attention_cache {
    tenon_device_const_bytes data;
    const float *scale; /* [1] or [heads_kv], or NULL */
    int64_t page, slot, head;
    int32_t d;
    int32_t scale_head; /* 0: [1] */
} attention_cache;

typedef struct attention_arguments {
    tenon_device_const_bytes q, tree, sinks;
    const float *slopes, *q_scale;
    tenon_device_bytes out;
    float *lse, *partial;
    attention_record *record;
    attention_cache k, v;
    const int32_t *row_offsets, *kv_lens, *table, *page_indptr, *page_indices;
    tenon_device_fault fault;
    int64_t q_token, q_head, out_token, out_head, lse_token, lse_head, tree_row;
    int64_t table_pages, table_stride, page_entries, n_pages;
    int64_t max_rows, max_kv_len; /* of one sequence; INT64_MAX: none */
    int64_t slopes_sequence, slopes_head, q_scale_sequence, q_scale_head;
    int32_t n_rows, n_sequences, heads_q, heads_kv, group, page_size;
    int32_t n_splits;        /* of the workspace: no sequence has more */
    int32_t short_rows;      /* of the workspace: rows of a partial result */
    int32_t partial_row;     /* floats of a partial row */
    int32_t window_left;     /* 0: all */
    int32_t window_right;    /* -1: all; 0: causal */
    int32_t rows_are_cached; /* causal or tree mask */
    uint32_t q_number, kv_number, out_number, sinks_number;
    int32_t sinks_stride;
    float logit_scale;      /* to a base-2 logit, without the scales of tensors */
    float softcap;          /* of a base-2 logit; 0: none */
    float softcap_exponent; /* 2 log2(e) / softcap */
    float lse_scale;        /* from a base-2 logarithm */
} attention_arguments;

#endif /* TENON_CUDA_ATTENTION_CALL_H */
