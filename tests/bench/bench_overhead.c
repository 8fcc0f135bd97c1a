/* SPDX-License-Identifier: Apache-2.0 */
/* --mode=O: what a call costs. With a problem that has no work in it (m = 0) that is the cost
 * beyond the kernel. */
#include <stdlib.h>
#include <string.h>

#include "bench_run.h"

enum { CALLS = 20000, ROUNDS = 31 };

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

typedef struct timed {
    const tenon_api *api;
    const tenon_plan *plan;
    const void *args;
    const tenon_value *values;
    uint32_t n_values;
} timed;

static void run_struct(const timed *t) {
    t->api->run(t->plan, t->args, NULL);
}
static void run_packed(const timed *t) {
    t->api->run_packed(t->plan, t->values, t->n_values, NULL);
}

/* Median over rounds of the mean over calls, in ns. */
static double nanoseconds(void (*call)(const timed *), const timed *t) {
    double samples[ROUNDS];
    for (int r = 0; r < ROUNDS; r++) {
        double start = bench_seconds();
        for (int i = 0; i < CALLS; i++) call(t);
        samples[r] = (bench_seconds() - start) / CALLS * 1e9;
    }
    qsort(samples, ROUNDS, sizeof samples[0], by_value);
    return samples[ROUNDS / 2];
}

/* Every field of the problem as a tagged value, as a host that knows names only would give it. */
static uint32_t values_of(const bench_problem *p, tenon_value *values) {
    uint32_t n = 0;
    for (int32_t i = 0; i < p->n_tensors; i++) {
        const bench_tensor *t = &p->tensor[i];
        uint32_t field =
            t->member < 0 ? (uint32_t)t->field : TENON_QUANT_FIELD(t->field, t->member);
        values[n++] = (tenon_value){TENON_VALUE_TENSOR, field, {.as_tensor = &t->view}};
    }
    for (uint32_t i = 0; i < p->info->n_fields; i++) {
        const tenon_field_info *f = &p->info->fields[i];
        int32_t value;
        if (strcmp(f->kind, "i32") && strcmp(f->kind, "choice")) continue;
        memcpy(&value, p->args.bytes + f->offset_bytes, 4);
        if (value) values[n++] = (tenon_value){TENON_VALUE_INT, i, {.as_int = value}};
    }
    if (p->args.head.flags)
        values[n++] =
            (tenon_value){TENON_VALUE_INT, TENON_FIELD_FLAGS, {.as_int = p->args.head.flags}};
    return n;
}

bool bench_run_overhead(const bench_options *options, const bench_library *library, FILE *out,
                        const char *text) {
    const tenon_api *api = library->api;
    tenon_error error = {.struct_size = sizeof error};
    bench_problem *p = calloc(1, sizeof *p);
    bench_plan plan;
    tenon_value values[64];
    bool ok = p && bench_parse(api, text, p) && bench_allocate(p);
    if (ok) {
        bench_fill_ragged(p, options->seed, options->lengths);
        double start = bench_seconds();
        ok = bench_plan_make(library, p, bench_kernel_of(options), &plan, &error) == TENON_OK;
        double planned = bench_seconds() - start;
        if (ok) {
            timed t = {api, plan.plan, p->args.bytes, values, values_of(p, values)};
            double direct = nanoseconds(run_struct, &t), packed = nanoseconds(run_packed, &t);
            fprintf(out, "run %8.1f ns   run_packed %8.1f ns (+%.1f)   plan %7.2f us   %-32s %s\n",
                    direct, packed, packed - direct, planned * 1e6, plan.query.kernel, text);
            bench_plan_free(library, &plan);
        }
    }
    if (!ok)
        fprintf(out, "INVALID     %s: %s\n", text, p && p->message[0] ? p->message : error.text);
    if (p) bench_free(p);
    free(p);
    return ok;
}
