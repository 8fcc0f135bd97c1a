/* SPDX-License-Identifier: Apache-2.0 */
/* What this machine can do at most, measured: the denominator of every share. */
#ifndef TENON_BENCH_LIMITS_H
#define TENON_BENCH_LIMITS_H

#include <stdint.h>

#include "bench_cost.h"

typedef struct bench_limits {
    int32_t n_threads;
    double read_gb_per_s;                   /* from memory, buffers far larger than the caches */
    double peak_gop_per_s[BENCH_PEAK_NONE]; /* 0: this CPU has no such instruction */
} bench_limits;

/* About three seconds. */
void bench_limits_measure(int32_t n_threads, bench_limits *out);
/* One pass of the read probe, a few milliseconds: run it beside every sample, because a shared
 * machine drifts. */
double bench_probe_read(int32_t n_threads);

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
