/* SPDX-License-Identifier: Apache-2.0 */
/* kv_append: a group of lanes for each (token, head) of keys (block_y 0) and of values (block_y 1).
 * A lane moves 16 bytes of the input at a time, converted on the way. A dynamic scale is the
 * group's own: the row is read once more for it, from the cache it is then still in. */
#include "device/device_fault.h"
#include "device/device_reduce.h"
#include "device/device_row.h"
#include "kv_append_arguments.h"

DEVICE bool is_float(uint32_t number) {
    return number <= TENON_NUMBER_BF16;
}

/* The division is IEEE's: every backend stores the same bits. */
DEVICE float scale_of_row(const kv_append_arguments *a, const kv_append_half *h, int64_t row,
                          TENON_GLOBAL float *stored, uint32_t lane, const int piece) {
    if (!a->dynamic_scale) return *stored;
    float amax = 0;
    for (uint32_t d = lane * (uint32_t)piece; d < h->d; d += a->row_lanes * (uint32_t)piece) {
        float x[8];
        load_piece(h->x, row + d, h->in_number, piece, x);
        for (int j = 0; j < piece; j++) amax = larger_f32(amax, magnitude_f32(x[j]));
    }
    const float scale = group_max_f32(amax, a->row_lanes) / number_max(h->number);
    const float result = scale > 0 ? scale : 1;
    if (lane == 0) *stored = result;
    return result;
}

DEVICE void append_rows(const kv_append_arguments *a, const int piece) {
    const kv_append_half h = block_y() ? a->half[1] : a->half[0];
    const uint32_t lane = thread_x() % a->row_lanes;
    const uint32_t row = (block_x() * KV_APPEND_BLOCK_LANES + thread_x()) / a->row_lanes;
    if (row >= a->rows) return;
    const uint32_t token = row / a->n_heads, head = row % a->n_heads;
    const int64_t place = load_index(a->slot_mapping, token, a->slots_are_64);
    if (place < 0 || place >= a->n_slots) {
        if (place != -1 && lane == 0 && head == 0 && block_y() == 0)
            report_fault(a->fault, TENON_OP_KV_APPEND, TENON_FAULT_PAGE_OUT_OF_RANGE, token, place,
                         a->n_slots);
        return;
    }
    const uint32_t page = (uint32_t)place / a->page_size, slot = (uint32_t)place % a->page_size;
    const int64_t from = token * h.x_token + head * h.x_head;
    const int64_t to = page * h.cache_page + slot * h.cache_slot + head * h.cache_head;
    float scale = 1;
    if (h.scale)
        scale = scale_of_row(a, &h, from,
                             (TENON_GLOBAL float *)h.scale + page * h.scale_page +
                                 slot * h.scale_slot + head * h.scale_head,
                             lane, piece);
    for (uint32_t d = lane * (uint32_t)piece; d < h.d; d += a->row_lanes * (uint32_t)piece) {
        float x[8];
        load_piece(h.x, from + d, h.in_number, piece, x);
        const int64_t at = to + d / h.inner * h.cache_outer + d % h.inner * h.cache_inner;
        if (is_float(h.number)) {
            store_piece(h.cache, at, h.number, piece, x);
        } else {
            if (h.scale)
                for (int j = 0; j < piece; j++) x[j] /= scale;
            store_piece_bytes(h.cache, at, h.number, piece, x);
        }
    }
}

/* Rows of both sides on 16-byte boundaries, and of whole pieces. */
DEVICE_KERNEL(kv_append_by_4, KV_APPEND_BLOCK_LANES)(DEVICE_ARGUMENT kv_append_arguments a) {
    append_rows(&a, 4);
}
DEVICE_KERNEL(kv_append_by_8, KV_APPEND_BLOCK_LANES)(DEVICE_ARGUMENT kv_append_arguments a) {
    append_rows(&a, 8);
}
DEVICE_KERNEL(kv_append_elements, KV_APPEND_BLOCK_LANES)(DEVICE_ARGUMENT kv_append_arguments a) {
    append_rows(&a, 1);
}
