/* SPDX-License-Identifier: Apache-2.0 */
/* mla_append: cache[slot_mapping[t]] = (kv_c[t], k_pe[t]), quantized as the cache's format says. */
#include <math.h>

#include "ref_latent_row.h"

/* The rope part of token t; [tokens, d_rope] or [tokens, 1, d_rope]. */
static double rope_of(const DLTensor *k_pe, int64_t t, int64_t d) {
    return tenon_ref_load(k_pe, t * k_pe->strides[0] + d * k_pe->strides[k_pe->ndim - 1]);
}

static void append_plain(const tenon_mla_append_args *a, const tenon_ref_latent_cache *cache,
                         int64_t t, int64_t row) {
    const int64_t d_latent = a->kv_c->shape[1], d_row = a->cache->shape[a->cache->ndim - 1],
                  step = a->cache->strides[a->cache->ndim - 1];
    for (int64_t d = 0; d < d_row; d++) {
        double x =
            d < d_latent ? tenon_ref_load2(a->kv_c, t, d) : rope_of(a->k_pe, t, d - d_latent);
        tenon_number_store(cache->number, tenon_data(a->cache), row + d * step,
                           a->kv_scale ? tenon_ref_quotient(x, cache->scale) : x);
    }
}

static void append_fp8_ds(const tenon_mla_append_args *a, int64_t t, uint8_t *row) {
    for (int64_t group = 0; group < TENON_REF_DS_LATENT / TENON_REF_DS_GROUP; group++) {
        const int64_t first = group * TENON_REF_DS_GROUP;
        double amax = 0;
        for (int64_t d = first; d < first + TENON_REF_DS_GROUP; d++)
            amax = fmax(amax, fabs(tenon_ref_load2(a->kv_c, t, d)));
        float scale = (float)amax / TENON_E4M3FN_MAX;
        if (!(scale > 0)) scale = 1;
        tenon_number_store(TENON_NUMBER_F32, row + TENON_REF_DS_SCALES_AT, group, (double)scale);
        for (int64_t d = first; d < first + TENON_REF_DS_GROUP; d++)
            tenon_number_store(TENON_NUMBER_E4M3FN, row, d,
                               tenon_ref_quotient(tenon_ref_load2(a->kv_c, t, d), (double)scale));
    }
    for (int64_t d = 0; d < a->k_pe->shape[a->k_pe->ndim - 1]; d++)
        tenon_number_store(TENON_NUMBER_BF16, row + TENON_REF_DS_ROPE_AT, d,
                           rope_of(a->k_pe, t, d));
}

static int32_t run(const tenon_kernel_plan *plan, const void *args, tenon_error *error) {
    const tenon_mla_append_args *a = args;
    const int64_t page_size = a->cache->shape[1], n_slots = a->cache->shape[0] * page_size;
    (void)plan, (void)error;

    for (int64_t t = 0; t < a->kv_c->shape[0]; t++) {
        int64_t place = tenon_ref_index1(a->slot_mapping, t);
        if (place == -1) continue;
        if (place < 0 || place >= n_slots) {
            tenon_report_fault(a->fault, TENON_OP_MLA_APPEND, TENON_FAULT_PAGE_OUT_OF_RANGE, t,
                               place, n_slots);
            continue;
        }
        tenon_ref_latent_cache cache =
            tenon_ref_latent_cache_of(a->cache, a->kv_scale, a->kv_element, a->cache_format);
        int64_t row = tenon_ref_latent_at(&cache, place / page_size, place % page_size);
        if (cache.fp8_ds)
            append_fp8_ds(a, t, (uint8_t *)tenon_data(a->cache) + row);
        else
            append_plain(a, &cache, t, row);
    }
    return TENON_OK;
}

extern const tenon_kernel tenon_ref_mla_append;
const tenon_kernel tenon_ref_mla_append = {
    .name = "ref_mla_append",
    .op = TENON_OP_MLA_APPEND,
    .traits = TENON_TRAIT_REFERENCE | TENON_TRAIT_DETERMINISTIC | TENON_TRAIT_BATCH_INVARIANT,
    .checked_on = "hardware",
    .run = run,
};
