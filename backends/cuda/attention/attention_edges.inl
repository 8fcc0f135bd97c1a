/* SPDX-License-Identifier: Apache-2.0 */
/* Before: attention_check. Lengths and page lists come from tensors that may hold anything. What
 * backends/common/paged_sequence.h says on the host, one block for each sequence; it writes the
 * record on which everything else rests, and the rows that are empty.
 * After: attention_merge, a warp for each row of a sequence that was split. */
#include "attention_sight.h"
#include "device/device_fault.h"
#include "device/device_reduce.h"

SHARED_ARRAY(uint32_t, attention_least, ATTENTION_BLOCK_LANES / 32);

/* The least of the block, in all lanes. */
DEVICE uint32_t block_min(uint32_t x) {
    const uint32_t least = wave_min_u32(x);
    workgroup_barrier();
    if (lane_id() == 0) attention_least[wave_id()] = least;
    workgroup_barrier();
    return smaller_u32(smaller_u32(attention_least[0], attention_least[1]),
                       smaller_u32(attention_least[2], attention_least[3]));
}

DEVICE void empty_row(const attention_arguments *a, int64_t token) {
    for (int32_t i = (int32_t)thread_x(); i < a->heads_q * a->v.d; i += ATTENTION_BLOCK_LANES)
        attention_store(a->out, token * a->out_token + i / a->v.d * a->out_head + i % a->v.d,
                        a->out_number, 0);
    if (!a->lse) return;
    for (int32_t h = (int32_t)thread_x(); h < a->heads_q; h += ATTENTION_BLOCK_LANES)
        a->lse[token * a->lse_token + h * a->lse_head] = -DEVICE_INFINITY;
}

DEVICE bool length_fault(const attention_arguments *a, int64_t position, int64_t value,
                         int64_t limit) {
    if (thread_x() == 0)
        report_fault(a->fault, TENON_OP_ATTENTION, TENON_FAULT_LENGTH_OUT_OF_RANGE, position, value,
                     limit);
    return false;
}

DEVICE bool offsets_are_right(const attention_arguments *a) {
    uint32_t first_bad = UINT32_MAX;
    for (int32_t b = (int32_t)thread_x(); b <= a->n_sequences; b += ATTENTION_BLOCK_LANES) {
        const int32_t offset = a->row_offsets[b];
        if (b == 0 ? offset != 0 : offset < a->row_offsets[b - 1] || offset > a->n_rows)
            first_bad = smaller_u32(first_bad, (uint32_t)b);
    }
    first_bad = block_min(first_bad);
    if (first_bad == UINT32_MAX) return true;
    if (block_x() == 0)
        length_fault(a, first_bad, a->row_offsets[first_bad], (first_bad ? a->n_rows : 0) + 1);
    return false;
}

