/* SPDX-License-Identifier: Apache-2.0 */
/* Random numbers that are the same everywhere for the same state; a state is never 0. */
#ifndef TENON_BENCH_RANDOM_H
#define TENON_BENCH_RANDOM_H

#include <stdint.h>

static inline uint64_t bench_random(uint64_t *state) {
    *state ^= *state << 13, *state ^= *state >> 7, *state ^= *state << 17;
    return *state;
}
static inline uint64_t bench_random_state(uint64_t seed) {
    return seed * 0x9e3779b97f4a7c15u + 0x2545f4914f6cdd1du;
}
static inline int64_t bench_random_below(uint64_t *state, int64_t n) {
    return n > 0 ? (int64_t)(bench_random(state) % (uint64_t)n) : 0;
}
/* In [-1, 1). */
static inline double bench_random_signed(uint64_t *state) {
    return (double)(int64_t)bench_random(state) * 0x1p-63;
}

#endif /* TENON_BENCH_RANDOM_H */
