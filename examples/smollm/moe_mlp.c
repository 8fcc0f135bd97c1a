/* SPDX-License-Identifier: Apache-2.0 */
#include "moe_mlp.h"

#include <stdlib.h>
#include <string.h>

#include "random_stream.h"

bool moe_buffers_create(moe_buffers *buffers, const llama_config *config, int64_t max_tokens,
                        host_error *error) {
    const size_t tokens = (size_t)max_tokens, rows = tokens * MOE_CHOSEN;
    *buffers = (moe_buffers){
        .logits = malloc(tokens * MOE_EXPERTS * sizeof(float)),
        .weights = malloc(rows * sizeof(float)),
        .ids = malloc(rows * sizeof(int32_t)),
        .expert_offsets = malloc((MOE_EXPERTS + 1) * sizeof(int32_t)),
        .row_pairs = malloc(rows * sizeof(int32_t)),
        .pair_rows = malloc(rows * sizeof(int32_t)),
        .activated = malloc(rows * (size_t)config->inter * sizeof(float)),
        .expert_out = malloc(rows * (size_t)config->hidden * sizeof(float)),
    };
    if (buffers->logits && buffers->weights && buffers->ids && buffers->expert_offsets &&
        buffers->row_pairs && buffers->pair_rows && buffers->activated && buffers->expert_out) {
        return true;
    }
    moe_buffers_free(buffers);
    return host_fail(error, "out of memory for the experts' buffers");
}

void moe_buffers_free(moe_buffers *buffers) {
    free(buffers->logits);
    free(buffers->weights);
    free(buffers->ids);
    free(buffers->expert_offsets);
    free(buffers->row_pairs);
    free(buffers->pair_rows);
    free(buffers->activated);
    free(buffers->expert_out);
    *buffers = (moe_buffers){0};
}

/* ---- the calls: each function describes one, for planning and for running alike ---- */

/* Everything the calls of one step point to; lives on the stack for the length of a step. */
typedef struct moe_step {
    const moe_mlp *mlp;
    moe_buffers *buffers;
    const float *x;
    float *out;
    int64_t tokens;
    tensor_view views[10];
    tenon_quant gate_up_quant, down_quant;
} moe_step;

/* All experts are the same memory: the stride between them is 0. */
static bool view_copies(tensor_view *view, tenon_quant *quant, const moe_weight *weight,
                        host_error *error) {
    tensor_view one;
    if (!view_gguf_tensor(&one, quant, weight->like, weight->blocks, weight->rows, error)) {
        return false;
    }
    view_3d(view, weight->blocks, one.tensor.dtype, MOE_EXPERTS, one.shape[0], one.shape[1]);
    view->strides[0] = 0;
    return true;
}

static const DLTensor *view_experts(tensor_view *view, tenon_quant *quant,
                                    const moe_weight *weight) {
    host_error ignored; /* the format was accepted when the weight was made */
    if (!weight->packed.blob) {
        view_copies(view, quant, weight, &ignored);
        return &view->tensor;
    }
    *quant = (tenon_quant){.struct_size = sizeof *quant, .format = TENON_FORMAT_PACKED};
    return view_packed(view, &weight->packed);
}

static tenon_matmul_args router_args(moe_step *step) {
    const moe_mlp *mlp = step->mlp;
    return (tenon_matmul_args){
        .struct_size = sizeof(tenon_matmul_args),
        .a = view_2d(&step->views[0], step->x, type_f32, step->tokens, mlp->hidden),
        .w = view_2d(&step->views[1], mlp->router, type_f32, MOE_EXPERTS, mlp->hidden),
        .out = view_2d(&step->views[2], step->buffers->logits, type_f32, step->tokens, MOE_EXPERTS),
        .compute = TENON_COMPUTE_EXACT};
}

static tenon_moe_route_args route_args(moe_step *step) {
    moe_buffers *b = step->buffers;
    return (tenon_moe_route_args){
        .struct_size = sizeof(tenon_moe_route_args),
        .flags = TENON_MOE_ROUTE_RENORMALIZE,
        .logits = view_2d(&step->views[0], b->logits, type_f32, step->tokens, MOE_EXPERTS),
        .topk_weights = view_2d(&step->views[1], b->weights, type_f32, step->tokens, MOE_CHOSEN),
        .topk_ids = view_2d(&step->views[2], b->ids, type_i32, step->tokens, MOE_CHOSEN),
        .scoring = TENON_SCORING_SOFTMAX};
}

static tenon_moe_dispatch_args dispatch_args(moe_step *step) {
    moe_buffers *b = step->buffers;
    const int64_t rows = step->tokens * MOE_CHOSEN;
    return (tenon_moe_dispatch_args){
        .struct_size = sizeof(tenon_moe_dispatch_args),
        .topk_ids = view_2d(&step->views[0], b->ids, type_i32, step->tokens, MOE_CHOSEN),
        .expert_offsets = view_1d(&step->views[1], b->expert_offsets, type_i32, MOE_EXPERTS + 1),
        .row_pairs = view_1d(&step->views[2], b->row_pairs, type_i32, rows),
        .pair_rows = view_2d(&step->views[3], b->pair_rows, type_i32, step->tokens, MOE_CHOSEN)};
}

