/* SPDX-License-Identifier: Apache-2.0 */
#include "bench_machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void bench_machine_date(char *text, size_t bytes) {
    time_t now = time(NULL);
    struct tm utc;
    strftime(text, bytes, "%Y-%m-%d %H:%M UTC", gmtime_r(&now, &utc));
}

/* The value of the first line "name : value" of a file in /proc; false: there is none. */
static bool proc_line(const char *path, const char *name, char *value, size_t bytes) {
    FILE *file = fopen(path, "r");
    char *line = NULL;
    size_t room = 0;
    bool found = false;
    while (file && !found && getline(&line, &room, file) > 0) {
        const char *colon = strchr(line, ':');
        if (!colon || strncmp(line, name, strlen(name))) continue;
        snprintf(value, bytes, "%s", colon + 1 + strspn(colon + 1, " \t"));
        value[strcspn(value, "\n")] = 0;
        found = true;
    }
    free(line);
    if (file) fclose(file);
    return found;
}

void bench_machine_cpu(char *text, size_t bytes) {
    char family[32], model[32];
    if (!proc_line("/proc/cpuinfo", "model name", text, bytes)) {
        snprintf(text, bytes, "unknown");
        return;
    }
    size_t used = strlen(text);
    if (proc_line("/proc/cpuinfo", "cpu family", family, sizeof family) &&
        proc_line("/proc/cpuinfo", "model\t", model, sizeof model))
        snprintf(text + used, bytes - used, " (family %s, model %s)", family, model);
}

void bench_machine_features(char *text, size_t bytes) {
    static const char *const wanted[] = {
        "avx2",        "fma",         "f16c",        "avx_vnni",    "avx512f",  "avx512bw",
        "avx512_vnni", "avx512_bf16", "avx512_vbmi", "avx512_fp16", "amx_bf16", "amx_int8",
        "asimd",       "asimddp",     "bf16",        "i8mm",        "sve"};
    char flags[8192], *rest;
    text[0] = 0;
    if (!proc_line("/proc/cpuinfo", "flags", flags, sizeof flags) &&
        !proc_line("/proc/cpuinfo", "Features", flags, sizeof flags))
        return;
    for (char *flag = strtok_r(flags, " ", &rest); flag; flag = strtok_r(NULL, " ", &rest))
        for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
            size_t used = strlen(text);
            if (!strcmp(flag, wanted[i]))
                snprintf(text + used, bytes - used, "%s%s", used ? " " : "", flag);
        }
}
