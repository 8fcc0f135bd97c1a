/* SPDX-License-Identifier: Apache-2.0 */
#include "matmul_fill.h"

#include "moe_activation.h"

matmul_call tenon_rocm_matmul_call(int32_t op, const void *args) {
    if (op == TENON_OP_MATMUL) {
        const tenon_matmul_args *a = args;
        return (matmul_call){.x = a->a,
                             .w = a->w,
                             .bias = a->bias,
                             .out = a->out,
                             .x_quant = a->a_quant,
                             .w_quant = a->w_quant,
                             .compute = a->compute,
                             .stream = a->stream,
                             .fault = a->fault};
    }
    const tenon_moe_matmul_args *a = args;
    return (matmul_call){.x = a->x,
                         .w = a->w,
                         .bias = a->bias,
                         .out = a->out,
                         .x_quant = a->x_quant,
                         .w_quant = a->w_quant,
                         .moe = a,
                         .compute = a->compute,
                         .stream = a->stream,
                         .fault = a->fault};
}

const char *tenon_rocm_matmul_views(const matmul_call *call, tenon_weight_view *x,
                                    tenon_weight_view *w, tenon_reason *reason) {
    if (call->w_quant && call->w_quant->format == TENON_FORMAT_PACKED)
        return tenon_decline(reason, "w is packed; kernels here read weights as checkpoints store "
                                     "them, and pack_weights has no row");
    if (tenon_activation_view_from(call->x, call->x_quant, x, reason) ||
        tenon_weight_view_from(call->w, call->w_quant, w, reason))
        return reason->text;
    return NULL;
}

const char *tenon_rocm_matmul_declines(const matmul_call *call, tenon_weight_view *x,
                                       tenon_weight_view *w, tenon_reason *reason) {
    const char *why = tenon_rocm_matmul_views(call, x, w, reason);
    if (why) return why;
    const int64_t rows = call->out->shape[0] * (call->out->ndim == 3 ? call->out->shape[1] : 1);
    if (rows > INT32_MAX || w->n > INT32_MAX || w->k > INT32_MAX || x->experts * x->n > INT32_MAX)
        return tenon_decline(reason, "m=%lld n=%lld k=%lld, beyond 32 bits", (long long)rows,
                             (long long)w->n, (long long)w->k);
    return NULL;
}

static matmul_plane plane_of(const tenon_parameter_plane *p) {
    return (matmul_plane){.data = p->present ? (void *)(uintptr_t)p->data : NULL,
                          .expert_stride = p->expert_stride,
                          .row_stride = p->row_stride,
                          .col_stride = p->col_stride,
                          .number = (uint32_t)p->number};
}

static matmul_operand operand_of(const tenon_weight_view *v) {
    matmul_operand o = {.data = (void *)(uintptr_t)v->data,
                        .expert_stride = v->expert_stride,
                        .row_stride = v->n_stride,
                        .k_stride = v->k_stride,
                        .scale = plane_of(&v->scale),
                        .zero = plane_of(&v->zero_point),
                        .global = plane_of(&v->global_scale),
                        .group_index =
                            v->group_index.present ? (void *)(uintptr_t)v->group_index.data : NULL,
                        .group_index_stride = v->group_index.col_stride,
                        .format = (uint32_t)v->format,
                        .number = (uint32_t)v->number,
                        .group_rows = (uint32_t)v->group_rows,
                        .group_cols = (uint32_t)v->group_cols,
                        .col_groups = (uint32_t)v->col_groups,
                        .global_divides = (uint32_t)v->global_divides,
                        .gptq = v->format == TENON_FORMAT_INT4_GPTQ};
    o.scale.swizzled = (uint32_t)v->scale_swizzled;
    return o;
}

static void fill_experts(const tenon_moe_matmul_args *a, matmul_arguments *k) {
    const bool masked = a->out->ndim == 3;
    k->local = (uint32_t)(a->expert_offsets && !masked ? a->expert_offsets->shape[0] - 1
                                                       : a->out->shape[0]);
    k->max_rows = masked ? (uint32_t)a->out->shape[1] : 0;
    if (!masked) {
        k->expert_offsets = tenon_data(a->expert_offsets);
        k->offsets_64 = a->expert_offsets->dtype.bits == 64;
    }
    k->expert_counts = a->expert_counts ? tenon_data(a->expert_counts) : NULL;
    k->row_pairs = a->row_pairs ? tenon_data(a->row_pairs) : NULL;
    k->row_weights = a->row_weights ? tenon_data(a->row_weights) : NULL;
    k->n_pairs = a->row_weights ? (uint32_t)a->row_weights->shape[0] : 0;
    k->in_order = !a->row_pairs || a->pairs_per_token == -1;
    k->pairs_per_token = a->pairs_per_token > 0 ? (uint32_t)a->pairs_per_token : 1;
    k->activation = (uint32_t)a->activation;
    k->gate_layout = (uint32_t)a->gate_layout;
    k->gated = (uint32_t)tenon_activation_is_gated(a->activation);
    k->alpha = tenon_activation_alpha(a->alpha);
    k->limit = a->limit;
}

int32_t tenon_rocm_matmul_fill(const matmul_call *call, int32_t op, matmul_arguments *k,
                               tenon_error *error) {
    tenon_weight_view x, w;
    tenon_reason reason;
    const DLTensor *out = call->out;
    const char *why = tenon_rocm_matmul_views(call, &x, &w, &reason);
    if (why) return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, op, -1, "matmul: %s", why);
    *k =
        (matmul_arguments){.x = operand_of(&x),
                           .w = operand_of(&w),
                           .bias = call->bias ? tenon_data(call->bias) : NULL,
                           .out = tenon_data(out),
                           .out_row = out->strides[out->ndim - 2],
                           .out_table = out->ndim == 3 ? out->strides[0] : 0,
                           .fault = (void *)call->fault,
                           .n = (uint32_t)w.n,
                           .k = (uint32_t)w.k,
                           .rows = (uint32_t)(out->shape[0] * (out->ndim == 3 ? out->shape[1] : 1)),
                           .x_rows = (uint32_t)(x.experts * x.n),
                           .in_order = 1,
                           .pairs_per_token = 1,
                           .out_number = (uint32_t)tenon_number_of(out->dtype)};
    if (call->bias) {
        k->bias_number = (uint32_t)tenon_number_of(call->bias->dtype);
        k->bias_expert = call->bias->ndim == 2 ? call->bias->strides[0] : 0;
    }
    if (call->moe) fill_experts(call->moe, k);
    return TENON_OK;
}

uint32_t tenon_rocm_matmul_row_blocks(const matmul_arguments *a, uint32_t block_rows) {
    const uint32_t whole = a->rows / block_rows, rest = a->rows % block_rows != 0;
    if (!a->local) return whole + rest;
    /* Each expert may end in a partial block, which holds one row at least. */
    return whole + a->local < a->rows ? whole + a->local : a->rows;
}
