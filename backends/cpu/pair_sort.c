/* SPDX-License-Identifier: Apache-2.0 */
#include "pair_sort.h"

#include <string.h>

#include "moe_layout.h"

enum { CHUNK_PAIRS = 4096 }; /* fewer are sorted sooner by one thread than two are woken */

static uint64_t round_up_64(uint64_t bytes) {
    return (bytes + 63) / 64 * 64;
}

/* As many as there are threads, but at least CHUNK_PAIRS pairs each. */
static int32_t chunks_of(int64_t pairs, int32_t n_threads) {
    int64_t wanted = (pairs + CHUNK_PAIRS - 1) / CHUNK_PAIRS;
    return wanted < 1 ? 1 : wanted < n_threads ? (int32_t)wanted : n_threads;
}

uint64_t tenon_pair_sort_bytes(int64_t pairs, int64_t local, int32_t n_threads) {
    return round_up_64((uint64_t)pairs * 4) + round_up_64((uint64_t)(local + 1) * 4) +
           round_up_64((uint64_t)local * 4) +
           round_up_64((uint64_t)chunks_of(pairs, n_threads) * (uint64_t)local * 4);
}

void tenon_pair_sort_place(tenon_pair_sort *s, void *workspace, int64_t pairs, int32_t n_threads) {
    char *at = workspace;
    s->row = (int32_t *)(void *)at, at += round_up_64((uint64_t)pairs * 4);
    s->first = (int32_t *)(void *)at, at += round_up_64((uint64_t)(s->local + 1) * 4);
    s->count = (int32_t *)(void *)at, at += round_up_64((uint64_t)s->local * 4);
    s->before = (int32_t *)(void *)at;
    s->max_chunks = chunks_of(pairs, n_threads);
}

static int64_t id_at(const DLTensor *t, int64_t offset) {
    return t->dtype.bits == 64 ? ((const int64_t *)tenon_data(t))[offset]
                               : ((const int32_t *)tenon_data(t))[offset];
}

static void report_id(const tenon_pair_sort *s, int64_t pair, int64_t id, int64_t kind,
                      int64_t experts, const int32_t *map) {
    if (kind == TENON_MOE_BAD_ID)
        tenon_report_fault(s->fault, s->op, TENON_FAULT_EXPERT_OUT_OF_RANGE, s->first_pair + pair,
                           id, experts);
    if (kind == TENON_MOE_BAD_MAP)
        tenon_report_fault(s->fault, s->op, TENON_FAULT_EXPERT_OUT_OF_RANGE, s->first_pair + pair,
                           map[id], s->local);
}

static void chunk_bounds(const tenon_pair_sort *s, int64_t chunk, int64_t *token0,
                         int64_t *token1) {
    const int64_t tokens = s->topk_ids->shape[0];
    *token0 = tokens * chunk / s->n_chunks;
    *token1 = tokens * (chunk + 1) / s->n_chunks;
}

/* Each pair's expert into row, and how many of each expert the chunk has. */
static void count_chunk(void *arg, int64_t chunk, int32_t thread) {
    const tenon_pair_sort *s = arg;
    const int64_t k = s->topk_ids->shape[1],
                  experts = s->expert_map ? s->expert_map->shape[0] : s->local;
    const int32_t *map = s->expert_map ? tenon_data(s->expert_map) : NULL;
    int32_t *count = s->before + chunk * s->local;
    int64_t token0, token1;
    (void)thread;
    memset(count, 0, (size_t)s->local * sizeof *count);
    chunk_bounds(s, chunk, &token0, &token1);
    for (int64_t t = token0; t < token1; t++)
        for (int64_t slot = 0; slot < k; slot++) {
            const int64_t id = id_at(s->topk_ids, t * s->topk_ids->strides[0] + slot),
                          e = tenon_moe_local_expert(id, experts, map, s->local);
            s->row[t * k + slot] = e < 0 ? -1 : (int32_t)e;
            if (e >= 0)
                count[e]++;
            else
                report_id(s, t * k + slot, id, e, experts, map);
        }
}

/* Starts of the experts, and of each chunk's pairs within them. */
static void lay_out(const tenon_pair_sort *s) {
    int64_t first = 0;
    for (int64_t e = 0; e < s->local; e++) {
        int64_t total = 0, kept, end = s->max_rows ? first + s->max_rows : s->capacity;
        for (int32_t c = 0; c < s->n_chunks; c++) {
            int32_t *count = s->before + c * s->local + e, own = *count;
            *count = (int32_t)(first + total);
            total += own;
        }
        const int64_t next = tenon_moe_place(first, total, s->block_rows, end, &kept);
        s->first[e] = (int32_t)first;
        s->count[e] = (int32_t)kept;
        first = s->max_rows ? end : next;
    }
    s->first[s->local] = (int32_t)first;
}

/* The expert in row becomes the pair's row. */
static void place_chunk(void *arg, int64_t chunk, int32_t thread) {
    const tenon_pair_sort *s = arg;
    const int64_t k = s->topk_ids->shape[1];
    int32_t *next = s->before + chunk * s->local;
    int64_t token0, token1;
    (void)thread;
    chunk_bounds(s, chunk, &token0, &token1);
    for (int64_t p = token0 * k; p < token1 * k; p++) {
        const int32_t e = s->row[p];
        if (e < 0) continue;
        const int32_t row = next[e]++, end = s->first[e] + s->count[e];
        if (row >= end)
            tenon_report_fault(s->fault, s->op, TENON_FAULT_ROW_OUT_OF_RANGE, s->first_pair + p,
                               row, s->max_rows ? s->first[e] + s->max_rows : s->capacity);
        s->row[p] = row < end ? row : -1;
    }
}

void tenon_pair_sort_run(tenon_pair_sort *s, tenon_cpu_pool *pool) {
    const int32_t wanted = chunks_of(tenon_pair_count(s), s->max_chunks);
    s->n_chunks = wanted < s->max_chunks ? wanted : s->max_chunks;
    tenon_cpu_pool_run(pool, s->n_chunks, count_chunk, s);
    lay_out(s);
    tenon_cpu_pool_run(pool, s->n_chunks, place_chunk, s);
}
