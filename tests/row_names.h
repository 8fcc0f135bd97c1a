/* SPDX-License-Identifier: Apache-2.0 */
/* Names of the CPU rows, best first, and of attention those of ROCm, for tests that ask each by
 * name; those that this machine cannot run are to be left out by the test. A build for Arm leaves
 * out the scalar ones: they are the same C, and slow in an emulator. */
#ifndef TENON_ROW_NAMES_H
#define TENON_ROW_NAMES_H

#include <stdbool.h>
#include <string.h>

/* Rows of attention that multiply 16-bit types, and round the weights to them. */
static inline bool row_takes_bf16_alone(const char *row) {
    return strstr(row, "vnni") || strstr(row, "bf16") || strstr(row, "rocm");
}

static inline bool row_is_rocm(const char *row) {
    return strstr(row, "rocm");
}

/* Why a row of ROCm declines what others take: nothing else is an answer. */
static inline bool row_may_decline(const char *row, const char *reason) {
    static const char *const reasons[] = {"takes no f32 queries",
                                          "keys and values of unlike types",
                                          "takes caches in bf16, f16, fp8 and int8",
                                          "queries and cache of unlike 16-bit types",
                                          "not split head dims",
                                          "elements of a row are",
                                          "not a multiple of 16",
                                          "not on 16-byte boundaries",
                                          "above 192 and 128",
                                          "head dims above 128 of a cache of bytes",
                                          "reads strided caches only"};
    if (!row_is_rocm(row)) return false;
    for (unsigned i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (strstr(reason, reasons[i])) return true;
    return false;
}

#if defined(__aarch64__)
/* Two rows for each level: activations in int8, and exact. */
#    define ROWS_INT8_AND_FLOAT(op)                                                                \
        "cpu_" op "_int8_arm_neonbf16", "cpu_" op "_float_arm_neonbf16",                           \
            "cpu_" op "_int8_arm_neondot", "cpu_" op "_float_arm_neondot",                         \
            "cpu_" op "_int8_arm_neon", "cpu_" op "_float_arm_neon"
#    define ROWS_OF_MEMORY(op) "cpu_" op "_arm_neon"
#    define ROWS_ATTENTION(op) "cpu_" op "_arm_neonbf16", "cpu_" op "_arm_neon"
#    define ROW_INT8(op)       "cpu_" op "_int8_arm_neon"
#    define ROW_FLOAT(op)      "cpu_" op "_float_arm_neon"
#else
#    define ROWS_INT8_AND_FLOAT(op)                                                                \
        "cpu_" op "_int8_x86_avx512vnni", "cpu_" op "_float_x86_avx512vnni",                       \
            "cpu_" op "_int8_x86_avx512", "cpu_" op "_float_x86_avx512",                           \
            "cpu_" op "_int8_x86_avx2", "cpu_" op "_float_x86_avx2", "cpu_" op "_int8_scalar",     \
            "cpu_" op "_float_scalar"
#    define ROWS_OF_MEMORY(op) "cpu_" op "_x86_avx512", "cpu_" op "_x86_avx2", "cpu_" op "_scalar"
#    define ROWS_ATTENTION(op)                                                                     \
        "rocm_" op "_gfx9", "cpu_" op "_x86_avx512vnni", "cpu_" op "_x86_avx512",                  \
            "cpu_" op "_x86_avx2"
#    define ROW_INT8(op)  "cpu_" op "_int8_scalar"
#    define ROW_FLOAT(op) "cpu_" op "_float_scalar"
#endif

#endif /* TENON_ROW_NAMES_H */
