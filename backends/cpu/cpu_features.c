/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "cpu_features.h"

#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#if defined(__x86_64__) || defined(__i386__)
#    include <cpuid.h>
#elif defined(__aarch64__)
#    include <sys/auxv.h>
#endif

#if defined(__x86_64__) || defined(__i386__)

typedef struct cpuid_regs {
    uint32_t eax, ebx, ecx, edx;
} cpuid_regs;

static cpuid_regs cpuid(uint32_t leaf, uint32_t sub) {
    cpuid_regs r = {0, 0, 0, 0};
    if (!__get_cpuid_count(leaf, sub, &r.eax, &r.ebx, &r.ecx, &r.edx)) memset(&r, 0, sizeof r);
    return r;
}

/* XCR0: which register files the operating system saves on a context switch. */
static uint64_t xcr0(void) {
    uint32_t lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return ((uint64_t)hi << 32) | lo;
}

static uint64_t detect_features(void) {
    const cpuid_regs l1 = cpuid(1, 0), l7 = cpuid(7, 0), l7s1 = cpuid(7, 1);
    const uint32_t osxsave = 1u << 27, avx = 1u << 28;
    if ((l1.ecx & (osxsave | avx)) != (osxsave | avx)) return 0;
    const uint64_t saved = xcr0();
    if ((saved & 0x6) != 0x6) return 0; /* xmm and ymm state */

    uint64_t f = 0;
    if (l7.ebx & (1u << 5)) f |= TENON_CPU_AVX2;
    if (l1.ecx & (1u << 12)) f |= TENON_CPU_FMA;
    if (l1.ecx & (1u << 29)) f |= TENON_CPU_F16C;
    if ((saved & 0xe6) != 0xe6) return f; /* opmask, upper zmm, zmm16-31 */
    if (!(l7.ebx & (1u << 16))) return f; /* no avx512f: nothing of avx512 counts */
    f |= TENON_CPU_AVX512F;
    if (l7.ebx & (1u << 30)) f |= TENON_CPU_AVX512BW;
    if (l7.ebx & (1u << 31)) f |= TENON_CPU_AVX512VL;
    if (l7.ebx & (1u << 17)) f |= TENON_CPU_AVX512DQ;
    if (l7.ecx & (1u << 11)) f |= TENON_CPU_AVX512VNNI;
    if (l7.ecx & (1u << 1)) f |= TENON_CPU_AVX512VBMI;
    if (l7s1.eax & (1u << 5)) f |= TENON_CPU_AVX512BF16;
    return f;
}

static void read_model(char *out, size_t cap) {
    if (cpuid(0x80000000u, 0).eax < 0x80000004u) return;
    uint32_t words[12];
    for (uint32_t i = 0; i < 3; i++) {
        const cpuid_regs r = cpuid(0x80000002u + i, 0);
        memcpy(words + 4 * i, &r, sizeof r);
    }
    const size_t n = sizeof words < cap - 1 ? sizeof words : cap - 1;
    memcpy(out, words, n);
    out[n] = '\0';
}

#elif defined(__aarch64__)

static uint64_t detect_features(void) {
    /* Bit numbers of the Linux arm64 ABI; spelled out because older headers lack the newer ones. */
    const unsigned long h1 = getauxval(AT_HWCAP), h2 = getauxval(AT_HWCAP2);
    uint64_t f = 0;
    if (h1 & (1ul << 1)) f |= TENON_CPU_NEON;
    if (h1 & (1ul << 10)) f |= TENON_CPU_ARM_FP16;
    if (h1 & (1ul << 20)) f |= TENON_CPU_ARM_DOTPROD;
    if (h1 & (1ul << 22)) f |= TENON_CPU_ARM_SVE;
    if (h2 & (1ul << 13)) f |= TENON_CPU_ARM_I8MM;
    if (h2 & (1ul << 14)) f |= TENON_CPU_ARM_BF16;
    return f;
}

static void read_model(char *out, size_t cap) {
    strncpy(out, "aarch64", cap - 1);
}

