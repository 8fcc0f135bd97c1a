/* SPDX-License-Identifier: Apache-2.0 */
/* moe:  out[t] = routed_scale * sum_slot weight * (down[e] . act(gate_up[e] . x + bias) +
 * down_bias[e])  +  shared(x[t])
 *
 * with e the local expert of the slot's id; a slot without one adds nothing. WEIGHT_ON_INPUT: the
 * weight multiplies x and not the result. The shared expert sees x itself, has no bias, and is
 * added unscaled. Nothing is rounded between x and out. */
#include "moe_layout.h"
#include "ref_expert.h"

/* The two matmuls of one expert, and the rows between them. */
typedef struct feed_forward {
    tenon_ref_expert up, down;
    double *x, *between, *sum;
} feed_forward;

/* sum += weight * expert(x) */
static void add_expert(const feed_forward *f, double weight) {
    for (int64_t j = 0; j < tenon_ref_expert_outputs(&f->up); j++)
        f->between[j] = tenon_ref_expert_output(&f->up, j, f->x);
    for (int64_t h = 0; h < f->down.w.n; h++)
        f->sum[h] += weight * tenon_ref_expert_output(&f->down, h, f->between);
}

static int64_t local_expert(const tenon_moe_args *a, int64_t local, int64_t t, int64_t slot) {
    const int64_t id = tenon_ref_index2(a->topk_ids, t, slot),
                  experts = a->expert_map ? a->expert_map->shape[0] : local;
    const int32_t *map = a->expert_map ? tenon_data(a->expert_map) : NULL;
    const int64_t e = tenon_moe_local_expert(id, experts, map, local);
    if (e == TENON_MOE_BAD_ID || e == TENON_MOE_BAD_MAP)
        tenon_report_fault(a->fault, TENON_OP_MOE, TENON_FAULT_EXPERT_OUT_OF_RANGE,
                           t * a->topk_ids->shape[1] + slot, e == TENON_MOE_BAD_MAP ? map[id] : id,
                           e == TENON_MOE_BAD_MAP ? local : experts);
    return e;
}

typedef struct views {
    tenon_weight_view up, down, shared_up, shared_down;
} views;

/* gate_up says how wide the experts are; every other extent follows. */
static int32_t open_weights(const tenon_moe_args *a, views *v, tenon_reason *why) {
    const int64_t hidden = a->x->shape[1];
    const int halves = tenon_activation_is_gated(a->activation) ? 2 : 1;
    int32_t status = tenon_kept_weight_view(a->gate_up, a->gate_up_quant, &v->up, why);
    if (!status)
        status = tenon_ref_expert_view(a->gate_up, a->gate_up_quant, v->up.experts, v->up.n, hidden,
                                       &v->up, why);
    if (!status)
        status = tenon_ref_expert_view(a->down, a->down_quant, v->up.experts, hidden,
                                       v->up.n / halves, &v->down, why);
    if (status || !a->shared_gate_up) return status;
    status = tenon_kept_weight_view(a->shared_gate_up, a->shared_gate_up_quant, &v->shared_up, why);
    if (!status)
        status = tenon_ref_expert_view(a->shared_gate_up, a->shared_gate_up_quant, 1,
                                       v->shared_up.n, hidden, &v->shared_up, why);
    if (!status)
        status = tenon_ref_expert_view(a->shared_down, a->shared_down_quant, 1, hidden,
                                       v->shared_up.n / halves, &v->shared_down, why);
    return status;
}

/* x, the sum, and the row between the matmuls, in double. */
static uint64_t workspace_bytes_of(const tenon_moe_args *a, const views *v) {
    const int64_t between = v->down.k > v->shared_down.k ? v->down.k : v->shared_down.k;
    return (uint64_t)(2 * a->x->shape[1] + between) * sizeof(double);
}

static void load_x(const tenon_moe_args *a, int64_t t, double weight, double *x) {
    for (int64_t h = 0; h < a->x->shape[1]; h++) x[h] = weight * tenon_ref_load2(a->x, t, h);
}

static int32_t run(const tenon_kernel_plan *plan, const void *args, tenon_error *error) {
    const tenon_moe_args *a = args;
    const int64_t tokens = a->x->shape[0], hidden = a->x->shape[1], k = a->topk_ids->shape[1];
    const double scale = a->routed_scale == 0 ? 1 : (double)a->routed_scale;
    const int on_input = (a->flags & TENON_MOE_WEIGHT_ON_INPUT) != 0;
    const tenon_ref_expert up = {.activation = a->activation,
                                 .gate_layout = a->gate_layout,
                                 .alpha = (double)tenon_activation_alpha(a->alpha),
                                 .limit = (double)a->limit};
    const tenon_ref_expert down = {.activation = TENON_ACTIVATION_NONE};
    double *workspace = a->workspace;
    feed_forward f = {up, down, workspace, workspace + 2 * hidden, workspace + hidden};
    views v = {0};
    tenon_reason why;

    int32_t status = open_weights(a, &v, &why);
    if (status) return tenon_fail(error, status, TENON_OP_MOE, -1, "moe: %s", why.text);
    if (workspace_bytes_of(a, &v) > plan->workspace_bytes)
        return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, TENON_OP_MOE, -1,
                          "moe: the weights are wider than those of the plan");
    for (int64_t t = 0; t < tokens; t++) {
        for (int64_t h = 0; h < hidden; h++) f.sum[h] = 0;
        f.up.bias = a->gate_up_bias, f.down.bias = a->down_bias;
        for (int64_t slot = 0; slot < k; slot++) {
            const int64_t e = local_expert(a, v.up.experts, t, slot);
            const double weight = tenon_ref_load2(a->topk_weights, t, slot);
            if (e < 0) continue;
            f.up.w = tenon_weight_expert(&v.up, e), f.down.w = tenon_weight_expert(&v.down, e);
            f.up.expert = f.down.expert = e;
            load_x(a, t, on_input ? weight : 1, f.x);
            add_expert(&f, on_input ? 1 : weight);
        }
        for (int64_t h = 0; h < hidden; h++) f.sum[h] *= scale;
        if (a->shared_gate_up) {
            f.up.w = v.shared_up, f.down.w = v.shared_down;
            f.up.bias = f.down.bias = NULL;
            load_x(a, t, 1, f.x);
            add_expert(&f, 1);
        }
        for (int64_t h = 0; h < hidden; h++) tenon_ref_store2(a->out, t, h, f.sum[h]);
    }
    return TENON_OK;
}

static int32_t plan_workspace(tenon_kernel_plan *plan, tenon_error *error) {
    const tenon_moe_args *a = plan->problem.args;
    views v = {0};
    tenon_reason why;
    int32_t status = open_weights(a, &v, &why);
    if (status) return tenon_fail(error, status, TENON_OP_MOE, -1, "moe: %s", why.text);
    plan->workspace_bytes = workspace_bytes_of(a, &v);
    return TENON_OK;
}

static const char *why_not(const tenon_problem *problem, tenon_reason *reason) {
    views v;
    return open_weights(problem->args, &v, reason) ? reason->text : NULL;
}

extern const tenon_kernel tenon_ref_moe;
const tenon_kernel tenon_ref_moe = {
    .name = "ref_moe",
    .op = TENON_OP_MOE,
    .traits = TENON_TRAIT_REFERENCE | TENON_TRAIT_DETERMINISTIC | TENON_TRAIT_BATCH_INVARIANT,
    .checked_on = "hardware",
    .why_not = why_not,
    .plan = plan_workspace,
    .run = run,
};
