/* SPDX-License-Identifier: Apache-2.0 */
#include "moe_layout.h"
#include "op_check.h"

int32_t tenon_check_moe_route(const void *args, tenon_error *error) {
    const tenon_moe_route_args *a = args;
    const long long experts = a->logits->shape[1], k_total = a->topk_ids->shape[1];
    const long long k = k_total - a->n_shared;

    TENON_REQUIRE(moe_route, n_shared, a->n_shared >= 0, "%d is negative", a->n_shared);
    TENON_SUPPORT(moe_route, n_shared, a->n_shared <= TENON_MOE_MAX_SHARED,
                  "%d shared experts, at most %d", a->n_shared, TENON_MOE_MAX_SHARED);
    TENON_REQUIRE(moe_route, topk_ids, k >= 1,
                  "k_total=%lld less n_shared=%d leaves k=%lld, expected at least 1", k_total,
                  a->n_shared, k);
    TENON_REQUIRE(moe_route, topk_ids, k <= experts, "k=%lld of %lld experts", k, experts);
    TENON_SUPPORT(moe_route, logits, experts <= TENON_MOE_MAX_EXPERTS, "%lld experts, at most %d",
                  experts, TENON_MOE_MAX_EXPERTS);
    TENON_SUPPORT(moe_route, topk_ids, k <= TENON_MOE_MAX_TOPK, "k=%lld, at most %d", k,
                  TENON_MOE_MAX_TOPK);
    TENON_REQUIRE(moe_route, renormalize_eps, a->renormalize_eps >= 0, "%g is negative",
                  (double)a->renormalize_eps);

    TENON_REQUIRE(moe_route, n_groups, a->n_groups >= 0, "%d is negative", a->n_groups);
    if (a->n_groups > 1) {
        TENON_REQUIRE(moe_route, n_groups, experts % a->n_groups == 0,
                      "%lld experts do not split into %d equal groups", experts, a->n_groups);
        const long long size = experts / a->n_groups;
        TENON_REQUIRE(moe_route, topk_groups, a->topk_groups >= 1 && a->topk_groups <= a->n_groups,
                      "%d of %d groups", a->topk_groups, a->n_groups);
        TENON_REQUIRE(moe_route, topk_groups, a->topk_groups * size >= k,
                      "%d groups of %lld experts hold %lld, less than k=%lld", a->topk_groups, size,
                      a->topk_groups * size, k);
        TENON_REQUIRE(moe_route, group_score,
                      a->group_score != TENON_GROUP_SCORE_TOP2_SUM || size >= 2,
                      "TOP2_SUM of groups of %lld expert", size);
    }
    return TENON_OK;
}