#else

static uint64_t detect_features(void) {
    return 0;
}
static void read_model(char *out, size_t cap) {
    out[cap - 1] = '\0';
}

#endif

/* A level counts only as a whole where its parts need one another: AVX-512 without its BW/VL/DQ
 * parts (some early server chips) is not used, so its bits are hidden together. */
static uint64_t close_features(uint64_t f) {
    if ((f & TENON_CPU_LEVEL_AVX2) != TENON_CPU_LEVEL_AVX2)
        f &= ~(TENON_CPU_LEVEL_AVX512VNNI & ~TENON_CPU_LEVEL_AVX2);
    if ((f & TENON_CPU_LEVEL_AVX512) != TENON_CPU_LEVEL_AVX512)
        f &= ~(uint64_t)(TENON_CPU_AVX512VNNI | TENON_CPU_AVX512BF16 | TENON_CPU_AVX512VBMI);
    return f;
}

static int64_t cache_bytes(int name, int64_t otherwise) {
    const long v = name >= 0 ? sysconf(name) : 0;
    return v > 0 ? (int64_t)v : otherwise;
}

int32_t tenon_cpu_count_usable(void) {
    /* The kernel refuses a set smaller than its own, so the set grows until it fits. */
    for (int bits = 1024; bits <= 65536; bits *= 4) {
        cpu_set_t *set = CPU_ALLOC((size_t)bits);
        if (!set) break;
        const size_t bytes = CPU_ALLOC_SIZE((size_t)bits);
        CPU_ZERO_S(bytes, set);
        const int failed = sched_getaffinity(0, bytes, set);
        const int n = failed ? 0 : CPU_COUNT_S(bytes, set);
        CPU_FREE(set);
        if (!failed) return n > 0 ? n : 1;
    }
    return 1;
}

void tenon_cpu_detect(uint64_t allowed, tenon_cpu_info *out) {
    memset(out, 0, sizeof *out);
    out->features = close_features(detect_features() & allowed);
#ifdef _SC_LEVEL1_DCACHE_SIZE
    out->l1d_bytes = cache_bytes(_SC_LEVEL1_DCACHE_SIZE, 32 << 10);
    out->l2_bytes = cache_bytes(_SC_LEVEL2_CACHE_SIZE, 512 << 10);
    out->l3_bytes = cache_bytes(_SC_LEVEL3_CACHE_SIZE, 0);
#else
    out->l1d_bytes = cache_bytes(-1, 32 << 10);
    out->l2_bytes = cache_bytes(-1, 512 << 10);
#endif
    out->n_cpus = tenon_cpu_count_usable();
    read_model(out->model, sizeof out->model);
}

const char *tenon_cpu_feature_name(uint64_t bit) {
#define X(name, shift, text)                                                                       \
    if (bit == (uint64_t)TENON_CPU_##name) return text;
    TENON_CPU_FEATURE_LIST(X)
#undef X
    return "unknown";
}

const char *tenon_cpu_missing(uint64_t features, uint64_t needed) {
    const uint64_t lacks = needed & ~features;
    return lacks ? tenon_cpu_feature_name(lacks & (~lacks + 1)) : NULL;
}

int tenon_cpu_level_mask(const char *name, uint64_t *out) {
    static const struct {
        const char *name;
        uint64_t mask;
    } levels[] = {
        {"scalar", 0},
        {"avx2", TENON_CPU_LEVEL_AVX2},
        {"avx512", TENON_CPU_LEVEL_AVX512},
        {"avx512_vnni", TENON_CPU_LEVEL_AVX512VNNI},
        {"neon", TENON_CPU_LEVEL_NEON},
        {"neondot", TENON_CPU_LEVEL_NEONDOT},
        {"neonbf16", TENON_CPU_LEVEL_NEONBF16},
        {"all", ~(uint64_t)0},
    };
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
        if (!strcmp(levels[i].name, name)) {
            *out = levels[i].mask;
            return 0;
        }
    return -1;
}
