/* SPDX-License-Identifier: Apache-2.0 */
/* Options, modes, and one result for each problem. */
#ifndef TENON_BENCH_RUN_H
#define TENON_BENCH_RUN_H

#include <stdio.h>

#include "bench_compare.h"
#include "bench_library.h"
#include "bench_limits.h"

/* X(name, is_failure, doc) */
#define BENCH_STATUS_LIST(X)                                                                       \
    X(LISTED, 0, "parsed, not run")                                                                \
    X(PASSED, 0, "agrees with the reference")                                                      \
    X(MEASURED, 0, "timed")                                                                        \
    X(UNSUPPORTED, 0, "no kernel takes it; the reason follows")                                    \
    X(MISTRUSTED, 1, "the reference's answer is all zeros: the problem shows nothing")             \
    X(INVALID, 1, "the string or its arguments are wrong")                                         \
    X(FAILED, 1, "differs from the reference, or from itself, or wrote where it must not")
#define BENCH_E_STATUS(name, failure, doc) BENCH_##name,
typedef enum bench_status { BENCH_STATUS_LIST(BENCH_E_STATUS) BENCH_STATUS_COUNT } bench_status;

typedef struct bench_options {
    char mode; /* L list, C correctness, B bitwise repeat, P performance, S support, O call cost */
    int32_t backend, n_threads;
    const char *kernel; /* --impl */
    uint64_t seed;
    bool pack;          /* weights through pack_weights first */
    double seconds;     /* of measuring for each problem */
    const char *report; /* text, json, csv */
    FILE *out;
    const char *library_paths[2];
    int n_libraries;
} bench_options;

typedef struct bench_result {
    bench_status status;
    char kernel[96];
    char detail[600]; /* reason or difference */
    bench_difference difference;
    bench_cost cost;
    double seconds, seconds_least, seconds_p99; /* median, minimum */
    double probe_gb_per_s;                      /* median of the probes beside the samples */
    int samples;
} bench_result;

/* Each fills one result. */
void bench_run_correctness(const bench_options *options, const bench_library *library,
                           const char *text, bench_result *out);
void bench_run_performance(const bench_options *options, const bench_library *libraries,
                           const char *text, bench_result *out /* one for each library */);
/* Prints one line; false: the problem cannot be planned. */
bool bench_run_overhead(const bench_options *options, const bench_library *library,
                        const char *text);
int bench_run_support(const bench_options *options, const bench_library *library);

/* Replaces raw weights by blobs of this library. false: detail says why. */
bool bench_pack_weights(const bench_library *library, bench_problem *problem, char *detail,
                        size_t bytes);

const char *bench_status_name(bench_status status);
bool bench_status_fails(bench_status status);
void bench_report_begin(const bench_options *options, const bench_limits *limits);
void bench_report(const bench_options *options, const bench_limits *limits, const char *library,
                  const char *text, const bench_result *result);
void bench_report_end(const bench_options *options);

#endif /* TENON_BENCH_RUN_H */
