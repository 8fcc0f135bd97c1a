/* SPDX-License-Identifier: Apache-2.0 */
#include "bench_lengths.h"

#include <math.h>
#include <string.h>

#include "bench_random.h"

static const char *const words[] = {
#define WORD(name, word, doc) word,
    BENCH_LENGTHS_LIST(WORD)};

const char *bench_lengths_name(bench_lengths_kind kind) {
    return words[kind];
}

bool bench_lengths_by_name(const char *name, bench_lengths_kind *kind) {
    for (int i = 0; i < BENCH_LENGTHS_COUNT; i++)
        if (!strcmp(words[i], name)) return *kind = (bench_lengths_kind)i, true;
    return false;
}

static int64_t within(int64_t value, int64_t low, int64_t high) {
    return value < low ? low : value > high ? high : value;
}

/* Mean 0, deviation 1: twelve uniform numbers are as near to a normal one as lengths need. */
static double normal(uint64_t *state) {
    double sum = 0;
    for (int i = 0; i < 12; i++) sum += bench_random_signed(state);
    return sum / 2;
}

static int64_t draw_kv(bench_lengths_kind kind, int64_t limit, uint64_t *state) {
    if (limit < 1) return limit;
    if (kind == BENCH_LENGTHS_UNIFORM) return 1 + bench_random_below(state, limit);
    return within((int64_t)(0.25 * (double)limit * exp(normal(state))), 1, limit);
}

void bench_draw_lengths(bench_lengths lengths, int64_t n, int64_t tokens, int64_t q_limit,
                        int64_t kv_limit, int64_t *q, int64_t *kv) {
    uint64_t state = bench_random_state(lengths.seed);
    for (int64_t i = 0; lengths.kind == BENCH_LENGTHS_EQUAL && i < n; i++)
        q[i] = tokens * (i + 1) / n - tokens * i / n, kv[i] = kv_limit;
    if (lengths.kind == BENCH_LENGTHS_EQUAL) return;
    int64_t most = q_limit < kv_limit ? q_limit : kv_limit;
    /* Sequences that decode: chosen at random places, as a scheduler's batch has them. */
    int64_t decoding = lengths.kind == BENCH_LENGTHS_MIXED && tokens > n ? n * 3 / 4 : 0;
    int64_t left = tokens, open = n, to_decode = decoding;
    for (int64_t i = 0; i < n; i++, open--) {
        bool decodes = bench_random_below(&state, open) < to_decode;
        int64_t sharing = open - to_decode, share = 1;
        if (decodes)
            to_decode--;
        else if (sharing > 0)
            share = (left - to_decode) / sharing;
        q[i] = within(share, 0, left < most ? left : most);
        left -= q[i];
        kv[i] = within(draw_kv(lengths.kind, kv_limit, &state), q[i], kv_limit);
    }
}
