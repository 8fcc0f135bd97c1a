/* SPDX-License-Identifier: Apache-2.0 */
/* What the scheduler of CPU attention (attention_cpu.c, attention_tasks.c) and the vector code
 * (attention_cpu.inl, once per instruction set) share.
 *
 * Words: a row is one (query token, q head) pair; the rows of a block are the tokens of one
 * sequence times the q heads of one KV head, token by token. A tile is 64 kv positions from a
 * multiple of 64. A chunk is a run of tiles whose size depends on the sequence's own length only;
 * every row is the fold, in order, of its chunks, whoever computes them. A sequence of few rows is
 * short: its tasks walk all KV heads of a tile together and read the cache where it lies.
 */
#ifndef TENON_ATTENTION_CPU_H
#define TENON_ATTENTION_CPU_H

#include "cpu_backend.h"
#include "head_row.h"
#include "native_cache.h"
#include "number.h"
#include "row_convert.h"
#include "rows_to_bf16.h"

enum { TENON_ATTENTION_TILE = 64 };

/* One sequence of a run, checked. */
typedef struct tenon_attention_sequence {
    const int32_t *pages;
    int64_t first_token; /* of its queries, in q */
    int64_t first_task;
    int32_t n_queries;
    int32_t kv_length;
    int32_t chunk;       /* kv positions in a chunk */
    bool short_rows;     /* n_queries * group is small */
    int32_t block;       /* query tokens in a block */
    int32_t heads;       /* KV heads in a task: 1, or more of a short sequence */
    int32_t first_chunk; /* split only: the chunks that any of its queries sees */
    int32_t n_chunks;    /* split only: 0 when one task folds all chunks of a block */
    int32_t first_slot;  /* split only: first of n_chunks * heads_kv partial states */
    int32_t first_count; /* split only: first of the counts of chunks that are still missing, one
                            for each run of `heads` KV heads */
} tenon_attention_sequence;

/* Running softmax of rows: sums of weights and of weighted values, scaled by 2^-max. */
typedef struct tenon_attention_state {
    float *max; /* [rows], base-2 exponent; -inf: nothing seen yet */
    float *sum; /* [rows, lanes], added up at the end */
    float *out; /* [rows, out_stride] */
} tenon_attention_state;

/* Scratch of one thread. rows: of all KV heads of a task. */
typedef struct tenon_attention_scratch {
    int32_t *q; /* [rows, q_stride] f32, or pairs of bf16; zeros behind d_qk */
    int32_t *k; /* [k_rows, TILE] transposed: f32, or pairs of bf16 along d */
    int32_t *
        v; /* [TILE, out_stride] f32, or [TILE / 2, out_stride] pairs of bf16 along the positions */
    float *logits;     /* [rows, TILE]; the f32 engines turn them into weights in place */
    int32_t *weights;  /* [rows, TILE / 2] pairs of bf16 */
    uint8_t *staged;   /* [TILE] rows of a cache in the engine's own type, where they are staged */
    uint8_t *zeros;    /* stands in for cache rows or groups that nobody sees */
    uint64_t *visible; /* [rows] positions of the tile with a weight, when values are checked */
    tenon_attention_state total, chunk;
} tenon_attention_scratch;

/* How the rows of a cache become what an engine multiplies; convert NULL: they are that. */
typedef struct tenon_attention_stage {
    tenon_row_convert_fn convert;
    tenon_rows_decode_fn decode; /* many rows at once; NULL: convert each */
    tenon_head_row row;
    const tenon_row_converters *latent; /* not NULL: FP8_DS rows */
} tenon_attention_stage;

/* One of the two caches. */
typedef struct tenon_attention_cache {
    const uint8_t *data;
    int64_t stride[3];         /* page, slot, head: bytes */
    tenon_native_cache native; /* in place of the strides, when the job is native */
    int32_t d;
    int32_t row_bytes; /* of a head's row in memory, or of a native group */
    tenon_number type; /* of the rows that are multiplied or packed, staged where they are */
    tenon_attention_stage stage;
    tenon_code_words words; /* not NULL: few rows multiply the codes without staging them */
    bool integers;          /* the codes are int8 */
    const DLTensor *scale;
} tenon_attention_cache;

