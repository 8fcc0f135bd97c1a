/* SPDX-License-Identifier: Apache-2.0 */
/* moe_dispatch: a stable counting sort of the pairs by expert. Nothing is decided by the order in
 * which workgroups run.
 *
 *   count     a wave for each chunk of pairs: how many it has of each expert
 *   offsets   one workgroup: where each expert begins, and what of it lies in earlier chunks
 *   place     a wave for each chunk: the row of each pair, in the order of the pairs
 *
 * moe_dispatch_rows.inl then moves the activations. */
#include "device/device_fault.h"
#include "device/device_memory.h"
#include "device/device_reduce.h"
#include "moe_dispatch_arguments.h"

enum { NOWHERE = 0xffffffffu };

/* Local expert of a pair, or NOWHERE; the first kernel reports ids that are nobody's. */
DEVICE uint32_t expert_of(const moe_dispatch_arguments *a, uint32_t pair, bool reports) {
    const int64_t id =
        load_index(a->topk_ids, pair / a->k * a->ids_token + pair % a->k, a->ids_are_64);
    if (id == -1) return NOWHERE;
    int64_t value = id, limit = a->n_experts;
    if (id >= 0 && id < a->n_experts) {
        if (!a->expert_map) return (uint32_t)id;
        const int32_t local = ((TENON_GLOBAL const int32_t *)a->expert_map)[id];
        if (local >= 0 && (uint32_t)local < a->n_local) return (uint32_t)local;
        if (local == -1) return NOWHERE;
        value = local, limit = a->n_local;
    }
    if (reports)
        report_fault(a->fault, TENON_OP_MOE_DISPATCH, TENON_FAULT_EXPERT_OUT_OF_RANGE, pair, value,
                     limit);
    return NOWHERE;
}

SHARED_ARRAY(uint32_t, of_expert, MOE_DISPATCH_MAX_LOCAL + 1);

DEVICE_KERNEL(moe_dispatch_count, WAVE_LANES)(DEVICE_ARGUMENT moe_dispatch_arguments a) {
    /* "No pair" first: place overwrites it. The grid has a block for each chunk of rows, too. */
    for (uint32_t i = lane_id(); a.row_pairs && i < MOE_DISPATCH_CHUNK; i += WAVE_LANES) {
        const uint32_t row = block_x() * MOE_DISPATCH_CHUNK + i;
        if (row < a.n_row_pairs) ((TENON_GLOBAL uint32_t *)a.row_pairs)[row] = a.n_pairs;
    }
    if (block_x() >= a.n_chunks) return;
    for (uint32_t e = lane_id(); e < a.n_local; e += WAVE_LANES) of_expert[e] = 0;
    workgroup_barrier();
    for (uint32_t i = lane_id(); i < MOE_DISPATCH_CHUNK; i += WAVE_LANES) {
        const uint32_t pair = block_x() * MOE_DISPATCH_CHUNK + i;
        const uint32_t e = pair < a.n_pairs ? expert_of(&a, pair, true) : NOWHERE;
        if (e != NOWHERE) shared_add_u32(&of_expert[e], 1u);
    }
    workgroup_barrier();
    for (uint32_t e = lane_id(); e < a.n_local; e += WAVE_LANES)
        a.chunk_counts[block_x() * a.n_local + e] = of_expert[e];
}

SHARED_ARRAY(uint32_t, scanned, MOE_DISPATCH_BLOCK_LANES);

/* Sum of the values of lower lanes of the workgroup. */
DEVICE uint32_t sum_below(uint32_t value) {
    scanned[thread_x()] = value;
    workgroup_barrier();
    for (uint32_t step = 1; step < MOE_DISPATCH_BLOCK_LANES; step *= 2) {
        const uint32_t below = thread_x() >= step ? scanned[thread_x() - step] : 0;
        workgroup_barrier();
        scanned[thread_x()] += below;
        workgroup_barrier();
    }
    return scanned[thread_x()] - value;
}

/* Rows up to the next expert: of_expert holds how many pairs there are. */
DEVICE uint32_t padded(const moe_dispatch_arguments *a, uint32_t e) {
    return (of_expert[e] + a->block_rows - 1) / a->block_rows * a->block_rows;
}

DEVICE void fill_blocks(const moe_dispatch_arguments *a, uint32_t end) {
    if (thread_x() == 0 && end > (uint64_t)a->n_blocks * a->block_rows)
        report_fault(a->fault, TENON_OP_MOE_DISPATCH, TENON_FAULT_ROW_OUT_OF_RANGE, a->n_blocks,
                     end, (int64_t)a->n_blocks * a->block_rows + 1);
    for (uint32_t b = thread_x(); b < a->n_blocks; b += MOE_DISPATCH_BLOCK_LANES) {
        int32_t expert = -1;
        if ((uint64_t)b * a->block_rows < end) {
            const uint32_t row = b * a->block_rows;
            uint32_t low = 0, high = a->n_local; /* the first e whose successor is past the row */
            while (low < high) {
                const uint32_t middle = (low + high) / 2;
                if (of_expert[middle + 1] > row)
                    high = middle;
                else
                    low = middle + 1;
            }
            expert = (int32_t)low;
        }
        ((TENON_GLOBAL int32_t *)a->block_experts)[b] = expert;
    }
}

