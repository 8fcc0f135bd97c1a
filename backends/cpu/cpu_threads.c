/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "cpu_threads.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "cpu_features.h"

enum {
    CACHE_LINE = 128, /* two 64-byte lines: the neighbour line is prefetched with it */
    SPIN_NS = 100000,
    SPINS_PER_CLOCK_READ = 64,
    SPINS_BEFORE_YIELD = 1024,
    WORKER_STACK_BYTES = 2 << 20,
    MAX_TASKS = INT32_MAX, /* the count of a slice has 32 bits */
};

/* ticket: the open job. Bits 32..63 count jobs, bit 31 says that workers may still enter, the low
 * bits count the workers inside. A worker enters by adding one with compare-exchange, so it can
 * never enter a job that the caller has closed. */
static const uint64_t TICKET_OPEN = (uint64_t)1 << 31;
static const uint64_t TICKET_INSIDE = ((uint64_t)1 << 31) - 1;

/* The neighbouring tasks that are one thread's to begin with. The upper half is the job that
 * `taken` belongs to: a slice whose job is another one is untouched, so a new job writes no slices.
 */
typedef struct slice {
    _Alignas(128) _Atomic uint64_t job_and_taken;
} slice;

/* The count of jobs wraps soon in every pool: what happens there is nothing rare. */
static const uint64_t FIRST_JOB = UINT32_MAX - 100;

typedef struct worker {
    struct tenon_cpu_pool *pool;
    pthread_t handle;
    int32_t thread;
} worker;

struct tenon_cpu_pool {
    /* Written by the caller once per job, polled by the workers. */
    _Alignas(128) _Atomic uint64_t ticket;
    _Atomic(tenon_cpu_task_fn) fn;
    _Atomic(void *) arg;
    _Atomic int64_t n_tasks;
    atomic_uint wake_word; /* futex: counts jobs */
    atomic_int caller_cpu; /* of the last call that woke sleepers */
    atomic_int stop;

    _Alignas(128) atomic_int n_sleeping;
    _Alignas(128) atomic_int busy; /* 1: some call owns the workers */

    _Alignas(128) atomic_uint fork_epoch; /* workers belong to the process of this epoch */
    atomic_uint claimed_epoch;
    int32_t n_threads;
    int32_t n_started;
    tenon_cpu_host_parallel_fn host_run;
    void *host_user;
    tenon_cpu_allocator allocator;
    size_t bytes;
    slice *slices; /* one per thread */
    worker workers[];
};

/* Counts fork() in this process's ancestry since load; a pool whose epoch differs has no workers.
 */
static atomic_uint current_epoch;

static void after_fork_in_child(void) {
    atomic_fetch_add_explicit(&current_epoch, 1, memory_order_relaxed);
}

static void watch_fork(void) {
    pthread_atfork(NULL, NULL, after_fork_in_child);
}

