/* SPDX-License-Identifier: Apache-2.0 */
/* One call of tenonbench: its libraries, its reports, and the files it reads. */
#ifndef TENON_BENCH_BATCH_H
#define TENON_BENCH_BATCH_H

#include "bench_run.h"

enum { BENCH_MAX_LIMITS = 16 };

typedef struct bench_call {
    bench_library libraries[2];
    int n_libraries;
    bench_output output;
    bench_limits limits[BENCH_MAX_LIMITS]; /* one for each number of threads that was used */
    int n_limits;
    int64_t count[BENCH_STATUS_COUNT], total;
    bool unreadable; /* a file or an option in it */
} bench_call;

void bench_batch_problem(bench_call *call, const bench_options *options, const char *text);
/* Options inside the file end with it. */
void bench_batch_file(bench_call *call, const bench_options *options, const char *path, int depth);

#endif /* TENON_BENCH_BATCH_H */
