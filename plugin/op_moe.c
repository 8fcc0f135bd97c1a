/* SPDX-License-Identifier: Apache-2.0 */
#include "expert_weight.h"
#include "moe_activation.h"
#include "moe_layout.h"

/* The shared expert: both of its weights or none, and one intermediate size. */
static int32_t check_shared(const tenon_moe_args *a, int64_t hidden, tenon_error *error) {
    tenon_expert_weight up, down;
    TENON_REQUIRE(moe, shared_down, !a->shared_down == !a->shared_gate_up,
                  "is %s, but shared_gate_up is %s", a->shared_down ? "given" : "NULL",
                  a->shared_gate_up ? "given" : "NULL");
    TENON_REQUIRE(moe, shared_gate_up_quant, a->shared_gate_up || !a->shared_gate_up_quant,
                  "given without shared_gate_up");
    TENON_REQUIRE(moe, shared_down_quant, a->shared_down || !a->shared_down_quant,
                  "given without shared_down");
    if (!a->shared_gate_up) return TENON_OK;

    int32_t status =
        tenon_expert_weight_of("moe", "shared_gate_up", TENON_FIELD(moe, shared_gate_up),
                               a->shared_gate_up, a->shared_gate_up_quant, &up, error);
    if (!status)
        status = tenon_expert_weight_of("moe", "shared_down", TENON_FIELD(moe, shared_down),
                                        a->shared_down, a->shared_down_quant, &down, error);
    if (!status)
        status = tenon_expert_weight_expect(
            "moe", "shared_gate_up", TENON_FIELD(moe, shared_gate_up), &up, 0, -1, hidden, error);
    if (status) return status;
    const bool gated = tenon_activation_is_gated(a->activation);
    TENON_REQUIRE(moe, shared_gate_up, !gated || up.n % 2 == 0,
                  "n=%lld, a gated activation needs two halves", (long long)up.n);
    const int64_t inter = gated ? up.n / 2 : up.n;
    return tenon_expert_weight_expect("moe", "shared_down", TENON_FIELD(moe, shared_down), &down, 0,
                                      hidden, inter, error);
}

int32_t tenon_check_moe(const void *args, tenon_error *error) {
    const tenon_moe_args *a = args;
    const int64_t tokens = a->x->shape[0], hidden = a->x->shape[1], k = a->topk_ids->shape[1];
    const bool gated = tenon_activation_is_gated(a->activation);
    tenon_expert_weight up, down;
    int64_t pairs;

    TENON_REQUIRE(moe, topk_ids, k >= 1, "k=%lld, expected at least 1", (long long)k);
    TENON_SUPPORT(
        moe, topk_ids, !__builtin_mul_overflow(tokens, k, &pairs) && pairs < INT32_MAX / 2,
        "%lld tokens x %lld: pairs are numbered in 32 bits", (long long)tokens, (long long)k);
    if (a->flags & TENON_MOE_WEIGHT_ON_INPUT)
        TENON_REQUIRE(moe, topk_ids, k == 1, "k=%lld, but WEIGHT_ON_INPUT needs k = 1",
                      (long long)k);
    int32_t status =
        tenon_check_moe_limit("moe", TENON_FIELD(moe, limit), a->activation, a->limit, error);
    if (!status)
        status = tenon_expert_weight_of("moe", "gate_up", TENON_FIELD(moe, gate_up), a->gate_up,
                                        a->gate_up_quant, &up, error);
    if (!status)
        status = tenon_expert_weight_of("moe", "down", TENON_FIELD(moe, down), a->down,
                                        a->down_quant, &down, error);
    if (status) return status;

    const int64_t local = up.experts;
    const int64_t n = a->gate_up_bias ? a->gate_up_bias->shape[1] : -1;
    TENON_REQUIRE(moe, gate_up, local != 0,
                  "has no local experts: its shape is [local, n, hidden]");
    TENON_SUPPORT(moe, gate_up, local <= TENON_MOE_MAX_LOCAL, "%lld local experts, at most %d",
                  (long long)local, TENON_MOE_MAX_LOCAL);
    TENON_REQUIRE(moe, gate_up_bias, !a->gate_up_bias || a->gate_up_bias->shape[0] == local,
                  "%lld local experts, but gate_up has %lld", (long long)a->gate_up_bias->shape[0],
                  (long long)local);
    TENON_REQUIRE(moe, down_bias, !a->down_bias || a->down_bias->shape[0] == local,
                  "%lld local experts, but gate_up has %lld", (long long)a->down_bias->shape[0],
                  (long long)local);
    status = tenon_expert_weight_expect("moe", "gate_up", TENON_FIELD(moe, gate_up), &up, local, n,
                                        hidden, error);
    if (status) return status;
    TENON_REQUIRE(moe, gate_up, !gated || up.n % 2 == 0,
                  "n=%lld, a gated activation needs two halves", (long long)up.n);
    const int64_t inter = gated ? up.n / 2 : up.n;
    status = tenon_expert_weight_expect("moe", "down", TENON_FIELD(moe, down), &down, local, hidden,
                                        inter, error);
    return status ? status : check_shared(a, hidden, error);
}