/* What is the same for all tasks of a run. */
typedef struct tenon_attention_job {
    const tenon_attention_args *args;
    const struct tenon_attention_engine *engine;
    const tenon_attention_sequence *sequences;
    int64_t n_sequences;
    int32_t heads_kv, group; /* group: q heads of one KV head */
    int32_t d_qk, d_v;
    int32_t q_stride;   /* of scratch q, in 32-bit units */
    int32_t out_stride; /* d_v rounded up to what a step of the engine takes */
    int32_t rows_max;
    int32_t page_size;
    int32_t left, right; /* window; -1: all */
    bool native;
    bool one_cache; /* the values are the first d_v elements of the keys' rows */
    tenon_attention_cache k, v;
    tenon_number q_type, out_type;
    tenon_row_convert_fn q_convert; /* fp8 queries; else NULL */
    int32_t stage_bytes;            /* of a staged row */
    int32_t zero_bytes;
    float logit_scale; /* to base 2; with softcap: softmax_scale / softcap */
    float softcap;     /* in base 2; 0: off */
    uint8_t *slots;    /* partial states of split sequences, one for each (chunk, KV head) */
    int32_t *counts;
    uint8_t *scratch;
    uint64_t slot_bytes, scratch_bytes;
    int32_t slot_rows;
} tenon_attention_job;

/* The rows of one KV head of a task. */
typedef struct tenon_attention_block {
    const tenon_attention_sequence *sequence;
    int32_t kv_head, n_heads; /* the first of n_heads KV heads */
    int32_t first_query;      /* in the sequence */
    int32_t n_queries;
    int32_t n_rows;           /* of one KV head */
    int32_t kv_first, kv_end; /* what any of its rows sees lies in [kv_first, kv_end) */
} tenon_attention_block;

/* The four steps that are written in vectors; rows stand KV head by KV head. */
typedef struct tenon_attention_engine {
    int32_t lanes;
    int32_t pairs; /* 1: bf16 pairs; 0: f32 */
    const tenon_row_converters *converters;
    const tenon_row_decoders *decoders; /* NULL: none */
    void (*load_queries)(const tenon_attention_job *job, const tenon_attention_block *block,
                         tenon_attention_scratch *scratch);
    /* Makes *state from kv positions [first, end), where first is a multiple of TILE. */
    void (*accumulate)(const tenon_attention_job *job, const tenon_attention_block *block,
                       int32_t first, int32_t end, tenon_attention_scratch *scratch,
                       tenon_attention_state *state);
    void (*fold)(const tenon_attention_job *job, int32_t n_rows, tenon_attention_state *into,
                 const tenon_attention_state *from);
    void (*store)(const tenon_attention_job *job, const tenon_attention_block *block,
                  tenon_attention_state *state);
} tenon_attention_engine;

/* kv positions that the query at index `query` of its sequence may see, tree masks aside: [*first,
 * *end). */
static inline void tenon_attention_visible(const tenon_attention_job *job,
                                           const tenon_attention_sequence *s, int32_t query,
                                           int32_t *first, int32_t *end) {
    const int64_t position = (int64_t)s->kv_length - s->n_queries + query;
    *first = job->left >= 0 && position > job->left ? (int32_t)(position - job->left) : 0;
    *end = job->right >= 0 && position + job->right + 1 < s->kv_length
               ? (int32_t)(position + job->right + 1)
               : s->kv_length;
}

/* The rows' bodies, for an engine. */
const char *tenon_attention_cpu_why_not(const tenon_problem *problem,
                                        const tenon_attention_engine *engine, tenon_reason *reason);
int32_t tenon_attention_cpu_plan(tenon_kernel_plan *plan, const tenon_attention_engine *engine,
                                 tenon_error *error);
int32_t tenon_attention_cpu_run(const tenon_kernel_plan *plan, const tenon_attention_args *args,
                                const tenon_attention_engine *engine, tenon_error *error);

#endif /* TENON_ATTENTION_CPU_H */
