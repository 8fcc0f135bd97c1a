/* SPDX-License-Identifier: Apache-2.0 */
#include "op_kv_cache.h"

#include "tensor.h"

/* A dynamic scale belongs to one (token, head), so it needs a place for each. */
static int32_t check_dynamic(const tenon_kv_append_args *a, tenon_error *error) {
    if (!(a->flags & TENON_KV_APPEND_DYNAMIC_SCALE)) return TENON_OK;
    TENON_REQUIRE(kv_append, k, tenon_is_quantized_cache(a->k),
                  "%s: DYNAMIC_SCALE is for fp8 and int8 caches",
                  tenon_type_name(tenon_type_of(a->k->dtype)));
    TENON_REQUIRE(kv_append, v, tenon_is_quantized_cache(a->v),
                  "%s: DYNAMIC_SCALE is for fp8 and int8 caches",
                  tenon_type_name(tenon_type_of(a->v->dtype)));
    TENON_REQUIRE(kv_append, k_scale, a->k_scale && a->k_scale->ndim == 3,
                  "DYNAMIC_SCALE writes it: it must be [pages, page_size, heads_kv]");
    TENON_REQUIRE(kv_append, v_scale, a->v_scale && a->v_scale->ndim == 3,
                  "DYNAMIC_SCALE writes it: it must be [pages, page_size, heads_kv]");
    return TENON_OK;
}

int32_t tenon_check_kv_append(const void *args, tenon_error *error) {
    const tenon_kv_append_args *a = args;
    int64_t heads_kv = a->key->shape[1], d_qk = a->key->shape[2], d_v = a->value->shape[2];
    bool native = a->flags & TENON_KV_APPEND_NATIVE_CACHE;

    TENON_REQUIRE(kv_append, key, heads_kv > 0 && d_qk > 0,
                  "heads_kv=%lld, d_qk=%lld, both must be at least 1", (long long)heads_kv,
                  (long long)d_qk);
    TENON_REQUIRE(kv_append, value, d_v > 0, "d_v=%lld must be at least 1", (long long)d_v);

    tenon_cache_check caches = {TENON_CACHE_CHECK(kv_append, a, TENON_KV_APPEND_NATIVE_CACHE),
                                .d_qk = d_qk, .d_v = d_v};
    int32_t status = tenon_check_kv_caches(&caches, error);
    if (status) return status;
    TENON_REQUIRE(kv_append, n_pages,
                  native ? a->n_pages > 0 : a->n_pages == 0 || a->n_pages == a->k->shape[0],
                  native ? "%d, a native cache needs it (1 or more)" : "%d, but k has %lld",
                  a->n_pages, native ? 0LL : (long long)a->k->shape[0]);
    return check_dynamic(a, error);
}
