/* SPDX-License-Identifier: Apache-2.0 */
/* One element of a K or V cache by (page, slot, head, dim), whatever its layout and element type;
 * scales applied. */
#ifndef TENON_REF_PAGED_CACHE_H
#define TENON_REF_PAGED_CACHE_H

#include <math.h>

#include "native_cache.h"
#include "ref_tensor.h"

typedef struct tenon_ref_cache {
    const DLTensor *tensor;
    const DLTensor *scale; /* or NULL: 1 */
    tenon_number number;
    int64_t inner; /* rank 5: extent of the last dim, in which the head dim is split */
    enum { TENON_REF_STRIDED, TENON_REF_NATIVE_K, TENON_REF_NATIVE_V } layout;
    tenon_native_cache native;
} tenon_ref_cache;

/* What the elements of a tensor are: its dtype, unless that is u8 and `element` says more. */
static inline tenon_number tenon_ref_element_number(DLDataType type, int32_t element) {
    tenon_number number = tenon_number_of(type);
    if (number != TENON_NUMBER_U8) return number;
    switch (element) {
    case TENON_ELEMENT_E4M3FN:
        return TENON_NUMBER_E4M3FN;
    case TENON_ELEMENT_E4M3FNUZ:
        return TENON_NUMBER_E4M3FNUZ;
    case TENON_ELEMENT_E5M2:
        return TENON_NUMBER_E5M2;
    case TENON_ELEMENT_E5M2FNUZ:
        return TENON_NUMBER_E5M2FNUZ;
    default:
        return number;
    }
}

static inline tenon_ref_cache tenon_ref_cache_of(const DLTensor *cache, const DLTensor *scale,
                                                 int32_t kv_element) {
    return (tenon_ref_cache){cache,
                             scale,
                             tenon_ref_element_number(cache->dtype, kv_element),
                             cache->ndim == 5 ? cache->shape[4] : 1,
                             TENON_REF_STRIDED,
                             {0}};
}

static inline int64_t tenon_ref_cache_at(const tenon_ref_cache *c, int64_t page, int64_t slot,
                                         int64_t head, int64_t d) {
    if (c->layout == TENON_REF_NATIVE_K) return tenon_native_k_at(&c->native, page, head, slot, d);
    if (c->layout == TENON_REF_NATIVE_V) return tenon_native_v_at(&c->native, page, head, slot, d);
    const int64_t *stride = c->tensor->strides;
    int64_t row = page * stride[0] + slot * stride[1] + head * stride[2];
    return c->tensor->ndim == 5 ? row + d / c->inner * stride[3] + d % c->inner * stride[4]
                                : row + d * stride[3];
}

/* Of one (token, head): [1], [heads_kv] or [pages, page_size, heads_kv]. */
static inline int64_t tenon_ref_scale_at(const tenon_ref_cache *c, int64_t page, int64_t slot,
                                         int64_t head) {
    if (c->scale->ndim == 3) return tenon_ref_at3(c->scale, page, slot, head);
    return c->scale->shape[0] == 1 ? 0 : head * c->scale->strides[0];
}
static inline double tenon_ref_cache_scale(const tenon_ref_cache *c, int64_t page, int64_t slot,
                                           int64_t head) {
    return c->scale ? tenon_ref_load(c->scale, tenon_ref_scale_at(c, page, slot, head)) : 1;
}

static inline double tenon_ref_cache_load(const tenon_ref_cache *c, int64_t page, int64_t slot,
                                          int64_t head, int64_t d) {
    return tenon_number_load(c->number, tenon_data(c->tensor),
                             tenon_ref_cache_at(c, page, slot, head, d));
}

/* Largest finite magnitude that a dynamic scale maps the largest input to. */
static inline float tenon_ref_number_max(tenon_number number) {
    switch (number) {
    case TENON_NUMBER_E4M3FN:
        return TENON_E4M3FN_MAX;
    case TENON_NUMBER_E4M3FNUZ:
        return TENON_E4M3FNUZ_MAX;
    case TENON_NUMBER_E5M2:
    case TENON_NUMBER_E5M2FNUZ:
        return TENON_E5M2_MAX;
    default:
        return 127; /* i8 */
    }
}

/* What a quantizing cache stores for x, and what it gives back: a float, so that every backend gets
 * the same bits. */
static inline double tenon_ref_quotient(double x, double scale) {
    return (double)((float)x / (float)scale);
}
static inline double tenon_ref_product(double x, double scale) {
    return (double)((float)x * (float)scale);
}

#endif /* TENON_REF_PAGED_CACHE_H */
