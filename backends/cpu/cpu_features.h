/* SPDX-License-Identifier: Apache-2.0 */
/* What this CPU can do, found at run time: instruction sets that the CPU has AND the operating
 * system saves, cache sizes, and the CPUs that the calling thread may use. */
#ifndef TENON_CPU_FEATURES_H
#define TENON_CPU_FEATURES_H

#include <stdint.h>

/* One list makes the bits and the names. */
#define TENON_CPU_FEATURE_LIST(X)                                                                  \
    X(AVX2, 0, "avx2")                                                                             \
    X(FMA, 1, "fma")                                                                               \
    X(F16C, 2, "f16c")                                                                             \
    X(AVX512F, 3, "avx512f")                                                                       \
    X(AVX512BW, 4, "avx512bw")                                                                     \
    X(AVX512VL, 5, "avx512vl")                                                                     \
    X(AVX512DQ, 6, "avx512dq")                                                                     \
    X(AVX512VNNI, 7, "avx512_vnni")                                                                \
    X(AVX512BF16, 8, "avx512_bf16")                                                                \
    X(AVX512VBMI, 9, "avx512vbmi")                                                                 \
    X(NEON, 16, "neon")                                                                            \
    X(ARM_DOTPROD, 17, "dotprod")                                                                  \
    X(ARM_I8MM, 18, "i8mm")                                                                        \
    X(ARM_BF16, 19, "bf16")                                                                        \
    X(ARM_FP16, 20, "fp16")                                                                        \
    X(ARM_SVE, 21, "sve")

enum {
#define X(name, bit, text) TENON_CPU_##name = 1 << (bit),
    TENON_CPU_FEATURE_LIST(X)
#undef X
};

/* What each set of kernel files needs, as a group: the levels of a family contain one another. */
#define TENON_CPU_LEVEL_AVX2 ((uint64_t)(TENON_CPU_AVX2 | TENON_CPU_FMA | TENON_CPU_F16C))
#define TENON_CPU_LEVEL_AVX512                                                                     \
    (TENON_CPU_LEVEL_AVX2 | TENON_CPU_AVX512F | TENON_CPU_AVX512BW | TENON_CPU_AVX512VL |          \
     TENON_CPU_AVX512DQ)
#define TENON_CPU_LEVEL_AVX512VNNI                                                                 \
    (TENON_CPU_LEVEL_AVX512 | TENON_CPU_AVX512VNNI | TENON_CPU_AVX512BF16 | TENON_CPU_AVX512VBMI)
#define TENON_CPU_LEVEL_NEON     ((uint64_t)TENON_CPU_NEON)
#define TENON_CPU_LEVEL_NEONDOT  (TENON_CPU_LEVEL_NEON | TENON_CPU_ARM_DOTPROD)
#define TENON_CPU_LEVEL_NEONBF16 (TENON_CPU_LEVEL_NEONDOT | TENON_CPU_ARM_I8MM | TENON_CPU_ARM_BF16)

typedef struct tenon_cpu_info {
    uint64_t
        features; /* TENON_CPU_* bits; the CPU has it, the system saves it, the mask allows it */
    int64_t l1d_bytes; /* per core; a common value where the system does not tell */
    int64_t l2_bytes;  /* per core */
    int64_t l3_bytes;  /* as seen by one core; 0: none */
    int32_t n_cpus;    /* CPUs in the calling thread's affinity mask, at least 1 */
    char model[64];    /* brand text, "" when unknown */
} tenon_cpu_info;

/* Fills *out. `allowed` masks the features: tests and options force a lower level with it;
 * ~0 allows all. Reads no environment. */
void tenon_cpu_detect(uint64_t allowed, tenon_cpu_info *out);

/* CPUs in the calling thread's affinity mask, at least 1. */
int32_t tenon_cpu_count_usable(void);

/* "avx512_vnni" for one bit, "unknown" for anything else. */
const char *tenon_cpu_feature_name(uint64_t bit);

/* The first feature of `needed` that `features` lacks, as a name; NULL when it has them all. */
const char *tenon_cpu_missing(uint64_t features, uint64_t needed);

/* The mask for a level by name: "scalar", "avx2", "avx512", "avx512_vnni", "neon",
 * "neondot", "neonbf16", "all".
 * Returns 0 on success, -1 for another name (then *out is untouched). */
int tenon_cpu_level_mask(const char *name, uint64_t *out);

#endif
