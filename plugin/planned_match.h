/* SPDX-License-Identifier: Apache-2.0 */
/* The body of tenon_planned.run, for a file that defines first
 *   differences            what gathers the bits that differ; all of them are looked at at the end
 *   gather_words(d, given, words)               a struct's words where their masks say
 *   gather_extents(d, given, wanted, planned)  the extents or strides of a planned tensor
 *   any_difference(d)
 * A call reads a few hundred bytes that lie in the first cache, so its cost is its number of
 * instructions: hence no branch for what is as it should be, beyond those that guard a pointer. */
#ifndef TENON_PLANNED_MATCH_H
#define TENON_PLANNED_MATCH_H

#include "planned.h"

/* The top bit of the result is set where [a, a_end) and [b, b_end) share a byte; addresses below
 * 2^63. */
static inline uint64_t shared_bytes(uintptr_t a, uintptr_t a_end, uintptr_t b, uintptr_t b_end) {
    return (a - b_end) & (b - a_end);
}

/* The form of one tensor; NULL if it is another, whose lists must not be read. */
static inline const DLTensor *match_form(const tenon_planned_tensor *planned,
                                         const void *const *base, differences *differs,
                                         uint64_t *low) {
    const DLTensor *t;
    memcpy(&t, (const char *)base[planned->base] + planned->offset, sizeof t);
    if (!t || tenon_word(t, 2) != planned->rank_and_type) return NULL;
    if ((!t->shape || !t->strides) && planned->ndim) return NULL;
    *low |= tenon_word(t, 1) ^ planned->device;
    gather_extents(differs, t->shape, planned->extent, planned);
    gather_extents(differs, t->strides, planned->stride, planned);
    return t;
}

static inline bool matches(const tenon_planned *p, const void *args) {
    uintptr_t first[TENON_MAX_SLOTS], end[TENON_MAX_SLOTS];
    const void *base[TENON_MAX_QUANTS + 1] = {args};
    const struct head {
        TENON_ARGS_HEAD
    } *head = args;
    if (tenon_word(args, 0) != p->size_and_flags)
        return false; /* a shorter struct must not be read any further */
    differences differs = no_difference();
    gather_words(&differs, args, &p->args);
    for (uint32_t q = 0; q < p->n_quants; q++) {
        const void *given = *(const void *const *)((const char *)args + p->quant[q].offset);
        if (!given || tenon_word(given, 0) != p->quant[q].words.word_and_mask[0])
            return false; /* nor a shorter descriptor */
        gather_words(&differs, given, &p->quant[q].words);
        base[q + 1] = given;
    }
    if (any_difference(differs))
        return false; /* what should be NULL is not: there are other pointers to follow */

    uint64_t low = 0, top = 0; /* top: only its top bit counts */
    const uint32_t n = p->n_with_data, n_written = p->n_written;
    for (uint32_t i = 0; i < n; i++) {
        const tenon_planned_tensor *planned = &p->tensor[i];
        const DLTensor *t = match_form(planned, base, &differs, &low);
        if (!t) return false;
        const uintptr_t data = (uintptr_t)t->data, offset = (uintptr_t)t->byte_offset,
                        from = data + offset, to = from + planned->span_bytes;
        top |= (data - 1) | offset | from | to; /* NULL, or beyond what an address can be */
        low |= from & planned->align_mask;
        first[i] = from, end[i] = to;
    }
    for (uint32_t w = 0; w < n_written; w++)
        for (uint32_t i = w + 1; i < n; i++)
            top |= shared_bytes(first[w], end[w], first[i], end[i]);
    for (uint32_t i = n; i < p->n_tensors; i++)
        if (!match_form(&p->tensor[i], base, &differs, &low)) return false;
    if (p->workspace_bytes) {
        const uintptr_t workspace = (uintptr_t)head->workspace,
                        workspace_end = workspace + p->workspace_bytes;
        if (head->workspace_bytes < p->workspace_bytes) return false;
        low |= workspace & 63;
        top |= (workspace - 1) | workspace_end;
        for (uint32_t i = 0; i < n; i++)
            top |= shared_bytes(workspace, workspace_end, first[i], end[i]);
    }
    return !(low | top >> 63) && !any_difference(differs);
}

#endif
