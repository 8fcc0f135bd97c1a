/* SPDX-License-Identifier: Apache-2.0 */
/* Two open-addressing hash tables that are filled once: token text to id, and pair of neighbours to
 * the merge that joins them. */
#ifndef SMOLLM_MERGE_TABLE_H
#define SMOLLM_MERGE_TABLE_H

#include <stdlib.h>
#include <string.h>

#include "gguf_file.h"

/* Slots hold id + 1, so that zeroed memory is an empty table. */
typedef struct text_table {
    uint32_t *slots;
    size_t mask;
    const gguf_string *texts; /* by id */
} text_table;

typedef struct merge_slot {
    uint64_t pair;  /* left id in the upper half */
    int32_t rank;   /* lower merges first */
    int32_t merged; /* id of the joined token, or -1 for an empty slot */
} merge_slot;

typedef struct merge_table {
    merge_slot *slots;
    size_t mask;
} merge_table;

/* A power of two that keeps the table at most half full. */
static inline size_t table_size_for(size_t count) {
    size_t size = 16;
    while (size < count * 2) size *= 2;
    return size;
}

static inline uint64_t hash_text(const char *bytes, size_t length_bytes) {
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    for (size_t i = 0; i < length_bytes; i++) {
        hash = (hash ^ (unsigned char)bytes[i]) * 1099511628211u;
    }
    return hash ^ hash >> 29;
}

static inline uint64_t hash_pair(uint64_t pair) {
    pair *= 0x9e3779b97f4a7c15u;
    return pair ^ pair >> 32;
}

static inline int32_t text_table_find(const text_table *table, const char *bytes,
                                      size_t length_bytes) {
    size_t slot = hash_text(bytes, length_bytes) & table->mask;
    for (; table->slots[slot]; slot = (slot + 1) & table->mask) {
        const gguf_string *text = &table->texts[table->slots[slot] - 1];
        if (text->length_bytes == length_bytes && memcmp(text->bytes, bytes, length_bytes) == 0) {
            return (int32_t)(table->slots[slot] - 1);
        }
    }
    return -1;
}

/* The first of two equal texts keeps its id. */
static inline bool text_table_fill(text_table *table, const gguf_string *texts, size_t count) {
    const size_t size = table_size_for(count);
    *table = (text_table){calloc(size, sizeof *table->slots), size - 1, texts};
    if (!table->slots) return false;
    for (size_t id = 0; id < count; id++) {
        if (text_table_find(table, texts[id].bytes, texts[id].length_bytes) >= 0) continue;
        size_t slot = hash_text(texts[id].bytes, texts[id].length_bytes) & table->mask;
        while (table->slots[slot]) slot = (slot + 1) & table->mask;
        table->slots[slot] = (uint32_t)id + 1;
    }
    return true;
}

static inline const merge_slot *merge_table_find(const merge_table *table, int32_t left,
                                                 int32_t right) {
    const uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    size_t slot = hash_pair(pair) & table->mask;
    for (; table->slots[slot].merged >= 0; slot = (slot + 1) & table->mask) {
        if (table->slots[slot].pair == pair) return &table->slots[slot];
    }
    return NULL;
}

static inline bool merge_table_create(merge_table *table, size_t count) {
    const size_t size = table_size_for(count);
    *table = (merge_table){malloc(size * sizeof *table->slots), size - 1};
    if (!table->slots) return false;
    for (size_t i = 0; i < size; i++) table->slots[i].merged = -1;
    return true;
}

/* A repeated pair keeps its first, lower rank. */
static inline void merge_table_add(merge_table *table, int32_t left, int32_t right, int32_t rank,
                                   int32_t merged) {
    if (merge_table_find(table, left, right)) return;
    const uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    size_t slot = hash_pair(pair) & table->mask;
    while (table->slots[slot].merged >= 0) slot = (slot + 1) & table->mask;
    table->slots[slot] = (merge_slot){pair, rank, merged};
}

#endif
