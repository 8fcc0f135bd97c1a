/* SPDX-License-Identifier: Apache-2.0 */
/* A libtenon.so as a host loads it. Two of them may be open at once, for A/B in one process. */
#ifndef TENON_BENCH_LIBRARY_H
#define TENON_BENCH_LIBRARY_H

#include "bench_problem.h"

typedef struct bench_library {
    const char *path;
    const tenon_api *api;
    tenon_context *context;
    int32_t backend, n_threads; /* of the context */
} bench_library;

bool bench_library_open(bench_library *library, const char *path, int32_t backend,
                        int32_t n_threads);
/* A context with these options: the one that is open, or a new one in its place. */
bool bench_library_use(bench_library *library, int32_t backend, int32_t n_threads);
void bench_library_close(bench_library *library);

/* A planned problem with its workspace. */
typedef struct bench_plan {
    tenon_plan *plan;
    tenon_query query;
    void *workspace;
} bench_plan;

/* kernel: NULL or a pattern. The status of plan_create; error->text says why it failed. Sets the
 * problem's workspace. */
int32_t bench_plan_make(const bench_library *library, bench_problem *problem, const char *kernel,
                        bench_plan *out, tenon_error *error);
void bench_plan_free(const bench_library *library, bench_plan *plan);

double bench_seconds(void);

#endif /* TENON_BENCH_LIBRARY_H */
