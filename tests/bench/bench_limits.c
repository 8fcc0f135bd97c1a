/* SPDX-License-Identifier: Apache-2.0 */
#include "bench_limits.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "bench_library.h"
#include "bench_statistics.h"

enum {
    MAX_THREADS = 256,
    PROBE_BYTES = 512 << 20, /* the windows wander through it: none is still in a cache */
    WINDOW_BYTES = 128 << 20,
    PROBE_ROUNDS = 200000,
    REST_NS = 300000 /* as long as a pool may still spin after its last call */
};
static unsigned char *probe_buffer;
static size_t window_at;

static const bench_probe_kernels *kernels(void) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bf16"))
        return &bench_probe_x86_avx512vnni;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw"))
        return &bench_probe_x86_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return &bench_probe_x86_avx2;
#endif
    return &bench_probe_portable;
}

typedef struct worker {
    int32_t index, n_threads;
    int bound;
    double result;
    atomic_int *arrived;
    const bench_spans *spans; /* NULL: windows of the probe's own buffer */
} worker;

/* Spinning, so that all threads start at once; with fewer CPUs than threads it yields. */
static void meet(atomic_int *arrived, int32_t n_threads) {
    atomic_fetch_add(arrived, 1);
    for (int spins = 0; atomic_load_explicit(arrived, memory_order_acquire) < n_threads; spins++)
        if (spins > 20000) sched_yield();
}

static double read_spans(const worker *w, const bench_probe_kernels *k, uint64_t *seen) {
    enum { AHEAD_BYTES = 2048, LINE_BYTES = 64 };
    size_t n = w->spans->n, first = n * (size_t)w->index / (size_t)w->n_threads,
           end = n * ((size_t)w->index + 1) / (size_t)w->n_threads;
    double bytes = 0;
    for (size_t i = first; i < end; i++) {
        const bench_span *span = &w->spans->span[i], *next = i + 1 < end ? span + 1 : span;
        for (size_t at = 0; at < AHEAD_BYTES && at < next->bytes; at += LINE_BYTES)
            __builtin_prefetch(next->data + at);
        *seen |= k->read(span->data, span->bytes);
        bytes += (double)span->bytes;
    }
    return bytes;
}

static void *work(void *opaque) {
    worker *w = opaque;
    const bench_probe_kernels *k = kernels();
    unsigned char sink[64];
    meet(w->arrived, w->n_threads);
    double begin = bench_seconds();
    if (w->spans) {
        uint64_t seen = 0;
        w->result = read_spans(w, k, &seen);
        memcpy(sink, &seen, sizeof seen);
    } else if (w->bound == BENCH_BOUND_READ) {
        size_t share = WINDOW_BYTES / (size_t)w->n_threads / 4096 * 4096;
        uint64_t seen = k->read(probe_buffer + window_at + share * (size_t)w->index, share);
        memcpy(sink, &seen, sizeof seen);
        w->result = (double)share;
    } else {
        double (*kernel)(int64_t, void *) = w->bound == BENCH_PEAK_F32    ? k->f32
                                            : w->bound == BENCH_PEAK_BF16 ? k->bf16
                                                                          : k->int8;
        w->result = kernel ? kernel(PROBE_ROUNDS, sink) * PROBE_ROUNDS : 0;
    }
    __asm__ volatile("" : : "r"(sink) : "memory");
    w->result /= bench_seconds() - begin;
    return NULL;
}

static bool probe_memory(void) {
    const size_t huge_page = 2 << 20;
    if (probe_buffer) return true;
    unsigned char *p = mmap(NULL, PROBE_BYTES + huge_page, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return false;
    p += huge_page - (uintptr_t)p % huge_page;
    madvise(p, PROBE_BYTES, MADV_HUGEPAGE);
    memset(p, 1, PROBE_BYTES);
    probe_buffer = p;
    return true;
}

/* The sum over threads, each timed by itself so that starting them costs nothing. */
static double rate(int32_t n_threads, int bound, const bench_spans *spans) {
    worker workers[MAX_THREADS];
    pthread_t threads[MAX_THREADS];
    atomic_int arrived = 0;
    double sum = 0;
    if (n_threads > MAX_THREADS) n_threads = MAX_THREADS;
    struct timespec rest = {0, REST_NS};
    nanosleep(&rest, NULL);
    for (int32_t i = 0; i < n_threads; i++) {
        workers[i] = (worker){i, n_threads, bound, 0, &arrived, spans};
        if (i) pthread_create(&threads[i], NULL, work, &workers[i]);
    }
    work(&workers[0]);
    for (int32_t i = 0; i < n_threads; i++) {
        if (i) pthread_join(threads[i], NULL);
        sum += workers[i].result;
    }
    return sum / 1e9;
}

double bench_probe(int32_t n_threads, int bound) {
    if (bound == BENCH_BOUND_READ && !probe_memory()) return 0;
    window_at = (window_at + WINDOW_BYTES) % PROBE_BYTES;
    return rate(n_threads, bound, NULL);
}

double bench_probe_pages(int32_t n_threads, const bench_spans *spans) {
    return rate(n_threads, BENCH_BOUND_READ, spans);
}

void bench_limits_measure(int32_t n_threads, bench_limits *out) {
    enum { SAMPLES = 15 };
    double samples[SAMPLES];
    out->n_threads = n_threads;
    for (int bound = 0; bound < BENCH_BOUND_COUNT; bound++) {
        for (int i = 0; i < SAMPLES; i++) samples[i] = bench_probe(n_threads, bound);
        out->rate[bound] = bench_median(samples, SAMPLES);
    }
}

const char *bench_bound_name(int bound) {
    static const char *const names[] = {"f32", "bf16", "int8", "read"};
    return names[bound];
}

int bench_bound_of(const bench_cost *cost, const bench_limits *limits) {
    double peak = cost->peak < BENCH_PEAK_NONE ? limits->rate[cost->peak] : 0;
    if (peak <= 0) return BENCH_BOUND_READ;
    return cost->operations / peak > cost->bytes / limits->rate[BENCH_BOUND_READ]
               ? cost->peak
               : BENCH_BOUND_READ;
}
