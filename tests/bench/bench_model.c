/* SPDX-License-Identifier: Apache-2.0 */
/* Mode M: how long a kernel would take on a published machine, from what the interpreter counted.
 * Nothing here was measured. Time is the largest of six terms, kernel by kernel:
 *
 *   memory   128-byte lines that the launch touched at all, over the bandwidth of memory
 *   cache    64-byte pieces of the lines of every access: a compute unit's cache delivers one a
 * cycle matrix   FLOP of matrix instructions, each type over its peak vector   one instruction of a
 * wave a cycle and compute unit; transcendental ones take longer LDS      cycles of the banks,
 * conflicts included launch   one kernel after the other
 *
 * All but memory and launch wait for the compute unit that has one workgroup more than the others.
 * Latency, clocks under load and what scalar instructions cost are left out: a bound from below. */
#include <dlfcn.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench_model.h"
#include "fake_hip_counts.h"

/* Published peaks without sparsity: AMD's data sheets of MI300X and MI355X. The width of the cache
 * of a compute unit and the rates of vector instructions: AMD's CDNA 3 and CDNA 4 white papers.
 * LAUNCH_SECONDS is an assumption. */
typedef struct machine {
    const char *target, *name;
    int units;
    double clock_hz, memory_bytes_per_s;
    double matrix_tflop_per_s[GPU_AMD_MATRIX_TYPES];
    double transcendental_cycles; /* of a wave's instruction on one of four SIMDs, over 4 */
} machine;

static const machine machines[] = {{"gfx942",
                                    "MI300X",
                                    304,
                                    2.1e9,
                                    5.3e12,
                                    {[GPU_AMD_MATRIX_F32] = 163.4,
                                     [GPU_AMD_MATRIX_F16] = 1307.4,
                                     [GPU_AMD_MATRIX_BF16] = 1307.4,
                                     [GPU_AMD_MATRIX_I8] = 2614.9,
                                     [GPU_AMD_MATRIX_F8] = 2614.9},
                                    4},
                                   {"gfx950",
                                    "MI355X",
                                    256,
                                    2.4e9,
                                    8.0e12,
                                    {[GPU_AMD_MATRIX_F32] = 157.3,
                                     [GPU_AMD_MATRIX_F16] = 2516.6,
                                     [GPU_AMD_MATRIX_BF16] = 2516.6,
                                     [GPU_AMD_MATRIX_I8] = 5033.2,
                                     [GPU_AMD_MATRIX_F8] = 5033.2,
                                     [GPU_AMD_MATRIX_F6F4] = 10066.3},
                                    2}};

enum { LINE_BYTES = 128, MOST_KERNELS = 64 };
#define LAUNCH_SECONDS 3e-6

enum { MEMORY, CACHE, MATRIX, VECTOR, LDS, LAUNCH, TERMS };
static const char *const term_names[TERMS] = {"memory", "cache", "matrix",
                                              "vector", "LDS",   "launch"};

static const machine *machine_of(const char *target) {
    for (size_t i = 0; i < sizeof machines / sizeof machines[0]; i++)
        if (!strcmp(machines[i].target, target)) return &machines[i];
    return NULL;
}

/* Seconds of each term. */
static void terms_of(const machine *m, const bench_options *options, const gpu_amd_counters *c,
                     double seconds[TERMS]) {
    const double copies = options->copies;
    const double groups = (double)c->workgroups / (double)c->launches * copies,
                 rounds = ceil(groups / m->units), tail = rounds * m->units / groups,
                 cycle = copies * tail / m->units / m->clock_hz;
    seconds[MEMORY] = options->memory_copies * LINE_BYTES *
                      (double)(c->global_read_lines + c->global_written_lines) /
                      m->memory_bytes_per_s;
    seconds[CACHE] = cycle * (double)c->global_half_segments;
    seconds[MATRIX] = 0;
    for (int t = 0; t < GPU_AMD_MATRIX_TYPES; t++)
        if (m->matrix_tflop_per_s[t] > 0)
            seconds[MATRIX] +=
                copies * tail * (double)c->matrix_flop[t] / (m->matrix_tflop_per_s[t] * 1e12);
    seconds[VECTOR] =
        cycle * ((double)c->instructions[GPU_AMD_VECTOR] +
                 m->transcendental_cycles * (double)c->instructions[GPU_AMD_TRANSCENDENTAL]);
    seconds[LDS] = cycle * (double)c->lds_cycles;
    seconds[LAUNCH] = LAUNCH_SECONDS * (double)c->launches;
}

static int largest(const double seconds[TERMS]) {
    int most = 0;
    for (int t = 1; t < TERMS; t++)
        if (seconds[t] > seconds[most]) most = t;
    return most;
}

/* The least time of the problem: its bytes once, or its operations at the peak of its numbers (of
 * the matrix instructions that ran, where those are of a faster type). */
