/* SPDX-License-Identifier: Apache-2.0 */
/* tenonbench: loads libtenon.so as a host does and asks it about problems: is it right, does it
 * repeat, how fast is it, what is there. */
#include <stdlib.h>
#include <string.h>

#include "bench_batch.h"

static const char usage[] =
    "tenonbench [option ..] [problem ..]\n"
    "  --lib=FILE         libtenon.so to load; twice: A/B in one process, samples alternating "
    "(mode "
    "P)\n"
    "  --mode=L|C|B|P|S|O|M list, correctness against the reference (default), bitwise repeat, "
    "performance, support table, call cost, model of a published GPU\n"
    "  --batch=FILE       problems, one a line; # starts a comment, and a label at the end of a "
    "line. A line of options holds to the\n"
    "                     end of its file. A TENON_TRACE file is such a file.\n"
    "  --report=text|json|csv   --output=FILE\n"
    "  --strict           a problem that no kernel takes is a failure\n";
static const char usage_end[] = "  Options hold for the whole call wherever they stand. "
                                "tests/bench/README.md; problem strings: "
                                "tests/bench/doc/problem_strings.md\n";

static int bad(const char *what, const char *value) {
    fprintf(stderr, "tenonbench: %s: %s\n%s", what, value, usage);
    bench_option_usage(stderr);
    fputs(usage_end, stderr);
    return 2;
}

/* As it was typed: what repeats a measurement. */
static char *join(int argc, char **argv) {
    size_t bytes = 1;
    for (int i = 0; i < argc; i++) bytes += strlen(argv[i]) + 1;
    char *command = calloc(1, bytes);
    for (int i = 0; command && i < argc; i++) {
        if (i) strcat(command, " ");
        strcat(command, argv[i]);
    }
    return command;
}

static int finish(bench_call *call, bool strict) {
    bool failed = call->unreadable || (strict && call->count[BENCH_UNSUPPORTED]);
    bench_report_end(&call->output, call->limits, call->n_limits);
    for (int s = 0; s < BENCH_STATUS_COUNT; s++) {
        if (call->count[s])
            fprintf(stderr, "%lld %s ", (long long)call->count[s],
                    bench_status_name((bench_status)s));
        failed |= call->count[s] && bench_status_fails((bench_status)s);
    }
    fprintf(stderr, "%s\n", call->total ? "" : "no problems given");
    return failed || !call->total;
}

int main(int argc, char **argv) {
    static bench_call call;
    bench_options options = {
        .mode = 'C', .seed = 1, .seconds = 0.4, .copies = 1, .memory_copies = 1};
    const char *value, *path = NULL, *paths[2];
    bool strict = false;
    call.output = (bench_output){.report = "text", .file = stdout};
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i];
        bench_taken taken = bench_option_take(&options, a);
        if (taken == BENCH_BAD_VALUE) return bad("wrong value", a);
        if (taken == BENCH_TAKEN) continue;
        if (bench_option_is(a, "--lib", &value)) {
            if (call.n_libraries == 2) return bad("more than two", a);
            paths[call.n_libraries++] = value;
        } else if (bench_option_is(a, "--mode", &value)) {
            if (!value[0] || !strchr("LCBPSOM", value[0]) || value[1])
                return bad("unknown mode", value);
            options.mode = value[0];
        } else if (bench_option_is(a, "--report", &value)) {
            if (strcmp(value, "text") && strcmp(value, "json") && strcmp(value, "csv"))
                return bad("unknown report", value);
            call.output.report = value;
        } else if (bench_option_is(a, "--output", &value)) {
            path = value;
        } else if (!strcmp(a, "--strict")) {
            strict = true;
        } else if (!strcmp(a, "--help")) {
            fputs(usage, stdout), bench_option_usage(stdout), fputs(usage_end, stdout);
            return 0;
        } else if (!strncmp(a, "--", 2) && !bench_option_is(a, "--batch", &value)) {
            return bad("unknown option", a);
        }
    }
    const char *environment = getenv("TENON_LIBRARY");
    if (!call.n_libraries) paths[call.n_libraries++] = environment ? environment : "libtenon.so";
    for (int l = 0; l < call.n_libraries; l++)
        if (!bench_library_open(&call.libraries[l], paths[l], options.backend, options.n_threads))
            return 2;
    if (path && !(call.output.file = fopen(path, "w"))) return perror(path), 2;

    int status = 0;
    char *command = join(argc, argv);
    call.output.command = command ? command : "";
    if (options.mode == 'S') {
        status = bench_run_support(&call.libraries[0], call.output.file);
    } else {
        bench_report_begin(&call.output, &options);
        for (int i = 1; i < argc; i++) {
            if (bench_option_is(argv[i], "--batch", &value))
                bench_batch_file(&call, &options, value, 0);
            else if (strncmp(argv[i], "--", 2))
                bench_batch_problem(&call, &options, argv[i]);
        }
        status = finish(&call, strict);
    }
    for (int l = 0; l < call.n_libraries; l++) bench_library_close(&call.libraries[l]);
    if (path && fclose(call.output.file)) return perror(path), 2;
    free(command);
    return status;
}
