/* SPDX-License-Identifier: Apache-2.0 */
#include "run_report.h"

#include <string.h>
#include <sys/resource.h>

enum { MAX_LINES = 64 };

typedef struct kernel_line {
    const char *label, *kernel;
    int64_t runs;
    double seconds;
} kernel_line;

typedef struct kernel_list {
    kernel_line lines[MAX_LINES];
    int count;
} kernel_list;

/* Decode and prefill plans of all layers, each combination of use and kernel once. */
static void add_plan(void *user, const planned_call *call) {
    kernel_list *list = user;
    for (int i = 0; i < list->count; i++) {
        if (strcmp(list->lines[i].label, call->label) == 0 &&
            strcmp(list->lines[i].kernel, call->kernel) == 0) {
            list->lines[i].runs += call->runs;
            list->lines[i].seconds += call->seconds;
            return;
        }
    }
    if (call->runs > 0 && list->count < MAX_LINES) {
        list->lines[list->count++] =
            (kernel_line){call->label, call->kernel, call->runs, call->seconds};
    }
}

static double rate(int32_t count, double seconds) {
    return seconds > 0.0 ? (double)count / seconds : 0.0;
}

static double peak_megabytes(void) {
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (double)usage.ru_maxrss / 1024.0 : 0.0;
}

static const char *moe_name(moe_mode mode) {
    return mode == MOE_STEPS ? "steps" : mode == MOE_FUSED ? "fused" : "off";
}

static void print_json(FILE *out, const run_report *report, const host_options *options,
                       const llama_session *session, const tenon_library *library,
                       const kernel_list *kernels) {
    fprintf(out,
            "{\"host\": \"c\", \"abi\": \"%u.%u\", \"moe\": \"%s\", \"compute\": \"%s\", "
            "\"kv\": \"%s\", \"threads\": %d, \"load_seconds\": %.4f, "
            "\"prompt_tokens\": %d, \"prompt_tokens_per_second\": %.2f, "
            "\"generated_tokens\": %d, \"generation_tokens_per_second\": %.2f, "
            "\"peak_megabytes\": %.1f, ",
            library->version >> 16, library->version & 0xffffu, moe_name(options->session.moe),
            options->session.compute == TENON_COMPUTE_EXACT ? "exact" : "default", options->kv_name,
            options->n_threads, report->load_seconds, report->prompt_tokens,
            rate(report->prompt_tokens, report->prompt_seconds), report->generated_tokens,
            rate(report->decode_steps, report->generation_seconds), peak_megabytes());
    if (options->session.moe != MOE_OFF) {
        fprintf(out, "\"expert_choices\": [");
        for (int e = 0; e < MOE_EXPERTS; e++) {
            fprintf(out, "%s%lld", e ? ", " : "", (long long)session->moe.chosen_count[e]);
        }
        fprintf(out, "], ");
    }
    fprintf(out, "\"kernels\": [");
    for (int i = 0; i < kernels->count; i++) {
        const kernel_line *line = &kernels->lines[i];
        fprintf(out, "%s{\"use\": \"%s\", \"kernel\": \"%s\", \"runs\": %lld, \"seconds\": %.6f}",
                i ? ", " : "", line->label, line->kernel, (long long)line->runs, line->seconds);
    }
    fprintf(out, "]}\n");
}

static void print_table(FILE *out, const run_report *report, const host_options *options,
                        const llama_session *session, const kernel_list *kernels) {
    fprintf(out, "\nload        %8.3f s, peak memory %.0f MB\n", report->load_seconds,
            peak_megabytes());
    fprintf(out, "prompt      %8.1f tokens/s  (%d tokens)\n",
            rate(report->prompt_tokens, report->prompt_seconds), report->prompt_tokens);
    fprintf(out, "generation  %8.1f tokens/s  (%d tokens)\n",
            rate(report->decode_steps, report->generation_seconds), report->generated_tokens);
    if (options->session.moe != MOE_OFF) {
        fprintf(out, "experts     chosen");
        for (int e = 0; e < MOE_EXPERTS; e++) {
            fprintf(out, " %lld", (long long)session->moe.chosen_count[e]);
        }
        fprintf(out, " times\n");
    }
    const double total = report->prompt_seconds + report->generation_seconds;
    double inside = 0.0;
    fprintf(out, "\n%-16s %7s %8s %6s  kernel\n", "use", "runs", "ms", "share");
    for (int i = 0; i < kernels->count; i++) {
        const kernel_line *line = &kernels->lines[i];
        inside += line->seconds;
        fprintf(out, "%-16s %7lld %8.1f %5.1f%%  %s\n", line->label, (long long)line->runs,
                line->seconds * 1e3, line->seconds / total * 100.0, line->kernel);
    }
    fprintf(out, "%-16s %7s %8.1f %5.1f%%\n", "the host itself", "", (total - inside) * 1e3,
            (total - inside) / total * 100.0);
}

void run_report_print(FILE *out, const run_report *report, const host_options *options,
                      const llama_session *session, const tenon_library *library) {
    static kernel_list kernels;
    kernels.count = 0;
    llama_session_each_plan(session, add_plan, &kernels);
    if (options->json) {
        print_json(out, report, options, session, library, &kernels);
    } else {
        print_table(out, report, options, session, &kernels);
    }
}
