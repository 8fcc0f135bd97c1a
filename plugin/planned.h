/* SPDX-License-Identifier: Apache-2.0 */
/* The short road of run: are these args, field by field, what the plan was made for, with data that
 * is in order? It answers yes or no in a few nanoseconds; on a no the long road in run.c looks
 * again, takes what is allowed, and says what is wrong with the rest. */
#ifndef TENON_PLANNED_H
#define TENON_PLANNED_H

#include <string.h>

#include "schema.h"

enum {
    TENON_HEAD_WORDS = 6,
    TENON_QUANT_WORDS = sizeof(tenon_quant) / 8,
    TENON_QUANT_TENSOR_WORD =
        offsetof(tenon_quant, scale) / 8, /* here and up: pointers to tensors */
    TENON_MAX_FIELD_WORDS = TENON_MAX_ARGS_BYTES / 8 - TENON_HEAD_WORDS
};
_Static_assert(TENON_QUANT_TENSOR_WORD * 8 == offsetof(tenon_quant, scale) &&
                   TENON_QUANT_WORDS * 8 == sizeof(tenon_quant),
               "the scalars of a descriptor fill whole words");

typedef struct tenon_planned_tensor {
    uint64_t device; /* as it lies in a DLTensor */
    uint64_t rank_and_type;
    uint64_t span_bytes;
    uint32_t align_mask;
    uint16_t offset;       /* of the pointer in the args struct */
    int16_t member_offset; /* of the pointer in the descriptor there; -1: the field is the tensor */
    int32_t ndim;
    int32_t reserved;
} tenon_planned_tensor;

typedef struct tenon_planned_quant {
    uint32_t offset; /* of the pointer in the args struct */
    uint32_t reserved;
    uint64_t word[TENON_QUANT_WORDS], mask[TENON_QUANT_WORDS];
} tenon_planned_quant;

/* Everything that a run must repeat, in the order in which it is read. Words are 8 bytes; masks are
 * 0 where a run may differ. */
typedef struct tenon_planned {
    uint64_t size_and_flags; /* 0, which no args have, in a context with a trace: all its runs take
                                the long road */
    uint64_t stream_mask;    /* all ones: stream must be NULL */
    uint64_t workspace_bytes;
    uint32_t n_words, n_quants, n_tensors, n_written;
    uint64_t word[TENON_MAX_FIELD_WORDS],
        mask[TENON_MAX_FIELD_WORDS]; /* the fields after the head */
    tenon_planned_quant quant[TENON_MAX_QUANTS];
    tenon_planned_tensor tensor[TENON_MAX_SLOTS];         /* the written ones first */
    int64_t layout[TENON_MAX_SLOTS * 2 * TENON_MAX_NDIM]; /* of each tensor: extents, strides */
} tenon_planned;

struct tenon_plan;
/* args: as the plan was made from, with a struct of this version's size at least. */
void tenon_planned_build(struct tenon_plan *plan, const void *args);

/* Two words at once, as every 64-bit machine can. */
typedef uint64_t tenon_pair __attribute__((vector_size(16)));

static inline uint64_t tenon_word(const void *base, size_t index) {
    uint64_t word;
    memcpy(&word, (const char *)base + 8 * index, sizeof word);
    return word;
}
static inline tenon_pair tenon_pair_at(const void *base, size_t index) {
    tenon_pair pair;
    memcpy(&pair, (const char *)base + 8 * index, sizeof pair);
    return pair;
}

/* Gathers the bits in which two memories differ; all of them are looked at once, at the end. */
static inline void tenon_gather_masked(tenon_pair *differs, const void *given, const uint64_t *word,
                                       const uint64_t *mask, uint32_t n) {
    uint32_t i = n & 1;
    if (i) *differs |= (tenon_pair){(tenon_word(given, 0) ^ word[0]) & mask[0], 0};
    for (; i < n; i += 2)
        *differs |= (tenon_pair_at(given, i) ^ tenon_pair_at(word, i)) & tenon_pair_at(mask, i);
}

