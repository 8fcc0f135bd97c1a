/* SPDX-License-Identifier: Apache-2.0 */
/* What the thread pool costs: a fork and join while the workers are awake, and what is left of two
 * pools' work when both have as many threads as the machine has CPUs. Skipped in an instrumented
 * build, and on one CPU. */
#define _GNU_SOURCE
#include "cpu_threads.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "cpu_features.h"

/* The best of many batches: a batch that another process disturbs says nothing of the pool. A fork,
 * a meeting and a join are three round trips; where those alone take longer, they are the limit. */
static const double fork_join_limit_ns = 1000;
/* Two pools share what one has alone; less than this part of it would be time that nobody works. */
static const double shared_work_limit = 0.6;
/* No call waits for the scheduler longer than a few of its time slices. */
static const double longest_call_limit_ms = 100;

enum { BATCHES = 200, CALLS = 50, RUN_MS = 400, TASK_NS = 20000, TASKS = 8, TRIPS = 4 };

static int n_failed;
#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            n_failed++;                                                                            \
            fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition);                        \
            fprintf(stderr, __VA_ARGS__);                                                          \
            fputc('\n', stderr);                                                                   \
        }                                                                                          \
    } while (0)

static double now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

/* Every thread must have come before any may leave: no call ends before its workers have begun. */
typedef struct meeting {
    atomic_int arrived;
    int32_t n_threads;
} meeting;

static void meet(void *arg, int64_t task, int32_t thread) {
    meeting *m = arg;
    (void)task, (void)thread;
    const int all = (atomic_fetch_add(&m->arrived, 1) / m->n_threads + 1) * m->n_threads;
    while (atomic_load_explicit(&m->arrived, memory_order_acquire) < all) {
    }
}

