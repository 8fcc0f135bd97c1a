/* SPDX-License-Identifier: Apache-2.0 */
/* Where the pairs of a mixture of experts go: the arithmetic that every backend's dispatch shares.
 *
 * A pair (token, slot) has the number token * k + slot. Pairs are sorted by local expert, stable:
 *
 *     row     0       first[1]        first[2]      n_rows        capacity
 *             |e0 e0 e0 ..|e1 e1 e1 e1 ..|e2 .. .. ..|             |
 *                      pad to block_rows
 *
 * In the masked layout each expert has a table of max_rows rows instead, and row = expert *
 * max_rows + i. Pairs that find no room (a run may bring less than the worst case needs) are left
 * out and reported; offsets and counts then say what was really placed, so whoever reads them stays
 * inside the tensors. */
#ifndef TENON_MOE_LAYOUT_H
#define TENON_MOE_LAYOUT_H

#include <stdint.h>

enum {
    TENON_MOE_MAX_EXPERTS = 1024, /* routed experts of a layer */
    TENON_MOE_MAX_TOPK = 32,      /* routed experts of a token */
    TENON_MOE_MAX_SHARED = 32,    /* shared experts that moe_route appends */
    TENON_MOE_MAX_LOCAL = TENON_MOE_MAX_EXPERTS + TENON_MOE_MAX_SHARED
};

static inline int64_t tenon_moe_block_rows(int32_t block_rows) {
    return block_rows > 0 ? block_rows : 1;
}

static inline int64_t tenon_moe_align(int64_t rows, int64_t block_rows) {
    return (rows + block_rows - 1) / block_rows * block_rows;
}

/* The largest expert_offsets[local] that any choice of experts gives: at most min(pairs, local)
 * experts are padded, each by at most block_rows - 1. */
static inline int64_t tenon_moe_rows_bound(int64_t pairs, int64_t local, int64_t block_rows) {
    int64_t padded = pairs < local ? pairs : local;
    return (pairs + padded * (block_rows - 1)) / block_rows * block_rows;
}

/* What an id means. Negative: no local expert has it. */
enum { TENON_MOE_ELSEWHERE = -1, TENON_MOE_BAD_ID = -2, TENON_MOE_BAD_MAP = -3 };
static inline int64_t tenon_moe_local_expert(int64_t id, int64_t experts, const int32_t *expert_map,
                                             int64_t local) {
    if (id == -1) return TENON_MOE_ELSEWHERE;
    if (id < 0 || id >= experts) return TENON_MOE_BAD_ID;
    if (!expert_map) return id;
    int64_t e = expert_map[id];
    return e == -1 ? TENON_MOE_ELSEWHERE : e < 0 || e >= local ? TENON_MOE_BAD_MAP : e;
}

/* Rows of one expert that begin at `first`: how many of its `count` pairs find room, and where the
 * next expert begins. */
static inline int64_t tenon_moe_place(int64_t first, int64_t count, int64_t block_rows,
                                      int64_t capacity, int64_t *kept) {
    int64_t room = capacity - first;
    *kept = count < room ? count : room;
    return *kept == room ? capacity
           : first + tenon_moe_align(*kept, block_rows) < capacity
               ? first + tenon_moe_align(*kept, block_rows)
               : capacity;
}

/* The rows [first, first + count) of expert e by untrusted offsets and counts. Returns 0 and an
 * empty range if they contradict themselves or the tensor's bound; *value is then what was wrong
 * and *limit its bound. */
typedef struct tenon_moe_range {
    int64_t first, count;
    int64_t value, limit;
} tenon_moe_range;
static inline int tenon_moe_check_range(int64_t first, int64_t next, const int64_t *count,
                                        int64_t rows, tenon_moe_range *out) {
    *out = (tenon_moe_range){0, 0, next, rows + 1};
    if (next < 0 || next > rows) return 0;
    out->value = first, out->limit = next + 1;
    if (first < 0 || first > next) return 0;
    out->count = next - first;
    if (count) {
        out->value = *count, out->limit = next - first + 1;
        out->count = 0;
        if (*count < 0 || *count > next - first) return 0;
        out->count = *count;
    }
    out->first = first;
    return 1;
}

#endif /* TENON_MOE_LAYOUT_H */
