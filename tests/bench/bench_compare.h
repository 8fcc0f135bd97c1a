/* SPDX-License-Identifier: Apache-2.0 */
/* Written tensors of two problems, element by element. */
#ifndef TENON_BENCH_COMPARE_H
#define TENON_BENCH_COMPARE_H

#include "bench_problem.h"

typedef struct bench_difference {
    double nmse;        /* sum (a - b)^2 / sum b^2 of the worst float tensor */
    double largest;     /* |a - b| of the worst element, over the tensor's RMS */
    int64_t mismatches; /* integer or code elements that differ */
    int64_t elements;
    bool mistrusted; /* the reference wrote only zeros or no finite value */
    char where[64];  /* the worst tensor */
} bench_difference;

void bench_compare(const bench_problem *problem, const bench_problem *reference,
                   bench_difference *out);
bool bench_same_bits(const bench_problem *a, const bench_problem *b, const char **where);

/* What a kernel may differ by from the reference, and why: tolerances per operation and precision.
 */
bool bench_within_tolerance(const bench_problem *problem, uint32_t traits,
                            const bench_difference *difference);

#endif /* TENON_BENCH_COMPARE_H */
