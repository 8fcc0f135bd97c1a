/* SPDX-License-Identifier: Apache-2.0 */
/* Options, modes, and one result for each problem. */
#ifndef TENON_BENCH_RUN_H
#define TENON_BENCH_RUN_H

#include <stdio.h>

#include "bench_compare.h"
#include "bench_library.h"
#include "bench_limits.h"
#include "bench_lengths.h"
#include "bench_statistics.h"

/* X(name, is_failure, doc) */
#define BENCH_STATUS_LIST(X)                                                                       \
    X(LISTED, 0, "understood, not run")                                                            \
    X(PASSED, 0, "agrees with the reference")                                                      \
    X(MEASURED, 0, "timed")                                                                        \
    X(MODELLED, 0, "computed from counts, never run on hardware")                                  \
    X(SKIPPED, 0, "this machine cannot hold it; the reason follows")                               \
    X(UNSUPPORTED, 0, "no kernel takes it; the reason follows")                                    \
    X(MISTRUSTED, 1, "the reference's answer is all zeros: the problem shows nothing")             \
    X(INVALID, 1, "the string or its arguments are wrong")                                         \
    X(FAILED, 1, "differs from the reference, or from itself, or wrote where it must not")
#define BENCH_E_STATUS(name, failure, doc) BENCH_##name,
typedef enum bench_status { BENCH_STATUS_LIST(BENCH_E_STATUS) BENCH_STATUS_COUNT } bench_status;

typedef struct bench_options {
    char mode; /* L list, C correctness, B bitwise repeat, P performance, S support, O call cost,
                  M model */
    int32_t backend, n_threads;
    char kernel_pattern[96]; /* --impl */
    uint64_t seed;
    bool pack, small_pages;     /* weights through pack_weights first */
    bench_lengths_kind lengths; /* of sequences whose lengths the problem does not give */
    double seconds;             /* of measuring for each problem */
    /* Mode M: the asked problem is so many times this one, in workgroups and in memory. */
    double copies, memory_copies;
} bench_options;

/* NULL where --impl was not given. */
static inline const char *bench_kernel_of(const bench_options *options) {
    return options->kernel_pattern[0] ? options->kernel_pattern : NULL;
}

typedef enum bench_taken { BENCH_TAKEN, BENCH_NOT_AN_OPTION, BENCH_BAD_VALUE } bench_taken;

/* bench_options.c: those options that hold for one file as well as for a whole call. */
bench_taken bench_option_take(bench_options *options, const char *word);
/* "--name=value": is it called name, and what is the value? */
bool bench_option_is(const char *word, const char *name, const char **value);
void bench_option_usage(FILE *out);

/* What holds for the whole call. */
typedef struct bench_output {
    const char *report; /* text, json, csv */
    FILE *file;
    const char *command;
    bool first_record;
} bench_output;

typedef struct bench_result {
    bench_status status;
    char kernel[96];
    char detail[600]; /* reason or difference */
    bench_difference difference;
    bench_cost cost;
    double seconds_least, seconds_p99;
    bench_estimate seconds;
    int bound;            /* BENCH_PEAK_* or BENCH_BOUND_READ */
    bool paged;           /* the probes read pages in the order of the block table */
    bench_estimate share; /* of the bound, each sample by its own probes */
    double probe;         /* median of those, GB/s or GOP/s */
    int samples, dropped;
    bool disturbed;       /* too few samples were left */
    bench_estimate ratio; /* of two libraries: time of the first over that of the second */
    int ratio_pairs;
} bench_result;

/* Each fills one result. */
void bench_run_correctness(const bench_options *options, const bench_library *library,
                           const char *text, bench_result *out);
void bench_run_performance(const bench_options *options, const bench_limits *limits,
                           const bench_library *libraries, int n_libraries, const char *text,
                           bench_result *out /* one for each library */);
/* Prints one line; false: the problem cannot be planned. */
bool bench_run_overhead(const bench_options *options, const bench_library *library, FILE *out,
                        const char *text);
int bench_run_support(const bench_library *library, FILE *out);

/* Replaces raw weights by blobs of this library; without by_reference those stay raw that only the
 * reference packs, as a host that wants speed leaves them. false: detail says why. */
bool bench_pack_weights(const bench_library *library, bench_problem *problem, bool by_reference,
                        char *detail, size_t bytes);

const char *bench_status_name(bench_status status);
bool bench_status_fails(bench_status status);
void bench_report_begin(bench_output *output, const bench_options *options);
void bench_report_limits(bench_output *output, const bench_limits *limits);
void bench_report(bench_output *output, const bench_options *options, const bench_limits *limits,
                  const char *library, const char *text, const bench_result *result);
void bench_report_ratio(bench_output *output, const bench_result *results);
/* all: limits of every number of threads that was used, n of them. */
void bench_report_end(bench_output *output, const bench_limits *all, int n);

#endif /* TENON_BENCH_RUN_H */
