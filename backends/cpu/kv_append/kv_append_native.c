/* SPDX-License-Identifier: Apache-2.0 */
/* kv_append into the native layout: rounds to bf16 (nearest even) and spreads each head's row over
 * its group. */
#include "bfloat16.h"
#include "cpu_backend.h"
#include "native_cache.h"
#include "number.h"

enum { TASK_TOKENS = 64 };

typedef struct job {
    const tenon_kv_append_args *a;
    tenon_native_cache k, v;
} job;

static tenon_native_cache cache_of(const tenon_kv_append_args *a, const DLTensor *x) {
    return (tenon_native_cache){
        .pages = a->n_pages, .page_size = a->page_size, .heads_kv = x->shape[1], .d = x->shape[2]};
}

static uint16_t element(const DLTensor *x, tenon_number type, int64_t at) {
    if (type == TENON_NUMBER_BF16) return ((const uint16_t *)tenon_data(x))[at];
    if (type == TENON_NUMBER_F32) return tenon_f32_to_bf16(((const float *)tenon_data(x))[at]);
    return tenon_f32_to_bf16((float)tenon_number_load(type, tenon_data(x), at));
}

static void append_token(const job *j, int64_t t, int64_t page, int64_t slot) {
    const DLTensor *key = j->a->key, *value = j->a->value;
    const tenon_number key_type = tenon_number_of(key->dtype),
                       value_type = tenon_number_of(value->dtype);
    for (int64_t h = 0; h < j->k.heads_kv; h++) {
        const int64_t from_k = t * key->strides[0] + h * key->strides[1],
                      from_v = t * value->strides[0] + h * value->strides[1];
        uint16_t *k = (uint16_t *)tenon_data(j->a->k) + tenon_native_k_at(&j->k, page, h, slot, 0);
        uint16_t *v = (uint16_t *)tenon_data(j->a->v) + tenon_native_v_at(&j->v, page, h, slot, 0);
        for (int64_t i = 0; i < j->k.d; i += 2) {
            k[i * TENON_NATIVE_GROUP] = element(key, key_type, from_k + i);
            k[i * TENON_NATIVE_GROUP + 1] = element(key, key_type, from_k + i + 1);
        }
        for (int64_t i = 0; i < j->v.d; i++) v[2 * i] = element(value, value_type, from_v + i);
    }
}

static void append_some(void *arg, int64_t task, int32_t thread) {
    const job *j = arg;
    const tenon_kv_append_args *a = j->a;
    const int64_t n_tokens = a->key->shape[0], n_slots = j->k.pages * j->k.page_size;
    (void)thread;
    for (int64_t t = task * TASK_TOKENS; t < n_tokens && t < (task + 1) * TASK_TOKENS; t++) {
        const int64_t place = a->slot_mapping->dtype.bits == 64
                                  ? ((const int64_t *)tenon_data(a->slot_mapping))[t]
                                  : ((const int32_t *)tenon_data(a->slot_mapping))[t];
        if (place == -1) continue;
        if (place < 0 || place >= n_slots) {
            tenon_report_fault(a->fault, TENON_OP_KV_APPEND, TENON_FAULT_PAGE_OUT_OF_RANGE, t,
                               place, n_slots);
            continue;
        }
        append_token(j, t, place / j->k.page_size, place % j->k.page_size);
    }
}

static const char *why_not(const tenon_problem *problem, tenon_reason *reason) {
    const tenon_kv_append_args *a = problem->args;
    if (!(a->flags & TENON_KV_APPEND_NATIVE_CACHE))
        return tenon_decline(reason, "writes native caches only");
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

static int32_t check_caches(const tenon_kv_append_args *a, tenon_error *error) {
    const tenon_native_cache k = cache_of(a, a->key), v = cache_of(a, a->value);
    const int32_t status =
        tenon_native_cache_check(&k, a->k, "kv_append: k", TENON_OP_KV_APPEND, 2, error);
    return status
               ? status
               : tenon_native_cache_check(&v, a->v, "kv_append: v", TENON_OP_KV_APPEND, 3, error);
}

static int32_t plan_row(tenon_kernel_plan *plan, tenon_error *error) {
    const tenon_kv_append_args *a = plan->problem.args;
    const tenon_native_cache k = cache_of(a, a->key), v = cache_of(a, a->value);
    plan->output_bytes = (uint64_t)tenon_native_cache_bytes(k.d > v.d ? &k : &v);
    if (a->k->shape[0] == 0) return TENON_OK; /* asks for the size; no run can follow */
    return check_caches(a, error);
}

static int32_t run(const tenon_kernel_plan *plan, const void *args, tenon_error *error) {
    const tenon_kv_append_args *a = args;
    const job j = {.a = a, .k = cache_of(a, a->key), .v = cache_of(a, a->value)};
    const int32_t status = check_caches(a, error);
    if (status) return status;
    tenon_cpu_run(plan, (a->key->shape[0] + TASK_TOKENS - 1) / TASK_TOKENS, append_some,
                  (void *)(uintptr_t)&j);
    return TENON_OK;
}

extern const tenon_kernel tenon_cpu_kv_append_native;
const tenon_kernel tenon_cpu_kv_append_native = {
    .name = "cpu_kv_append_native",
    .op = TENON_OP_KV_APPEND,
    .traits = TENON_TRAIT_DETERMINISTIC | TENON_TRAIT_BATCH_INVARIANT,
    .checked_on = "hardware",
    .why_not = why_not,
    .plan = plan_row,
    .run = run,
};