/* Gathers each row's token by itself, so that dispatch need not copy activations. */
static tenon_moe_matmul_args gate_up_args(moe_step *step) {
    const moe_mlp *mlp = step->mlp;
    moe_buffers *b = step->buffers;
    const int64_t rows = step->tokens * MOE_CHOSEN;
    return (tenon_moe_matmul_args){
        .struct_size = sizeof(tenon_moe_matmul_args),
        .x = view_2d(&step->views[0], step->x, type_f32, step->tokens, mlp->hidden),
        .w = view_experts(&step->views[1], &step->gate_up_quant, &mlp->gate_up),
        .w_quant = &step->gate_up_quant,
        .expert_offsets = view_1d(&step->views[2], b->expert_offsets, type_i32, MOE_EXPERTS + 1),
        .row_pairs = view_1d(&step->views[3], b->row_pairs, type_i32, rows),
        .out = view_2d(&step->views[4], b->activated, type_f32, rows, mlp->inter),
        .activation = TENON_ACTIVATION_SILU_GATED,
        .gate_layout = TENON_GATE_LAYOUT_GATE_UP,
        .pairs_per_token = MOE_CHOSEN,
        .compute = mlp->compute};
}

static tenon_moe_matmul_args down_args(moe_step *step) {
    const moe_mlp *mlp = step->mlp;
    moe_buffers *b = step->buffers;
    const int64_t rows = step->tokens * MOE_CHOSEN;
    return (tenon_moe_matmul_args){
        .struct_size = sizeof(tenon_moe_matmul_args),
        .x = view_2d(&step->views[0], b->activated, type_f32, rows, mlp->inter),
        .w = view_experts(&step->views[1], &step->down_quant, &mlp->down),
        .w_quant = &step->down_quant,
        .expert_offsets = view_1d(&step->views[2], b->expert_offsets, type_i32, MOE_EXPERTS + 1),
        .out = view_2d(&step->views[3], b->expert_out, type_f32, rows, mlp->hidden),
        .compute = mlp->compute};
}

static tenon_moe_combine_args combine_args(moe_step *step) {
    const moe_mlp *mlp = step->mlp;
    moe_buffers *b = step->buffers;
    return (tenon_moe_combine_args){
        .struct_size = sizeof(tenon_moe_combine_args),
        .y = view_2d(&step->views[0], b->expert_out, type_f32, step->tokens * MOE_CHOSEN,
                     mlp->hidden),
        .pair_rows = view_2d(&step->views[1], b->pair_rows, type_i32, step->tokens, MOE_CHOSEN),
        .topk_weights = view_2d(&step->views[2], b->weights, type_f32, step->tokens, MOE_CHOSEN),
        .out = view_2d(&step->views[3], step->out, type_f32, step->tokens, mlp->hidden)};
}

static tenon_moe_args fused_args(moe_step *step) {
    const moe_mlp *mlp = step->mlp;
    moe_buffers *b = step->buffers;
    return (tenon_moe_args){
        .struct_size = sizeof(tenon_moe_args),
        .x = view_2d(&step->views[0], step->x, type_f32, step->tokens, mlp->hidden),
        .topk_weights = view_2d(&step->views[1], b->weights, type_f32, step->tokens, MOE_CHOSEN),
        .topk_ids = view_2d(&step->views[2], b->ids, type_i32, step->tokens, MOE_CHOSEN),
        .gate_up = view_experts(&step->views[3], &step->gate_up_quant, &mlp->gate_up),
        .gate_up_quant = &step->gate_up_quant,
        .down = view_experts(&step->views[4], &step->down_quant, &mlp->down),
        .down_quant = &step->down_quant,
        .out = view_2d(&step->views[5], step->out, type_f32, step->tokens, mlp->hidden),
        .activation = TENON_ACTIVATION_SILU_GATED,
        .gate_layout = TENON_GATE_LAYOUT_GATE_UP,
        .compute = mlp->compute};
}

/* ---- planning and running ---- */

static bool plan_steps(tenon_library *library, moe_plans *plans, moe_step *step,
                       host_error *error) {
    tenon_matmul_args router = router_args(step);
    if (!plan_call(library, &plans->router, "router", TENON_OP_MATMUL, &router, error)) {
        return false;
    }
    tenon_moe_route_args route = route_args(step);
    if (!plan_call(library, &plans->route, "route", TENON_OP_MOE_ROUTE, &route, error)) {
        return false;
    }
    if (step->mlp->mode == MOE_FUSED) {
        tenon_moe_args fused = fused_args(step);
        return plan_call(library, &plans->fused, "moe", TENON_OP_MOE, &fused, error);
    }
    tenon_moe_dispatch_args dispatch = dispatch_args(step);
    if (!plan_call(library, &plans->dispatch, "dispatch", TENON_OP_MOE_DISPATCH, &dispatch,
                   error)) {
        return false;
    }
    tenon_moe_matmul_args gate_up = gate_up_args(step);
    if (!plan_call(library, &plans->gate_up, "experts' gate_up", TENON_OP_MOE_MATMUL, &gate_up,
                   error)) {
        return false;
    }
    tenon_moe_matmul_args down = down_args(step);
    if (!plan_call(library, &plans->down, "experts' down", TENON_OP_MOE_MATMUL, &down, error)) {
        return false;
    }
    tenon_moe_combine_args combine = combine_args(step);
    return plan_call(library, &plans->combine, "combine", TENON_OP_MOE_COMBINE, &combine, error);
}

