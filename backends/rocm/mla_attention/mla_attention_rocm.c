/* SPDX-License-Identifier: Apache-2.0 */
/* mla_attention is attention with one KV head whose values are the front of its keys
 * (../attention). */
#include "attention_fill.h"

static attention_problem problem_of(const tenon_mla_attention_args *a) {
    const int64_t *strides = a->cache->strides;
    return (attention_problem){.q = a->q,
                               .k = a->cache,
                               .v = a->cache,
                               .out = a->out,
                               .lse = a->lse,
                               .row_offsets = a->cu_seqlens_q,
                               .kv_lens = a->seq_lens,
                               .table = a->block_table,
                               .page_indptr = a->page_indptr,
                               .page_indices = a->page_indices,
                               .sinks = a->sinks,
                               .k_scale = a->kv_scale,
                               .v_scale = a->kv_scale,
                               .heads_kv = 1,
                               .d_qk = a->q->shape[2],
                               .d_v = a->out->shape[2],
                               .k_strides = {strides[0], strides[1], 0},
                               .v_strides = {strides[0], strides[1], 0},
                               .kv_element = a->kv_element,
                               .op = TENON_OP_MLA_ATTENTION,
                               .max_q_len = a->max_q_len,
                               .max_kv_len = a->max_kv_len,
                               .window_left = -1,
                               .window_right = -1,
                               .causal = a->flags & TENON_MLA_ATTENTION_CAUSAL,
                               .base2 = a->flags & TENON_MLA_ATTENTION_LSE_BASE2,
                               .is_latent = true,
                               .softmax_scale = a->softmax_scale,
                               .workspace = a->workspace,
                               .fault = a->fault,
                               .stream = a->stream};
}

static const char *declines(const tenon_problem *problem, tenon_reason *reason) {
    const tenon_mla_attention_args *a = problem->args;
    if (a->cache_format == TENON_MLA_CACHE_FP8_DS)
        return tenon_decline(reason, "takes PLAIN caches, not FP8_DS");
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
extern const tenon_kernel tenon_rocm_mla_attention_gfx9;
const tenon_kernel tenon_rocm_mla_attention_gfx9 = {
    .name = "rocm_mla_attention_gfx9",
    .op = TENON_OP_MLA_ATTENTION,
    .needs = TENON_ROCM_WAVE64,
    .traits = TENON_TRAIT_CAPTURE_SAFE | TENON_TRAIT_DETERMINISTIC | TENON_TRAIT_BATCH_INVARIANT,
    .checked_on = "emulated",
    .why_not = why_not,
    .plan = plan,
    .run = run,
    .release = tenon_rocm_release,
};
