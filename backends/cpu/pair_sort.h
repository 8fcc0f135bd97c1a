/* SPDX-License-Identifier: Apache-2.0 */
/* The stable counting sort of (token, slot) pairs by local expert, in parallel: the layout of
 * moe_layout.h.
 *
 * Pairs are cut into chunks, one histogram each. A pair's row is the start of its expert, plus the
 * pairs of that expert in earlier chunks, plus those before it in its own: the result does not
 * depend on the number of chunks or threads. */
#ifndef TENON_PAIR_SORT_H
#define TENON_PAIR_SORT_H

#include "backend.h"
#include "cpu_threads.h"

typedef struct tenon_pair_sort {
    /* what to sort */
    int32_t op; /* for faults */
    const DLTensor *topk_ids;
    const DLTensor *expert_map; /* or NULL */
    int64_t first_pair;         /* number of the first pair, for faults */
    int64_t local, block_rows;
    int64_t max_rows; /* > 0: the masked layout */
    int64_t capacity; /* rows there are, in the contiguous layout */
    tenon_fault *fault;

    /* the workspace, filled by tenon_pair_sort_place */
    int32_t *row;    /* [pairs] row of each pair, or -1 */
    int32_t *first;  /* [local + 1] first row of each expert */
    int32_t *count;  /* [local] pairs that found room */
    int32_t *before; /* [chunks][local] scratch */
    int32_t max_chunks, n_chunks;
} tenon_pair_sort;

/* Bytes of workspace for at most `pairs` pairs, and where its parts lie. */
uint64_t tenon_pair_sort_bytes(int64_t pairs, int64_t local, int32_t n_threads);
void tenon_pair_sort_place(tenon_pair_sort *sort, void *workspace, int64_t pairs,
                           int32_t n_threads);

/* Fills row, first and count. */
void tenon_pair_sort_run(tenon_pair_sort *sort, tenon_cpu_pool *pool);

static inline int64_t tenon_pair_count(const tenon_pair_sort *sort) {
    return sort->topk_ids->shape[0] * sort->topk_ids->shape[1];
}

#endif /* TENON_PAIR_SORT_H */
