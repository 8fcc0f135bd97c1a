/* SPDX-License-Identifier: Apache-2.0 */
/* What this machine can do at most, measured: the denominator of every share. */
#ifndef TENON_BENCH_LIMITS_H
#define TENON_BENCH_LIMITS_H

#include <stdint.h>

#include "bench_cost.h"
#include "bench_pages.h"

/* What a problem runs against: an arithmetic peak (BENCH_PEAK_*), or reading from memory. */
enum { BENCH_BOUND_READ = BENCH_PEAK_NONE, BENCH_BOUND_COUNT };

typedef struct bench_limits {
    int32_t n_threads;              /* 0: not measured */
    double rate[BENCH_BOUND_COUNT]; /* GOP/s; GB/s of reading from memory with buffers far larger
                                       than the caches; 0: no such instruction here */
} bench_limits;

/* About a second. */
void bench_limits_measure(int32_t n_threads, bench_limits *out);
/* One pass of a probe, 0.3 to 4 ms: run it beside every sample, because a shared machine drifts. */
double bench_probe(int32_t n_threads, int bound);
/* Reading these spans, one thread after the other's part, the beginning of each next one fetched
 * ahead: what a block table leaves of the memory's speed. GB/s. */
double bench_probe_pages(int32_t n_threads, const bench_spans *spans);
const char *bench_bound_name(int bound);
/* The one that takes longer at these limits. */
int bench_bound_of(const bench_cost *cost, const bench_limits *limits);

/* Kernels of the probes; each returns something the compiler cannot drop. */
typedef struct bench_probe_kernels {
    uint64_t (*read)(const void *data, uint64_t bytes);
    /* Runs `rounds` rounds and returns the operations of one round. */
    double (*f32)(int64_t rounds, void *sink);
    double (*bf16)(int64_t rounds, void *sink);
    double (*int8)(int64_t rounds, void *sink);
} bench_probe_kernels;
extern const bench_probe_kernels bench_probe_x86_avx2, bench_probe_x86_avx512,
    bench_probe_x86_avx512vnni, bench_probe_portable;

#endif /* TENON_BENCH_LIMITS_H */