static inline void tenon_gather_extents(tenon_pair *differs, const int64_t *given,
                                        const int64_t *layout, int32_t n) {
    if (n & 1) *differs |= (tenon_pair){(uint64_t)(given[n - 1] ^ layout[n - 1]), 0};
    if (n >= 2) *differs |= tenon_pair_at(given, 0) ^ tenon_pair_at(layout, 0);
    if (n >= 4) *differs |= tenon_pair_at(given, 2) ^ tenon_pair_at(layout, 2);
    for (int32_t i = 4; i + 2 <= n; i += 2)
        *differs |= tenon_pair_at(given, (size_t)i) ^ tenon_pair_at(layout, (size_t)i);
}

/* The top bit of the result is set where [a, a_end) and [b, b_end) share a byte; addresses below
 * 2^63. */
static inline uint64_t tenon_shared(uintptr_t a, uintptr_t a_end, uintptr_t b, uintptr_t b_end) {
    return (a - b_end) & (b - a_end);
}

static inline bool tenon_is_planned(const tenon_planned *p, const void *args) {
    uintptr_t first[TENON_MAX_SLOTS], end[TENON_MAX_SLOTS];
    struct head {
        TENON_ARGS_HEAD
    } head;
    if (tenon_word(args, 0) != p->size_and_flags)
        return false; /* a shorter struct must not be read any further */
    memcpy(&head, args, sizeof head);
    if (head.ext) return false;
    uint64_t low = ((uintptr_t)head.stream & p->stream_mask) | ((uintptr_t)head.fault & 7),
             top = 0; /* top: only its top bit counts */
    tenon_pair differs = {0, 0};
    tenon_gather_masked(&differs, (const char *)args + sizeof head, p->word, p->mask, p->n_words);
    for (uint32_t q = 0; q < p->n_quants; q++) {
        const void *given = *(const void *const *)((const char *)args + p->quant[q].offset);
        if (!given || tenon_word(given, 0) != p->quant[q].word[0])
            return false; /* nor a shorter descriptor */
        tenon_gather_masked(&differs, given, p->quant[q].word, p->quant[q].mask, TENON_QUANT_WORDS);
    }
    if (differs[0] | differs[1])
        return false; /* what should be NULL is not: there are other pointers to follow */

    uintptr_t workspace = (uintptr_t)head.workspace, workspace_end = workspace + p->workspace_bytes;
    if (p->workspace_bytes) {
        low |= workspace & 63;
        top |= (workspace - 1) | workspace_end;
        if (head.workspace_bytes < p->workspace_bytes) return false;
    }
    const int64_t *layout = p->layout;
    for (uint32_t i = 0; i < p->n_tensors; i++) {
        const tenon_planned_tensor *planned = &p->tensor[i];
        const void *at = (const char *)args + planned->offset;
        if (planned->member_offset >= 0) at = *(const char *const *)at + planned->member_offset;
        const DLTensor *t = *(const DLTensor *const *)at;
        /* The rank must be known to be right before the extents are read. */
        if (!t || tenon_word(t, 2) != planned->rank_and_type) return false;
        const int32_t ndim = planned->ndim;
        if (ndim && (!t->shape || !t->strides)) return false;
        low |= tenon_word(t, 1) ^ planned->device;
        tenon_gather_extents(&differs, t->shape, layout, ndim);
        tenon_gather_extents(&differs, t->strides, layout + ndim, ndim);
        layout += 2 * ndim;
        uintptr_t data = (uintptr_t)t->data, offset = (uintptr_t)t->byte_offset,
                  from = data + offset, to = from + planned->span_bytes;
        if (!planned->span_bytes) {
            first[i] = end[i] = 0;
            continue;
        }
        top |= (data - 1) | offset | from | to; /* NULL, or beyond what an address can be */
        low |= from & planned->align_mask;
        first[i] = from, end[i] = to;
        const uint32_t n_written = i < p->n_written ? i : p->n_written;
        for (uint32_t w = 0; w < n_written; w++) top |= tenon_shared(first[w], end[w], from, to);
        if (p->workspace_bytes) top |= tenon_shared(workspace, workspace_end, from, to);
    }
    return !(differs[0] | differs[1] | low | top >> 63);
}

#endif /* TENON_PLANNED_H */
