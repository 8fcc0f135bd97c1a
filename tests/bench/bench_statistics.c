/* SPDX-License-Identifier: Apache-2.0 */
#include "bench_statistics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Two quiet probes in a row agree within a few percent; a neighbour that starts or ends shifts one
 * of them by far more. */
static const double LEAST_AGREEMENT = 0.85;
/* Of the upper quartile of the series: a machine in its slower state is a disturbance, too, when
 * most of the series saw the faster one. */
static const double LEAST_LEVEL = 0.80;
/* The calling thread computes or spins from beginning to end; what it lacks, another process had.
 */
static const double LEAST_CPU = 0.95;

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

double bench_quantile(const double *sorted, int n, double share) {
    int at = (int)(share * n);
    return n ? sorted[at < n ? at : n - 1] : 0;
}

double bench_median(double *values, int n) {
    qsort(values, (size_t)n, sizeof values[0], by_value);
    return !n ? 0 : n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

bench_estimate bench_estimate_median(double *values, int n) {
    bench_estimate e = {bench_median(values, n), 0, 0};
    if (!n) return e;
    /* The number of values below the true median is binomial (n, 1/2): its 95 % lie within 1.96
     * standard deviations of sqrt(n) / 2 around n / 2. */
    double spread = 0.98 * sqrt(n);
    int low = (int)floor(n / 2.0 - spread), high = (int)ceil(n / 2.0 + spread) - 1;
    e.low = values[low > 0 ? low : 0];
    e.high = values[high < n - 1 ? high : n - 1];
    return e;
}

int bench_keep_undisturbed(const bench_witness *w, int n, bool *keep) {
    double *levels = malloc(sizeof(double) * (size_t)(n > 0 ? n : 1));
    int kept = 0;
    if (!levels) return memset(keep, 0, (size_t)n), 0;
    for (int i = 0; i < n; i++) levels[i] = (w[i].before + w[i].after) / 2;
    bench_median(levels, n); /* sorts */
    double level = LEAST_LEVEL * bench_quantile(levels, n, 0.75);
    for (int i = 0; i < n; i++) {
        double less = fmin(w[i].before, w[i].after), more = fmax(w[i].before, w[i].after);
        keep[i] = less >= LEAST_AGREEMENT * more && (w[i].before + w[i].after) / 2 >= level &&
                  w[i].thread_share >= LEAST_CPU;
        kept += keep[i];
    }
    free(levels);
    return kept;
}
