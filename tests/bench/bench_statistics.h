/* SPDX-License-Identifier: Apache-2.0 */
/* Order statistics: nothing is assumed of the distribution of run times. */
#ifndef TENON_BENCH_STATISTICS_H
#define TENON_BENCH_STATISTICS_H

#include <stdbool.h>

/* A median and the interval that holds the true one in 95 of 100 measurements; with fewer than 6
 * values all of them span it. */
typedef struct bench_estimate {
    double median, low, high;
} bench_estimate;

/* Both sort their values. */
double bench_median(double *values, int n);
bench_estimate bench_estimate_median(double *values, int n);
/* The value below which that share of n sorted values lies. */
double bench_quantile(const double *sorted, int n, double share);

/* What stands beside a sample and says whether the machine was disturbed. */
typedef struct bench_witness {
    double before, after; /* the probes around it */
    double thread_share;  /* CPU time of the calling thread, of the sample's */
} bench_witness;

/* Marks the samples that can be trusted: probes before and after agree, they are not far below what
 * the same series has seen, and the calling thread had its CPU. (A probe is shorter than a slice of
 * the scheduler, so only CPU time shows a neighbour who takes turns. Of other threads it is known
 * only to the tick.) Returns how many. */
int bench_keep_undisturbed(const bench_witness *witnesses, int n, bool *keep);

#endif /* TENON_BENCH_STATISTICS_H */
