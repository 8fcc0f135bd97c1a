/* SPDX-License-Identifier: Apache-2.0 */
/* One small merge_states problem, the plainest operation of all, for tests of the contract rather
 * than of kernels. */
#ifndef TENON_ABI_CASE_H
#define TENON_ABI_CASE_H

#include "test_host.h"

enum { CASE_STATES = 2, CASE_TOKENS = 4, CASE_HEADS = 2, CASE_DV = 3 };

typedef struct abi_case {
    float partial_out[CASE_STATES][CASE_TOKENS][CASE_HEADS][CASE_DV];
    float partial_lse[CASE_STATES][CASE_TOKENS][CASE_HEADS];
    float out[CASE_TOKENS][CASE_HEADS][CASE_DV];
    float lse[CASE_TOKENS][CASE_HEADS];
    test_tensor t_partial_out, t_partial_lse, t_out, t_lse;
    tenon_merge_states_args args;
} abi_case;

/* State 0 weighs nothing, so that out must be state 1 exactly. */
static inline const tenon_merge_states_args *abi_case_make(abi_case *c) {
    memset(c, 0, sizeof *c);
    for (int t = 0; t < CASE_TOKENS; t++)
        for (int h = 0; h < CASE_HEADS; h++) {
            c->partial_lse[0][t][h] = -INFINITY;
            c->partial_lse[1][t][h] = 1.0f;
            for (int d = 0; d < CASE_DV; d++)
                c->partial_out[1][t][h][d] = (float)(100 * t + 10 * h + d + 1);
        }
    c->args.struct_size = sizeof c->args;
    c->args.partial_out = test_view(&c->t_partial_out, c->partial_out, kDLFloat, 32,
                                    SHAPE(CASE_STATES, CASE_TOKENS, CASE_HEADS, CASE_DV));
    c->args.partial_lse = test_view(&c->t_partial_lse, c->partial_lse, kDLFloat, 32,
                                    SHAPE(CASE_STATES, CASE_TOKENS, CASE_HEADS));
    c->args.out =
        test_view(&c->t_out, c->out, kDLFloat, 32, SHAPE(CASE_TOKENS, CASE_HEADS, CASE_DV));
    c->args.lse = test_view(&c->t_lse, c->lse, kDLFloat, 32, SHAPE(CASE_TOKENS, CASE_HEADS));
    return &c->args;
}

static inline bool abi_case_right(const abi_case *c) {
    return !memcmp(c->out, c->partial_out[1], sizeof c->out);
}
static inline bool abi_case_untouched(const abi_case *c) {
    static const abi_case zero;
    return !memcmp(c->out, zero.out, sizeof c->out) && !memcmp(c->lse, zero.lse, sizeof c->lse);
}

#endif /* TENON_ABI_CASE_H */