DEVICE_KERNEL(moe_dispatch_offsets,
              MOE_DISPATCH_BLOCK_LANES)(DEVICE_ARGUMENT moe_dispatch_arguments a) {
    for (uint32_t e = thread_x(); e < a.n_local; e += MOE_DISPATCH_BLOCK_LANES) {
        uint32_t total = 0;
        for (uint32_t c = 0; c < a.n_chunks; c++) {
            const uint32_t here = a.chunk_counts[c * a.n_local + e];
            a.chunk_counts[c * a.n_local + e] = total;
            total += here;
        }
        of_expert[e] = total;
    }
    workgroup_barrier();

    /* Each lane has neighbouring experts. Rows past the capacity are left out, so that an expert
     * begins where it would without a bound, or at the bound. */
    const uint32_t each = (a.n_local + MOE_DISPATCH_BLOCK_LANES - 1) / MOE_DISPATCH_BLOCK_LANES,
                   begin = smaller_u32(thread_x() * each, a.n_local),
                   stop = smaller_u32(begin + each, a.n_local);
    uint32_t sum = 0;
    for (uint32_t e = begin; e < stop; e++) sum += padded(&a, e);
    uint32_t at = sum_below(sum);
    for (uint32_t e = begin; e < stop; e++) {
        const uint32_t count = of_expert[e], rows = padded(&a, e);
        const uint32_t first = a.table_rows ? e * a.table_rows : smaller_u32(at, a.rows);
        const uint32_t room = a.table_rows ? a.table_rows : a.rows - first;
        const uint32_t kept = smaller_u32(count, room);
        store_index(a.expert_offsets, e, a.offsets_are_64, first);
        if (a.expert_counts) ((TENON_GLOBAL uint32_t *)a.expert_counts)[e] = kept;
        a.first[e] = first;
        a.kept[e] = kept;
        of_expert[e] = first; /* its count is not needed any more */
        at += rows;
    }
    if (begin < stop && stop == a.n_local) {
        const uint32_t end = a.table_rows ? a.n_local * a.table_rows : smaller_u32(at, a.rows);
        store_index(a.expert_offsets, a.n_local, a.offsets_are_64, end);
        if (a.n_rows) *(TENON_GLOBAL uint32_t *)a.n_rows = end;
        a.first[a.n_local] = end;
        of_expert[a.n_local] = end;
    }
    workgroup_barrier();
    if (a.block_experts) fill_blocks(&a, of_expert[a.n_local]);
}

/* Lanes of the wave with the same value of eleven bits. */
DEVICE uint64_t lanes_like_me(uint32_t value, bool takes_part) {
    uint64_t same = wave_ballot(takes_part);
    for (int bit = 0; bit < 11; bit++) {
        const bool set = value >> bit & 1u;
        const uint64_t with = wave_ballot(set);
        same &= set ? with : ~with;
    }
    return same;
}

DEVICE_KERNEL(moe_dispatch_place, WAVE_LANES)(DEVICE_ARGUMENT moe_dispatch_arguments a) {
    for (uint32_t e = lane_id(); e < a.n_local; e += WAVE_LANES)
        of_expert[e] = a.first[e] + a.chunk_counts[block_x() * a.n_local + e];
    workgroup_barrier();
    for (uint32_t i = lane_id(); i < MOE_DISPATCH_CHUNK; i += WAVE_LANES) {
        const uint32_t pair = block_x() * MOE_DISPATCH_CHUNK + i;
        const uint32_t e = pair < a.n_pairs ? expert_of(&a, pair, false) : NOWHERE;
        const bool takes_part = e != NOWHERE;
        const uint64_t like_me = lanes_like_me(e, takes_part);
        uint32_t row = NOWHERE;
        const uint32_t next = takes_part ? of_expert[e] : 0;
        wave_barrier(); /* all have read what one is about to replace */
        if (takes_part) {
            const uint32_t rank = wave_count_below(like_me);
            row = next + rank;
            if (rank == 0) of_expert[e] = next + (uint32_t)count_bits(like_me);
            const uint32_t capacity = a.table_rows ? (e + 1) * a.table_rows : a.rows;
            if (row >= capacity) {
                report_fault(a.fault, TENON_OP_MOE_DISPATCH, TENON_FAULT_ROW_OUT_OF_RANGE, pair,
                             row, capacity);
                row = NOWHERE;
            }
        }
        wave_barrier();
        if (pair >= a.n_pairs) continue;
        a.row_of_pair[pair] = (int32_t)row;
        if (a.pair_rows)
            ((TENON_GLOBAL uint32_t *)a.pair_rows)[pair / a.k * a.pair_rows_token + pair % a.k] =
                row;
        if (a.row_pairs && row != NOWHERE) ((TENON_GLOBAL uint32_t *)a.row_pairs)[row] = pair;
    }
}

#include "moe_dispatch_rows.inl"
