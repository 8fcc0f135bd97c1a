/* SPDX-License-Identifier: Apache-2.0 */
/* Relations that attention, kv_append and kv_gather share: the form of the caches, what their bytes
 * mean, their scales, the page lists. */
#ifndef TENON_OP_KV_CACHE_H
#define TENON_OP_KV_CACHE_H

#include "op_check.h"

/* Number of a field of the operation, for error texts. */
typedef struct tenon_cache_field {
    const char *name;
    int32_t index;
} tenon_cache_field;

/* One operation's cache fields, by the names they have in every list. */
typedef struct tenon_cache_check {
    const char *op;
    bool native;
    int32_t kv_element, page_size;
    const DLTensor *k, *v, *k_scale, *v_scale;
    int64_t d_qk, d_v;
    tenon_cache_field k_field, v_field, k_scale_field, v_scale_field, kv_element_field,
        page_size_field;
} tenon_cache_check;

#define TENON_CACHE_FIELD(op, name) {#name, TENON_FIELD(op, name)}
/* Everything of a tenon_cache_check that is spelled the same in the three lists; a is the
 * operation's args. */
#define TENON_CACHE_CHECK(operation, a, native_flag)                                               \
    .op = #operation, .native = ((a)->flags & (native_flag)) != 0, .kv_element = (a)->kv_element,  \
    .page_size = (a)->page_size, .k = (a)->k, .v = (a)->v, .k_scale = (a)->k_scale,                \
    .v_scale = (a)->v_scale, .k_field = TENON_CACHE_FIELD(operation, k),                           \
    .v_field = TENON_CACHE_FIELD(operation, v),                                                    \
    .k_scale_field = TENON_CACHE_FIELD(operation, k_scale),                                        \
    .v_scale_field = TENON_CACHE_FIELD(operation, v_scale),                                        \
    .kv_element_field = TENON_CACHE_FIELD(operation, kv_element),                                  \
    .page_size_field = TENON_CACHE_FIELD(operation, page_size)

int32_t tenon_check_kv_caches(const tenon_cache_check *c, tenon_error *error);

/* fp8, i8, or u8 bytes that stand for fp8. */
static inline bool tenon_is_quantized_cache(const DLTensor *cache) {
    return cache->dtype.bits == 8;
}
static inline bool tenon_is_fp8(DLDataType type) {
    return type.bits == 8 && type.code != kDLInt && type.code != kDLUInt;
}
static inline bool tenon_is_int8(DLDataType type) {
    return type.bits == 8 && type.code == kDLInt;
}
static inline bool tenon_is_bytes(DLDataType type) {
    return type.bits == 8 && type.code == kDLUInt;
}

/* Exactly one of block_table, or page_indptr with page_indices. */
#define TENON_REQUIRE_PAGE_LIST(op, a)                                                             \
    do {                                                                                           \
        TENON_REQUIRE(op, block_table,                                                             \
                      (a)->block_table || ((a)->page_indptr && (a)->page_indices),                 \
                      "no page list: give block_table, or page_indptr and page_indices");          \
        TENON_REQUIRE(op, page_indptr,                                                             \
                      !(a)->block_table || (!(a)->page_indptr && !(a)->page_indices),              \
                      "is given beside block_table: give one page list");                          \
    } while (0)

#endif /* TENON_OP_KV_CACHE_H */
