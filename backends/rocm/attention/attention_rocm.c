/* SPDX-License-Identifier: Apache-2.0 */
#include "attention_fill.h"

static attention_problem problem_of(const tenon_attention_args *a) {
    attention_problem p = {.q = a->q,
                           .k = a->k,
                           .v = a->v,
                           .out = a->out,
                           .lse = a->lse,
                           .row_offsets = a->cu_seqlens_q,
                           .kv_lens = a->seq_lens,
                           .table = a->block_table,
                           .page_indptr = a->page_indptr,
                           .page_indices = a->page_indices,
                           .sinks = a->sinks,
                           .alibi_slopes = a->alibi_slopes,
                           .tree_mask = a->tree_mask,
                           .q_scale = a->q_scale,
                           .k_scale = a->k_scale,
                           .v_scale = a->v_scale,
                           .heads_kv = a->k->shape[2],
                           .d_qk = a->q->shape[2],
                           .d_v = a->out->shape[2],
                           .kv_element = a->kv_element,
                           .op = TENON_OP_ATTENTION,
                           .max_q_len = a->max_q_len,
                           .max_kv_len = a->max_kv_len,
                           .window_left = a->window_left,
                           .window_right = a->window_right,
                           .causal = a->flags & TENON_ATTENTION_CAUSAL,
                           .base2 = a->flags & TENON_ATTENTION_LSE_BASE2,
                           .softmax_scale = a->softmax_scale,
                           .softcap = a->softcap,
                           .workspace = a->workspace,
                           .fault = a->fault,
                           .stream = a->stream};
    for (int i = 0; i < 3; i++)
        p.k_strides[i] = a->k->strides[i], p.v_strides[i] = a->v->strides[i];
    return p;
}

static const char *declines(const tenon_problem *problem, tenon_reason *reason) {
    const tenon_attention_args *a = problem->args;
    if (a->flags & TENON_ATTENTION_NATIVE_CACHE)
        return tenon_decline(reason, "reads strided caches only");
    const attention_problem p = problem_of(a);
    return tenon_rocm_attention_declines(&p, reason);
}

static int32_t plan(tenon_kernel_plan *plan, tenon_error *error) {
    const attention_problem p = problem_of(plan->problem.args);
    return tenon_rocm_attention_plan(plan, &p, error);
}

static int32_t run(const tenon_kernel_plan *plan, const void *args, tenon_error *error) {
    const attention_problem planned = problem_of(plan->problem.args), p = problem_of(args);
    return tenon_rocm_attention_run(plan, &planned, &p, error);
}

TENON_ROCM_WHY_NOT(why_not, TENON_ROCM_WAVE64, declines)
extern const tenon_kernel tenon_rocm_attention_gfx9;
const tenon_kernel tenon_rocm_attention_gfx9 = {
    .name = "rocm_attention_gfx9",
    .op = TENON_OP_ATTENTION,
    .needs = TENON_ROCM_WAVE64,
    .traits = TENON_TRAIT_CAPTURE_SAFE | TENON_TRAIT_DETERMINISTIC | TENON_TRAIT_BATCH_INVARIANT,
    .checked_on = "emulated",
    .why_not = why_not,
    .plan = plan,
    .run = run,
    .release = tenon_rocm_release,
};