static int compare(const void *a, const void *b) {
    return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

/* A cache line to the other thread and back: what the machine itself needs, a tenth of a
 * microsecond between two cores, more where the host runs both of its CPUs on one. */
typedef struct ball {
    _Alignas(128) atomic_int at;
    int n_rounds;
} ball;

static void *send_back(void *arg) {
    ball *b = arg;
    for (int i = 0; i < b->n_rounds; i++) {
        while (atomic_load_explicit(&b->at, memory_order_acquire) != 2 * i + 1) {
        }
        atomic_store_explicit(&b->at, 2 * i + 2, memory_order_release);
    }
    return NULL;
}

static double round_trip_ns(void) {
    static double ns[BATCHES];
    ball b = {.n_rounds = BATCHES * CALLS};
    pthread_t other;
    if (pthread_create(&other, NULL, send_back, &b)) abort();
    for (int batch = 0, i = 0; batch < BATCHES; batch++) {
        const double start = now_ns();
        for (int call = 0; call < CALLS; call++, i++) {
            atomic_store_explicit(&b.at, 2 * i + 1, memory_order_release);
            while (atomic_load_explicit(&b.at, memory_order_acquire) != 2 * i + 2) {
            }
        }
        ns[batch] = (now_ns() - start) / CALLS;
    }
    pthread_join(other, NULL);
    qsort(ns, BATCHES, sizeof ns[0], compare);
    return ns[0];
}

static void check_fork_join(int32_t n_threads) {
    static double ns[BATCHES];
    meeting m = {.n_threads = n_threads};
    tenon_cpu_pool *pool = tenon_cpu_pool_create(n_threads, NULL);
    if (!pool) abort();
    for (int b = 0; b < BATCHES; b++) {
        const double start = now_ns();
        for (int i = 0; i < CALLS; i++) tenon_cpu_pool_run(pool, n_threads, meet, &m);
        ns[b] = (now_ns() - start) / CALLS;
    }
    qsort(ns, BATCHES, sizeof ns[0], compare);
    const double machine = round_trip_ns(), limit = machine * TRIPS > fork_join_limit_ns
                                                        ? machine * TRIPS
                                                        : fork_join_limit_ns;
    printf(
        "fork and join of %d threads: best %.0f ns, median %.0f ns; a round trip of the machine's "
        "own %.0f ns\n",
        n_threads, ns[0], ns[BATCHES / 2], machine);
    CHECK(ns[0] < limit, "%.0f ns, limit %.0f", ns[0], limit);
    tenon_cpu_pool_destroy(pool);
}

/* The same number of instructions wherever and whenever it runs. */
static void work(void *arg, int64_t task, int32_t thread) {
    const int64_t *n_steps = arg;
    uint64_t x = (uint64_t)task;
    (void)thread;
    for (int64_t i = 0; i < *n_steps; i++) __asm__ volatile("" : "+r"(x));
}

static int64_t steps_of_task(void) {
    int64_t n = 1 << 22;
    const double start = now_ns();
    work(&n, 0, 0);
    return (int64_t)((double)n * TASK_NS / (now_ns() - start));
}

typedef struct host {
    pthread_t thread;
    tenon_cpu_pool *pool;
    int64_t n_steps, n_calls;
    double longest_ns;
} host;

static void *call_for_a_while(void *arg) {
    host *h = arg;
    const double end = now_ns() + 1e6 * RUN_MS;
    for (double before = now_ns(); before < end;) {
        tenon_cpu_pool_run(h->pool, TASKS, work, &h->n_steps);
        const double after = now_ns();
        if (after - before > h->longest_ns) h->longest_ns = after - before;
        before = after;
        h->n_calls++;
    }
    return NULL;
}

/* Calls of n_hosts host threads, each with a pool of its own. */
static int64_t run_hosts(int n_hosts, int32_t n_threads, int64_t n_steps, double *longest_ns) {
    host hosts[2] = {{.n_steps = n_steps}, {.n_steps = n_steps}};
    int64_t n_calls = 0;
    for (int i = 0; i < n_hosts; i++) {
        hosts[i].pool = tenon_cpu_pool_create(n_threads, NULL);
        if (!hosts[i].pool) abort();
    }
    for (int i = 0; i < n_hosts; i++)
        if (pthread_create(&hosts[i].thread, NULL, call_for_a_while, &hosts[i])) abort();
    *longest_ns = 0;
    for (int i = 0; i < n_hosts; i++) {
        pthread_join(hosts[i].thread, NULL);
        n_calls += hosts[i].n_calls;
        if (hosts[i].longest_ns > *longest_ns) *longest_ns = hosts[i].longest_ns;
        tenon_cpu_pool_destroy(hosts[i].pool);
    }
    return n_calls;
}

static void check_two_pools(int32_t n_threads) {
    const int64_t n_steps = steps_of_task();
    double alone_longest, both_longest, best = 0, best_longest = 1e18;
    for (int round = 0; round < 3; round++) {
        const int64_t alone = run_hosts(1, n_threads, n_steps, &alone_longest),
                      both = run_hosts(2, n_threads, n_steps, &both_longest);
        const double share = (double)both / (double)alone;
        printf("%d threads on %d CPUs: one pool %lld calls (longest %.2f ms), two pools %lld "
               "(longest %.2f ms): %.0f %%\n",
               n_threads, tenon_cpu_count_usable(), (long long)alone, alone_longest / 1e6,
               (long long)both, both_longest / 1e6, 100 * share);
        if (share > best) best = share;
        if (both_longest < best_longest) best_longest = both_longest;
    }
    CHECK(best > shared_work_limit, "%.2f", best);
    CHECK(best_longest < 1e6 * longest_call_limit_ms, "%.1f ms", best_longest / 1e6);
}

/* Which CPU each of two tasks ran on, in calls so far apart that the worker sleeps between them. */
typedef struct places {
    int64_t n_steps;
    int cpu[2];
    int32_t thread[2];
} places;

static void note_place(void *arg, int64_t task, int32_t thread) {
    places *p = arg;
    work(&p->n_steps, task, thread);
    p->cpu[task] = sched_getcpu(), p->thread[task] = thread;
}

static void check_after_sleep(void) {
    enum { PAUSES = 100, PAUSE_NS = 3000000, TOGETHER_MAX = PAUSES / 4 };
    tenon_cpu_pool *pool = tenon_cpu_pool_create(2, NULL);
    places p = {.n_steps = 10 * steps_of_task()};
    int n_together = 0;
    if (!pool) abort();
    for (int i = 0; i < PAUSES; i++) {
        nanosleep(&(struct timespec){0, PAUSE_NS}, NULL);
        tenon_cpu_pool_run(pool, 2, note_place, &p);
        n_together += p.cpu[0] == p.cpu[1] && p.thread[0] != p.thread[1];
    }
    printf("after a sleep both threads worked on one CPU in %d of %d calls\n", n_together, PAUSES);
    CHECK(n_together <= TOGETHER_MAX, "%d of %d", n_together, PAUSES);
    tenon_cpu_pool_destroy(pool);
}

int main(void) {
    const int32_t n_cpus = tenon_cpu_count_usable();
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__OPTIMIZE__)
    puts("this build is instrumented or not optimised: its times say nothing");
    return 77;
#endif
    if (n_cpus < 2) {
        puts("one CPU: there is nothing to fork to");
        return 77;
    }
    check_fork_join(2);
    check_after_sleep();
    check_two_pools(n_cpus < 8 ? n_cpus : 8);
    printf("%d failed\n", n_failed);
    return n_failed != 0;
}
