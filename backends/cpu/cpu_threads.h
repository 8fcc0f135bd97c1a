/* SPDX-License-Identifier: Apache-2.0 */
/* The CPU backend's thread pool: fork-join over numbered tasks, no OpenMP.
 *
 *  - The caller takes part: a pool of n threads has n - 1 workers.
 *  - Each thread begins with its own run of neighbouring tasks, the same one in every call of as
 *    many tasks, and helps others when it is done. So weights that are packed by the pool are first
 *    touched by the thread, and on the memory node, that will read them; and each thread reads one
 *    stream. Which thread runs which task is not fixed, so a kernel must give the same bits whoever
 *    runs a task.
 *  - Workers spin for about 100 us after their last job, then sleep on a futex. The caller waits
 *    only for workers that have entered its job, never for one that still wakes up. A worker that
 *    the scheduler woke on its caller's CPU goes to another one.
 *  - Any number of host threads may call at once. One of them gets the workers; the others, and
 *    nested calls, run their tasks alone on the calling thread. run() takes no lock, allocates
 *    nothing and cannot fail.
 *  - After fork() the child has no workers. There tenon_cpu_pool_run() runs serially until
 *    tenon_cpu_pool_ensure(), which plan calls, has started new ones.
 *  - Workers inherit the affinity mask of the thread that creates (or ensures) the pool. */
#ifndef TENON_CPU_THREADS_H
#define TENON_CPU_THREADS_H

#include <stddef.h>
#include <stdint.h>

/* One task. `thread` is below tenon_cpu_pool_threads() and unique among the threads that work for
 * the same call at the same time: it indexes per-thread scratch that belongs to the call. */
typedef void (*tenon_cpu_task_fn)(void *arg, int64_t task, int32_t thread);

/* A host's own parallel-for in place of the workers, as tenon_host has it: runs task(arg, i) for
 * each i in [0, n_tasks), on any threads, and returns when all are done. */
typedef void (*tenon_cpu_host_parallel_fn)(void *user, void (*task)(void *arg, int64_t index),
                                           void *arg, int64_t n_tasks);

typedef struct tenon_cpu_allocator {
    void *(*alloc)(void *user, size_t bytes, size_t align);
    void (*release)(void *user, void *memory, size_t bytes, size_t align); /* as it was taken */
    void *user;
} tenon_cpu_allocator;

typedef struct tenon_cpu_pool tenon_cpu_pool;

/* n_threads: 0 takes one per CPU of the caller's affinity mask. allocator NULL: malloc and free.
 * A worker that cannot be started makes the pool smaller, never a failure; NULL only when there is
 * no memory. */
tenon_cpu_pool *tenon_cpu_pool_create(int32_t n_threads, const tenon_cpu_allocator *allocator);

/* The same with the host's parallel-for and no workers of our own; n_threads: how many tasks it
 * runs at once, at least 1. It is handed at most n_threads tasks, each of which takes ours by
 * turns. */
tenon_cpu_pool *tenon_cpu_pool_create_hosted(int32_t n_threads,
                                             tenon_cpu_host_parallel_fn parallel_for, void *user,
                                             const tenon_cpu_allocator *allocator);

/* No call may be in progress. Takes NULL. */
void tenon_cpu_pool_destroy(tenon_cpu_pool *pool);

/* Starts the workers again in a forked child; does nothing otherwise. May allocate: call it when
 * planning, not when running. */
void tenon_cpu_pool_ensure(tenon_cpu_pool *pool);

/* Upper bound (exclusive) of the `thread` argument; does not change over the pool's life.
 * pool NULL: 1. */
int32_t tenon_cpu_pool_threads(const tenon_cpu_pool *pool);

/* Runs all tasks and returns when they are done. pool NULL: serially. */
void tenon_cpu_pool_run(tenon_cpu_pool *pool, int64_t n_tasks, tenon_cpu_task_fn fn, void *arg);

#endif
