/* SPDX-License-Identifier: Apache-2.0 */
/* The body of tenon_combine_rows_*: include a simd_*.h first.
 *
 * Four vectors of columns at a time, so that four sums hide the latency of the fused multiply-add;
 * rows are streams of their own, k of them at once, which the hardware prefetcher follows. A
 * column's bits do not depend on where its span begins. */
#ifndef TENON_COMBINE_ROWS_BODY_H
#define TENON_COMBINE_ROWS_BODY_H

#include "combine_rows.h"

enum { COMBINE_VECTORS = 4 };

V_INLINE vf32 combine_load(tenon_number type, const void *base, int64_t i, int n) {
    if (type == TENON_NUMBER_F32)
        return n == V_LANES ? vf32_load((const float *)base + i)
                            : vf32_load_n((const float *)base + i, n);
    const uint16_t *p = (const uint16_t *)base + i;
    if (type == TENON_NUMBER_BF16) return n == V_LANES ? vf32_load_bf16(p) : vf32_load_bf16_n(p, n);
    return n == V_LANES ? vf32_load_f16(p) : vf32_load_f16_n(p, n);
}

V_INLINE void combine_store(tenon_number type, void *base, int64_t i, vf32 x, int n) {
    if (type == TENON_NUMBER_F32) {
        vf32_store_n((float *)base + i, x, n);
        return;
    }
    uint16_t *p = (uint16_t *)base + i;
    if (type == TENON_NUMBER_BF16)
        vf32_store_bf16_n(p, x, n);
    else
        vf32_store_f16_n(p, x, n);
}

V_INLINE void combine_finish(const tenon_combine_span *span, int64_t i, vf32 sum, int n) {
    const vf32 add =
        span->shared ? combine_load(span->shared_type, span->shared, i, n) : vf32_zero();
    combine_store(span->out_type, span->out, i, vf32_fma(vf32_set1(span->scale), sum, add), n);
}

/* row_type is a constant at each use. */
V_INLINE void combine_typed(const tenon_combine_span *span, tenon_number row_type) {
    const int32_t n_rows = span->n_rows;
    int64_t i = 0;
    for (; i + COMBINE_VECTORS * V_LANES <= span->count; i += COMBINE_VECTORS * V_LANES) {
        vf32 sum[COMBINE_VECTORS];
#pragma GCC unroll 4
        for (int v = 0; v < COMBINE_VECTORS; v++) sum[v] = vf32_zero();
        for (int32_t s = 0; s < n_rows; s++) {
            const vf32 weight = vf32_set1(span->weight[s]);
#pragma GCC unroll 4
            for (int v = 0; v < COMBINE_VECTORS; v++)
                sum[v] = vf32_fma(
                    weight, combine_load(row_type, span->row[s], i + v * V_LANES, V_LANES), sum[v]);
        }
#pragma GCC unroll 4
        for (int v = 0; v < COMBINE_VECTORS; v++)
            combine_finish(span, i + v * V_LANES, sum[v], V_LANES);
    }
    for (; i < span->count; i += V_LANES) {
        const int n = span->count - i < V_LANES ? (int)(span->count - i) : V_LANES;
        vf32 sum = vf32_zero();
        for (int32_t s = 0; s < n_rows; s++)
            sum = vf32_fma(vf32_set1(span->weight[s]), combine_load(row_type, span->row[s], i, n),
                           sum);
        combine_finish(span, i, sum, n);
    }
}

V_INLINE void combine_rows(const tenon_combine_span *span) {
    if (span->row_type == TENON_NUMBER_F32)
        combine_typed(span, TENON_NUMBER_F32);
    else if (span->row_type == TENON_NUMBER_BF16)
        combine_typed(span, TENON_NUMBER_BF16);
    else
        combine_typed(span, TENON_NUMBER_F16);
}

#endif /* TENON_COMBINE_ROWS_BODY_H */
