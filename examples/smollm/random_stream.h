/* SPDX-License-Identifier: Apache-2.0 */
/* Repeatable random numbers: SplitMix64. */
#ifndef SMOLLM_RANDOM_STREAM_H
#define SMOLLM_RANDOM_STREAM_H

#include <stdint.h>

typedef struct random_stream {
    uint64_t state;
} random_stream;

static inline random_stream random_stream_from(uint64_t seed) {
    return (random_stream){seed};
}

static inline uint64_t random_bits(random_stream *stream) {
    uint64_t bits = stream->state += 0x9e3779b97f4a7c15u;
    bits = (bits ^ bits >> 30) * 0xbf58476d1ce4e5b9u;
    bits = (bits ^ bits >> 27) * 0x94d049bb133111ebu;
    return bits ^ bits >> 31;
}

/* Uniform in [0, 1): 24 bits, all that a float can tell apart there. */
static inline float random_unit(random_stream *stream) {
    return (float)(random_bits(stream) >> 40) * 0x1p-24f;
}

#endif
