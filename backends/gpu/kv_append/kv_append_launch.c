/* SPDX-License-Identifier: Apache-2.0 */
#include "kv_append_arguments.h"
#include "kv_append_launch.h"
#include "gpu_launch.h"
#include "stored_number.h"

enum { FUNCTION_BY_4, FUNCTION_BY_8, FUNCTION_ELEMENTS };
static const char *const symbols[] = {"kv_append_by_4", "kv_append_by_8", "kv_append_elements",
                                      NULL};

const char *tenon_gpu_kv_append_declines(const tenon_problem *problem, tenon_reason *reason) {
    const tenon_kv_append_args *a = problem->args;
    if (a->flags & TENON_KV_APPEND_NATIVE_CACHE)
        return tenon_decline(reason, "writes strided caches only");
    const int64_t n_slots = a->k->shape[0] * a->k->shape[1],
                  rows = a->key->shape[0] * a->key->shape[1];
    if (n_slots > INT32_MAX || rows > INT32_MAX || a->k->shape[0] > INT32_MAX ||
        a->key->shape[0] > INT32_MAX || a->key->shape[2] > INT32_MAX ||
        a->value->shape[2] > INT32_MAX)
        return tenon_decline(reason, "%lld slots and %lld rows, beyond 32 bits", (long long)n_slots,
                             (long long)rows);
    return NULL;
}

static kv_append_half half_of(const DLTensor *x, const DLTensor *cache, const DLTensor *scale,
                              int32_t kv_element) {
    const int64_t *to = cache->strides;
    kv_append_half h = {
        .x = tenon_data(x),
        .cache = tenon_data(cache),
        .scale = scale ? tenon_data(scale) : NULL,
        .x_token = x->strides[0],
        .x_head = x->strides[1],
        .cache_page = to[0],
        .cache_slot = to[1],
        .cache_head = to[2],
        .cache_outer = to[3],
        .cache_inner = cache->ndim == 5 ? to[4] : 0,
        .d = (uint32_t)x->shape[2],
        .inner = cache->ndim == 5 ? (uint32_t)cache->shape[4] : 1,
        .in_number = (uint32_t)tenon_number_of(x->dtype),
        .number = (uint32_t)tenon_stored_number(cache->dtype, kv_element),
    };
    if (cache->ndim == 4 && to[3] == 1) /* one contiguous piece */
        h.inner = h.d, h.cache_outer = 0, h.cache_inner = 1;
    if (scale && scale->ndim == 3)
        h.scale_page = scale->strides[0], h.scale_slot = scale->strides[1],
        h.scale_head = scale->strides[2];
    else if (scale && scale->shape[0] > 1)
        h.scale_head = scale->strides[0];
    return h;
}

/* Numbers that a lane can move at a time: 16 bytes of the input, in one piece on both sides. */
static uint32_t piece_of(const kv_append_half *h, const DLTensor *x) {
    const uint32_t wide = h->in_number == TENON_NUMBER_F32 ? 4 : 8;
    const int64_t element_bytes = tenon_number_bytes((tenon_number)h->number),
                  piece_bytes = wide * element_bytes, unit = piece_bytes < 16 ? piece_bytes : 16;
    const int64_t strides[] = {h->cache_page, h->cache_slot, h->cache_head, h->cache_outer};
    bool aligned = tenon_gpu_rows_aligned(x) && h->inner % wide == 0 && h->d % wide == 0 &&
                   (h->cache_inner == 1 || h->inner == 1) && (uintptr_t)h->cache % 16 == 0;
    for (size_t i = 0; i < sizeof strides / sizeof strides[0]; i++)
        aligned &= strides[i] * element_bytes % unit == 0;
    return aligned ? wide : 1;
}

int32_t tenon_gpu_kv_append_plan(tenon_kernel_plan *p, tenon_error *error) {
    return tenon_gpu_load(p, "kv_append", symbols, error);
}

int32_t tenon_gpu_kv_append_run(const tenon_kernel_plan *p, const void *args, tenon_error *error) {
    const tenon_kv_append_args *a = args;
    kv_append_arguments k = {
        .half = {half_of(a->key, a->k, a->k_scale, a->kv_element),
                 half_of(a->value, a->v, a->v_scale, a->kv_element)},
        .slot_mapping = tenon_data(a->slot_mapping),
        .fault = (void *)a->fault,
        .n_slots = (uint32_t)(a->k->shape[0] * a->k->shape[1]),
        .page_size = (uint32_t)a->k->shape[1],
        .n_heads = (uint32_t)a->key->shape[1],
        .rows = (uint32_t)(a->key->shape[0] * a->key->shape[1]),
        .slots_are_64 = a->slot_mapping->dtype.bits == 64,
        .dynamic_scale = (a->flags & TENON_KV_APPEND_DYNAMIC_SCALE) != 0,
    };
    const uint32_t k_piece = piece_of(&k.half[0], a->key), v_piece = piece_of(&k.half[1], a->value),
                   piece = k_piece == v_piece ? k_piece : 1,
                   longest = k.half[0].d > k.half[1].d ? k.half[0].d : k.half[1].d;
    k.row_lanes = tenon_gpu_group_lanes(longest, piece, KV_APPEND_ROW_LANES);
    return tenon_gpu_launch(
        p,
        piece == 4   ? FUNCTION_BY_4
        : piece == 8 ? FUNCTION_BY_8
                     : FUNCTION_ELEMENTS,
        (tenon_gpu_grid){
            .blocks = tenon_gpu_blocks((uint64_t)k.rows * k.row_lanes, KV_APPEND_BLOCK_LANES),
            .blocks_y = 2,
            .block_lanes = KV_APPEND_BLOCK_LANES},
        a->stream, &k, error);
}
