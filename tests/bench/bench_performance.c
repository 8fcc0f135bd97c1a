/* SPDX-License-Identifier: Apache-2.0 */
/* Time of run. The read probe runs beside every sample; with two libraries their samples alternate,
 * so that drift hits both. Problems smaller than the caches are laid out many times over and taken
 * in turn, as the layers of a model would be. */
#include <stdlib.h>
#include <string.h>

#include "bench_run.h"

enum { MAX_SAMPLES = 400, MAX_COPIES = 64, COLD_BYTES = 256 << 20 };

typedef struct series {
    bench_problem *copies;
    bench_plan *plans;
    int n_copies;
    double samples[MAX_SAMPLES], probes[MAX_SAMPLES];
    int n;
} series;

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static bool prepare(const bench_options *options, const bench_library *library, const char *text,
                    series *s, bench_result *out) {
    tenon_error error = {.struct_size = sizeof error};
    for (int c = 0; c < s->n_copies || c == 0; c++) {
        bench_problem *p = &s->copies[c];
        if (!bench_parse(library->api, text, p) || !bench_allocate(p)) {
            out->status = BENCH_INVALID;
            snprintf(out->detail, sizeof out->detail, "%s",
                     p->message[0] ? p->message : "no memory");
            return false;
        }
        bench_fill(p, options->seed + (uint64_t)c);
        if (c == 0) {
            bench_cost cost;
            bench_cost_of(p, 0, &cost);
            double copies = COLD_BYTES / (cost.bytes > 1 ? cost.bytes : 1);
            s->n_copies = copies < 1 ? 1 : copies > MAX_COPIES ? MAX_COPIES : (int)copies + 1;
        }
        if (options->pack && !bench_pack_weights(library, p, out->detail, sizeof out->detail)) {
            out->status = BENCH_FAILED;
            return false;
        }
        int32_t status = bench_plan_make(library, p, options->kernel, &s->plans[c], &error);
        if (!status) status = library->api->run(s->plans[c].plan, p->args.bytes, &error);
        if (status) {
            out->status = status == TENON_STATUS_UNSUPPORTED ? BENCH_UNSUPPORTED : BENCH_INVALID;
            snprintf(out->detail, sizeof out->detail, "%s", error.text);
            return false;
        }
    }
    snprintf(out->kernel, sizeof out->kernel, "%s", s->plans[0].query.kernel);
    bench_cost_of(&s->copies[0], s->plans[0].query.traits, &out->cost);
    return true;
}

/* One sample: enough runs to be longer than the clock's noise, over different copies. */
static void take_sample(const bench_library *library, series *s, int repeats, int32_t n_threads) {
    tenon_error error = {.struct_size = sizeof error};
    double before = bench_probe_read(n_threads);
    double start = bench_seconds();
    for (int r = 0; r < repeats; r++) {
        int c = (s->n * repeats + r) % s->n_copies;
        library->api->run(s->plans[c].plan, s->copies[c].args.bytes, &error);
    }
    s->samples[s->n] = (bench_seconds() - start) / repeats;
    s->probes[s->n++] = (before + bench_probe_read(n_threads)) / 2;
}

static void summarize(series *s, bench_result *out) {
    qsort(s->samples, (size_t)s->n, sizeof s->samples[0], by_value);
    qsort(s->probes, (size_t)s->n, sizeof s->probes[0], by_value);
    out->seconds = s->samples[s->n / 2];
    out->seconds_least = s->samples[0];
    out->seconds_p99 = s->samples[(s->n * 99) / 100 < s->n ? (s->n * 99) / 100 : s->n - 1];
    out->probe_gb_per_s = s->probes[s->n / 2];
    out->samples = s->n;
    out->status = BENCH_MEASURED;
}

void bench_run_performance(const bench_options *options, const bench_library *libraries,
                           const char *text, bench_result *out) {
    series *all = calloc((size_t)options->n_libraries, sizeof *all);
    bool ready = all != NULL;
    for (int l = 0; ready && l < options->n_libraries; l++) {
        memset(&out[l], 0, sizeof out[l]);
        all[l].copies = calloc(MAX_COPIES, sizeof *all[l].copies);
        all[l].plans = calloc(MAX_COPIES, sizeof *all[l].plans);
        ready = all[l].copies && all[l].plans &&
                prepare(options, &libraries[l], text, &all[l], &out[l]);
    }
    if (ready) {
        tenon_error error = {.struct_size = sizeof error};
        double start = bench_seconds();
        libraries[0].api->run(all[0].plans[0].plan, all[0].copies[0].args.bytes, &error);
        double once = bench_seconds() - start;
        int repeats = once < 2e-4 ? (int)(2e-4 / (once > 1e-8 ? once : 1e-8)) + 1 : 1;
        double end = bench_seconds() + options->seconds * options->n_libraries;
        while (all[0].n < MAX_SAMPLES && (bench_seconds() < end || all[0].n < 5))
            for (int l = 0; l < options->n_libraries; l++)
                take_sample(&libraries[l], &all[l], repeats, options->n_threads);
        for (int l = 0; l < options->n_libraries; l++) summarize(&all[l], &out[l]);
    }
    for (int l = 0; all && l < options->n_libraries; l++) {
        for (int c = 0; all[l].copies && all[l].plans && c < MAX_COPIES; c++) {
            if (all[l].plans[c].plan) bench_plan_free(&libraries[l], &all[l].plans[c]);
            bench_free(&all[l].copies[c]);
        }
        free(all[l].copies), free(all[l].plans);
    }
    free(all);
}
