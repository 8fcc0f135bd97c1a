/* SPDX-License-Identifier: Apache-2.0 */
/* Index tensors by the name of their field: each rule makes what a host would have written there.
 */
#include <stdlib.h>
#include <string.h>

#include "bench_fill.h"
#include "bench_random.h"

static int64_t extent(bench_problem *p, const char *name, int dim, int64_t otherwise) {
    const bench_tensor *t = bench_find(p, name);
    return t && dim < t->view.ndim ? t->shape[dim] : otherwise;
}

/* 0, total/n, 2 total/n, .., total */
static void even_split(bench_tensor *t, int64_t total) {
    int64_t n = t->shape[0] - 1;
    for (int64_t i = 0; i <= n; i++) bench_store_index(t, i, n ? total * i / n : 0);
}

/* Entries 0, 1, .. mod n in random order: distinct where there are enough. */
static void permutation(bench_tensor *t, int64_t n, uint64_t *state) {
    int64_t count = (int64_t)(t->bytes / (t->view.dtype.bits / 8u));
    for (int64_t i = 0; i < count; i++) bench_store_index(t, i, n > 0 ? i % n : 0);
    for (int64_t i = count - 1; i > 0; i--) {
        int64_t j = bench_random_below(state, i + 1);
        int64_t a = (int64_t)bench_load(t->view.dtype, bench_data(t), i),
                b = (int64_t)bench_load(t->view.dtype, bench_data(t), j);
        bench_store_index(t, i, b), bench_store_index(t, j, a);
    }
}

static int64_t pages_of(bench_problem *p) {
    int64_t pages = bench_scalar(p, "n_pages");
    const bench_tensor *cache = bench_find(p, "k") ? bench_find(p, "k") : bench_find(p, "cache");
    return pages ? pages : cache ? cache->shape[0] : 1;
}
static int64_t page_size_of(bench_problem *p) {
    int64_t size = bench_scalar(p, "page_size");
    const bench_tensor *cache = bench_find(p, "k") ? bench_find(p, "k") : bench_find(p, "cache");
    return size ? size : cache && cache->view.ndim > 1 ? cache->shape[1] : 1;
}

/* cu_seqlens_q and seq_lens belong together, so either draws both. The longest sequence is as long
 * as the page table and max_kv_len allow. */
static void sequence_lengths(bench_problem *p, bench_tensor *t, bench_lengths lengths,
                             bool queries) {
    int64_t n = queries ? t->shape[0] - 1 : t->shape[0], pages = extent(p, "block_table", 1, 0);
    if (!pages) pages = extent(p, "page_indices", 0, 0) / (n > 0 ? n : 1);
    int64_t tokens = extent(p, "q", 0, 0), kv_limit = pages * page_size_of(p),
            q_limit = bench_scalar(p, "max_q_len"), most = bench_scalar(p, "max_kv_len");
    if (most && most < kv_limit) kv_limit = most;
    int64_t *q = calloc((size_t)(n > 0 ? n : 1), 2 * sizeof *q), *kv = q + (n > 0 ? n : 1), sum = 0;
    if (!q) return;
    bench_draw_lengths(lengths, n, tokens, q_limit ? q_limit : tokens, kv_limit, q, kv);
    if (queries) bench_store_index(t, 0, 0);
    for (int64_t i = 0; i < n; i++) {
        sum += q[i];
        bench_store_index(t, queries ? i + 1 : i, queries ? sum : kv[i]);
    }
    free(q);
}

/* k different experts for each token. */
static void experts_of_tokens(bench_problem *p, bench_tensor *t, uint64_t *state) {
    int64_t k = t->shape[1], experts = extent(p, "expert_map", 0, 0);
    if (!experts) experts = extent(p, "expert_offsets", 0, 1) - 1;
    if (experts <= 0) experts = extent(p, "gate_up", 0, 1);
    for (int64_t i = 0; i < t->shape[0]; i++) {
        int64_t first = bench_random_below(state, experts),
                step = 1 + bench_random_below(state, experts > k ? experts / k : 1);
        for (int64_t s = 0; s < k; s++)
            bench_store_index(t, i * k + s, (first + s * step) % experts);
    }
}

void bench_fill_index(bench_problem *p, bench_tensor *t, bench_lengths lengths, uint64_t *state) {
    const char *name = t->info->name;
    int64_t pages = pages_of(p);
    if (!strcmp(name, "cu_seqlens_q"))
        sequence_lengths(p, t, lengths, true);
    else if (!strcmp(name, "cu_rows"))
        even_split(t, extent(p, "key", 0, 0));
    else if (!strcmp(name, "seq_lens"))
        sequence_lengths(p, t, lengths, false);
    else if (!strcmp(name, "block_table") || !strcmp(name, "page_indices"))
        permutation(t, pages, state);
    else if (!strcmp(name, "page_indptr"))
        even_split(t, extent(p, "page_indices", 0, 0));
    else if (!strcmp(name, "slot_mapping"))
        permutation(t, pages * page_size_of(p), state);
    else if (!strcmp(name, "topk_ids"))
        experts_of_tokens(p, t, state);
    else if (!strcmp(name, "expert_offsets"))
        even_split(t, extent(p, "out", 0, 0));
    else if (!strcmp(name, "row_pairs"))
        permutation(t,
                    extent(p, "x", 0, 1) * (bench_scalar(p, "pairs_per_token")
                                                ? bench_scalar(p, "pairs_per_token")
                                                : 1),
                    state);
    else if (!strcmp(name, "pair_rows"))
        permutation(t, extent(p, "y", 0, 1), state);
    else if (!strcmp(name, "row_index"))
        permutation(t, extent(p, "q", 0, 1), state);
    else if (!strcmp(name, "expert_map") || !strcmp(name, "group_index")) {
        /* Identity; for group_index, consecutive columns share a group. */
        int64_t group = 1;
        for (int32_t q = 0; q < p->n_quants; q++)
            if (p->quant_field[q] == t->field && p->quant[q].group_cols > 0)
                group = p->quant[q].group_cols;
        for (int64_t i = 0; i < t->shape[0]; i++) bench_store_index(t, i, i / group);
    } else
        memset(bench_data(t), 0, t->bytes);
}
