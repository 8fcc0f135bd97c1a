/* SPDX-License-Identifier: Apache-2.0 */
/* Time of run. Every sample stands between two probes of what bounds the problem - reading from
 * memory, or the arithmetic - and its share is the share of its own probes, because a shared
 * machine drifts; samples whose probes say that it was disturbed are dropped and counted. With two
 * libraries their samples alternate. Problems smaller than the caches are laid out many times over
 * and taken in turn, as the layers of a model would be. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench_machine.h"
#include "bench_run.h"
#include "bench_statistics.h"

enum {
    MAX_SAMPLES = 400,
    LEAST_SAMPLES = 7,
    MAX_COPIES = 64,
    COLD_BYTES = 256 << 20,
    PAGES_BYTES = 64 << 20
};
static const double SAMPLE_SECONDS = 5e-4; /* at least: longer than the clock's noise */
/* A pool that sleeps takes this share of a sample at most to wake; shorter calls get a call before
 * the clock starts, as they have in a host that is at work. */
static const double NO_WAKE_SECONDS = 5e-3;
static const double PATIENCE = 3; /* times the seconds asked for, while too few samples are kept */

typedef struct series {
    bench_problem *copies;
    bench_plan *plans;
    int n_copies, n;
    double seconds[MAX_SAMPLES];
    bench_witness witness[MAX_SAMPLES];
    bool keep[MAX_SAMPLES];
    bench_spans pages; /* of the last copies: read by the probe where a cache is what bounds */
} series;

/* What one more copy of it needs: its tensors, and the packed ones beside their sources. */
static double copy_bytes(const bench_options *options, const bench_problem *p) {
    double bytes = 0;
    for (int32_t i = 0; i < p->n_tensors; i++) bytes += bench_span_bytes(&p->tensor[i]);
    return options->pack ? 2.2 * bytes : bytes;
}

static bool first_copy(const bench_options *options, const bench_library *library, const char *text,
                       series *s, bench_result *out) {
    bench_problem *p = &s->copies[0];
    bool parsed = bench_parse(library->api, text, p);
    double needed = copy_bytes(options, p),
           available = bench_available_bytes() + bench_kept_bytes();
    if (parsed && needed > available) {
        out->status = BENCH_SKIPPED;
        snprintf(out->detail, sizeof out->detail, "needs %.1f GB of memory, %.1f are free",
                 needed / 1e9, available / 1e9);
        return false;
    }
    if (!parsed || !bench_allocate(p)) {
        out->status = BENCH_INVALID;
        snprintf(out->detail, sizeof out->detail, "%s", p->message[0] ? p->message : "no memory");
        return false;
    }
    bench_fill_ragged(p, options->seed, options->lengths);
    bench_cost_of(p, 0, &out->cost);
    /* Experts that nobody asks for are memory without being work: two copies are enough then. */
    double copies = 1 + COLD_BYTES / (out->cost.bytes > 1 ? out->cost.bytes : 1),
           most = needed > COLD_BYTES ? 2 : MAX_COPIES;
    s->n_copies = out->cost.bytes > COLD_BYTES ? 1 : (int)(copies < most ? copies : most);
    if (!options->pack || bench_pack_weights(library, p, false, out->detail, sizeof out->detail))
        return true;
    out->status = BENCH_FAILED;
    return false;
}

static bool prepare(const bench_options *options, const bench_library *library, const char *text,
                    series *s, bench_result *out) {
    tenon_error error = {.struct_size = sizeof error};
    for (int c = 0; c < s->n_copies || c == 0; c++) {
        bench_problem *p = &s->copies[c];
        if (c == 0 ? !first_copy(options, library, text, s, out) : !bench_clone(&s->copies[0], p)) {
            if (c == 0) return false;
            /* Memory ran out: fewer copies. */
            bench_free(p);
            s->n_copies = c;
            break;
        }
        int32_t status =
            bench_plan_make(library, p, bench_kernel_of(options), &s->plans[c], &error);
        if (!status) status = library->api->run(s->plans[c].plan, p->args.bytes, &error);
        if (status) {
            out->status = status == TENON_STATUS_UNSUPPORTED ? BENCH_UNSUPPORTED : BENCH_INVALID;
            snprintf(out->detail, sizeof out->detail, "%s", error.text);
            return false;
        }
    }
    snprintf(out->kernel, sizeof out->kernel, "%s", s->plans[0].query.kernel);
    /* The checkpoint's own bytes count: what packing adds is not work. What it saves is not either.
     */
    bench_cost packed;
    bench_cost_of(&s->copies[0], s->plans[0].query.traits, &packed);
    if (packed.bytes < out->cost.bytes) out->cost.bytes = packed.bytes;
    if (s->plans[0].query.traits & TENON_TRAIT_INT8_ACTIVATIONS) out->cost.peak = packed.peak;
    return true;
}

static void run_copy(const bench_library *library, series *s, int copy) {
    tenon_error error = {.struct_size = sizeof error};
    copy %= s->n_copies;
    library->api->run(s->plans[copy].plan, s->copies[copy].args.bytes, &error);
}

