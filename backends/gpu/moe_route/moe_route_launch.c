/* SPDX-License-Identifier: Apache-2.0 */
#include "moe_route_arguments.h"
#include "moe_route_launch.h"
#include "number.h"
#include "gpu_launch.h"

enum { UP_TO_128, UP_TO_256, UP_TO_1024 };
static const char *const symbols[] = {"moe_route_128", "moe_route_256", "moe_route_1024", NULL};

const char *tenon_gpu_moe_route_declines(const tenon_problem *problem, tenon_reason *reason) {
    const tenon_moe_route_args *a = problem->args;
    if (a->n_groups > MOE_ROUTE_MAX_GROUPS)
        return tenon_decline(reason, "n_groups=%d, at most %d", a->n_groups,
                             (int)MOE_ROUTE_MAX_GROUPS);
    if (a->logits->shape[0] > INT32_MAX)
        return tenon_decline(reason, "%lld tokens, beyond 32 bits", (long long)a->logits->shape[0]);
    return NULL;
}

int32_t tenon_gpu_moe_route_plan(tenon_kernel_plan *p, tenon_error *error) {
    return tenon_gpu_load(p, "moe_route", symbols, error);
}

int32_t tenon_gpu_moe_route_run(const tenon_kernel_plan *p, const void *args, tenon_error *error) {
    const tenon_moe_route_args *a = args;
    const bool groups = a->n_groups > 1;
    const moe_route_arguments k = {
        .logits = tenon_data(a->logits),
        .bias = a->bias ? tenon_data(a->bias) : NULL,
        .token_mask = a->token_mask ? tenon_data(a->token_mask) : NULL,
        .weights = tenon_data(a->topk_weights),
        .ids = tenon_data(a->topk_ids),
        .logits_token = a->logits->strides[0],
        .mask_token = a->token_mask ? a->token_mask->strides[0] : 0,
        .weights_token = a->topk_weights->strides[0],
        .ids_token = a->topk_ids->strides[0],
        .n_tokens = (uint32_t)a->logits->shape[0],
        .n_experts = (uint32_t)a->logits->shape[1],
        .k = (uint32_t)(a->topk_ids->shape[1] - a->n_shared),
        .n_shared = (uint32_t)a->n_shared,
        .n_groups = groups ? (uint32_t)a->n_groups : 1,
        .topk_groups = groups ? (uint32_t)a->topk_groups : 1,
        .number = (uint32_t)tenon_number_of(a->logits->dtype),
        .scoring = (uint32_t)a->scoring,
        .sums_of_groups = groups && a->group_score == TENON_GROUP_SCORE_TOP2_SUM,
        .renormalize = (a->flags & TENON_MOE_ROUTE_RENORMALIZE) != 0,
        .ids_are_64 = a->topk_ids->dtype.bits == 64,
        .shared_weight = a->shared_weight,
        .routed_scale = a->routed_scale == 0 ? 1 : a->routed_scale,
        .renormalize_eps = a->renormalize_eps,
    };
    const uint32_t function = k.n_experts <= 128   ? UP_TO_128
                              : k.n_experts <= 256 ? UP_TO_256
                                                   : UP_TO_1024;
    return tenon_gpu_launch(
        p, function,
        (tenon_gpu_grid){.blocks = tenon_gpu_blocks((uint64_t)k.n_tokens * tenon_gpu_wave_lanes(p),
                                                    MOE_ROUTE_BLOCK_LANES),
                         .block_lanes = MOE_ROUTE_BLOCK_LANES},
        a->stream, &k, error);
}
