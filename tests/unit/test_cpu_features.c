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

/* An emulator of user programs shows its host's list, under its host's name. */
#if defined(__aarch64__)
#    define LIST "Features"
#else
#    define LIST "flags"
#endif

/* 1 or 0 as /proc/cpuinfo lists the flag, -1 when there is no list to compare with. */
static int kernel_lists(const char *flag) {
    FILE *f = fopen("/proc/cpuinfo", "r");
    if (!f) return -1;
    static char line[16384];
    int found = -1;
    while (found < 0 && fgets(line, sizeof line, f)) {
        if (strncmp(line, LIST, sizeof LIST - 1)) continue;
        found = 0;
        for (char *word = strtok(line, " \t\n:"); word; word = strtok(NULL, " \t\n:"))
            if (!strcmp(word, flag)) found = 1;
    }
    fclose(f);
    return found;
}

static void test_against_kernel(const tenon_cpu_info *info) {
    static const struct {
        uint64_t bit;
        const char *name; /* the kernel's */
    } flags[] = {
#if defined(__x86_64__)
        {TENON_CPU_AVX2, "avx2"},
        {TENON_CPU_FMA, "fma"},
        {TENON_CPU_F16C, "f16c"},
        {TENON_CPU_AVX512F, "avx512f"},
        {TENON_CPU_AVX512BW, "avx512bw"},
        {TENON_CPU_AVX512VL, "avx512vl"},
        {TENON_CPU_AVX512DQ, "avx512dq"},
        {TENON_CPU_AVX512VNNI, "avx512_vnni"},
        {TENON_CPU_AVX512BF16, "avx512_bf16"},
        {TENON_CPU_AVX512VBMI, "avx512vbmi"},
#elif defined(__aarch64__)
        {TENON_CPU_NEON, "asimd"},
        {TENON_CPU_ARM_FP16, "asimdhp"},
        {TENON_CPU_ARM_DOTPROD, "asimddp"},
        {TENON_CPU_ARM_SVE, "sve"},
        {TENON_CPU_ARM_I8MM, "i8mm"},
        {TENON_CPU_ARM_BF16, "bf16"},
#endif
        {0, NULL},
    };
    for (size_t i = 0; flags[i].bit; i++) {
        const int listed = kernel_lists(flags[i].name);
        if (listed < 0) continue;
        CHECK(listed == !!(info->features & flags[i].bit), "%s: kernel says %d", flags[i].name,
              listed);
    }
    cpu_set_t set;
    sched_getaffinity(0, sizeof set, &set);
    CHECK(info->n_cpus == CPU_COUNT(&set), "%d CPUs, mask has %d", info->n_cpus, CPU_COUNT(&set));
    CHECK(info->l1d_bytes >= 8 << 10 && info->l1d_bytes <= 1 << 20, "%lld",
          (long long)info->l1d_bytes);
    CHECK(info->l2_bytes >= 128 << 10 && info->l2_bytes <= 64 << 20, "%lld",
          (long long)info->l2_bytes);
}

static void test_levels(const tenon_cpu_info *full) {
    static const char *const names[] = {"scalar", "avx2",    "avx512",   "avx512_vnni",
                                        "neon",   "neondot", "neonbf16", "all"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        uint64_t mask = 1234;
        CHECK(tenon_cpu_level_mask(names[i], &mask) == 0, "%s", names[i]);
        tenon_cpu_info info;
        tenon_cpu_detect(mask, &info);
        CHECK((info.features & ~(full->features & mask)) == 0, "%s: bits outside", names[i]);
        CHECK(info.features == (full->features & mask), "%s: bits lost", names[i]);
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