/* Offsets are right. False: a fault. kv_len 0: rows that see nothing. */
DEVICE bool check_sequence(const attention_arguments *a, int32_t b, attention_record *r) {
    r->first_entry = 0, r->visible_begin = 0, r->kv_len = 0, r->reserved = 0;
    r->first_row = a->row_offsets[b];
    r->n_rows = a->row_offsets[b + 1] - r->first_row;
    const int64_t kv_len = a->kv_lens[b];
    if (r->n_rows == 0) return true;
    if (r->n_rows > a->max_rows) return length_fault(a, b, r->n_rows, a->max_rows + 1);
    if (kv_len < 0 || kv_len > a->max_kv_len)
        return length_fault(a, b, kv_len,
                            a->max_kv_len == INT64_MAX ? INT64_MAX : a->max_kv_len + 1);
    if (kv_len == 0) return true;
    if (a->rows_are_cached && r->n_rows > kv_len) return length_fault(a, b, r->n_rows, kv_len + 1);
    int64_t first_entry = b * a->table_pages, entries = a->table_pages;
    r->first_entry = b * a->table_stride;
    if (!a->table) {
        const int64_t end = a->page_indptr[b + 1];
        r->first_entry = first_entry = a->page_indptr[b];
        if (first_entry < 0 || first_entry > end) return length_fault(a, b, first_entry, end + 1);
        if (end > a->page_entries) return length_fault(a, b, end, a->page_entries + 1);
        entries = end - first_entry;
    }
    if ((kv_len - 1) / a->page_size >= entries)
        return length_fault(a, b, kv_len, entries * a->page_size + 1);
    const int64_t least = kv_len - r->n_rows - a->window_left;
    if (a->window_left && least > 0) r->visible_begin = (int32_t)least;
    const int32_t *pages = (a->table ? a->table : a->page_indices) + r->first_entry;
    const uint32_t last = (uint32_t)(kv_len - 1) / (uint32_t)a->page_size;
    uint32_t first_bad = UINT32_MAX;
    for (uint32_t p = (uint32_t)r->visible_begin / (uint32_t)a->page_size + thread_x(); p <= last;
         p += ATTENTION_BLOCK_LANES)
        if (pages[p] < 0 || pages[p] >= a->n_pages) first_bad = smaller_u32(first_bad, p);
    first_bad = block_min(first_bad);
    if (first_bad != UINT32_MAX) {
        if (thread_x() == 0)
            report_fault(a->fault, TENON_OP_ATTENTION, TENON_FAULT_PAGE_OUT_OF_RANGE,
                         first_entry + first_bad, pages[first_bad], a->n_pages);
        return false;
    }
    r->kv_len = (int32_t)kv_len;
    return true;
}

DEVICE void attention_check(const attention_arguments *a) {
    const int32_t b = (int32_t)block_x(), blocks = most_i32(a->n_sequences, 1);
    const bool right = offsets_are_right(a);
    for (int64_t t = (right ? a->row_offsets[a->n_sequences] : 0) + b; t < a->n_rows; t += blocks)
        empty_row(a, t);
    if (b >= a->n_sequences) return;
    attention_record r = {0};
    if (right && (!check_sequence(a, b, &r) || r.kv_len == 0)) {
        for (int32_t i = 0; i < r.n_rows; i++) empty_row(a, (int64_t)r.first_row + i);
        r.n_rows = 0;
    }
    if (thread_x() == 0) a->record[b] = r;
}

/* Blocks x: 4 rows each; y: KV heads; z: sequences. */
DEVICE void attention_merge(const attention_arguments *a) {
    const int32_t sequence = (int32_t)block_z(), head = (int32_t)block_y(),
                  row = (int32_t)(block_x() * (ATTENTION_BLOCK_LANES / 32) + wave_id());
    const attention_record r = a->record[sequence];
    if (!attention_is_short(a, &r) || row >= r.n_rows * a->group) return;
    const attention_splits splits = attention_splits_of(&r);
    if (splits.count < 2) return;
    const int64_t step = (int64_t)a->short_rows * a->partial_row;
    const float *p = attention_partial_of(a, sequence, head, 0) + (int64_t)row * a->partial_row;
    float max = -DEVICE_INFINITY, sum = 0;
    for (int32_t s = 0; s < splits.count; s++) max = larger_f32(max, p[s * step]);
    const float shift = max == -DEVICE_INFINITY ? 0 : max;
    for (int32_t s = 0; s < splits.count; s++)
        sum = fma_f32(exp2_approx(p[s * step] - shift), p[s * step + 1], sum);
    const float factor = attention_finish(a, &r, head, row, max, sum, lane_id() == 0);
    const int64_t base = attention_out_of(a, &r, head, row);
    for (int32_t d = (int32_t)lane_id(); d < a->v.d; d += WAVE_LANES) {
        float x = 0;
        for (int32_t s = 0; s < splits.count; s++)
            if (p[s * step + 1] != 0)
                x = fma_f32(exp2_approx(p[s * step] - shift),
                            p[s * step + ATTENTION_PARTIAL_HEAD + d], x);
        attention_store(a->out, base + d, a->out_number, sum == 0 ? 0 : x * factor);
    }
}
