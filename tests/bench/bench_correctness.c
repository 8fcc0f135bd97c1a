/* SPDX-License-Identifier: Apache-2.0 */
/* The chosen kernel against the reference row on the same inputs; or, in mode B, against itself:
 * twice, and on one thread. */
#include <stdlib.h>
#include <string.h>

#include "bench_run.h"

static bool prepare(const bench_options *options, const bench_library *library, const char *text,
                    bench_problem *p, bench_result *out) {
    if (!bench_parse(library->api, text, p) || !bench_allocate(p)) {
        out->status = BENCH_INVALID;
        snprintf(out->detail, sizeof out->detail, "%s", p->message[0] ? p->message : "no memory");
        return false;
    }
    bench_fill_ragged(p, options->seed, options->lengths);
    return true;
}

/* Plans and runs; the kernel's name and a failure go to *out. */
static bool run(const bench_library *library, bench_problem *p, const char *kernel,
                uint32_t *traits, bench_result *out) {
    tenon_error error = {.struct_size = sizeof error};
    bench_plan plan;
    int32_t status = bench_plan_make(library, p, kernel, &plan, &error);
    if (!status) {
        snprintf(out->kernel, sizeof out->kernel, "%s", plan.query.kernel);
        *traits = plan.query.traits;
        bench_poison_outputs(p);
        status = library->api->run(plan.plan, p->args.bytes, &error);
        bench_plan_free(library, &plan);
    }
    if (!status) return true;
    out->status = status == TENON_STATUS_UNSUPPORTED        ? BENCH_UNSUPPORTED
                  : status == TENON_STATUS_INVALID_ARGUMENT ? BENCH_INVALID
                                                            : BENCH_FAILED;
    snprintf(out->detail, sizeof out->detail, "%s", error.text);
    if (status == TENON_STATUS_UNSUPPORTED && !error.text[0]) {
        out->status = BENCH_FAILED;
        snprintf(out->detail, sizeof out->detail, "declined without a reason");
    }
    return false;
}

static void judge_bits(bench_problem *a, bench_problem *b, bench_result *out) {
    const char *where;
    out->status = bench_same_bits(a, b, &where) ? BENCH_PASSED : BENCH_FAILED;
    if (out->status == BENCH_FAILED)
        snprintf(out->detail, sizeof out->detail, "%s differs from one run to the next", where);
}

void bench_run_correctness(const bench_options *options, const bench_library *library,
                           const char *text, bench_result *out) {
    bench_problem *p = calloc(2, sizeof *p), *other = p + 1;
    bench_library one = {0};
    uint32_t traits = 0, ignored;
    memset(out, 0, sizeof *out);
    if (!p || !prepare(options, library, text, p, out) ||
        !prepare(options, library, text, other, out))
        goto done;
    if (options->pack && !bench_pack_weights(library, p, true, out->detail, sizeof out->detail)) {
        out->status = BENCH_FAILED;
        goto done;
    }
    if (!run(library, p, bench_kernel_of(options), &traits, out)) goto done;
    const char *margin = bench_broken_margin(p);
    if (margin) {
        out->status = BENCH_FAILED;
        snprintf(out->detail, sizeof out->detail, "wrote outside of %s", margin);
        goto done;
    }
    if (options->mode == 'B') {
        char name[sizeof out->kernel];
        snprintf(name, sizeof name, "%s", out->kernel);
        /* On one thread: the work is split differently, the bits must be the same. */
        if (options->pack || !bench_library_open(&one, library->path, options->backend, 1) ||
            !run(&one, other, name, &ignored, out)) {
            if (options->pack)
                out->status = BENCH_INVALID,
                snprintf(out->detail, sizeof out->detail,
                         "mode B compares raw problems; leave --pack out");
            goto done;
        }
        judge_bits(p, other, out);
        goto done;
    }
    char name[sizeof out->kernel];
    snprintf(name, sizeof name, "%s", out->kernel);
    if (!run(library, other, "ref_*", &ignored, out)) goto done;
    snprintf(out->kernel, sizeof out->kernel, "%s", name);
    bench_compare(p, other, &out->difference);
    if (p->fault.code != other->fault.code) {
        out->status = BENCH_FAILED;
        snprintf(out->detail, sizeof out->detail, "fault %d, the reference has %d", p->fault.code,
                 other->fault.code);
    } else if (out->difference.mistrusted) {
        out->status = BENCH_MISTRUSTED;
    } else {
        out->status =
            bench_within_tolerance(p, traits, &out->difference) ? BENCH_PASSED : BENCH_FAILED;
        snprintf(out->detail, sizeof out->detail,
                 "nmse %.2e, largest %.2e rms, %lld of %lld codes differ%s%s", out->difference.nmse,
                 out->difference.largest, (long long)out->difference.mismatches,
                 (long long)out->difference.elements,
                 out->status == BENCH_FAILED ? ", worst in " : "",
                 out->status == BENCH_FAILED ? out->difference.where : "");
    }
done:
    bench_library_close(&one);
    if (p) bench_free(p), bench_free(other);
    free(p);
}