static double cpu_seconds(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void take_sample(const bench_library *library, series *s, int repeats, bool wake,
                        double before) {
    int first = s->n * repeats;
    if (wake) run_copy(library, s, first + s->n_copies - 1);
    double thread = cpu_seconds(CLOCK_THREAD_CPUTIME_ID), start = bench_seconds();
    for (int r = 0; r < repeats; r++) run_copy(library, s, first + r);
    double seconds = bench_seconds() - start;
    thread = cpu_seconds(CLOCK_THREAD_CPUTIME_ID) - thread;
    s->seconds[s->n] = seconds / repeats;
    s->witness[s->n] = (bench_witness){before, 0, thread / seconds};
}

static void summarize(series *s, bench_result *out) {
    double seconds[MAX_SAMPLES], shares[MAX_SAMPLES], probes[MAX_SAMPLES];
    int kept = bench_keep_undisturbed(s->witness, s->n, s->keep), n = 0;
    out->disturbed = kept < LEAST_SAMPLES && kept < s->n;
    double work = out->bound == BENCH_BOUND_READ ? out->cost.bytes : out->cost.operations;
    for (int i = 0; i < s->n; i++) {
        if (!s->keep[i] && kept >= LEAST_SAMPLES / 2) continue;
        seconds[n] = s->seconds[i];
        probes[n] = (s->witness[i].before + s->witness[i].after) / 2;
        shares[n] = probes[n] > 0 ? work / 1e9 / seconds[n] / probes[n] : 0;
        n++;
    }
    out->samples = n, out->dropped = s->n - n;
    out->seconds = bench_estimate_median(seconds, n);
    out->seconds_least = seconds[0];
    out->seconds_p99 = bench_quantile(seconds, n, 0.99);
    out->share = bench_estimate_median(shares, n);
    out->probe = bench_median(probes, n);
    out->status = BENCH_MEASURED;
}

/* Of two libraries: the time of the first over that of the second, sample by neighbouring sample.
 */
static void compare(const series *all, bench_result *out) {
    double ratios[MAX_SAMPLES];
    int n = 0;
    for (int i = 0; i < all[0].n && i < all[1].n; i++)
        if (all[0].keep[i] && all[1].keep[i]) ratios[n++] = all[0].seconds[i] / all[1].seconds[i];
    out[0].ratio = bench_estimate_median(ratios, n);
    out[0].ratio_pairs = n;
}

/* The pages of copies that the next samples are far from, as many as make the probe last. */
static bool find_pages(series *s, int first) {
    double bytes = 0;
    s->pages.n = 0;
    for (int c = 0; c < (s->n_copies + 1) / 2 && bytes < PAGES_BYTES; c++) {
        if (!bench_pages_append(&s->copies[(first + s->n_copies / 2 + c) % s->n_copies], &s->pages))
            return false;
        bytes = 0;
        for (size_t i = 0; i < s->pages.n; i++) bytes += (double)s->pages.span[i].bytes;
    }
    return true;
}

static double probe_beside(const bench_options *options, series *s, int repeats, int bound,
                           bool paged) {
    if (paged && find_pages(s, s->n * repeats))
        return bench_probe_pages(options->n_threads, &s->pages);
    return bench_probe(options->n_threads, bound);
}

static void measure(const bench_options *options, const bench_library *libraries, int n_libraries,
                    series *all, bench_result *out) {
    double start = bench_seconds();
    run_copy(&libraries[0], &all[0], 0);
    double once = bench_seconds() - start;
    int repeats =
        once < SAMPLE_SECONDS ? (int)(SAMPLE_SECONDS / (once > 1e-8 ? once : 1e-8)) + 1 : 1;
    bool wake = once < NO_WAKE_SECONDS;
    int bound = out[0].bound;
    double begin = bench_seconds(), budget = options->seconds * n_libraries;
    bool paged = bound == BENCH_BOUND_READ && find_pages(&all[0], 0);
    for (int l = 0; l < n_libraries; l++) out[l].paged = paged;
    double probe = probe_beside(options, &all[0], repeats, bound, paged);
    for (int kept = 0; all[0].n < MAX_SAMPLES;) {
        double spent = bench_seconds() - begin;
        if (spent > budget && all[0].n >= LEAST_SAMPLES &&
            (kept >= LEAST_SAMPLES || spent > PATIENCE * budget))
            break;
        for (int l = 0; l < n_libraries; l++) {
            take_sample(&libraries[l], &all[l], repeats, wake, probe);
            probe = probe_beside(options, &all[0], repeats, bound, paged);
            all[l].witness[all[l].n++].after = probe;
        }
        kept = bench_keep_undisturbed(all[0].witness, all[0].n, all[0].keep);
    }
    for (int l = 0; l < n_libraries; l++) summarize(&all[l], &out[l]);
    if (n_libraries == 2) compare(all, out);
}

void bench_run_performance(const bench_options *options, const bench_limits *limits,
                           const bench_library *libraries, int n_libraries, const char *text,
                           bench_result *out) {
    bench_keep_blocks();
    series *all = calloc((size_t)n_libraries, sizeof *all);
    bool ready = all != NULL;
    for (int l = 0; ready && l < n_libraries; l++) {
        all[l].copies = calloc(MAX_COPIES, sizeof *all[l].copies);
        all[l].plans = calloc(MAX_COPIES, sizeof *all[l].plans);
        ready = all[l].copies && all[l].plans &&
                prepare(options, &libraries[l], text, &all[l], &out[l]);
        if (ready) out[l].bound = bench_bound_of(&out[l].cost, limits);
    }
    if (ready) measure(options, libraries, n_libraries, all, out);
    for (int l = 0; all && l < n_libraries; l++) {
        for (int c = 0; all[l].copies && all[l].plans && c < MAX_COPIES; c++) {
            if (all[l].plans[c].plan) bench_plan_free(&libraries[l], &all[l].plans[c]);
            bench_free(&all[l].copies[c]);
        }
        free(all[l].copies), free(all[l].plans), free(all[l].pages.span);
    }
    free(all);
}
