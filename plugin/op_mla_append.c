/* SPDX-License-Identifier: Apache-2.0 */
#include "op_mla_cache.h"

int32_t tenon_check_mla_append(const void *args, tenon_error *error) {
    const tenon_mla_append_args *a = args;
    int64_t d_latent = a->kv_c->shape[1], d_rope = a->k_pe->shape[a->k_pe->ndim - 1];

    TENON_REQUIRE(mla_append, kv_c, d_latent > 0, "d_latent=0, expected at least 1");
    TENON_REQUIRE_LATENT_CACHE(mla_append, a, d_latent, d_rope);
    return TENON_OK;
}
