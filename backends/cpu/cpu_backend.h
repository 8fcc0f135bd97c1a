/* SPDX-License-Identifier: Apache-2.0 */
/* What the CPU backend keeps for each context: the machine as it may be used, and the threads. */
#ifndef TENON_CPU_BACKEND_H
#define TENON_CPU_BACKEND_H

#include "backend.h"
#include "cpu_features.h"
#include "cpu_threads.h"

typedef struct tenon_cpu_state {
    tenon_cpu_info info;
    tenon_cpu_pool *pool;
} tenon_cpu_state;

static inline const tenon_cpu_state *tenon_cpu_state_of(const tenon_kernel_plan *plan) {
    return (const tenon_cpu_state *)plan->problem.backend_state;
}

/* Upper bound of the `thread` argument that tasks of tenon_cpu_run see. */
static inline int32_t tenon_cpu_threads(const tenon_kernel_plan *plan) {
    return tenon_cpu_pool_threads(tenon_cpu_state_of(plan)->pool);
}

static inline void tenon_cpu_run(const tenon_kernel_plan *plan, int64_t n_tasks,
                                 tenon_cpu_task_fn fn, void *arg) {
    tenon_cpu_pool_run(tenon_cpu_state_of(plan)->pool, n_tasks, fn, arg);
}

#endif /* TENON_CPU_BACKEND_H */
