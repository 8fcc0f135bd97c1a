/* SPDX-License-Identifier: Apache-2.0 */
#include "bench_limits.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bench_library.h"

enum { MAX_THREADS = 256, PROBE_BYTES = 256 << 20 };
static unsigned char *probe_buffer;

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
    int what; /* BENCH_PEAK_*, or -1 for reading */
    int64_t rounds;
    double result;
    pthread_barrier_t *start;
} worker;

static void *work(void *opaque) {
    worker *w = opaque;
    const bench_probe_kernels *k = kernels();
    unsigned char sink[64];
    pthread_barrier_wait(w->start);
    double begin = bench_seconds();
    if (w->what < 0) {
        size_t share = PROBE_BYTES / (size_t)w->n_threads / 4096 * 4096;
        uint64_t seen = k->read(probe_buffer + share * (size_t)w->index, share);
        memcpy(sink, &seen, sizeof seen);
        w->result = (double)share;
    } else {
        double (*kernel)(int64_t, void *) = w->what == BENCH_PEAK_F32    ? k->f32
                                            : w->what == BENCH_PEAK_BF16 ? k->bf16
                                                                         : k->int8;
        w->result = kernel ? kernel(w->rounds, sink) * (double)w->rounds : 0;
    }
    __asm__ volatile("" : : "r"(sink) : "memory");
    w->result /= bench_seconds() - begin;
    return NULL;
}

/* Units per second over all threads, each timed by itself so that starting them costs nothing. */
static double rate(int32_t n_threads, int what, int64_t rounds) {
    worker workers[MAX_THREADS];
    pthread_t threads[MAX_THREADS];
    pthread_barrier_t start;
    double sum = 0;
    if (n_threads > MAX_THREADS) n_threads = MAX_THREADS;
    pthread_barrier_init(&start, NULL, (unsigned)n_threads);
    for (int32_t i = 0; i < n_threads; i++) {
        workers[i] = (worker){i, n_threads, what, rounds, 0, &start};
        if (i) pthread_create(&threads[i], NULL, work, &workers[i]);
    }
    work(&workers[0]);
    for (int32_t i = 0; i < n_threads; i++) {
        if (i) pthread_join(threads[i], NULL);
        sum += workers[i].result;
    }
    pthread_barrier_destroy(&start);
    return sum;
}

double bench_probe_read(int32_t n_threads) {
    if (!probe_buffer) {
        void *p = mmap(NULL, PROBE_BYTES + (2 << 20), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED) return 0;
        probe_buffer =
            (unsigned char *)(((uintptr_t)p + (2 << 20) - 1) & ~(uintptr_t)((2 << 20) - 1));
        madvise(probe_buffer, PROBE_BYTES, MADV_HUGEPAGE);
        memset(probe_buffer, 1, PROBE_BYTES);
    }
    return rate(n_threads, -1, 1) / 1e9;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median_of(int n, double (*sample)(int32_t, int, int64_t), int32_t n_threads,
                        int what) {
    double samples[15];
    for (int i = 0; i < n; i++) samples[i] = sample(n_threads, what, 200000);
    qsort(samples, (size_t)n, sizeof samples[0], by_value);
    return samples[n / 2];
}

void bench_limits_measure(int32_t n_threads, bench_limits *out) {
    double samples[15];
    memset(out, 0, sizeof *out);
    out->n_threads = n_threads;
    for (int i = 0; i < 15; i++) samples[i] = bench_probe_read(n_threads);
    qsort(samples, 15, sizeof samples[0], by_value);
    out->read_gb_per_s = samples[7];
    for (int what = 0; what < BENCH_PEAK_NONE; what++)
        out->peak_gop_per_s[what] = median_of(9, rate, n_threads, what) / 1e9;
}
