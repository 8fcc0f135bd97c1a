/* SPDX-License-Identifier: Apache-2.0 */
/* The thread pool: every task runs exactly once, whoever calls, from wherever, also after fork. */
#define _GNU_SOURCE
#include "cpu_threads.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static atomic_int n_failed;

#define CHECK(cond, ...)                                                                           \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            atomic_fetch_add(&n_failed, 1);                                                        \
            fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #cond);                             \
            fprintf(stderr, __VA_ARGS__);                                                          \
            fputc('\n', stderr);                                                                   \
        }                                                                                          \
    } while (0)

#if defined(__has_feature)
#    if __has_feature(thread_sanitizer)
#        define UNDER_TSAN 1
#    endif
#elif defined(__SANITIZE_THREAD__)
#    define UNDER_TSAN 1
#endif

enum { MAX_TASKS = 4096, MAX_THREADS = 64 };

typedef struct tally {
    atomic_int runs[MAX_TASKS];
    atomic_int inside[MAX_THREADS]; /* must never exceed 1: `thread` is unique at a time */
    atomic_int shared_thread;
    atomic_int threads_seen[MAX_THREADS];
    int32_t n_threads;
    tenon_cpu_pool *nested;
} tally;

static void count_task(void *arg, int64_t task, int32_t thread) {
    tally *t = arg;
    if (thread < 0 || thread >= t->n_threads) {
        atomic_fetch_add(&t->shared_thread, 1000);
        return;
    }
    if (atomic_fetch_add(&t->inside[thread], 1) != 0) atomic_fetch_add(&t->shared_thread, 1);
    atomic_fetch_add(&t->threads_seen[thread], 1);
    atomic_fetch_add(&t->runs[task], 1);
    atomic_fetch_sub(&t->inside[thread], 1);
}

static void run_and_check(tenon_cpu_pool *pool, int64_t n_tasks, const char *what) {
    tally *t = calloc(1, sizeof *t);
    t->n_threads = tenon_cpu_pool_threads(pool);
    tenon_cpu_pool_run(pool, n_tasks, count_task, t);
    for (int64_t i = 0; i < MAX_TASKS; i++)
        CHECK(t->runs[i] == (i < n_tasks), "%s: task %d of %d ran %d times", what, (int)i,
              (int)n_tasks, t->runs[i]);
    CHECK(t->shared_thread == 0, "%s: thread index shared or out of range", what);
    free(t);
}

static void test_counts(void) {
    for (int32_t n_threads = 1; n_threads <= 9; n_threads += 4) {
        tenon_cpu_pool *pool = tenon_cpu_pool_create(n_threads, NULL);
        CHECK(tenon_cpu_pool_threads(pool) == n_threads, "%d", tenon_cpu_pool_threads(pool));
        static const int64_t counts[] = {0, 1, 2, 3, 17, 1000, MAX_TASKS};
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
            run_and_check(pool, counts[i], "counts");
        for (int r = 0; r < 300; r++) run_and_check(pool, r % 7, "repeat");
        tenon_cpu_pool_destroy(pool);
    }
    run_and_check(NULL, 5, "no pool");
    tenon_cpu_pool_destroy(NULL);
}

/* Sleep longer than the workers spin, so that the next call has to wake them. */
static void test_after_sleep(void) {
    tenon_cpu_pool *pool = tenon_cpu_pool_create(3, NULL);
    for (int r = 0; r < 20; r++) {
        nanosleep(&(struct timespec){0, 2000000}, NULL);
        run_and_check(pool, 64, "after sleep");
    }
    tenon_cpu_pool_destroy(pool);
}

static void wait_for_other_thread(void *arg, int64_t task, int32_t thread) {
    (void)task;
    atomic_int *arrived = arg;
    (void)thread;
    atomic_fetch_add(arrived, 1);
    const time_t end = time(NULL) + 20;
    while (atomic_load(arrived) < 2 && time(NULL) < end) sched_yield();
}

/* Two tasks that wait for one another end only if two threads really work. */
static void test_really_parallel(void) {
    tenon_cpu_pool *pool = tenon_cpu_pool_create(2, NULL);
    for (int r = 0; r < 5; r++) {
        atomic_int arrived = 0;
        const time_t begin = time(NULL);
        tenon_cpu_pool_run(pool, 2, wait_for_other_thread, &arrived);
        CHECK(time(NULL) - begin < 20, "the worker did not take part");
    }
    tenon_cpu_pool_destroy(pool);
}

typedef struct host_thread {
    tenon_cpu_pool *pool;
    int id;
} host_thread;

static void *host_main(void *arg) {
    host_thread *h = arg;
    for (int r = 0; r < 200; r++) run_and_check(h->pool, (h->id * 37 + r) % 50, "8 hosts");
    return NULL;
}

static void test_many_hosts(void) {
    tenon_cpu_pool *pool = tenon_cpu_pool_create(4, NULL);
    pthread_t threads[8];
    host_thread hosts[8];
    for (int i = 0; i < 8; i++) {
        hosts[i] = (host_thread){pool, i};
        pthread_create(&threads[i], NULL, host_main, &hosts[i]);
    }
    for (int i = 0; i < 8; i++) pthread_join(threads[i], NULL);
    tenon_cpu_pool_destroy(pool);
}

static void nested_task(void *arg, int64_t task, int32_t thread) {
    (void)task;
    (void)thread;
    run_and_check(arg, 9, "nested");
}

static void test_nested(void) {
    tenon_cpu_pool *pool = tenon_cpu_pool_create(4, NULL);
    tenon_cpu_pool_run(pool, 32, nested_task, pool);
    run_and_check(pool, 100, "after nested");
    tenon_cpu_pool_destroy(pool);
}

