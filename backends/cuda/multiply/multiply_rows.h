/* SPDX-License-Identifier: Apache-2.0 */
/* Which expert and which rows a block works on, from tables on the device that may be hostile, and
 * where the rows of x are. */
#ifndef TENON_MULTIPLY_ROWS_H
#define TENON_MULTIPLY_ROWS_H

#include "device/device_fault.h"
#include "device/device_memory.h"
#include "device/device_reduce.h"
#include "multiply_arguments.h"

enum { MULTIPLY_MAX_TOKENS = 128, ROW_ABSENT = 0, ROW_ZERO = 1, ROW_PRESENT = 2 };

typedef struct multiply_rows {           /* in shared memory */
    int64_t source[MULTIPLY_MAX_TOKENS]; /* bytes from x */
    float weight[MULTIPLY_MAX_TOKENS];
    uint32_t state[MULTIPLY_MAX_TOKENS];
    uint32_t x_row[MULTIPLY_MAX_TOKENS]; /* for scales of x */
    uint32_t warp_tiles[8];
    uint32_t expert, first, count, found;
} multiply_rows;
typedef char multiply_rows_size[sizeof(multiply_rows) == MULTIPLY_ROWS_BYTES ? 1 : -1];

/* Rows of expert e, as tenon_moe_check_range of backends/common has them. */
DEVICE uint32_t expert_rows(const multiply_arguments *a, uint32_t e, bool report, uint32_t *first) {
    int64_t begin = 0, end = a->rows, count, value, limit;
    *first = 0;
    if (!a->is_grouped) return a->rows;
    if (a->is_masked) {
        begin = (int64_t)e * a->table_rows, end = begin + a->table_rows;
    } else {
        begin = load_index(a->expert_offsets, e, a->offsets_are_64);
        end = load_index(a->expert_offsets, e + 1, a->offsets_are_64);
    }
    count = end - begin;
    value = end, limit = (int64_t)a->rows + 1;
    bool good = end >= 0 && end <= (int64_t)a->rows;
    if (good && (begin < 0 || begin > end)) good = false, value = begin, limit = end + 1;
    if (good && a->expert_counts) {
        const int64_t said = load_index(a->expert_counts, e, false);
        if (said < 0 || said > count) good = false, value = said, limit = count + 1;
        count = said;
    }
    if (!good) {
        if (report)
            report_fault(a->fault, TENON_OP_MOE_MATMUL, TENON_FAULT_LENGTH_OUT_OF_RANGE, e, value,
                         limit);
        return 0;
    }
    *first = (uint32_t)begin;
    return (uint32_t)count;
}

/* Sum of x over this lane and those below it in the warp. */
DEVICE uint32_t sum_through_lane(uint32_t x) {
    for (uint32_t step = 1; step < 32; step *= 2) {
        const uint32_t below = wave_read_lane(x, lane_id() >= step ? lane_id() - step : 0);
        if (lane_id() >= step) x += below;
    }
    return x;
}

/* Finds the tile-th tile of `tokens` rows, experts in order. False, for the whole block: there is
 * none. The first block of the launch reports what is wrong with the tables. */
DEVICE bool find_rows(const multiply_arguments *a, multiply_rows *rows, uint32_t tile,
                      const uint32_t tokens, bool report) {
    const uint32_t lane = thread_x();
    uint32_t before = 0;
    if (lane == 0) rows->found = 0;
#pragma unroll 1
    for (uint32_t e0 = 0; e0 < a->local; e0 += MULTIPLY_BLOCK_LANES) {
        const uint32_t e = e0 + lane;
        uint32_t first = 0, count = 0;
        if (e < a->local) count = expert_rows(a, e, report && tile == 0, &first);
        const uint32_t tiles = (count + tokens - 1) / tokens;
        const uint32_t through = sum_through_lane(tiles);
        if (lane % 32 == 31) rows->warp_tiles[lane / 32] = through;
        workgroup_barrier();
        uint32_t start = before + through - tiles;
        for (uint32_t i = 0; i < 8; i++) {
            if (i < lane / 32) start += rows->warp_tiles[i];
            before += rows->warp_tiles[i];
        }
        if (tile >= start && tile < start + tiles) {
            const uint32_t skip = (tile - start) * tokens;
            rows->expert = e, rows->first = first + skip;
            rows->count = count - skip < tokens ? count - skip : tokens;
            rows->found = 1;
        }
        workgroup_barrier();
        if (rows->found) break;
    }
    return rows->found != 0;
}

/* The source of each row of the tile. */
DEVICE void place_rows(const multiply_arguments *a, multiply_rows *rows, const uint32_t tokens,
                       bool report) {
#pragma unroll 1
    for (uint32_t i = thread_x(); i < tokens; i += MULTIPLY_BLOCK_LANES) {
        uint32_t state = i < rows->count ? ROW_PRESENT : ROW_ABSENT;
        const int64_t r = (int64_t)rows->first + i, x_rows = a->x_rows;
        int64_t source = r, pair = r;
        float weight = 1;
        if (state && a->is_grouped) {
            const int64_t per_token = a->pairs_per_token;
            if (a->row_pairs) pair = load_index(a->row_pairs, r, false);
            if (!a->rows_in_order) source = pair < 0 ? -1 : pair / per_token;
            if (source < 0 || source >= x_rows) {
                state = ROW_ZERO;
                if (report && (a->rows_in_order || pair != x_rows * per_token))
                    report_fault(a->fault, TENON_OP_MOE_MATMUL, TENON_FAULT_ROW_OUT_OF_RANGE, r,
                                 a->rows_in_order ? r : pair,
                                 a->rows_in_order ? x_rows : x_rows * per_token);
            } else if (a->row_weights) {
                if (pair < 0 || pair >= (int64_t)a->pairs) {
                    state = ROW_ZERO;
                    if (report && pair != (int64_t)a->pairs)
                        report_fault(a->fault, TENON_OP_MOE_MATMUL, TENON_FAULT_ROW_OUT_OF_RANGE, r,
                                     pair, a->pairs);
                } else {
                    weight = float_of(load_4(a->row_weights + 4 * pair));
                }
            }
        }
        rows->state[i] = state, rows->weight[i] = weight;
        rows->x_row[i] = state == ROW_PRESENT ? (uint32_t)source : 0;
        rows->source[i] = state == ROW_PRESENT ? source / a->table_rows * a->x_table_bytes +
                                                     source % a->table_rows * a->x_row_bytes
                                               : -1;
    }
}

/* Weight row of a place in the tile whose rows begin at base. */
DEVICE uint32_t weight_row(const multiply_arguments *a, uint32_t base, uint32_t place) {
    return base + place / 16 * (uint32_t)a->step_16 + place % 16 / 8 * (uint32_t)a->step_8 +
           place % 8 * (uint32_t)a->step_1;
}
/* False for places past the last row, in either half of a gated weight. */
DEVICE bool is_weight_row(const multiply_arguments *a, uint32_t tile, const uint32_t places,
                          uint32_t place) {
    if (!a->gated) return tile * places + place < a->n;
    return tile * (places / 2) + place / 16 * 8 + place % 8 < a->n_out;
}

#endif /* TENON_MULTIPLY_ROWS_H */
