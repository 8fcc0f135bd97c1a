/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of filling: what the two halves share. */
#ifndef TENON_BENCH_FILL_H
#define TENON_BENCH_FILL_H

#include <stdio.h>

#include "bench_problem.h"

int64_t bench_random_below(uint64_t *state, int64_t n);
void bench_store_index(bench_tensor *tensor, int64_t i, int64_t value);
/* bench_fill_index.c: consistent lengths, page ids, expert ids, rows. */
void bench_fill_index(bench_problem *problem, bench_tensor *tensor, uint64_t *state);

#endif /* TENON_BENCH_FILL_H */
