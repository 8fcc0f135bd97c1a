/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of filling: what the two halves share. */
#ifndef TENON_BENCH_FILL_H
#define TENON_BENCH_FILL_H

#include <stdio.h>

#include "bench_lengths.h"

void bench_store_index(bench_tensor *tensor, int64_t i, int64_t value);
/* bench_fill_index.c: consistent lengths, page ids, expert ids, rows. */
void bench_fill_index(bench_problem *problem, bench_tensor *tensor, bench_lengths lengths,
                      uint64_t *state);

#endif /* TENON_BENCH_FILL_H */
