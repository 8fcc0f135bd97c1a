/* SPDX-License-Identifier: Apache-2.0 */
/* The CPU backend's own KV cache layout: where each element stands.
 *
 * Elements are bf16. A page is one piece of memory over all KV heads, so that a kernel that walks
 * the heads of a page reads one stream. Within a head, 16 positions are a group:
 *
 *     K group  [d / 2][16 positions][2]    a 64-byte line is one pair of dims of 16 positions: a
 * vector of 16 partial logits V group  [8 pairs of positions][d][2]    a dword is one dim of two
 * positions: what a product with a pair of weights takes
 *
 *     cache    [pages][heads_kv][page_size / 16 groups][d * 16 elements]
 *
 * page_size and d are multiples of 16. The layout is private: written by kv_append, read by
 * attention and kv_gather of this build.
 */
#ifndef TENON_NATIVE_CACHE_H
#define TENON_NATIVE_CACHE_H

#include "backend.h"

enum { TENON_NATIVE_GROUP = 16 };

typedef struct tenon_native_cache {
    int64_t pages, page_size, heads_kv, d;
} tenon_native_cache;

static inline bool tenon_native_cache_fits(int64_t page_size, int64_t d) {
    return page_size % TENON_NATIVE_GROUP == 0 && d % TENON_NATIVE_GROUP == 0;
}

/* Bytes of one page; 0 when that does not fit 62 bits. */
static inline int64_t tenon_native_page_bytes(const tenon_native_cache *c) {
    int64_t bytes;
    if (__builtin_mul_overflow(c->page_size, c->heads_kv, &bytes) ||
        __builtin_mul_overflow(bytes, c->d, &bytes) || bytes > INT64_MAX / 4)
        return 0;
    return bytes * 2;
}

/* Bytes of the cache; 0 when that does not fit 62 bits. */
static inline int64_t tenon_native_cache_bytes(const tenon_native_cache *c) {
    int64_t bytes;
    return __builtin_mul_overflow(tenon_native_page_bytes(c), c->pages, &bytes) ||
                   bytes > INT64_MAX / 2
               ? 0
               : bytes;
}

/* First element of the group that holds a slot. */
static inline int64_t tenon_native_group_at(const tenon_native_cache *c, int64_t page, int64_t head,
                                            int64_t slot) {
    return ((page * c->heads_kv + head) * c->page_size +
            slot / TENON_NATIVE_GROUP * TENON_NATIVE_GROUP) *
           c->d;
}

static inline int64_t tenon_native_k_at(const tenon_native_cache *c, int64_t page, int64_t head,
                                        int64_t slot, int64_t i) {
    return tenon_native_group_at(c, page, head, slot) + i / 2 * (2 * TENON_NATIVE_GROUP) +
           slot % TENON_NATIVE_GROUP * 2 + i % 2;
}

static inline int64_t tenon_native_v_at(const tenon_native_cache *c, int64_t page, int64_t head,
                                        int64_t slot, int64_t i) {
    return tenon_native_group_at(c, page, head, slot) + slot % TENON_NATIVE_GROUP / 2 * (2 * c->d) +
           i * 2 + slot % 2;
}

/* Whether a tensor is large enough, and aligned where it has data; name: "kv_append: k". */
static inline int32_t tenon_native_cache_check(const tenon_native_cache *c, const DLTensor *cache,
                                               const char *name, int32_t op, int32_t field,
                                               tenon_error *error) {
    const int64_t needed = tenon_native_cache_bytes(c);
    if (cache->shape[0] < needed)
        return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, op, field,
                          "%s: %lld bytes, but %lld pages in the native layout need %lld", name,
                          (long long)cache->shape[0], (long long)c->pages, (long long)needed);
    if ((uintptr_t)tenon_data(cache) % 64)
        return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, op, field,
                          "%s: %p is not aligned to 64 bytes, as a native cache must be", name,
                          tenon_data(cache));
    return TENON_OK;
}

#endif /* TENON_NATIVE_CACHE_H */
