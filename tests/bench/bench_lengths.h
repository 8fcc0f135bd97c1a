/* SPDX-License-Identifier: Apache-2.0 */
/* Lengths of the sequences of a batch, where the problem string gives none: drawn from a
 * distribution, the same for the same seed. */
#ifndef TENON_BENCH_LENGTHS_H
#define TENON_BENCH_LENGTHS_H

#include "bench_problem.h"

/* X(name, word, doc) */
#define BENCH_LENGTHS_LIST(X)                                                                      \
    X(EQUAL, "equal", "every sequence as long as its pages allow; queries split evenly")           \
    X(UNIFORM, "uniform", "kv lengths uniform between 1 and what the pages allow")                 \
    X(LOGNORMAL, "lognormal", "kv lengths lognormal: median a quarter of the limit, sigma 1")      \
    X(MIXED, "mixed",                                                                              \
      "kv lengths as lognormal; 3 in 4 sequences decode one token, the others "                    \
      "share the remaining queries: prefill beside decode")
#define BENCH_E_LENGTHS(name, word, doc) BENCH_LENGTHS_##name,
typedef enum bench_lengths_kind {
    BENCH_LENGTHS_LIST(BENCH_E_LENGTHS) BENCH_LENGTHS_COUNT
} bench_lengths_kind;

typedef struct bench_lengths {
    bench_lengths_kind kind;
    uint64_t seed;
} bench_lengths;

const char *bench_lengths_name(bench_lengths_kind kind);
bool bench_lengths_by_name(const char *name, bench_lengths_kind *kind);

/* bench_fill with lengths of that kind. */
void bench_fill_ragged(bench_problem *problem, uint64_t seed, bench_lengths_kind lengths);

/* Query tokens and kv positions of each of n sequences: at most `tokens` queries together and,
 * where lengths differ, each sequence at most q_limit of them and no more than its kv positions. */
void bench_draw_lengths(bench_lengths lengths, int64_t n, int64_t tokens, int64_t q_limit,
                        int64_t kv_limit, int64_t *q, int64_t *kv);

#endif /* TENON_BENCH_LENGTHS_H */
