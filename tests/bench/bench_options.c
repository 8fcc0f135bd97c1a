/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench_run.h"

void bench_option_usage(FILE *out) {
    fputs(
        "  --backend=NAME     auto, cpu, cuda, rocm          --impl=PATTERN   the kernel that must "
        "run, * matches any characters\n"
        "  --threads=N        0: one for each CPU            --seed=N         of the random "
        "inputs\n"
        "  --pack             weights go through pack_weights first; --pack=no: not\n"
        "  --pages=huge|small what tensors of 2 MiB and more lie on (huge)\n"
        "  --seconds=S        of measuring for each problem\n"
        "  --copies=N[,M]     mode M: the asked problem is N times this one in workgroups, and M "
        "times in memory\n"
        "  --lengths=KIND     of sequences where the problem gives none: equal, uniform, "
        "lognormal, "
        "mixed\n",
        out);
}

bool bench_option_is(const char *word, const char *name, const char **value) {
    size_t length = strlen(name);
    if (strncmp(word, name, length) || word[length] != '=') return false;
    *value = word + length + 1;
    return true;
}

static bool one_of(const char *value, const char *const *names, int n, int32_t *index) {
    for (int32_t i = 0; i < n; i++)
        if (!strcmp(names[i], value)) return *index = i, true;
    return false;
}

static bool integer(const char *value, long low, long high, long *out) {
    char *end;
    *out = strtol(value, &end, 10);
    return end != value && !*end && *out >= low && *out <= high;
}

bench_taken bench_option_take(bench_options *o, const char *word) {
    static const char *const backends[] = {"auto", "cpu", "cuda", "rocm"};
    static const char *const pages[] = {"huge", "small"}, *const yes_no[] = {"no", "yes"};
    const char *value;
    int32_t index = 0;
    long number = 0;
    char *end;
    bool good = true;
    if (!strcmp(word, "--pack")) {
        o->pack = true;
    } else if (bench_option_is(word, "--pack", &value)) {
        good = one_of(value, yes_no, 2, &index), o->pack = index;
    } else if (bench_option_is(word, "--backend", &value)) {
        good = one_of(value, backends, 4, &o->backend);
    } else if (bench_option_is(word, "--pages", &value)) {
        good = one_of(value, pages, 2, &index), o->small_pages = index;
    } else if (bench_option_is(word, "--impl", &value)) {
        good = strlen(value) < sizeof o->kernel_pattern;
        if (good) strcpy(o->kernel_pattern, value);
    } else if (bench_option_is(word, "--threads", &value)) {
        good = integer(value, 0, 4096, &number), o->n_threads = (int32_t)number;
    } else if (bench_option_is(word, "--seed", &value)) {
        o->seed = strtoull(value, &end, 0), good = end != value && !*end;
    } else if (bench_option_is(word, "--seconds", &value)) {
        o->seconds = strtod(value, &end);
        good = end != value && !*end && isfinite(o->seconds) && o->seconds >= 0;
    } else if (bench_option_is(word, "--copies", &value)) {
        o->copies = o->memory_copies = strtod(value, &end);
        if (*end == ',') o->memory_copies = strtod(end + 1, &end);
        good = end != value && !*end && isfinite(o->copies) && o->copies >= 1 &&
               isfinite(o->memory_copies) && o->memory_copies > 0;
    } else if (bench_option_is(word, "--lengths", &value)) {
        good = bench_lengths_by_name(value, &o->lengths);
    } else {
        return BENCH_NOT_AN_OPTION;
    }
    return good ? BENCH_TAKEN : BENCH_BAD_VALUE;
}
