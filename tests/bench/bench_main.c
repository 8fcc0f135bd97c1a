/* SPDX-License-Identifier: Apache-2.0 */
/* tenonbench: loads libtenon.so as a host does and asks it about problems: is it right, does it
 * repeat, how fast is it, what is there. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench_run.h"

static const char usage[] =
    "tenonbench [option ..] [problem ..]\n"
    "  --lib=FILE         libtenon.so to load; twice: A/B, samples alternating (mode P)\n"
    "  --mode=L|C|B|P|S|O list, correctness against the reference (default), bitwise repeat, "
    "performance, support table, call cost\n"
    "  --batch=FILE       problems, one a line; # starts a comment, and a label at the end of a "
    "line. A TENON_TRACE file is one.\n"
    "  --backend=NAME     auto, cpu, cuda, rocm          --impl=PATTERN   the kernel that must "
    "run, * matches any characters\n"
    "  --threads=N        0: one for each CPU            --seed=N         of the random inputs\n"
    "  --strict           a problem that no kernel takes is a failure\n"
    "  --pack             weights go through pack_weights first\n"
    "  --pages=huge|small what tensors of 2 MiB and more lie on (huge)\n"
    "  --seconds=S        of measuring for each problem  --report=text|json|csv   --output=FILE\n"
    "  Options hold for the whole call. Problem strings: tests/bench/doc/problem_strings.md\n";

static bool take(const char *argument, const char *name, const char **value) {
    size_t length = strlen(name);
    if (strncmp(argument, name, length) || argument[length] != '=') return false;
    *value = argument + length + 1;
    return true;
}

static int bad(const char *what, const char *value) {
    fprintf(stderr, "tenonbench: %s: %s\n%s", what, value, usage);
    return 2;
}

static int parse_backend(const char *name) {
    static const char *const names[] = {"auto", "cpu", "cuda", "rocm"};
    for (int i = 0; i < 4; i++)
        if (!strcmp(names[i], name)) return i;
    return -1;
}

typedef struct status_counts {
    int64_t count[BENCH_STATUS_COUNT];
    int64_t total;
} status_counts;

static void one_problem(const bench_options *options, const bench_library *libraries,
                        const bench_limits *limits, const char *text, status_counts *tally) {
    static bench_result results[2];
    memset(results, 0, sizeof results);
    int n = 1;
    if (options->mode == 'O') {
        tally->count[bench_run_overhead(options, &libraries[0], text) ? BENCH_MEASURED
                                                                      : BENCH_INVALID]++,
            tally->total++;
        return;
    }
    if (options->mode == 'P') {
        bench_run_performance(options, libraries, text, results);
        n = options->n_libraries;
    } else if (options->mode == 'L') {
        bench_problem *p = calloc(1, sizeof *p);
        results[0].status =
            p && bench_parse(libraries[0].api, text, p) ? BENCH_LISTED : BENCH_INVALID;
        if (p) {
            if (results[0].status == BENCH_LISTED)
                bench_print(libraries[0].api, p, results[0].detail, sizeof results[0].detail);
            else
                snprintf(results[0].detail, sizeof results[0].detail, "%s", p->message);
            bench_free(p);
        }
        free(p);
    } else {
        bench_run_correctness(options, &libraries[0], text, &results[0]);
    }
    for (int l = 0; l < n; l++) {
        bench_report(options, limits, libraries[l].path, text, &results[l]);
        tally->count[results[l].status]++, tally->total++;
    }
    if (n == 2 && results[0].status == BENCH_MEASURED && results[1].status == BENCH_MEASURED &&
        !strcmp(options->report, "text"))
        fprintf(options->out, "    A/B: %.3f\n", results[0].seconds / results[1].seconds);
}

static bool batch(const bench_options *options, const bench_library *libraries,
                  const bench_limits *limits, const char *path, status_counts *tally) {
    FILE *file = fopen(path, "r");
    char *line = NULL;
    size_t room = 0;
    if (!file) return perror(path), false;
    while (getline(&line, &room, file) > 0) {
        line[strcspn(line, "\n")] = 0;
        const char *start = line + strspn(line, " \t");
        if (*start && *start != '#') one_problem(options, libraries, limits, start, tally);
    }
    free(line);
    fclose(file);
    return true;
}

int main(int argc, char **argv) {
    bench_options options = {
        .mode = 'C', .seed = 1, .seconds = 0.4, .report = "text", .out = stdout};
    bench_library libraries[2] = {{0}, {0}};
    bench_limits limits = {0};
    status_counts tally = {{0}, 0};
    const char *value, *output = NULL;
    bool strict = false;
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i];
        if (take(a, "--lib", &value)) {
            if (options.n_libraries == 2) return bad("more than two", a);
            options.library_paths[options.n_libraries++] = value;
        } else if (take(a, "--mode", &value)) {
            if (!strchr("LCBPSO", value[0]) || value[0] == 0 || value[1])
                return bad("unknown mode", value);
            options.mode = value[0];
        } else if (take(a, "--backend", &value)) {
            if ((options.backend = parse_backend(value)) < 0) return bad("unknown backend", value);
        } else if (take(a, "--impl", &value))
            options.kernel = value;
        else if (take(a, "--threads", &value))
            options.n_threads = atoi(value);
        else if (take(a, "--seed", &value))
            options.seed = strtoull(value, NULL, 0);
        else if (take(a, "--seconds", &value))
            options.seconds = atof(value);
        else if (take(a, "--report", &value)) {
            if (strcmp(value, "text") && strcmp(value, "json") && strcmp(value, "csv"))
                return bad("unknown report", value);
            options.report = value;
        } else if (take(a, "--pages", &value)) {
            if (strcmp(value, "huge") && strcmp(value, "small")) return bad("unknown pages", value);
            bench_use_huge_pages(*value == 'h');
        } else if (take(a, "--output", &value))
            output = value;
        else if (!strcmp(a, "--strict"))
            strict = true;
        else if (!strcmp(a, "--pack"))
            options.pack = true;
        else if (!strcmp(a, "--help"))
            return fputs(usage, stdout), 0;
        else if (!strncmp(a, "--", 2) && !take(a, "--batch", &value))
            return bad("unknown option", a);
    }
    if (!options.n_libraries)
        options.library_paths[options.n_libraries++] =
            getenv("TENON_LIBRARY") ? getenv("TENON_LIBRARY") : "libtenon.so";
    for (int l = 0; l < options.n_libraries; l++)
        if (!bench_library_open(&libraries[l], options.library_paths[l], options.backend,
                                options.n_threads))
            return 2;
    if (output && !(options.out = fopen(output, "w"))) return perror(output), 2;
    if (!options.n_threads) options.n_threads = (int32_t)sysconf(_SC_NPROCESSORS_ONLN);
    if (options.mode == 'S') return bench_run_support(&options, &libraries[0]);
    if (options.mode == 'P') bench_limits_measure(options.n_threads, &limits);

    bool readable = true;
    bench_report_begin(&options, &limits);
    for (int i = 1; i < argc; i++) {
        if (take(argv[i], "--batch", &value))
            readable &= batch(&options, libraries, &limits, value, &tally);
        else if (strncmp(argv[i], "--", 2))
            one_problem(&options, libraries, &limits, argv[i], &tally);
    }
    bench_report_end(&options);
    bool failed = !readable || (strict && tally.count[BENCH_UNSUPPORTED]);
    for (int s = 0; s < BENCH_STATUS_COUNT; s++) {
        if (tally.count[s])
            fprintf(stderr, "%s%lld %s", s ? " " : "", (long long)tally.count[s],
                    bench_status_name((bench_status)s));
        failed |= tally.count[s] && bench_status_fails((bench_status)s);
    }
    fprintf(stderr, "%s\n", tally.total ? "" : "no problems given");
    for (int l = 0; l < options.n_libraries; l++) bench_library_close(&libraries[l]);
    if (output) fclose(options.out);
    return failed || !tally.total;
}