static void cpu_relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void futex_wait(atomic_uint *word, unsigned seen) {
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

static void futex_wake(atomic_uint *word, int n) {
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}

static void run_serially(int64_t n_tasks, tenon_cpu_task_fn fn, void *arg) {
    for (int64_t task = 0; task < n_tasks; task++) fn(arg, task, 0);
}

/* The next task of a slice of `length` tasks; -1: none is left. */
static int64_t take_from(slice *s, uint64_t job, int64_t length) {
    uint64_t seen = atomic_load_explicit(&s->job_and_taken, memory_order_relaxed);
    for (;;) {
        const uint64_t taken = seen >> 32 == job ? seen & UINT32_MAX : 0;
        if ((int64_t)taken >= length) return -1;
        if (atomic_compare_exchange_weak_explicit(&s->job_and_taken, &seen, job << 32 | (taken + 1),
                                                  memory_order_relaxed, memory_order_relaxed))
            return (int64_t)taken;
    }
}

/* First the thread's own slice, then what others have left. */
static void take_tasks(tenon_cpu_pool *p, tenon_cpu_task_fn fn, void *arg, int64_t n_tasks,
                       uint64_t job, int32_t thread) {
    const int64_t n_slices = n_tasks < p->n_threads ? n_tasks : p->n_threads;
    for (int64_t i = 0; i < n_slices; i++) {
        const int64_t s = (thread + i) % n_slices, first = n_tasks * s / n_slices,
                      length = n_tasks * (s + 1) / n_slices - first;
        int64_t task;
        while ((task = take_from(&p->slices[s], job, length)) >= 0) fn(arg, first + task, thread);
    }
}

/* A host's task knows no thread number; ours is the number of the lane it was given. */
typedef struct hosted_call {
    tenon_cpu_task_fn fn;
    void *arg;
    int64_t n_tasks;
    _Atomic int64_t next_task;
} hosted_call;

static void run_hosted_lane(void *arg, int64_t lane) {
    hosted_call *c = arg;
    for (;;) {
        const int64_t task = atomic_fetch_add_explicit(&c->next_task, 1, memory_order_relaxed);
        if (task >= c->n_tasks) return;
        c->fn(c->arg, task, (int32_t)lane);
    }
}

/* ---- workers ---------------------------------------------------------------------------- */

static int enter_job(tenon_cpu_pool *p, uint64_t *last_job) {
    uint64_t t = atomic_load_explicit(&p->ticket, memory_order_acquire);
    while ((t & TICKET_OPEN) && t >> 32 != *last_job) {
        if (atomic_compare_exchange_weak_explicit(&p->ticket, &t, t + 1, memory_order_acquire,
                                                  memory_order_acquire)) {
            *last_job = t >> 32;
            return 1;
        }
    }
    return 0;
}

static void sleep_until_job(tenon_cpu_pool *p, unsigned seen) {
    /* Sequentially consistent on both sides: either the caller sees us among the sleepers, or we
     * see its new wake_word and do not sleep. */
    atomic_fetch_add(&p->n_sleeping, 1);
    if (atomic_load(&p->wake_word) == seen && !atomic_load(&p->stop))
        futex_wait(&p->wake_word, seen);
    atomic_fetch_sub(&p->n_sleeping, 1);
}

/* The scheduler may wake a worker on the very CPU that its caller computes on, and leave it there
 * call after call, while another CPU idles. A worker that finds itself there goes elsewhere; which
 * CPUs it may use stays as it was. */
static void leave_cpu_of_caller(const tenon_cpu_pool *p) {
    cpu_set_t allowed, others;
    const int here = sched_getcpu();
    if (here < 0 || here != atomic_load_explicit(&p->caller_cpu, memory_order_relaxed) ||
        here >= CPU_SETSIZE || sched_getaffinity(0, sizeof allowed, &allowed))
        return;
    others = allowed;
    CPU_CLR(here, &others);
    if (CPU_COUNT(&others) == 0 || sched_setaffinity(0, sizeof others, &others)) return;
    (void)sched_setaffinity(0, sizeof allowed, &allowed);
}

static void *worker_main(void *arg) {
    worker *w = arg;
    tenon_cpu_pool *p = w->pool;
    uint64_t last_job = 0;
    for (;;) {
        int64_t deadline = 0;
        for (;;) {
            const unsigned seen = atomic_load(&p->wake_word);
            if (atomic_load_explicit(&p->stop, memory_order_acquire)) return NULL;
            if (enter_job(p, &last_job)) break;
            for (int i = 0; i < SPINS_PER_CLOCK_READ; i++) {
                if (atomic_load_explicit(&p->wake_word, memory_order_relaxed) != seen) break;
                cpu_relax();
            }
            const int64_t now = now_ns();
            if (!deadline) deadline = now + SPIN_NS;
            if (now >= deadline) {
                sleep_until_job(p, seen);
                leave_cpu_of_caller(p);
                deadline = 0;
            }
        }
        take_tasks(p, atomic_load_explicit(&p->fn, memory_order_relaxed),
                   atomic_load_explicit(&p->arg, memory_order_relaxed),
                   atomic_load_explicit(&p->n_tasks, memory_order_relaxed), last_job, w->thread);
        atomic_fetch_sub_explicit(&p->ticket, 1, memory_order_release);
    }
}

static void start_workers(tenon_cpu_pool *p) {
    pthread_attr_t attr;
    sigset_t all, before;
    p->n_started = 0;
    if (pthread_attr_init(&attr)) return;
    pthread_attr_setstacksize(&attr, WORKER_STACK_BYTES);
    /* Signals stay with the host's threads. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (int32_t i = 0; i < p->n_threads - 1; i++) {
        worker *w = &p->workers[i];
        w->pool = p;
        w->thread = i + 1;
        if (pthread_create(&w->handle, &attr, worker_main, w)) break;
        pthread_setname_np(w->handle, "tenon-cpu");
        p->n_started++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
}

/* ---- the pool --------------------------------------------------------------------------- */

static void *default_alloc(void *user, size_t bytes, size_t align) {
    (void)user;
    void *p = NULL;
    return posix_memalign(&p, align, bytes) ? NULL : p;
}

static void default_release(void *user, void *memory, size_t bytes, size_t align) {
    (void)user;
    (void)bytes;
    (void)align;
    free(memory);
}

static tenon_cpu_pool *new_pool(int32_t n_threads, int32_t n_workers,
                                const tenon_cpu_allocator *allocator) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, watch_fork);
    const tenon_cpu_allocator a =
        allocator ? *allocator : (tenon_cpu_allocator){default_alloc, default_release, NULL};
    const size_t used = sizeof(tenon_cpu_pool) + (size_t)n_workers * sizeof(worker),
                 slices_at = (used + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE,
                 bytes = slices_at + (size_t)n_threads * sizeof(slice);
    tenon_cpu_pool *p = a.alloc(a.user, bytes, CACHE_LINE);
    if (!p) return NULL;
    memset(p, 0, bytes);
    p->allocator = a;
    p->bytes = bytes;
    p->n_threads = n_threads;
    p->slices = (slice *)(void *)((char *)p + slices_at);
    atomic_init(&p->ticket, FIRST_JOB << 32);
    atomic_init(&p->caller_cpu, -1);
    const unsigned epoch = atomic_load(&current_epoch);
    atomic_init(&p->fork_epoch, epoch);
    atomic_init(&p->claimed_epoch, epoch);
    return p;
}

tenon_cpu_pool *tenon_cpu_pool_create(int32_t n_threads, const tenon_cpu_allocator *allocator) {
    if (n_threads <= 0) n_threads = tenon_cpu_count_usable();
    tenon_cpu_pool *p = new_pool(n_threads, n_threads - 1, allocator);
    if (p) start_workers(p);
    return p;
}

tenon_cpu_pool *tenon_cpu_pool_create_hosted(int32_t n_threads,
                                             tenon_cpu_host_parallel_fn parallel_for, void *user,
                                             const tenon_cpu_allocator *allocator) {
    tenon_cpu_pool *p = new_pool(n_threads > 0 ? n_threads : 1, 0, allocator);
    if (!p) return NULL;
    p->host_run = parallel_for;
    p->host_user = user;
    return p;
}

void tenon_cpu_pool_destroy(tenon_cpu_pool *p) {
    if (!p) return;
    if (atomic_load(&p->fork_epoch) == atomic_load(&current_epoch)) {
        atomic_store(&p->stop, 1);
        atomic_fetch_add(&p->wake_word, 1);
        futex_wake(&p->wake_word, INT_MAX);
        for (int32_t i = 0; i < p->n_started; i++) pthread_join(p->workers[i].handle, NULL);
    }
    const tenon_cpu_allocator a = p->allocator;
    a.release(a.user, p, p->bytes, CACHE_LINE);
}

void tenon_cpu_pool_ensure(tenon_cpu_pool *p) {
    if (!p || p->host_run) return;
    const unsigned epoch = atomic_load(&current_epoch);
    if (atomic_load(&p->fork_epoch) == epoch) return;
    /* One thread of the child restarts; the others go on serially until fork_epoch says so. */
    unsigned claimed = atomic_load(&p->claimed_epoch);
    if (claimed == epoch || !atomic_compare_exchange_strong(&p->claimed_epoch, &claimed, epoch))
        return;
    /* Whatever the parent's threads were doing at fork() does not go on here. */
    atomic_store(&p->ticket, FIRST_JOB << 32);
    for (int32_t i = 0; i < p->n_threads; i++) atomic_store(&p->slices[i].job_and_taken, 0);
    atomic_store(&p->n_sleeping, 0);
    atomic_store(&p->busy, 0);
    start_workers(p);
    atomic_store(&p->fork_epoch, epoch);
}

int32_t tenon_cpu_pool_threads(const tenon_cpu_pool *p) {
    return p ? p->n_threads : 1;
}

void tenon_cpu_pool_run(tenon_cpu_pool *p, int64_t n_tasks, tenon_cpu_task_fn fn, void *arg) {
    if (!p || n_tasks <= 1 || p->n_threads == 1 || n_tasks > MAX_TASKS) {
        run_serially(n_tasks, fn, arg);
        return;
    }
    if (p->host_run) {
        hosted_call call = {fn, arg, n_tasks, 0};
        p->host_run(p->host_user, run_hosted_lane, &call,
                    n_tasks < p->n_threads ? n_tasks : p->n_threads);
        return;
    }
    int idle = 0;
    if (atomic_load_explicit(&p->fork_epoch, memory_order_acquire) !=
            atomic_load_explicit(&current_epoch, memory_order_relaxed) ||
        !atomic_compare_exchange_strong_explicit(&p->busy, &idle, 1, memory_order_acquire,
                                                 memory_order_relaxed)) {
        run_serially(n_tasks, fn, arg);
        return;
    }

    atomic_store_explicit(&p->fn, fn, memory_order_relaxed);
    atomic_store_explicit(&p->arg, arg, memory_order_relaxed);
    atomic_store_explicit(&p->n_tasks, n_tasks, memory_order_relaxed);
    /* The count wraps after 2^32 jobs; 0 is skipped because a new worker starts with it, and no
     * slice may keep a job of the last round. */
    uint64_t job = (atomic_load_explicit(&p->ticket, memory_order_relaxed) >> 32) + 1;
    if (job >> 32) {
        job = 1;
        for (int32_t i = 0; i < p->n_threads; i++)
            atomic_store_explicit(&p->slices[i].job_and_taken, 0, memory_order_relaxed);
    }
    atomic_store_explicit(&p->ticket, job << 32 | TICKET_OPEN, memory_order_release);
    atomic_fetch_add(&p->wake_word, 1);
    const int sleeping = atomic_load(&p->n_sleeping);
    if (sleeping) {
        const int64_t wanted = n_tasks - 1;
        atomic_store_explicit(&p->caller_cpu, sched_getcpu(), memory_order_relaxed);
        futex_wake(&p->wake_word, wanted < sleeping ? (int)wanted : sleeping);
    }

    take_tasks(p, fn, arg, n_tasks, job, 0);

    uint64_t inside = atomic_fetch_and_explicit(&p->ticket, ~TICKET_OPEN, memory_order_acquire);
    for (int spins = 0; inside & TICKET_INSIDE; spins++) {
        cpu_relax();
        /* More threads than CPUs: the worker we wait for may need this very CPU. */
        if (spins >= SPINS_BEFORE_YIELD) sched_yield();
        inside = atomic_load_explicit(&p->ticket, memory_order_acquire);
    }
    atomic_store_explicit(&p->busy, 0, memory_order_release);
}
