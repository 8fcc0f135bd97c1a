/* SPDX-License-Identifier: Apache-2.0 */
/* What the launchers of attention and mla_attention share: reasons to decline, the plan, and the
 * launch of both kernels. The latter operation is attention with one KV head whose values are the
 * front of its keys. */
#ifndef TENON_ATTENTION_FILL_H
#define TENON_ATTENTION_FILL_H

#include "rocm_launch.h"

/* A problem of either operation. The caches are k and v, with d of each read. */
typedef struct attention_problem {
    const DLTensor *q, *k, *v, *out, *lse, *row_offsets, *kv_lens, *table, *page_indptr,
        *page_indices, *sinks, *alibi_slopes, *tree_mask, *q_scale, *k_scale, *v_scale;
    int64_t heads_kv, d_qk, d_v;
    int64_t k_strides[3], v_strides[3]; /* page, slot, head */
    int32_t kv_element, op, max_q_len, max_kv_len, window_left, window_right;
    bool causal, base2, is_latent;
    float softmax_scale, softcap;
    void *workspace;
    tenon_fault *fault;
    void *stream;
} attention_problem;

const char *tenon_rocm_attention_declines(const attention_problem *p, tenon_reason *reason);
int32_t tenon_rocm_attention_plan(tenon_kernel_plan *plan, const attention_problem *p,
                                  tenon_error *error);
int32_t tenon_rocm_attention_run(const tenon_kernel_plan *plan, const attention_problem *planned,
                                 const attention_problem *p, tenon_error *error);

#endif /* TENON_ATTENTION_FILL_H */
