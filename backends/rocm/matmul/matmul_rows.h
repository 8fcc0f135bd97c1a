/* SPDX-License-Identifier: Apache-2.0 */
/* Which rows a block works on. Tables come from the device and may say anything: what contradicts
 * itself or a tensor's bound is left out and reported. */
#ifndef TENON_MATMUL_ROWS_H
#define TENON_MATMUL_ROWS_H

#include "device/device_fault.h"
#include "device/device_memory.h"
#include "device/device_reduce.h"
#include "matmul_arguments.h"

/* The arguments, read anew: kept in registers over the loops, there would be more of them than
 * registers. The compiler may not know that the address is always the same. */
DEVICE matmul_arguments arguments_again(void) {
    typedef __attribute__((address_space(4))) const matmul_arguments *constant_arguments;
    constant_arguments p = (constant_arguments)__builtin_amdgcn_kernarg_segment_ptr();
    __asm__ volatile("" : "+s"(p));
    return *p;
}

/* The block's rows: `count` of them from `first` on, of one expert. */
typedef struct matmul_block {
    uint32_t expert, first, count;
} matmul_block;

/* The rows of expert e, as tenon_moe_check_range decides; 0 where the tables contradict. */
DEVICE uint32_t expert_rows(const matmul_arguments *a, uint32_t e, bool report, uint32_t *first) {
    int64_t from = (int64_t)e * a->max_rows, next = from + a->max_rows;
    if (!a->max_rows) {
        from = load_index(a->expert_offsets, e, a->offsets_64);
        next = load_index(a->expert_offsets, (int64_t)e + 1, a->offsets_64);
    }
    int64_t count = next - from, value = 0, limit = 0;
    bool right = true;
    if (next < 0 || next > a->rows) {
        value = next, limit = (int64_t)a->rows + 1, right = false;
    } else if (from < 0 || from > next) {
        value = from, limit = next + 1, right = false;
    } else if (a->expert_counts) {
        count = load_index(a->expert_counts, e, false);
        value = count, limit = next - from + 1;
        right = count >= 0 && count <= next - from;
    }
    if (!right && report)
        report_fault(a->fault, TENON_OP_MOE_MATMUL, TENON_FAULT_LENGTH_OUT_OF_RANGE, e, value,
                     limit);
    *first = (uint32_t)from;
    return right ? (uint32_t)count : 0;
}

/* Sum over the lanes up to and including mine. */
DEVICE uint32_t wave_running_sum(uint32_t x) {
    for (uint32_t step = 1; step < WAVE_LANES; step *= 2) {
        const uint32_t below = wave_read_lane(x, lane_id() - step);
        x += lane_id() >= step ? below : 0;
    }
    return x;
}

/* The block with this number: experts follow each other, each with its own last, partial block.
 * count 0: there is no such block. The first block looks at all experts, and reports. */
DEVICE matmul_block find_block(const matmul_arguments *a, uint32_t number,
                               const uint32_t block_rows) {
    matmul_block found = {0, 0, 0};
    if (!a->local) {
        const uint32_t first = number * block_rows, left = a->rows - first;
        found.first = first;
        found.count = first >= a->rows ? 0 : left < block_rows ? left : block_rows;
        return found;
    }
    const bool reports = !number && !block_x();
    uint32_t before = 0;
    for (uint32_t e0 = 0; e0 < a->local; e0 += WAVE_LANES) {
        const uint32_t e = e0 + lane_id();
        uint32_t first = 0, count = 0;
        if (e < a->local) count = expert_rows(a, e, reports, &first);
        const uint32_t blocks = (count + block_rows - 1) / block_rows;
        const uint32_t end = before + wave_running_sum(blocks);
        const uint64_t hit = wave_ballot(number >= end - blocks && number < end);
        if (hit && !found.count) {
            const uint32_t lane = (uint32_t)__builtin_ctzll(hit);
            const uint32_t within =
                number - (wave_read_lane(end, lane) - wave_read_lane(blocks, lane));
            const uint32_t left = wave_read_lane(count, lane) - within * block_rows;
            found.expert = wave_first(e0 + lane);
            found.first = wave_first(wave_read_lane(first, lane) + within * block_rows);
            found.count = wave_first(left < block_rows ? left : block_rows);
        }
        if (found.count && !reports) break;
        before = wave_first(wave_read_lane(end, WAVE_LANES - 1));
    }
    return found;
}

/* Where row r of out comes from. */
typedef struct matmul_source {
    uint32_t row; /* of x */
    float weight;
    bool there; /* else the row is 0 */
} matmul_source;

DEVICE void report_row(const matmul_arguments *a, uint32_t r, int64_t value, int64_t limit) {
    report_fault(a->fault, TENON_OP_MOE_MATMUL, TENON_FAULT_ROW_OUT_OF_RANGE, r, value, limit);
}

DEVICE matmul_source source_of(const matmul_arguments *a, uint32_t r, bool report) {
    matmul_source s = {r, 1, true};
    const int64_t pair = a->row_pairs ? load_index(a->row_pairs, r, false) : r;
    if (!a->in_order) {
        const int64_t none = (int64_t)a->x_rows * a->pairs_per_token;
        s.there = pair >= 0 && pair < none;
        s.row = s.there ? (uint32_t)pair / a->pairs_per_token : 0;
        if (!s.there && pair != none && report) report_row(a, r, pair, none);
    } else if (r >= a->x_rows) {
        s.there = false, s.row = 0;
        if (report) report_row(a, r, r, a->x_rows);
    }
    if (s.there && a->row_weights) {
        s.there = pair >= 0 && pair < a->n_pairs;
        if (s.there)
            s.weight = ((TENON_GLOBAL const float *)a->row_weights)[pair];
        else if (pair != a->n_pairs && report)
            report_row(a, r, pair, a->n_pairs);
    }
    return s;
}

/* A row of x and of its scales; of the masked layout, row i of table e is e * max_rows + i. */
DEVICE tenon_device_const_bytes x_row_data(const matmul_arguments *a, uint32_t row) {
    const uint32_t table = a->max_rows ? row / a->max_rows : 0;
    return a->x.data + table * a->x.expert_stride +
           (int64_t)(row - table * a->max_rows) * a->x.row_stride;
}
DEVICE int64_t out_row_at(const matmul_arguments *a, uint32_t row) {
    const uint32_t table = a->max_rows ? row / a->max_rows : 0;
    return table * a->out_table + (int64_t)(row - table * a->max_rows) * a->out_row;
}

/* The weight's row of a virtual row. */
DEVICE uint32_t weight_row(const matmul_arguments *a, uint32_t v) {
    if (!a->gated || a->gate_layout == TENON_GATE_LAYOUT_INTERLEAVED) return v;
    const bool second = (v & 1) != (a->gate_layout == TENON_GATE_LAYOUT_UP_GATE);
    return v / 2 + (second ? a->n / 2 : 0);
}

#endif /* TENON_MATMUL_ROWS_H */