static void child_checks(tenon_cpu_pool *pool) {
    run_and_check(pool, 100, "child, serial");
    tenon_cpu_pool_ensure(pool);
    run_and_check(pool, 100, "child, ensured");
    atomic_int arrived = 0;
    const time_t begin = time(NULL);
    tenon_cpu_pool_run(pool, 2, wait_for_other_thread, &arrived);
    CHECK(time(NULL) - begin < 20, "no worker in the child after ensure");
    tenon_cpu_pool_destroy(pool);
    _exit(atomic_load(&n_failed) ? 1 : 0);
}

static void fork_task(void *arg, int64_t task, int32_t thread) {
    (void)thread;
    if (task != 3) return;
    /* fork() in the middle of a job: the child must not wait for workers it does not have. */
    const pid_t pid = fork();
    if (!pid) {
        run_and_check(arg, 10, "child of a running job");
        _exit(atomic_load(&n_failed) ? 1 : 0);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    CHECK(WIFEXITED(status) && !WEXITSTATUS(status), "status %d", status);
}

static void test_fork(void) {
#ifdef UNDER_TSAN
    puts("skipped: fork (ThreadSanitizer does not start threads in a forked child)");
    return;
#endif
    tenon_cpu_pool *pool = tenon_cpu_pool_create(3, NULL);
    run_and_check(pool, 100, "before fork");
    const pid_t pid = fork();
    if (!pid) child_checks(pool);
    int status = 0;
    waitpid(pid, &status, 0);
    CHECK(WIFEXITED(status) && !WEXITSTATUS(status), "status %d", status);
    run_and_check(pool, 100, "parent after fork");
    tenon_cpu_pool_run(pool, 8, fork_task, pool);
    tenon_cpu_pool_destroy(pool);
}

static int host_calls;

static void host_parallel(void *user, void (*task)(void *arg, int64_t index), void *arg,
                          int64_t n_tasks) {
    host_calls += *(int *)user;
    CHECK(n_tasks <= 6, "%d lanes for 6 threads", (int)n_tasks);
    for (int64_t i = n_tasks - 1; i >= 0; i--) task(arg, i);
}

static void test_hosted(void) {
    int one = 1;
    tenon_cpu_pool *pool = tenon_cpu_pool_create_hosted(6, host_parallel, &one, NULL);
    CHECK(tenon_cpu_pool_threads(pool) == 6, "%d", tenon_cpu_pool_threads(pool));
    run_and_check(pool, 100, "hosted");
    CHECK(host_calls == 1, "host's parallel-for called %d times", host_calls);
    tenon_cpu_pool_destroy(pool);
}

static int64_t live_bytes;

static void *counting_alloc(void *user, size_t bytes, size_t align) {
    *(int64_t *)user += (int64_t)bytes;
    void *p = NULL;
    return posix_memalign(&p, align, bytes) ? NULL : p;
}

static void counting_release(void *user, void *memory, size_t bytes, size_t align) {
    (void)align;
    *(int64_t *)user -= (int64_t)bytes;
    free(memory);
}

static void *failing_alloc(void *user, size_t bytes, size_t align) {
    (void)user;
    (void)bytes;
    (void)align;
    return NULL;
}

static void test_allocator(void) {
    const tenon_cpu_allocator counting = {counting_alloc, counting_release, &live_bytes};
    tenon_cpu_pool *pool = tenon_cpu_pool_create(4, &counting);
    CHECK(live_bytes > 0, "the hook was not used");
    tenon_cpu_pool_destroy(pool);
    CHECK(live_bytes == 0, "%d bytes leaked", (int)live_bytes);
    const tenon_cpu_allocator failing = {failing_alloc, counting_release, NULL};
    CHECK(!tenon_cpu_pool_create(4, &failing), "a pool without memory");
}

static void record_cpu(void *arg, int64_t task, int32_t thread) {
    (void)task;
    (void)thread;
    cpu_set_t set;
    sched_getaffinity(0, sizeof set, &set);
    if (CPU_COUNT(&set) != 1) atomic_fetch_add((atomic_int *)arg, 1);
}

/* A caller confined to one CPU gets a pool of one; one that asks for more gets workers confined
 * to the same CPU. */
static void test_affinity(void) {
    cpu_set_t before, one;
    sched_getaffinity(0, sizeof before, &before);
    CPU_ZERO(&one);
    for (int c = 0; c < CPU_SETSIZE; c++)
        if (CPU_ISSET(c, &before)) {
            CPU_SET(c, &one);
            break;
        }
    sched_setaffinity(0, sizeof one, &one);
    tenon_cpu_pool *pool = tenon_cpu_pool_create(0, NULL);
    CHECK(tenon_cpu_pool_threads(pool) == 1, "%d threads", tenon_cpu_pool_threads(pool));
    tenon_cpu_pool_destroy(pool);
    pool = tenon_cpu_pool_create(4, NULL);
    atomic_int elsewhere = 0;
    tenon_cpu_pool_run(pool, 400, record_cpu, &elsewhere);
    CHECK(elsewhere == 0, "%d tasks outside the mask", elsewhere);
    run_and_check(pool, 1000, "4 threads on 1 CPU");
    tenon_cpu_pool_destroy(pool);
    sched_setaffinity(0, sizeof before, &before);
}

int main(void) {
    alarm(300);
    test_counts();
    test_after_sleep();
    test_really_parallel();
    test_many_hosts();
    test_nested();
    test_fork();
    test_hosted();
    test_allocator();
    test_affinity();
    printf("test_cpu_threads: %s\n", n_failed ? "FAILED" : "ok");
    return n_failed != 0;
}