static bool make_weight(const tenon_library *library, moe_weight *weight, bool pack,
                        int32_t compute, host_error *error) {
    tensor_view copies;
    tenon_quant quant;
    if (!view_copies(&copies, &quant, weight, error)) return false;
    return !pack || pack_tensor(library, &weight->packed, &copies.tensor, &quant, compute, error);
}

bool moe_mlp_create(tenon_library *library, moe_mlp *mlp, const moe_options *options,
                    moe_buffers *buffers, const llama_config *config, const llama_tensors *tensors,
                    int64_t max_tokens, uint64_t seed, host_error *error) {
    const gguf_tensor *gate = tensors->gate, *up = tensors->up;
    *mlp = (moe_mlp){.mode = options->mode,
                     .compute = options->compute,
                     .hidden = config->hidden,
                     .inter = config->inter};
    if (gate->format != up->format) {
        return host_fail(error, "gate is %s but up is %s: one weight of both cannot be made",
                         gguf_format_name(gate->format), gguf_format_name(up->format));
    }
    mlp->gate_up_rows = malloc(gate->size_bytes + up->size_bytes);
    mlp->router = malloc(MOE_EXPERTS * (size_t)config->hidden * sizeof *mlp->router);
    if (!mlp->gate_up_rows || !mlp->router) return host_fail(error, "out of memory for experts");
    memcpy(mlp->gate_up_rows, gate->data, gate->size_bytes);
    memcpy((char *)mlp->gate_up_rows + gate->size_bytes, up->data, up->size_bytes);
    mlp->gate_up = (moe_weight){gate, mlp->gate_up_rows, 2 * config->inter, {0}};
    mlp->down = (moe_weight){tensors->down, tensors->down->data, config->hidden, {0}};
    if (!make_weight(library, &mlp->gate_up, options->pack, options->compute, error) ||
        !make_weight(library, &mlp->down, options->pack, options->compute, error)) {
        return false;
    }
    random_stream random = random_stream_from(seed);
    for (int64_t i = 0; i < MOE_EXPERTS * config->hidden; i++) {
        mlp->router[i] = random_unit(&random) * 2.0f - 1.0f;
    }
    moe_step step = {.mlp = mlp, .buffers = buffers, .tokens = 1};
    if (!plan_steps(library, &mlp->decode, &step, error)) return false;
    step.tokens = max_tokens;
    return plan_steps(library, &mlp->chunk, &step, error);
}

static void free_plans(const tenon_library *library, moe_plans *plans) {
    planned_call_free(library, &plans->router);
    planned_call_free(library, &plans->route);
    planned_call_free(library, &plans->dispatch);
    planned_call_free(library, &plans->gate_up);
    planned_call_free(library, &plans->down);
    planned_call_free(library, &plans->combine);
    planned_call_free(library, &plans->fused);
}

void moe_mlp_free(const tenon_library *library, moe_mlp *mlp) {
    free_plans(library, &mlp->decode);
    free_plans(library, &mlp->chunk);
    free(mlp->router);
    free(mlp->gate_up_rows);
    packed_weights_free(&mlp->gate_up.packed);
    packed_weights_free(&mlp->down.packed);
    *mlp = (moe_mlp){0};
}

bool moe_mlp_run(tenon_library *library, moe_mlp *mlp, moe_buffers *buffers, const float *x,
                 int64_t tokens, float *out, host_error *error) {
    moe_plans *plans = tokens == 1 ? &mlp->decode : &mlp->chunk;
    moe_step step = {.mlp = mlp, .buffers = buffers, .x = x, .out = out, .tokens = tokens};
    tenon_matmul_args router = router_args(&step);
    if (!run_call(library, &plans->router, &router, error)) return false;
    tenon_moe_route_args route = route_args(&step);
    if (!run_call(library, &plans->route, &route, error)) return false;
    for (int64_t pair = 0; pair < tokens * MOE_CHOSEN; pair++) {
        buffers->chosen_count[buffers->ids[pair] % MOE_EXPERTS]++;
    }
    if (mlp->mode == MOE_FUSED) {
        tenon_moe_args fused = fused_args(&step);
        return run_call(library, &plans->fused, &fused, error);
    }
    tenon_moe_dispatch_args dispatch = dispatch_args(&step);
    if (!run_call(library, &plans->dispatch, &dispatch, error)) return false;
    tenon_moe_matmul_args gate_up = gate_up_args(&step);
    if (!run_call(library, &plans->gate_up, &gate_up, error)) return false;
    tenon_moe_matmul_args down = down_args(&step);
    if (!run_call(library, &plans->down, &down, error)) return false;
    tenon_moe_combine_args combine = combine_args(&step);
    return run_call(library, &plans->combine, &combine, error);
}
