/* SPDX-License-Identifier: Apache-2.0 */
#include "op_kv_cache.h"

int32_t tenon_check_kv_gather(const void *args, tenon_error *error) {
    const tenon_kv_gather_args *a = args;
    int64_t heads_kv = a->key->shape[1], d_qk = a->key->shape[2], d_v = a->value->shape[2];
    bool native = a->flags & TENON_KV_GATHER_NATIVE_CACHE;

    TENON_REQUIRE(kv_gather, key, heads_kv > 0 && d_qk > 0,
                  "heads_kv=%lld, d_qk=%lld, both must be at least 1", (long long)heads_kv,
                  (long long)d_qk);
    TENON_REQUIRE(kv_gather, value, d_v > 0, "d_v=%lld must be at least 1", (long long)d_v);

    tenon_cache_check caches = {TENON_CACHE_CHECK(kv_gather, a, TENON_KV_GATHER_NATIVE_CACHE),
                                .d_qk = d_qk, .d_v = d_v};
    int32_t status = tenon_check_kv_caches(&caches, error);
    if (status) return status;
    TENON_REQUIRE(kv_gather, n_pages,
                  native ? a->n_pages > 0 : a->n_pages == 0 || a->n_pages == a->k->shape[0],
                  native ? "%d, a native cache needs it (1 or more)" : "%d, but k has %lld",
                  a->n_pages, native ? 0LL : (long long)a->k->shape[0]);
    TENON_REQUIRE_PAGE_LIST(kv_gather, a);
    return TENON_OK;
}
