/* SPDX-License-Identifier: Apache-2.0 */
#include "mla_attention_cpu.h"

#include <string.h>

#include "latent_row.h"

/* A tensor that this file makes up. */
typedef struct view {
    DLTensor t;
    int64_t shape[4], strides[4];
} view;

/* The attention problem that stands for a latent one. */
typedef struct stand_in {
    tenon_attention_args args;
    view k, v;
} stand_in;

typedef struct state {
    stand_in s; /* as planned */
    tenon_kernel_plan attention;
} state;

/* The first d elements of each row of the latent cache. */
static void set_view(view *v, const DLTensor *cache, int64_t d) {
    const int64_t shape[4] = {cache->shape[0], cache->shape[1], 1, d},
                  strides[4] = {cache->strides[0], cache->strides[1], cache->strides[1],
                                cache->strides[cache->ndim - 1]};
    v->t = *cache;
    v->t.ndim = 4;
    v->t.shape = v->shape;
    v->t.strides = v->strides;
    memcpy(v->shape, shape, sizeof shape);
    memcpy(v->strides, strides, sizeof strides);
}

/* Pointers lead into *s: it must not move afterwards. */
static void stand_for(stand_in *s, const tenon_mla_attention_args *a) {
    memset(&s->args, 0, sizeof s->args);
    s->args.struct_size = sizeof s->args;
    if (a->flags & TENON_MLA_ATTENTION_CAUSAL) s->args.flags |= TENON_ATTENTION_CAUSAL;
    if (a->flags & TENON_MLA_ATTENTION_LSE_BASE2) s->args.flags |= TENON_ATTENTION_LSE_BASE2;
    s->args.q = a->q;
    s->args.out = a->out;
    s->args.lse = a->lse;
    s->args.cu_seqlens_q = a->cu_seqlens_q;
    s->args.seq_lens = a->seq_lens;
    s->args.block_table = a->block_table;
    s->args.page_indptr = a->page_indptr;
    s->args.page_indices = a->page_indices;
    s->args.sinks = a->sinks;
    s->args.softmax_scale = a->softmax_scale;
    s->args.window_left = s->args.window_right = -1;
    s->args.max_q_len = a->max_q_len;
    s->args.max_kv_len = a->max_kv_len;
    set_view(&s->k, a->cache, a->q->shape[2]);
    set_view(&s->v, a->cache, a->out->shape[2]);
    s->args.k = &s->k.t;
    s->args.v = &s->v.t;
    s->args.k_scale = s->args.v_scale = a->kv_scale;
    s->args.kv_element = a->cache_format == TENON_MLA_CACHE_FP8_DS
                             ? (int32_t)TENON_CPU_ELEMENT_FP8_DS
                             : a->kv_element;
}

const char *tenon_cpu_mla_attention_why_not(const tenon_kernel *attention,
                                            const tenon_problem *problem, tenon_reason *reason) {
    stand_in s;
    tenon_problem inner = *problem;
    stand_for(&s, problem->args);
    inner.op = TENON_OP_ATTENTION;
    inner.args = &s.args;
    return attention->why_not(&inner, reason);
}

int32_t tenon_cpu_mla_attention_plan(const tenon_kernel *attention, tenon_kernel_plan *plan,
                                     tenon_error *error) {
    state *st = tenon_platform_allocate(plan->problem.platform, sizeof *st);
    if (!st)
        return tenon_fail(error, TENON_STATUS_NO_MEMORY, TENON_OP_MLA_ATTENTION, -1,
                          "mla_attention: %zu bytes", sizeof *st);
    memset(st, 0, sizeof *st);
    plan->state = st;
    stand_for(&st->s, plan->problem.args);
    st->attention.kernel = attention;
    st->attention.problem = plan->problem;
    st->attention.problem.op = TENON_OP_ATTENTION;
    st->attention.problem.args = &st->s.args;
    const int32_t status = attention->plan(&st->attention, error);
    plan->workspace_bytes = st->attention.workspace_bytes;
    plan->workspace_bytes_max = st->attention.workspace_bytes_max;
    return status;
}

void tenon_cpu_mla_attention_release(tenon_kernel_plan *plan) {
    tenon_platform_release(plan->problem.platform, plan->state, sizeof(state));
}

/* Attention reports into a slot of its own, so that the fault carries this operation's number. */
int32_t tenon_cpu_mla_attention_run(const tenon_kernel_plan *plan, const void *args,
                                    tenon_error *error) {
    const tenon_mla_attention_args *a = args;
    const state *st = plan->state;
    tenon_fault fault = {0};
    stand_in s;
    stand_for(&s, a);
    s.args.fault = &fault;
    s.args.workspace = a->workspace;
    s.args.workspace_bytes = a->workspace_bytes;
    const int32_t status = st->attention.kernel->run(&st->attention, &s.args, error);
    if (fault.code)
        tenon_report_fault(a->fault, TENON_OP_MLA_ATTENTION, fault.code, fault.position,
                           fault.value, fault.limit);
    return status;
}
