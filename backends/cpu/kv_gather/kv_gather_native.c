/* SPDX-License-Identifier: Apache-2.0 */
/* kv_gather from the native layout: for offload, transfer and debugging, so it is plain. */
#include "bfloat16.h"
#include "cpu_backend.h"
#include "native_cache.h"
#include "number.h"
#include "paged_sequence.h"

static tenon_native_cache cache_of(const tenon_kv_gather_args *a, const DLTensor *x) {
    return (tenon_native_cache){
        .pages = a->n_pages, .page_size = a->page_size, .heads_kv = x->shape[1], .d = x->shape[2]};
}

static void empty_rows(const DLTensor *out, int64_t begin, int64_t end) {
    const tenon_number type = tenon_number_of(out->dtype);
    for (int64_t row = begin; row < end; row++)
        for (int64_t h = 0; h < out->shape[1]; h++)
            for (int64_t i = 0; i < out->shape[2]; i++)
                tenon_number_store(type, tenon_data(out),
                                   row * out->strides[0] + h * out->strides[1] + i, 0);
}

static void copy_row(const tenon_native_cache *c, const DLTensor *cache, bool is_v,
                     const DLTensor *out, int64_t row, int64_t page, int64_t slot) {
    const tenon_number type = tenon_number_of(out->dtype);
    const uint16_t *codes = tenon_data(cache);
    for (int64_t h = 0; h < c->heads_kv; h++)
        for (int64_t i = 0; i < c->d; i++) {
            const int64_t from = is_v ? tenon_native_v_at(c, page, h, slot, i)
                                      : tenon_native_k_at(c, page, h, slot, i);
            tenon_number_store(type, tenon_data(out),
                               row * out->strides[0] + h * out->strides[1] + i,
                               (double)tenon_bf16_to_f32(codes[from]));
        }
}

static const char *why_not(const tenon_problem *problem, tenon_reason *reason) {
    const tenon_kv_gather_args *a = problem->args;
    if (!(a->flags & TENON_KV_GATHER_NATIVE_CACHE))
        return tenon_decline(reason, "reads native caches only");
    if (a->k_scale || a->v_scale || a->kv_element != TENON_ELEMENT_AS_TENSOR)
        return tenon_decline(reason, "the native cache holds bf16, without scales");
    if (!tenon_native_cache_fits(a->page_size, a->key->shape[2]) ||
        !tenon_native_cache_fits(a->page_size, a->value->shape[2]))
        return tenon_decline(
            reason, "page_size=%d, head dims %lld and %lld: the native cache needs multiples of %d",
            a->page_size, (long long)a->key->shape[2], (long long)a->value->shape[2],
            TENON_NATIVE_GROUP);
    const tenon_native_cache k = cache_of(a, a->key), v = cache_of(a, a->value);
    if (!tenon_native_cache_bytes(&k) || !tenon_native_cache_bytes(&v))
        return tenon_decline(reason, "%d pages are more than memory can address", a->n_pages);
    return NULL;
}

static int32_t check_caches(const tenon_kv_gather_args *a, tenon_error *error) {
    const tenon_native_cache k = cache_of(a, a->key), v = cache_of(a, a->value);
    const int32_t status =
        tenon_native_cache_check(&k, a->k, "kv_gather: k", TENON_OP_KV_GATHER, 0, error);
    return status
               ? status
               : tenon_native_cache_check(&v, a->v, "kv_gather: v", TENON_OP_KV_GATHER, 1, error);
}

static int32_t plan_row(tenon_kernel_plan *plan, tenon_error *error) {
    return check_caches(plan->problem.args, error);
}

static int32_t run(const tenon_kernel_plan *plan, const void *args, tenon_error *error) {
    const tenon_kv_gather_args *a = args;
    const tenon_native_cache k = cache_of(a, a->key), v = cache_of(a, a->value);
    const tenon_paged_batch batch = tenon_kv_gather_batch(a, a->n_pages, a->page_size);
    int64_t end = 0;
    const int32_t status = check_caches(a, error);
    (void)plan;
    if (status) return status;
    if (tenon_paged_batch_ok(&batch)) {
        end = tenon_paged_batch_end(&batch);
        for (int64_t b = 0; b < batch.n_sequences; b++) {
            tenon_paged_sequence s;
            if (!tenon_paged_sequence_at(&batch, b, &s)) {
                empty_rows(a->key, s.first_row, s.first_row + s.n_rows);
                empty_rows(a->value, s.first_row, s.first_row + s.n_rows);
                continue;
            }
            for (int64_t j = s.visible_begin; j < s.visible_end; j++) {
                const int64_t row = s.first_row + j - s.visible_begin,
                              page = s.pages[j / a->page_size], slot = j % a->page_size;
                copy_row(&k, a->k, false, a->key, row, page, slot);
                copy_row(&v, a->v, true, a->value, row, page, slot);
            }
        }
    }
    empty_rows(a->key, end, batch.n_rows);
    empty_rows(a->value, end, batch.n_rows);
    return TENON_OK;
}

extern const tenon_kernel tenon_cpu_kv_gather_native;
const tenon_kernel tenon_cpu_kv_gather_native = {
    .name = "cpu_kv_gather_native",
    .op = TENON_OP_KV_GATHER,
    .traits = TENON_TRAIT_DETERMINISTIC | TENON_TRAIT_BATCH_INVARIANT,
    .checked_on = "hardware",
    .why_not = why_not,
    .plan = plan_row,
    .run = run,
};
