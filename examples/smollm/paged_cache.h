/* SPDX-License-Identifier: Apache-2.0 */
/* A paged KV cache for one sequence: pages are handed out as the sequence grows, and a block table
 * says which page holds which positions. Page ids are the same in all layers. */
#ifndef SMOLLM_PAGED_CACHE_H
#define SMOLLM_PAGED_CACHE_H

#include "host_error.h"
#include "tensor_view.h"

typedef struct paged_cache {
    int32_t page_size, page_count;
    int64_t layers, heads_kv, head_dim;
    DLDataType type;
    bool native;           /* the library's private layout instead of [pages, page_size, ..] */
    unsigned char *memory; /* [layers][2 (keys, values)][half_bytes] */
    size_t half_bytes;     /* of one layer's keys, or of its values */
    int32_t *free_pages;   /* a stack */
    int32_t free_count;
    int32_t *block_table; /* [page_count]; the first used_count are this sequence's */
    int32_t used_count;
    int32_t length; /* positions that are filled or about to be */
} paged_cache;

/* Two steps, because only the library knows how large its own layout is: describe fixes the pages,
 * and half_bytes unless native; allocate takes half_bytes as it then stands. */
void paged_cache_describe(paged_cache *cache, int64_t layers, int64_t heads_kv, int64_t head_dim,
                          DLDataType type, bool native, int32_t page_size, int32_t max_length);
bool paged_cache_allocate(paged_cache *cache, host_error *error);
void paged_cache_free(paged_cache *cache);

/* Makes room for `count` more positions and writes the slot of each: page * page_size + place. */
bool paged_cache_extend(paged_cache *cache, int32_t count, int64_t *slots, host_error *error);

/* Gives all pages back. */
void paged_cache_clear(paged_cache *cache);

/* Views of one layer: [pages, page_size, heads_kv, head_dim], or u8 [half_bytes] if native. */
void paged_cache_views(const paged_cache *cache, int64_t layer, tensor_view *keys,
                       tensor_view *values);

#endif
