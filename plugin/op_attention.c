/* SPDX-License-Identifier: Apache-2.0 */
#include "op_kv_cache.h"

#include "tensor.h"

static int32_t check_mask(const tenon_attention_args *a, tenon_error *error) {
    if (!a->tree_mask) return TENON_OK;
    int64_t most = a->max_q_len ? a->max_q_len : a->q->shape[0], bytes = a->tree_mask->shape[1];
    TENON_REQUIRE(attention, tree_mask, bytes >= most / 8 + (most % 8 != 0),
                  "%lld bytes in a row, but max_q_len=%lld new tokens need %lld", (long long)bytes,
                  (long long)most, (long long)(most / 8 + (most % 8 != 0)));
    return TENON_OK;
}

int32_t tenon_check_attention(const void *args, tenon_error *error) {
    const tenon_attention_args *a = args;
    int64_t heads_q = a->q->shape[1], d_qk = a->q->shape[2], d_v = a->out->shape[2];
    bool native = a->flags & TENON_ATTENTION_NATIVE_CACHE;

    TENON_REQUIRE(attention, q, heads_q > 0 && d_qk > 0,
                  "heads_q=%lld, d_qk=%lld, both must be at least 1", (long long)heads_q,
                  (long long)d_qk);
    TENON_REQUIRE(attention, out, d_v > 0, "d_v=%lld must be at least 1", (long long)d_v);

    tenon_cache_check caches = {TENON_CACHE_CHECK(attention, a, TENON_ATTENTION_NATIVE_CACHE),
                                .d_qk = d_qk, .d_v = d_v};
    int32_t status = tenon_check_kv_caches(&caches, error);
    if (status) return status;

    TENON_REQUIRE(attention, n_kv_heads,
                  native ? a->n_kv_heads > 0
                         : a->n_kv_heads == 0 || a->n_kv_heads == a->k->shape[2],
                  native ? "%d, a native cache needs it (1 or more)" : "%d, but k has %lld",
                  a->n_kv_heads, native ? 0LL : (long long)a->k->shape[2]);
    int64_t heads_kv = native ? a->n_kv_heads : a->k->shape[2];
    TENON_REQUIRE(attention, q, heads_q % heads_kv == 0,
                  "heads_q=%lld is not a multiple of heads_kv=%lld", (long long)heads_q,
                  (long long)heads_kv);

    TENON_REQUIRE_PAGE_LIST(attention, a);
    TENON_REQUIRE(attention, q_scale, !a->q_scale || tenon_is_fp8(a->q->dtype),
                  "is given, but q is %s: only fp8 queries have a scale",
                  tenon_type_name(tenon_type_of(a->q->dtype)));
    TENON_REQUIRE(attention, softmax_scale, a->softmax_scale >= 0,
                  "%g is negative; 0 means 1 / sqrt(d_qk)", (double)a->softmax_scale);
    TENON_REQUIRE(attention, softcap, a->softcap >= 0, "%g is negative; 0 turns it off",
                  (double)a->softcap);
    TENON_REQUIRE(attention, window_left, a->window_left >= -1,
                  "%d, expected -1 (no window) or more", a->window_left);
    TENON_REQUIRE(attention, window_right, a->window_right >= -1,
                  "%d, expected -1 (no window) or more", a->window_right);
    TENON_REQUIRE(attention, max_q_len, a->max_q_len >= 0,
                  "%d is negative; 0 means the number of tokens", a->max_q_len);
    TENON_REQUIRE(attention, max_kv_len, a->max_kv_len >= 0,
                  "%d is negative; 0 means what the page list can hold", a->max_kv_len);
    return check_mask(a, error);
}
