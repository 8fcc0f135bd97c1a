/* SPDX-License-Identifier: Apache-2.0 */
/* What the launchers of attention and mla_attention hand to their kernels. Strides in elements,
 * unless their names say otherwise. */
#ifndef TENON_ATTENTION_ARGUMENTS_H
#define TENON_ATTENTION_ARGUMENTS_H

#include "device/device_arguments.h"

enum {
    ATTENTION_WAVES = 4,
    ATTENTION_BLOCK_LANES = 256,
    ATTENTION_BLOCK_ROWS = 16,   /* (token, head) rows of a workgroup */
    ATTENTION_SPLIT_ROWS = 64,   /* sequences of more rows are not split */
    ATTENTION_CHUNK_LEAST = 256, /* kv positions of a chunk: a multiple of CHUNK_UNIT */
    ATTENTION_CHUNK_UNIT = 128,
    ATTENTION_CHUNKS_MOST = 32
};

/* Keys, or values. */
typedef struct attention_side {
    tenon_device_const_bytes data;
    TENON_GLOBAL const float *scale; /* or NULL */
    int64_t head_bytes;
    uint32_t page_pieces, slot_pieces; /* strides in pieces of 16 bytes */
    int64_t scale_page, scale_slot, scale_head;
    uint32_t d, number, scale_is_per_slot;
} attention_side;

typedef struct attention_arguments {
    attention_side k, v;
    tenon_device_const_bytes q, sinks;
    tenon_device_bytes out;
    TENON_GLOBAL float *lse; /* or NULL */
    TENON_GLOBAL float *partial, *partial_state;
    TENON_GLOBAL const int32_t *row_offsets, *kv_lens, *table, *page_indptr, *page_indices;
    TENON_GLOBAL const float *alibi_slopes, *q_scale;
    TENON_GLOBAL const uint8_t *tree_mask;
    tenon_device_fault fault;
    int64_t table_stride, lse_token, lse_head, alibi_sequence, tree_token, q_scale_sequence,
        q_scale_head;
    int32_t op, n_sequences, n_tokens, max_rows, max_kv_len, window_left, window_right;
    int32_t pages, page_size, table_pages, page_entries;
    uint32_t page_magic, page_shift; /* j / page_size = high half of j * magic, shifted */
    uint32_t heads_q, heads_kv, group, row_blocks, chunks, split_rows, d_held;
    uint32_t q_number, out_number, sinks_number, causal, base2;
    float scale_log2;              /* logits to base 2 */
    float softcap_in, softcap_out; /* out * tanh(in * q.k); in = 0: no cap */
} attention_arguments;

#endif /* TENON_ATTENTION_ARGUMENTS_H */
