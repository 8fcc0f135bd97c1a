/* SPDX-License-Identifier: Apache-2.0 */
/* One row of a latent cache: PLAIN, d_latent + d_rope elements times kv_scale; or FP8_DS, 656
 * bytes:
 *
 *     0 .. 511     512 e4m3fn latents
 *     512 .. 527   4 f32 scales, one for each 128 latents
 *     528 .. 655   64 bf16 rope values, not scaled */
#ifndef TENON_REF_LATENT_ROW_H
#define TENON_REF_LATENT_ROW_H

#include "ref_paged_cache.h"

enum {
    TENON_REF_DS_LATENT = 512,
    TENON_REF_DS_GROUP = 128,
    TENON_REF_DS_SCALES_AT = 512,
    TENON_REF_DS_ROPE_AT = 528
};

typedef struct tenon_ref_latent_cache {
    const DLTensor *tensor;
    bool fp8_ds;
    tenon_number number;
    double scale; /* PLAIN */
} tenon_ref_latent_cache;

static inline tenon_ref_latent_cache tenon_ref_latent_cache_of(const DLTensor *cache,
                                                               const DLTensor *kv_scale,
                                                               int32_t kv_element, int32_t format) {
    return (tenon_ref_latent_cache){cache, format == TENON_MLA_CACHE_FP8_DS,
                                    tenon_ref_element_number(cache->dtype, kv_element),
                                    kv_scale ? tenon_ref_load(kv_scale, 0) : 1};
}

/* Of the row, in elements; the rank-4 form has a head dim of 1 before the last. */
static inline int64_t tenon_ref_latent_at(const tenon_ref_latent_cache *c, int64_t page,
                                          int64_t slot) {
    return tenon_ref_at2(c->tensor, page, slot);
}

static inline double tenon_ref_latent_load(const tenon_ref_latent_cache *c, int64_t row,
                                           int64_t d) {
    const uint8_t *base = tenon_data(c->tensor);
    if (!c->fp8_ds)
        return c->scale * tenon_number_load(c->number, base,
                                            row + d * c->tensor->strides[c->tensor->ndim - 1]);
    base += row;
    if (d >= TENON_REF_DS_LATENT)
        return tenon_number_load(TENON_NUMBER_BF16, base + TENON_REF_DS_ROPE_AT,
                                 d - TENON_REF_DS_LATENT);
    return tenon_number_load(TENON_NUMBER_F32, base + TENON_REF_DS_SCALES_AT,
                             d / TENON_REF_DS_GROUP) *
           tenon_number_load(TENON_NUMBER_E4M3FN, base, d);
}

#endif /* TENON_REF_LATENT_ROW_H */
