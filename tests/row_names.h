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

/* Rows whose own head dims, strides and mixtures of types a test of all problems does not know. */
static inline bool row_declines_more(const char *row) {
    return strstr(row, "rocm");
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
