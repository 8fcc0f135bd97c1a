/* SPDX-License-Identifier: Apache-2.0 */
/* What the launcher of kv_append hands to its kernels. Strides in elements. */
#ifndef TENON_KV_APPEND_ARGUMENTS_H
#define TENON_KV_APPEND_ARGUMENTS_H

#include "device/device_arguments.h"

enum { KV_APPEND_BLOCK_LANES = 256, KV_APPEND_ROW_LANES = 32 };

/* Keys, or values. */
typedef struct kv_append_half {
    tenon_device_const_bytes x;
    tenon_device_bytes cache, scale; /* scale: f32, or NULL */
    int64_t x_token, x_head;
    int64_t cache_page, cache_slot, cache_head, cache_outer, cache_inner;
    int64_t scale_page, scale_slot, scale_head;
    uint32_t d, inner; /* dim j lies at j / inner * cache_outer + j % inner * cache_inner */
    uint32_t in_number, number; /* of x; of the cache */
} kv_append_half;

typedef struct kv_append_arguments {
    kv_append_half half[2];
    tenon_device_const_bytes slot_mapping;
    tenon_device_fault fault;
    uint32_t n_slots, page_size, n_heads;
    uint32_t rows;      /* tokens * heads */
    uint32_t row_lanes; /* lanes that share a row: a power of two */
    uint32_t slots_are_64, dynamic_scale;
} kv_append_arguments;

#endif /* TENON_KV_APPEND_ARGUMENTS_H */