static double roofline(const machine *m, const bench_options *options, const bench_cost *cost,
                       const gpu_amd_counters *all, bool *by_memory) {
    double peak = cost->peak == BENCH_PEAK_BF16   ? m->matrix_tflop_per_s[GPU_AMD_MATRIX_BF16]
                  : cost->peak == BENCH_PEAK_INT8 ? m->matrix_tflop_per_s[GPU_AMD_MATRIX_I8]
                                                  : m->matrix_tflop_per_s[GPU_AMD_MATRIX_F32];
    for (int t = 0; t < GPU_AMD_MATRIX_TYPES; t++)
        if (all->matrix_flop[t] && m->matrix_tflop_per_s[t] > peak) peak = m->matrix_tflop_per_s[t];
    const double memory = options->memory_copies * cost->bytes / m->memory_bytes_per_s,
                 compute = cost->peak == BENCH_PEAK_NONE
                               ? 0
                               : options->copies * cost->operations / (peak * 1e12);
    *by_memory = memory >= compute;
    return *by_memory ? memory : compute;
}

static void conclude(const machine *m, const bench_options *options, const fake_hip_counts *kernels,
                     size_t n, bench_result *out) {
    double sum[TERMS] = {0}, seconds = 0, longest = 0, moved = 0;
    gpu_amd_counters all = {0};
    unsigned waves = 0;
    int bound = 0;
    for (size_t i = 0; i < n; i++) {
        double terms[TERMS];
        terms_of(m, options, &kernels[i].counters, terms);
        const int most = largest(terms);
        if (terms[most] > longest)
            longest = terms[most], bound = most, waves = kernels[i].waves_per_simd;
        seconds += terms[most];
        for (int t = 0; t < TERMS; t++) sum[t] += terms[t];
        moved += LINE_BYTES * (double)(kernels[i].counters.global_read_lines +
                                       kernels[i].counters.global_written_lines);
        for (int t = 0; t < GPU_AMD_MATRIX_TYPES; t++)
            all.matrix_flop[t] += kernels[i].counters.matrix_flop[t];
        all.workgroups += kernels[i].counters.workgroups;
        all.lds_cycles += kernels[i].counters.lds_cycles;
        all.lds_cycles_ideal += kernels[i].counters.lds_cycles_ideal;
    }
    bool by_memory;
    const double least = roofline(m, options, &out->cost, &all, &by_memory);
    int used = snprintf(
        out->detail, sizeof out->detail,
        "modelled %s: %.1f us, %.1f%% of the roofline (%s), bound by %s; us:", m->name,
        seconds * 1e6, 100 * least / seconds, by_memory ? "memory" : "peak", term_names[bound]);
    for (int t = 0; t < TERMS; t++)
        used += snprintf(out->detail + used, sizeof out->detail - (size_t)used, " %s %.2f",
                         term_names[t], sum[t] * 1e6);
    snprintf(out->detail + used, sizeof out->detail - (size_t)used,
             "; %.2f of the least bytes, %.0f workgroups, LDS conflicts %.2f, %u waves a SIMD",
             moved / out->cost.bytes, options->copies * (double)all.workgroups,
             all.lds_cycles_ideal ? (double)all.lds_cycles / (double)all.lds_cycles_ideal : 1.0,
             waves);
    out->status = BENCH_MODELLED;
}

static bool declined(bench_result *out, bench_status status, const char *why) {
    out->status = status;
    snprintf(out->detail, sizeof out->detail, "%s", why);
    return false;
}

static bool run_once(const bench_options *options, const bench_library *library, bench_problem *p,
                     bench_result *out) {
    tenon_error error = {.struct_size = sizeof error};
    bench_plan plan;
    int32_t status = bench_plan_make(library, p, bench_kernel_of(options), &plan, &error);
    if (!status) {
        snprintf(out->kernel, sizeof out->kernel, "%s", plan.query.kernel);
        bench_cost_of(p, 0, &out->cost);
        status = library->api->run(plan.plan, p->args.bytes, &error);
        bench_plan_free(library, &plan);
    }
    if (!status) return true;
    return declined(out, status == TENON_STATUS_UNSUPPORTED ? BENCH_UNSUPPORTED : BENCH_FAILED,
                    error.text);
}

void bench_run_model(const bench_options *options, const bench_library *library, const char *text,
                     bench_result *out) {
    fake_hip_counts *kernels = calloc(MOST_KERNELS, sizeof *kernels);
    bench_problem *p = calloc(1, sizeof *p);
    void *runtime = dlopen("libamdhip64.so.7", RTLD_NOW | RTLD_NOLOAD),
         *symbol = runtime ? dlsym(runtime, "fake_hip_take_counts") : NULL;
    fake_hip_take_counts_fn take;
    memcpy(&take, &symbol, sizeof take);
    memset(out, 0, sizeof *out);
    if (!kernels || !p || !bench_parse(library->api, text, p) || !bench_allocate(p)) {
        declined(out, BENCH_INVALID, p && p->message[0] ? p->message : "no memory");
    } else if (!symbol) {
        declined(out, BENCH_UNSUPPORTED,
                 "mode M needs the staged host and the fake runtime (tests/rocm/README.md)");
    } else {
        bench_fill_ragged(p, options->seed, options->lengths);
        take(kernels, MOST_KERNELS);
        bool ran = run_once(options, library, p, out);
        size_t n = take(kernels, MOST_KERNELS);
        const machine *m = n ? machine_of(kernels[0].target) : NULL;
        if (ran && !n) declined(out, BENCH_FAILED, "no kernel ran on the device");
        if (ran && n && !m)
            declined(out, BENCH_UNSUPPORTED, "no machine of this target has figures here");
        if (ran && m) conclude(m, options, kernels, n, out);
    }
    if (runtime) dlclose(runtime);
    if (p) bench_free(p);
    free(p), free(kernels);
}
