/* SPDX-License-Identifier: Apache-2.0 */
#include "paged_cache.h"

#include <stdlib.h>

enum { CACHE_ALIGNMENT_BYTES = 64 };

void paged_cache_describe(paged_cache *cache, int64_t layers, int64_t heads_kv, int64_t head_dim,
                          DLDataType type, bool native, int32_t page_size, int32_t max_length) {
    const int32_t pages = (int32_t)(((int64_t)max_length + page_size - 1) / page_size);
    *cache = (paged_cache){.page_size = page_size,
                           .page_count = pages,
                           .layers = layers,
                           .heads_kv = heads_kv,
                           .head_dim = head_dim,
                           .type = type,
                           .native = native};
    if (native) return;
    cache->half_bytes =
        (size_t)pages * (size_t)page_size * (size_t)(heads_kv * head_dim) * type.bits / 8;
}

/* Every half begins on a cache line. */
static size_t half_stride_bytes(const paged_cache *cache) {
    return (cache->half_bytes + CACHE_ALIGNMENT_BYTES - 1) / CACHE_ALIGNMENT_BYTES *
           CACHE_ALIGNMENT_BYTES;
}

bool paged_cache_allocate(paged_cache *cache, host_error *error) {
    const int32_t pages = cache->page_count;
    cache->memory =
        aligned_alloc(CACHE_ALIGNMENT_BYTES, half_stride_bytes(cache) * 2 * (size_t)cache->layers);
    cache->free_pages = malloc((size_t)pages * sizeof *cache->free_pages);
    cache->block_table = calloc((size_t)pages, sizeof *cache->block_table);
    if (!cache->memory || !cache->free_pages || !cache->block_table) {
        paged_cache_free(cache);
        return host_fail(error, "out of memory for a KV cache of %d pages", pages);
    }
    /* Any order will do. Odd pages before even ones, so that neighbours in the sequence are never
     * neighbours in memory, as in a server that has been running for a while. */
    for (int32_t page = pages - 1; page >= 0; page--) {
        if (page % 2 == 0) cache->free_pages[cache->free_count++] = page;
    }
    for (int32_t page = pages - 1; page >= 0; page--) {
        if (page % 2 == 1) cache->free_pages[cache->free_count++] = page;
    }
    return true;
}

void paged_cache_free(paged_cache *cache) {
    free(cache->memory);
    free(cache->free_pages);
    free(cache->block_table);
    *cache = (paged_cache){0};
}

bool paged_cache_extend(paged_cache *cache, int32_t count, int64_t *slots, host_error *error) {
    for (int32_t i = 0; i < count; i++) {
        const int32_t place = cache->length % cache->page_size;
        if (place == 0) {
            if (cache->free_count == 0) {
                return host_fail(error, "the KV cache is full at %d positions", cache->length);
            }
            cache->block_table[cache->used_count++] = cache->free_pages[--cache->free_count];
        }
        slots[i] = (int64_t)cache->block_table[cache->used_count - 1] * cache->page_size + place;
        cache->length++;
    }
    return true;
}

void paged_cache_clear(paged_cache *cache) {
    while (cache->used_count > 0) {
        cache->free_pages[cache->free_count++] = cache->block_table[--cache->used_count];
    }
    cache->length = 0;
}

void paged_cache_views(const paged_cache *cache, int64_t layer, tensor_view *keys,
                       tensor_view *values) {
    const unsigned char *first = cache->memory;
    const unsigned char *second = first;
    if (first) {
        first += (size_t)layer * 2 * half_stride_bytes(cache);
        second = first + half_stride_bytes(cache);
    }
    if (cache->native) {
        view_1d(keys, first, type_u8, (int64_t)cache->half_bytes);
        view_1d(values, second, type_u8, (int64_t)cache->half_bytes);
        return;
    }
    const int64_t shape[] = {cache->page_count, cache->page_size, cache->heads_kv, cache->head_dim};
    view_set(keys, first, cache->type, 4, shape);
    view_set(values, second, cache->type, 4, shape);
}
