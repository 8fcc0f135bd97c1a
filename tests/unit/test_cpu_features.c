/* SPDX-License-Identifier: Apache-2.0 */
/* Feature detection against what the kernel itself reports, and the forced lower levels. */
#define _GNU_SOURCE
#include "cpu_features.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int n_failed;

#define CHECK(cond, ...)                                                                           \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            n_failed++;                                                                            \
            fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #cond);                             \
            fprintf(stderr, __VA_ARGS__);                                                          \
            fputc('\n', stderr);                                                                   \
        }                                                                                          \
    } while (0)

/* 1 or 0 as /proc/cpuinfo lists the flag, -1 when there is no list to compare with. */
static int kernel_lists(const char *flag) {
    FILE *f = fopen("/proc/cpuinfo", "r");
    if (!f) return -1;
    static char line[16384];
    int found = -1;
    while (found < 0 && fgets(line, sizeof line, f)) {
        if (strncmp(line, "flags", 5) && strncmp(line, "Features", 8)) continue;
        found = 0;
        for (char *word = strtok(line, " \t\n:"); word; word = strtok(NULL, " \t\n:"))
            if (!strcmp(word, flag)) found = 1;
    }
    fclose(f);
    return found;
}

static void test_against_kernel(const tenon_cpu_info *info) {
#if defined(__x86_64__)
    static const uint64_t bits[] = {TENON_CPU_AVX2,      TENON_CPU_FMA,        TENON_CPU_F16C,
                                    TENON_CPU_AVX512F,   TENON_CPU_AVX512BW,   TENON_CPU_AVX512VL,
                                    TENON_CPU_AVX512DQ,  TENON_CPU_AVX512VNNI, TENON_CPU_AVX512BF16,
                                    TENON_CPU_AVX512VBMI};
    for (size_t i = 0; i < sizeof bits / sizeof *bits; i++) {
        const char *name = tenon_cpu_feature_name(bits[i]);
        const int listed = kernel_lists(name);
        if (listed < 0) continue;
        CHECK(listed == !!(info->features & bits[i]), "%s: kernel says %d", name, listed);
    }
#endif
    cpu_set_t set;
    sched_getaffinity(0, sizeof set, &set);
    CHECK(info->n_cpus == CPU_COUNT(&set), "%d CPUs, mask has %d", info->n_cpus, CPU_COUNT(&set));
    CHECK(info->l1d_bytes >= 8 << 10 && info->l1d_bytes <= 1 << 20, "%lld",
          (long long)info->l1d_bytes);
    CHECK(info->l2_bytes >= 128 << 10 && info->l2_bytes <= 64 << 20, "%lld",
          (long long)info->l2_bytes);
}

static void test_levels(const tenon_cpu_info *full) {
    static const char *const names[] = {"scalar", "avx2", "avx512", "avx512_vnni", "neon", "all"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        uint64_t mask = 1234;
        CHECK(tenon_cpu_level_mask(names[i], &mask) == 0, "%s", names[i]);
        tenon_cpu_info info;
        tenon_cpu_detect(mask, &info);
        CHECK((info.features & ~(full->features & mask)) == 0, "%s: bits outside", names[i]);
        if (i != 4) CHECK(info.features == (full->features & mask), "%s: bits lost", names[i]);
    }
    uint64_t mask = 1234;
    CHECK(tenon_cpu_level_mask("avx3", &mask) == -1 && mask == 1234, "unknown level accepted");

    /* Without FMA nothing of AVX-512 may be reported: the kernels count on the whole group. */
    tenon_cpu_info info;
    tenon_cpu_detect(~(uint64_t)TENON_CPU_FMA, &info);
    CHECK(!(info.features & (TENON_CPU_AVX512F | TENON_CPU_AVX512VNNI)), "avx512 without fma");
    tenon_cpu_detect(~(uint64_t)TENON_CPU_AVX512BW, &info);
    CHECK(!(info.features & TENON_CPU_AVX512VNNI), "vnni without avx512bw");
}

static void test_names(void) {
    CHECK(!strcmp(tenon_cpu_feature_name(TENON_CPU_AVX512BF16), "avx512_bf16"), "%s",
          tenon_cpu_feature_name(TENON_CPU_AVX512BF16));
    CHECK(!strcmp(tenon_cpu_feature_name(3), "unknown"), "%s", tenon_cpu_feature_name(3));
    CHECK(!tenon_cpu_missing(TENON_CPU_LEVEL_AVX512, TENON_CPU_LEVEL_AVX2), "avx2 missing");
    const char *missing = tenon_cpu_missing(TENON_CPU_LEVEL_AVX2, TENON_CPU_LEVEL_AVX512);
    CHECK(missing && !strcmp(missing, "avx512f"), "%s", missing ? missing : "(null)");
}

int main(void) {
    tenon_cpu_info info;
    tenon_cpu_detect(~(uint64_t)0, &info);
    printf("model \"%s\", features %llx, l1d %lld, l2 %lld, l3 %lld, cpus %d\n", info.model,
           (unsigned long long)info.features, (long long)info.l1d_bytes, (long long)info.l2_bytes,
           (long long)info.l3_bytes, info.n_cpus);
    test_against_kernel(&info);
    test_levels(&info);
    test_names();
    printf("test_cpu_features: %s\n", n_failed ? "FAILED" : "ok");
    return n_failed != 0;
}
