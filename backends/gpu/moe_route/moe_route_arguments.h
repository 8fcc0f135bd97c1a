/* SPDX-License-Identifier: Apache-2.0 */
/* What the launcher of moe_route hands to its kernels. Strides in elements. */
#ifndef TENON_MOE_ROUTE_ARGUMENTS_H
#define TENON_MOE_ROUTE_ARGUMENTS_H

#include "device/device_arguments.h"

/* A wave of 32 lanes is the narrowest: a lane for each group, and for each chosen expert. */
enum { MOE_ROUTE_BLOCK_LANES = 64, MOE_ROUTE_MAX_GROUPS = 32, MOE_ROUTE_MAX_TOPK = 32 };

typedef struct moe_route_arguments {
    tenon_device_const_bytes logits, bias, token_mask; /* bias, token_mask: or NULL */
    tenon_device_bytes weights, ids;
    int64_t logits_token, mask_token, weights_token, ids_token;
    uint32_t n_tokens, n_experts, k, n_shared;
    uint32_t n_groups, topk_groups; /* n_groups 1: none */
    uint32_t number;                /* of logits */
    uint32_t scoring;               /* TENON_SCORING_* */
    uint32_t sums_of_groups, renormalize, ids_are_64;
    float shared_weight, routed_scale, renormalize_eps;
} moe_route_arguments;

#endif /* TENON_MOE_ROUTE_ARGUMENTS_H */
