/* SPDX-License-Identifier: Apache-2.0 */
#include "op_mla_cache.h"

int32_t tenon_check_mla_attention(const void *args, tenon_error *error) {
    const tenon_mla_attention_args *a = args;
    int64_t d_qk = a->q->shape[2], d_latent = a->out->shape[2];

    TENON_REQUIRE(mla_attention, q, a->q->shape[1] > 0, "heads_q=0, expected at least 1");
    TENON_REQUIRE(mla_attention, out, d_latent > 0 && d_latent <= d_qk,
                  "d_latent=%lld, expected 1 to d_qk=%lld", (long long)d_latent, (long long)d_qk);
    TENON_REQUIRE_LATENT_CACHE(mla_attention, a, d_latent, d_qk - d_latent);
    TENON_REQUIRE_PAGE_LIST(mla_attention, a);
    TENON_REQUIRE(mla_attention, softmax_scale, a->softmax_scale > 0, "%g, must be given (> 0)",
                  (double)a->softmax_scale);
    TENON_REQUIRE(mla_attention, max_q_len, a->max_q_len >= 0,
                  "%d is negative; 0 means the number of tokens", a->max_q_len);
    TENON_REQUIRE(mla_attention, max_kv_len, a->max_kv_len >= 0,
                  "%d is negative; 0 means what the page list can hold", a->max_kv_len);
    return TENON_OK;
}
