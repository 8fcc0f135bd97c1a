/* SPDX-License-Identifier: Apache-2.0 */
/* tenon_planned.run by eight words at once: a list of extents is one masked load, and the
 * addresses of up to eight tensors (the workspace counts as one) are looked at together. For plans
 * without a tensor of rank 0, which needs no lists. */
#include <immintrin.h>

#include "plan.h"

_Static_assert(TENON_MAX_NDIM <= 8, "a list of extents is one vector");
_Static_assert(TENON_PLANNED_LANES == 8, "a tensor's address is one lane of a vector");

enum { OR_XOR = 0xf6, OR_AND = 0xf8 }; /* ternary logic: a | (b ^ c), a | (b & c) */

/* d | ((given ^ word) & mask) for a list of words. Memory behind the last word is not touched. */
static inline __m512i gather_words(__m512i d, const void *given, const tenon_planned_words *words) {
    const char *at = given;
    const uint64_t *pair = words->word_and_mask;
    for (const char *last = at + 64 * (size_t)words->n_blocks; at < last; at += 64, pair += 16)
        d = _mm512_ternarylogic_epi64(
            d, _mm512_xor_si512(_mm512_loadu_si512(at), _mm512_loadu_si512(pair)),
            _mm512_loadu_si512(pair + 8), OR_AND);
    const __m512i rest = _mm512_maskz_loadu_epi64((__mmask8)words->rest, at);
    return _mm512_ternarylogic_epi64(d, _mm512_xor_si512(rest, _mm512_loadu_si512(pair)),
                                     _mm512_loadu_si512(pair + 8), OR_AND);
}

static inline __m512i gather_extents(__m512i d, __mmask8 there, const int64_t *given,
                                     const int64_t *wanted) {
    return _mm512_ternarylogic_epi64(d, _mm512_maskz_loadu_epi64(there, given),
                                     _mm512_loadu_si512(wanted), OR_XOR);
}

static inline bool matches(const tenon_planned *p, const void *args) {
    const void *base[TENON_MAX_QUANTS + 1];
    const struct head {
        TENON_ARGS_HEAD
    } *head = args;
    if (tenon_word(args, 0) != p->size_and_flags)
        return false; /* a shorter struct must not be read any further */
    base[0] = args;
    __m512i differs = gather_words(_mm512_setzero_si512(), args, &p->args);
    for (uint32_t q = 0; q < p->n_quants; q++) {
        const void *given = *(const void *const *)((const char *)args + p->quant[q].offset);
        if (!given || tenon_word(given, 0) != p->quant[q].words.word_and_mask[0])
            return false; /* nor a shorter descriptor */
        differs = gather_words(differs, given, &p->quant[q].words);
        base[q + 1] = given;
    }
    if (_mm512_test_epi64_mask(differs, differs))
        return false; /* what should be NULL is not: there are other pointers to follow */

    /* A lane that no tensor takes is the empty range at address 1. */
    const __mmask8 workspace_lane = p->workspace_bytes ? 1 << (TENON_PLANNED_LANES - 1) : 0;
    __m512i data = _mm512_mask_set1_epi64(_mm512_set1_epi64(1), workspace_lane,
                                          (long long)(uintptr_t)head->workspace);
    __m512i offset = _mm512_setzero_si512();
    __m128i device = _mm_setzero_si128();
    if (head->workspace_bytes < p->workspace_bytes) return false;
    const tenon_planned_tensor *const last = p->tensor + p->n_tensors;
    for (const tenon_planned_tensor *planned = p->tensor; planned < last; planned++) {
        const DLTensor *t;
        const void *from = args;
        if (__builtin_expect(planned->base, 0)) from = base[planned->base];
        memcpy(&t, (const char *)from + planned->offset, sizeof t);
        /* The rank must be known to be right before the extents are read. */
        if (!t || tenon_word(t, 2) != planned->rank_and_type) return false;
        if (!t->shape || !t->strides) return false;
        const __mmask8 there = (__mmask8)planned->there, lane = (__mmask8)planned->lane;
        differs = gather_extents(differs, there, t->shape, planned->extent);
        differs = gather_extents(differs, there, t->strides, planned->stride);
        device =
            _mm_ternarylogic_epi64(device, _mm_loadu_si128((const __m128i *)((const char *)t + 8)),
                                   _mm_loadu_si128((const __m128i *)&planned->device), OR_XOR);
        data = _mm512_mask_set1_epi64(data, lane, (long long)(uintptr_t)t->data);
        offset = _mm512_mask_set1_epi64(offset, lane, (long long)t->byte_offset);
    }
    const __m512i first = _mm512_add_epi64(data, offset),
                  end = _mm512_add_epi64(first, _mm512_loadu_si512(p->lane_span_bytes));
    /* Only the top bit counts: NULL, or beyond what an address can be. */
    __m512i top =
        _mm512_or_si512(_mm512_or_si512(offset, first),
                        _mm512_or_si512(end, _mm512_add_epi64(data, _mm512_set1_epi64(-1))));
    for (uint32_t w = 0; w < p->n_written_lanes; w++) {
        const __m512i lane = _mm512_set1_epi64((long long)p->written_lane[w]);
        /* Two ranges share a byte where both differences are negative. */
        top = _mm512_or_si512(
            top,
            _mm512_maskz_and_epi64((__mmask8)p->beside_written_lane[w],
                                   _mm512_sub_epi64(first, _mm512_permutexvar_epi64(lane, end)),
                                   _mm512_sub_epi64(_mm512_permutexvar_epi64(lane, first), end)));
    }
    differs = _mm512_or_si512(differs, _mm512_zextsi128_si512(device));
    differs =
        _mm512_ternarylogic_epi64(differs, first, _mm512_loadu_si512(p->lane_align_mask), OR_AND);
    return !(_mm512_test_epi64_mask(differs, differs) | _mm512_movepi64_mask(top));
}

int32_t tenon_run_planned_x86_avx512(const tenon_plan *plan, const void *args, tenon_error *error) {
    return matches(&plan->planned, args) ? plan->kernel.kernel->run(&plan->kernel, args, error)
                                         : tenon_run_long(plan, args, error);
}
