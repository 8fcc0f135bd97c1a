/* SPDX-License-Identifier: Apache-2.0 */
/* The probes in GCC's vector extension, so that one text serves every width. The including file
 * defines PROBE (suffix of the table), WIDTH_BYTES, and MAC_F32 / MAC_BF16 / MAC_INT8 where it has
 * such instructions. 12 accumulators cover the latency of every multiply-accumulate on the CPUs
 * that we know. */
#include "bench_limits.h"

typedef float vector_f32 __attribute__((vector_size(WIDTH_BYTES)));
typedef int32_t vector_i32 __attribute__((vector_size(WIDTH_BYTES)));
typedef uint64_t vector_u64 __attribute__((vector_size(WIDTH_BYTES)));

static uint64_t read_all(const void *data, uint64_t bytes) {
    const vector_u64 *v = data;
    vector_u64 a = {0}, b = {0}, c = {0}, d = {0};
    for (uint64_t i = 0; i + 4 <= bytes / sizeof *v; i += 4) {
        __builtin_prefetch((const char *)&v[i] + 2048);
        __builtin_prefetch((const char *)&v[i + 2] + 2048);
        a |= v[i], b |= v[i + 1], c |= v[i + 2], d |= v[i + 3];
    }
    a |= b | c | d;
    return a[0] | a[1];
}

/* Keeps the operands in registers and unknown to the compiler. */
#if defined(__x86_64__)
#    define PROBE_REGISTER(x) "+x"(x)
#else
#    define PROBE_REGISTER(x) "+w"(x)
#endif
#define ACCUMULATORS 12
#define PROBE_LOOP(NAME, TYPE, START, MAC, OPERATIONS)                                             \
    static double NAME(int64_t rounds, void *sink) {                                               \
        TYPE acc[ACCUMULATORS], x = START, y = START;                                              \
        for (int i = 0; i < ACCUMULATORS; i++) acc[i] = x;                                         \
        for (int64_t r = 0; r < rounds; r++) {                                                     \
            __asm__ volatile("" : PROBE_REGISTER(x), PROBE_REGISTER(y));                           \
            acc[0] = MAC(acc[0], x, y), acc[1] = MAC(acc[1], x, y), acc[2] = MAC(acc[2], x, y),    \
            acc[3] = MAC(acc[3], x, y);                                                            \
            acc[4] = MAC(acc[4], x, y), acc[5] = MAC(acc[5], x, y), acc[6] = MAC(acc[6], x, y),    \
            acc[7] = MAC(acc[7], x, y);                                                            \
            acc[8] = MAC(acc[8], x, y), acc[9] = MAC(acc[9], x, y), acc[10] = MAC(acc[10], x, y),  \
            acc[11] = MAC(acc[11], x, y);                                                          \
        }                                                                                          \
        for (int i = 1; i < ACCUMULATORS; i++) acc[0] += acc[i];                                   \
        __builtin_memcpy(sink, &acc[0], sizeof acc[0] < 64 ? sizeof acc[0] : 64);                  \
        return (double)(OPERATIONS) * ACCUMULATORS;                                                \
    }

PROBE_LOOP(probe_f32, vector_f32, {0}, MAC_F32, 2 * WIDTH_BYTES / 4)
#ifdef MAC_BF16
PROBE_LOOP(probe_bf16, vector_f32, {0}, MAC_BF16, 4 * WIDTH_BYTES / 4)
#    define PROBE_BF16 probe_bf16
#else
#    define PROBE_BF16 NULL
#endif
#ifdef MAC_INT8
PROBE_LOOP(probe_int8, vector_i32, {0}, MAC_INT8, 8 * WIDTH_BYTES / 4)
#    define PROBE_INT8 probe_int8
#else
#    define PROBE_INT8 NULL
#endif

const bench_probe_kernels PROBE = {read_all, probe_f32, PROBE_BF16, PROBE_INT8};
