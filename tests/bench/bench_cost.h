/* SPDX-License-Identifier: Apache-2.0 */
/* What a problem must move and compute at least: the numerator of every share of the roofline. */
#ifndef TENON_BENCH_COST_H
#define TENON_BENCH_COST_H

#include "bench_problem.h"

typedef struct bench_cost {
    double bytes;      /* read and written once each: weights, caches as far as the lengths go,
                          activations, outputs */
    double operations; /* multiplications and additions of the maths, masked parts left out */
    int peak;          /* BENCH_PEAK_*: which arithmetic limit applies */
} bench_cost;

enum { BENCH_PEAK_F32, BENCH_PEAK_BF16, BENCH_PEAK_INT8, BENCH_PEAK_NONE };

void bench_cost_of(bench_problem *problem, uint32_t traits, bench_cost *out);

#endif /* TENON_BENCH_COST_H */
