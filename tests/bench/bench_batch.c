/* SPDX-License-Identifier: Apache-2.0 */
#include "bench_batch.h"
#include "bench_model.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_DEPTH = 8 }; /* of files that name files */

/* Measured when the first problem runs with so many threads. */
static const bench_limits *limits_of(bench_call *call, int32_t n_threads) {
    for (int i = 0; i < call->n_limits; i++)
        if (call->limits[i].n_threads == n_threads) return &call->limits[i];
    if (call->n_limits == BENCH_MAX_LIMITS) call->n_limits--;
    bench_limits *limits = &call->limits[call->n_limits++];
    bench_limits_measure(n_threads, limits);
    bench_report_limits(&call->output, limits);
    return limits;
}

/* What the string says, and which kernel would run: asked without memory for any tensor. */
static void list(const bench_library *library, const char *text, bench_result *result) {
    tenon_error error = {.struct_size = sizeof error};
    tenon_query query = {.struct_size = sizeof query};
    bench_problem *p = calloc(1, sizeof *p);
    result->status = BENCH_INVALID;
    if (!p) return;
    if (!bench_parse(library->api, text, p)) {
        snprintf(result->detail, sizeof result->detail, "%s", p->message);
    } else if (library->api->query(library->context, p->info->op, p->args.bytes, NULL, &query,
                                   &error)) {
        snprintf(result->detail, sizeof result->detail, "%s", error.text);
    } else if (query.status) {
        result->status =
            query.status == TENON_STATUS_UNSUPPORTED ? BENCH_UNSUPPORTED : BENCH_INVALID;
        snprintf(result->detail, sizeof result->detail, "%s", query.reason);
    } else {
        result->status = BENCH_LISTED;
        snprintf(result->kernel, sizeof result->kernel, "%s", query.kernel);
        bench_print(library->api, p, result->detail, sizeof result->detail);
    }
    bench_free(p);
    free(p);
}

void bench_batch_problem(bench_call *call, const bench_options *given, const char *text) {
    static bench_result results[2];
    static const bench_limits none;
    const bench_limits *limits = &none;
    bench_options with_threads = *given, *options = &with_threads;
    int n = options->mode == 'P' ? call->n_libraries : 1;
    memset(results, 0, sizeof results);
    bench_use_huge_pages(!options->small_pages);
    if (!options->n_threads) options->n_threads = (int32_t)sysconf(_SC_NPROCESSORS_ONLN);
    for (int l = 0; l < n; l++)
        if (!bench_library_use(&call->libraries[l], options->backend, options->n_threads)) {
            call->unreadable = true;
            return;
        }
    if (options->mode == 'O') {
        bool done = bench_run_overhead(options, &call->libraries[0], call->output.file, text);
        call->count[done ? BENCH_MEASURED : BENCH_INVALID]++, call->total++;
        return;
    }
    if (options->mode == 'P') {
        limits = limits_of(call, options->n_threads);
        bench_run_performance(options, limits, call->libraries, n, text, results);
    } else if (options->mode == 'M') {
        bench_run_model(options, &call->libraries[0], text, &results[0]);
    } else if (options->mode == 'L') {
        list(&call->libraries[0], text, &results[0]);
    } else {
        bench_run_correctness(options, &call->libraries[0], text, &results[0]);
    }
    for (int l = 0; l < n; l++) {
        bench_report(&call->output, options, limits, call->libraries[l].path, text, &results[l]);
        call->count[results[l].status]++, call->total++;
    }
    if (n == 2) bench_report_ratio(&call->output, results);
}

/* A line of options. false: not one of them. */
static bool take_options(bench_call *call, bench_options *options, const char *path, int depth,
                         char *line) {
    char *rest;
    for (char *word = strtok_r(line, " \t", &rest); word && *word != '#';
         word = strtok_r(NULL, " \t", &rest)) {
        const char *value;
        if (bench_option_is(word, "--batch", &value)) {
            /* Beside the file that names it. */
            const char *slash = strrchr(path, '/');
            char beside[4096];
            int folder = slash && *value != '/' ? (int)(slash - path) + 1 : 0;
            snprintf(beside, sizeof beside, "%.*s%s", folder, path, value);
            bench_batch_file(call, options, beside, depth + 1);
        } else if (bench_option_take(options, word) != BENCH_TAKEN) {
            fprintf(stderr, "tenonbench: %s: not an option of a file, or a wrong value: %s\n", path,
                    word);
            return false;
        }
    }
    return true;
}

void bench_batch_file(bench_call *call, const bench_options *given, const char *path, int depth) {
    FILE *file = depth < MAX_DEPTH ? fopen(path, "r") : NULL;
    bench_options options = *given;
    char *line = NULL;
    size_t room = 0;
    if (!file) {
        fprintf(stderr, "tenonbench: cannot read %s%s\n", path,
                depth < MAX_DEPTH ? "" : ": files name each other");
        call->unreadable = true;
        return;
    }
    while (getline(&line, &room, file) > 0) {
        line[strcspn(line, "\n")] = 0;
        char *start = line + strspn(line, " \t");
        if (!strncmp(start, "--", 2)) {
            if (!take_options(call, &options, path, depth, start)) {
                call->unreadable = true;
                break;
            }
        } else if (*start && *start != '#') {
            bench_batch_problem(call, &options, start);
        }
    }
    free(line);
    fclose(file);
}
