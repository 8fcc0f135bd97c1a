/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes of a plan of CPU attention, and the parts that attention_cpu.c (what is taken, the job) and
 * attention_tasks.c (cutting it into tasks) have of one another. */
#ifndef TENON_ATTENTION_LAYOUT_H
#define TENON_ATTENTION_LAYOUT_H

#include "attention_cpu.h"

enum {
    TENON_ATTENTION_BLOCK_ROWS_MAX = 96, /* K and V tiles are packed once for that many rows */
    TENON_ATTENTION_BLOCK_ROWS_MIN = 24, /* no smaller only to have more tasks */
    TENON_ATTENTION_SHORT_ROWS = 32, /* of a KV head: a short sequence; longer are never split */
    TENON_ATTENTION_TASK_ROWS = 128, /* of all KV heads of a short sequence's task */
    TENON_ATTENTION_TILE_BYTES = 1 << 19, /* of keys and values in a tile of such a task */
    TENON_ATTENTION_CHUNKS_MAX = 16,
    TENON_ATTENTION_CHUNK_MIN = 4 * TENON_ATTENTION_TILE
};

typedef struct tenon_attention_layout {
    int64_t max_q, group, block_max, heads_max, rows_max, out_stride, q_stride, stage_bytes,
        zero_bytes;
    int64_t slot_rows; /* of one KV head of a split sequence */
    int64_t n_slots, n_counts;
    uint64_t slot_bytes, scratch_bytes;
    uint64_t counts_at, slots_at, scratch_at, total;
} tenon_attention_layout;

static inline int64_t tenon_round_up(int64_t n, int64_t unit) {
    return (n + unit - 1) / unit * unit;
}
static inline int64_t tenon_divide_up(int64_t n, int64_t unit) {
    return (n + unit - 1) / unit;
}
static inline int64_t tenon_least(int64_t a, int64_t b) {
    return a < b ? a : b;
}
static inline int64_t tenon_most(int64_t a, int64_t b) {
    return a > b ? a : b;
}
/* Bytes of n 32-bit words in whole cache lines. */
static inline uint64_t tenon_attention_lines(int64_t n_words) {
    return (uint64_t)tenon_round_up(n_words * 4, 64);
}

static inline uint64_t tenon_attention_state_bytes(int64_t rows, int64_t out_stride,
                                                   int64_t lanes) {
    return tenon_attention_lines(rows) + tenon_attention_lines(rows * lanes) +
           tenon_attention_lines(rows * out_stride);
}
uint64_t tenon_attention_scratch_bytes(const tenon_attention_layout *l, int64_t d_qk,
                                       int64_t lanes);

/* Reads and checks the lengths of the run; rows of wrong or empty sequences are cleared. */
void tenon_attention_read_sequences(const tenon_attention_job *job,
                                    tenon_attention_sequence *sequences, int64_t pages);
/* Numbers the tasks and returns how many there are. */
int64_t tenon_attention_cut(const tenon_attention_job *job, const tenon_attention_layout *l,
                            int32_t threads, tenon_attention_sequence *sequences);
void tenon_attention_task(void *job, int64_t task, int32_t thread);

#endif /* TENON_ATTENTION_LAYOUT_H */
