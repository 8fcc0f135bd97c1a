/* SPDX-License-Identifier: Apache-2.0 */
/* kv_append: cache[slot_mapping[t]] = x[t], or round(x[t] / scale) in a quantizing cache. With
 * DYNAMIC_SCALE
 *
 *     scale[page, slot, head] = max_d |x[t, head, d]| / largest number of the cache's type;  1
 * where all of x is 0 */
#include <math.h>

#include "ref_paged_cache.h"

static float dynamic_scale(const DLTensor *x, int64_t t, int64_t h, float number_max) {
    double amax = 0;
    for (int64_t d = 0; d < x->shape[2]; d++) amax = fmax(amax, fabs(tenon_ref_load3(x, t, h, d)));
    float scale = (float)amax / number_max;
    return scale > 0 ? scale : 1;
}

static void append(const tenon_ref_cache *cache, const DLTensor *x, int64_t t, int64_t page,
                   int64_t slot, bool dynamic) {
    for (int64_t h = 0; h < x->shape[1]; h++) {
        if (dynamic)
            tenon_ref_store(cache->scale, tenon_ref_scale_at(cache, page, slot, h),
                            (double)dynamic_scale(x, t, h, tenon_ref_number_max(cache->number)));
        double scale = tenon_ref_cache_scale(cache, page, slot, h);
        for (int64_t d = 0; d < x->shape[2]; d++) {
            double value = tenon_ref_load3(x, t, h, d);
            tenon_number_store(cache->number, tenon_data(cache->tensor),
                               tenon_ref_cache_at(cache, page, slot, h, d),
                               cache->scale ? tenon_ref_quotient(value, scale) : value);
        }
    }
}

static int32_t run(const tenon_kernel_plan *plan, const void *args, tenon_error *error) {
    const tenon_kv_append_args *a = args;
    const bool dynamic = a->flags & TENON_KV_APPEND_DYNAMIC_SCALE;
    const int64_t page_size = a->k->shape[1], n_slots = a->k->shape[0] * page_size;
    tenon_ref_cache k = tenon_ref_cache_of(a->k, a->k_scale, a->kv_element),
                    v = tenon_ref_cache_of(a->v, a->v_scale, a->kv_element);
    (void)plan, (void)error;

    for (int64_t t = 0; t < a->key->shape[0]; t++) {
        int64_t place = tenon_ref_index1(a->slot_mapping, t);
        if (place == -1) continue;
        if (place < 0 || place >= n_slots) {
            tenon_report_fault(a->fault, TENON_OP_KV_APPEND, TENON_FAULT_PAGE_OUT_OF_RANGE, t,
                               place, n_slots);
            continue;
        }
        append(&k, a->key, t, place / page_size, place % page_size, dynamic);
        append(&v, a->value, t, place / page_size, place % page_size, dynamic);
    }
    return TENON_OK;
}

static const char *why_not(const tenon_problem *problem, tenon_reason *reason) {
    const tenon_kv_append_args *a = problem->args;
    if (a->flags & TENON_KV_APPEND_NATIVE_CACHE)
        return tenon_decline(reason, "writes strided caches only");
    return NULL;
}

extern const tenon_kernel tenon_ref_kv_append;
const tenon_kernel tenon_ref_kv_append = {
    .name = "ref_kv_append",
    .op = TENON_OP_KV_APPEND,
    .traits = TENON_TRAIT_REFERENCE | TENON_TRAIT_DETERMINISTIC | TENON_TRAIT_BATCH_INVARIANT,
    .checked_on = "hardware",
    .why_not = why_not,
    .run = run,
};
