/* SPDX-License-Identifier: Apache-2.0 */
/* The fused call on the CPU:
 *
 *     sort pairs by expert -> gate_up over gathered rows of x, activation -> down -> weighted sum
 * per token
 *
 * with the grouped matmuls of panel/, so weights are read packed or as the checkpoint has them. A
 * pair's result waits in f32 for the sum, whose order is that of the slots: the result depends
 * neither on threads nor on the batch. Rows between the matmuls are f32, or bf16 where x
 * is and down's elements are bf16 values (bf16, fp8; compute DEFAULT), which is what lets both
 * matmuls use bf16 dot products. README.md has the numbers. */
#include "combine_rows.h"
#include "moe_activation.h"
#include "moe_cpu.h"
#include "moe_layout.h"

/* ---- planning ---- */

static const char *weight_from(const DLTensor *w, const tenon_quant *quant, tenon_moe_weight *out,
                               tenon_reason *reason) {
    return tenon_panel_weights_from(w, quant, &out->weights, &out->header, reason);
}

static const char *weights_from(const tenon_moe_args *a, tenon_moe_state *st,
                                tenon_reason *reason) {
    const char *why = weight_from(a->gate_up, a->gate_up_quant, &st->routed.up, reason);
    if (!why) why = weight_from(a->down, a->down_quant, &st->routed.down, reason);
    if (!why && a->shared_gate_up)
        why = weight_from(a->shared_gate_up, a->shared_gate_up_quant, &st->shared.up, reason);
    if (!why && a->shared_gate_up)
        why = weight_from(a->shared_down, a->shared_down_quant, &st->shared.down, reason);
    return why;
}

static const char *why_not(const tenon_problem *problem, tenon_reason *reason, bool int8) {
    const tenon_moe_args *a = problem->args;
    tenon_moe_state st;
    if (a->topk_ids->shape[1] > TENON_MOE_MAX_TOPK + TENON_MOE_MAX_SHARED)
        return tenon_decline(reason, "k=%lld, at most %d", (long long)a->topk_ids->shape[1],
                             TENON_MOE_MAX_TOPK + TENON_MOE_MAX_SHARED);
    if (int8 && a->compute == TENON_COMPUTE_EXACT)
        return tenon_decline(reason, "compute=EXACT, this kernel rounds activations to int8");
    const char *why = weights_from(a, &st, reason);
    if (why) return why;
    bool plain = tenon_panel_keeps_activations(st.routed.up.weights.kind) &&
                 tenon_panel_keeps_activations(st.routed.down.weights.kind);
    if (a->shared_gate_up)
        plain = plain && tenon_panel_keeps_activations(st.shared.up.weights.kind) &&
                tenon_panel_keeps_activations(st.shared.down.weights.kind);
    return int8 && plain
               ? tenon_decline(reason, "weights are floats: activations keep their precision")
               : NULL;
}
static const char *why_not_int8(const tenon_problem *problem, tenon_reason *reason) {
    return why_not(problem, reason, true);
}
static const char *why_not_float(const tenon_problem *problem, tenon_reason *reason) {
    return why_not(problem, reason, false);
}

static void shape_weight(const tenon_kernel_plan *plan, tenon_moe_weight *w,
                         tenon_panel_type in_type) {
    const tenon_panel_kernels *kernels = tenon_panel_kernels_for(plan->kernel->needs);
    const int exact = !(plan->kernel->traits & TENON_TRAIT_INT8_ACTIVATIONS);
    w->shape =
        (tenon_panel_shape){.kernels = kernels,
                            .kind = w->weights.kind,
                            .mode = tenon_panel_mode_for(kernels, w->weights.kind, in_type, exact),
                            .n = w->weights.n,
                            .k = w->weights.k,
                            .units = tenon_panel_units(w->weights.kind, w->weights.k),
                            .groups = w->weights.groups,
                            .n_threads = tenon_cpu_threads(plan),
                            .sums_slots = TENON_PANEL_GATE_SUMS};
}

static void shape_pair(const tenon_kernel_plan *plan, const tenon_moe_state *st,
                       const DLTensor *up_bias, const DLTensor *down_bias,
                       tenon_panel_type first_type, tenon_moe_pair *pair) {
    const tenon_moe_args *a = plan->problem.args;
    const int gated = tenon_activation_is_gated(a->activation);
    shape_weight(plan, &pair->up, first_type);
    shape_weight(plan, &pair->down, st->between_type);
    pair->up.gate =
        (tenon_panel_gate){.epilogue = {a->activation, tenon_activation_alpha(a->alpha), a->limit},
                           .gate_layout = a->gate_layout,
                           .gated = gated,
                           .n_out = pair->down.weights.k,
                           .out_type = st->between_type};
    pair->down.gate = (tenon_panel_gate){.epilogue = {TENON_ACTIVATION_NONE, 0, 0},
                                         .n_out = st->hidden,
                                         .out_type = TENON_PANEL_TYPE_F32};
    if (up_bias) tenon_panel_type_of(up_bias->dtype, &pair->up.gate.bias_type);
    if (down_bias) tenon_panel_type_of(down_bias->dtype, &pair->down.gate.bias_type);
}

static uint64_t take(tenon_moe_state *st, uint64_t bytes) {
    const uint64_t at = st->bytes;
    st->bytes += (bytes + 63) / 64 * 64;
    return at;
}

static uint64_t larger(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

static int64_t width_between(const tenon_moe_state *st) {
    const int64_t routed = st->routed.down.weights.k,
                  shared = st->has_shared ? st->shared.down.weights.k : 0;
    return st->k * routed > shared ? st->k * routed : shared; /* of a token */
}

static void lay_out(tenon_moe_state *st, bool on_input, int32_t n_threads) {
    const int64_t pairs = st->chunk_tokens * st->k;
    tenon_moe_weight *all[] = {&st->routed.up, &st->routed.down, &st->shared.up, &st->shared.down};
    uint64_t prepared = 0, scratch = 0;
    for (int i = 0; i < (st->has_shared ? 4 : 2); i++) {
        all[i]->round_rows = tenon_panel_round_rows(&all[i]->shape, pairs);
        prepared = larger(prepared, tenon_panel_rows_bytes(&all[i]->shape, all[i]->round_rows));
        scratch = larger(scratch, tenon_panel_scratch_bytes(&all[i]->shape));
    }
    st->sort_at = take(st, tenon_pair_sort_bytes(pairs, st->local, n_threads));
    st->pair_at = take(st, (uint64_t)pairs * 4);
    st->segments_at =
        take(st, (uint64_t)(st->local + TENON_PANEL_MAX_ROUND_ROWS / TENON_PANEL_SEGMENT_ROWS + 1) *
                     sizeof(tenon_panel_segment));
    st->scaled_at = take(st, on_input ? (uint64_t)(st->chunk_tokens * st->hidden) * 4 : 0);
    st->between_at = take(st, (uint64_t)(st->chunk_tokens * width_between(st) *
                                         tenon_panel_type_bytes(st->between_type)));
    st->y_at = take(st, (uint64_t)(pairs * st->hidden) * 4);
    st->shared_at = take(st, st->has_shared ? (uint64_t)(st->chunk_tokens * st->hidden) * 4 : 0);
    st->prepared_at = take(st, prepared);
    st->scratch_at = take(st, scratch * (uint64_t)n_threads);
}

/* Weights that bf16 rows meet without another rounding. */
static bool is_bf16_at_best(tenon_panel_kind kind) {
    return kind == TENON_PANEL_BF16 || tenon_panel_is_float8(kind) || tenon_panel_is_mxfp8(kind);
}

static int32_t plan_call(tenon_kernel_plan *plan, tenon_error *error) {
    const tenon_moe_args *a = plan->problem.args;
    const bool on_input = (a->flags & TENON_MOE_WEIGHT_ON_INPUT) != 0;
    tenon_reason reason;
    tenon_moe_state *st = tenon_platform_allocate(plan->problem.platform, sizeof *st);
    if (!st)
        return tenon_fail(error, TENON_STATUS_NO_MEMORY, TENON_OP_MOE, -1, "moe: %zu bytes",
                          sizeof *st);
    memset(st, 0, sizeof *st);
    plan->state = st;
    const char *why = weights_from(a, st, &reason);
    if (why) return tenon_fail(error, TENON_STATUS_UNSUPPORTED, TENON_OP_MOE, -1, "moe: %s", why);

    st->local = st->routed.up.weights.experts;
    st->hidden = a->x->shape[1];
    st->k = a->topk_ids->shape[1];
    st->has_shared = a->shared_gate_up != NULL;
    tenon_panel_type_of(a->x->dtype, &st->x_type);
    st->first_type = on_input
                         ? TENON_PANEL_TYPE_F32
                         : st->x_type; /* x times the weight is rounded no further than to f32 */
    const tenon_panel_kind down = st->routed.down.weights.kind;
    const bool bf16 = st->x_type == TENON_PANEL_TYPE_BF16 && is_bf16_at_best(down) &&
                      a->compute == TENON_COMPUTE_DEFAULT;
    st->between_type = bf16 ? TENON_PANEL_TYPE_BF16 : TENON_PANEL_TYPE_F32;
    shape_pair(plan, st, a->gate_up_bias, a->down_bias, st->first_type, &st->routed);
    if (st->has_shared) shape_pair(plan, st, NULL, NULL, st->x_type, &st->shared);

    const int64_t token_bytes = 4 * st->k * st->hidden, tokens = a->x->shape[0];
    const int64_t fit = token_bytes && token_bytes < TENON_MOE_Y_BYTES
                            ? TENON_MOE_Y_BYTES / token_bytes
                        : token_bytes ? 1
                                      : tokens;
    st->chunk_tokens = tokens < fit ? tokens : fit;
    lay_out(st, on_input, tenon_cpu_threads(plan));
    plan->workspace_bytes = st->bytes;
    return TENON_OK;
}

static void release(tenon_kernel_plan *plan) {
    tenon_platform_release(plan->problem.platform, plan->state, sizeof(tenon_moe_state));
}

/* ---- running ---- */

typedef struct chunk {
    const tenon_moe_state *state;
    const tenon_moe_args *args;
    tenon_combine_fn combine;
    uint8_t *workspace;
    int64_t token0, tokens;
    tenon_pair_sort sort;
} chunk;

/* f32 rows of x times their weights. */
static void scale_token(void *arg, int64_t t, int32_t thread) {
    const chunk *c = arg;
    const tenon_moe_args *a = c->args;
    const int64_t hidden = c->state->hidden, token = c->token0 + t;
    const char *x =
        (const char *)tenon_data(a->x) + token * a->x->strides[0] * (a->x->dtype.bits / 8);
    const float weight =
        ((const float *)tenon_data(a->topk_weights))[token * a->topk_weights->strides[0]];
    float *out = (float *)(void *)(c->workspace + c->state->scaled_at) + t * hidden;
    (void)thread;
    tenon_panel_load_row(c->state->x_type, x, (int32_t)hidden, out);
    for (int64_t h = 0; h < hidden; h++) out[h] *= weight;
}

/* out[t] = scale * sum of the token's rows of y, slot 0 first, + the shared expert's row */
static void combine_token(void *arg, int64_t t, int32_t thread) {
    const chunk *c = arg;
    const tenon_moe_state *st = c->state;
    const tenon_moe_args *a = c->args;
    const int64_t token = c->token0 + t;
    const int on_input = (a->flags & TENON_MOE_WEIGHT_ON_INPUT) != 0;
    const float *weights =
        (const float *)tenon_data(a->topk_weights) + token * a->topk_weights->strides[0];
    const float *y = (const float *)(const void *)(c->workspace + st->y_at);
    const void *row[TENON_MOE_MAX_TOPK + TENON_MOE_MAX_SHARED];
    float weight[TENON_MOE_MAX_TOPK + TENON_MOE_MAX_SHARED];
    tenon_combine_span span = {
        .row = row,
        .weight = weight,
        .scale = a->routed_scale == 0 ? 1 : a->routed_scale,
        .shared = st->has_shared ? c->workspace + st->shared_at + t * st->hidden * 4 : NULL,
        .out = (char *)tenon_data(a->out) + token * a->out->strides[0] * (a->out->dtype.bits / 8),
        .count = st->hidden,
        .row_type = TENON_NUMBER_F32,
        .shared_type = TENON_NUMBER_F32,
        .out_type = tenon_number_of(a->out->dtype)};
    (void)thread;
    for (int64_t slot = 0; slot < st->k; slot++) {
        const int64_t r = c->sort.row[t * st->k + slot];
        if (r < 0) continue;
        row[span.n_rows] = y + r * st->hidden;
        weight[span.n_rows++] = on_input ? 1 : weights[slot];
    }
    c->combine(&span);
}

/* Sorts the chunk's pairs and turns the order round: the pair of each row. */
static void sort_chunk(chunk *c, int32_t *pair_of, int64_t max_pairs, int32_t n_threads,
                       tenon_cpu_pool *pool) {
    const tenon_moe_args *a = c->args;
    int64_t shape[2] = {c->tokens, c->state->k};
    DLTensor ids = *a->topk_ids;
    ids.shape = shape;
    ids.byte_offset += (uint64_t)(c->token0 * ids.strides[0] * (ids.dtype.bits / 8));
    c->sort = (tenon_pair_sort){.op = TENON_OP_MOE,
                                .topk_ids = &ids,
                                .expert_map = a->expert_map,
                                .first_pair = c->token0 * c->state->k,
                                .local = c->state->local,
                                .block_rows = 1,
                                .capacity = INT32_MAX,
                                .fault = a->fault};
    tenon_pair_sort_place(&c->sort, c->workspace + c->state->sort_at, max_pairs, n_threads);
    tenon_pair_sort_run(&c->sort, pool);
    for (int64_t p = 0; p < c->tokens * c->state->k; p++)
        if (c->sort.row[p] >= 0) pair_of[c->sort.row[p]] = (int32_t)p;
    c->sort.topk_ids = NULL; /* it ends here */
}

/* Both matmuls of one pair of weights. */
static void feed_forward(const chunk *c, const tenon_moe_pair *pair, const tenon_panel_weights w[2],
                         const DLTensor *up_bias, const DLTensor *down_bias, tenon_moe_rows in,
                         tenon_panel_type in_type, const int32_t *first, const int32_t *count,
                         int64_t experts, uint8_t *y, tenon_cpu_pool *pool) {
    const tenon_moe_state *st = c->state;
    uint8_t *between = c->workspace + st->between_at;
    const int64_t between_bytes = pair->down.weights.k * tenon_panel_type_bytes(st->between_type);
    const tenon_moe_product up = {&pair->up, &w[0],         up_bias, in,    in_type,
                                  between,   between_bytes, first,   count, experts};
    const tenon_moe_product down = {&pair->down,
                                    &w[1],
                                    down_bias,
                                    {between, between_bytes, NULL, 1},
                                    st->between_type,
                                    y,
                                    st->hidden * 4,
                                    first,
                                    count,
                                    experts};
    tenon_moe_multiply(st, c->workspace, &up, pool);
    tenon_moe_multiply(st, c->workspace, &down, pool);
}

/* The four weights at the run's addresses: gate_up, down, and those of the shared expert. */
static int32_t open_weights(const tenon_moe_state *st, const tenon_moe_args *a,
                            tenon_panel_weights w[4], tenon_reason *why) {
    int32_t status = tenon_panel_weights_at(&st->routed.up.weights, &st->routed.up.header,
                                            a->gate_up, a->gate_up_quant, &w[0], why);
    if (!status)
        status = tenon_panel_weights_at(&st->routed.down.weights, &st->routed.down.header, a->down,
                                        a->down_quant, &w[1], why);
    if (!status && st->has_shared)
        status = tenon_panel_weights_at(&st->shared.up.weights, &st->shared.up.header,
                                        a->shared_gate_up, a->shared_gate_up_quant, &w[2], why);
    if (!status && st->has_shared)
        status = tenon_panel_weights_at(&st->shared.down.weights, &st->shared.down.header,
                                        a->shared_down, a->shared_down_quant, &w[3], why);
    return status;
}

static void run_chunk(chunk *c, const tenon_panel_weights w[4], int32_t n_threads,
                      tenon_cpu_pool *pool) {
    const tenon_moe_state *st = c->state;
    const tenon_moe_args *a = c->args;
    const int64_t x_bytes = a->x->strides[0] * (a->x->dtype.bits / 8);
    const uint8_t *x = (const uint8_t *)tenon_data(a->x) + c->token0 * x_bytes;
    int32_t *pair_of = (int32_t *)(void *)(c->workspace + st->pair_at);
    tenon_moe_rows in = {x, x_bytes, pair_of, st->k};

    sort_chunk(c, pair_of, st->chunk_tokens * st->k, n_threads, pool);
    if (a->flags & TENON_MOE_WEIGHT_ON_INPUT) {
        tenon_cpu_pool_run(pool, c->tokens, scale_token, c);
        in.base = c->workspace + st->scaled_at, in.stride_bytes = st->hidden * 4;
    }
    feed_forward(c, &st->routed, w, a->gate_up_bias, a->down_bias, in, st->first_type,
                 c->sort.first, c->sort.count, st->local, c->workspace + st->y_at, pool);
    if (st->has_shared) {
        const int32_t first = 0, count = (int32_t)c->tokens;
        const tenon_moe_rows rows = {x, x_bytes, NULL, 1};
        feed_forward(c, &st->shared, w + 2, NULL, NULL, rows, st->x_type, &first, &count, 1,
                     c->workspace + st->shared_at, pool);
    }
    tenon_cpu_pool_run(pool, c->tokens, combine_token, c);
}

static int32_t run(const tenon_kernel_plan *plan, const void *args, tenon_error *error) {
    const tenon_moe_args *a = args;
    const tenon_moe_state *st = plan->state;
    tenon_panel_weights w[4];
    tenon_reason reason;
    const int32_t status = open_weights(st, a, w, &reason);
    if (status) return tenon_fail(error, status, TENON_OP_MOE, -1, "moe: %s", reason.text);

    chunk c = {
        .state = st, .args = a, .combine = tenon_combine_rows_scalar, .workspace = a->workspace};
#if defined(__x86_64__)
    if (!tenon_cpu_missing(plan->kernel->needs, TENON_CPU_LEVEL_AVX2))
        c.combine = tenon_combine_rows_x86_avx2;
    if (!tenon_cpu_missing(plan->kernel->needs, TENON_CPU_LEVEL_AVX512))
        c.combine = tenon_combine_rows_x86_avx512;
#elif defined(__aarch64__)
    if (!tenon_cpu_missing(plan->kernel->needs, TENON_CPU_LEVEL_NEON))
        c.combine = tenon_combine_rows_arm_neon;
#endif
    for (int64_t tokens = a->x->shape[0]; c.token0 < tokens; c.token0 += c.tokens) {
        c.tokens = tokens - c.token0 < st->chunk_tokens ? tokens - c.token0 : st->chunk_tokens;
        run_chunk(&c, w, tenon_cpu_threads(plan), tenon_cpu_state_of(plan)->pool);
    }
    return TENON_OK;
}

#define ROW(symbol, mode, feature_bits, more_traits)                                               \
    extern const tenon_kernel tenon_##symbol;                                                      \
    const tenon_kernel tenon_##symbol = {                                                          \
        .name = #symbol,                                                                           \
        .op = TENON_OP_MOE,                                                                        \
        .traits = TENON_TRAIT_DETERMINISTIC | TENON_TRAIT_BATCH_INVARIANT | (more_traits),         \
        .needs = (feature_bits),                                                                   \
        .checked_on = "hardware",                                                                  \
        .why_not = why_not_##mode,                                                                 \
        .plan = plan_call,                                                                         \
        .run = run,                                                                                \
        .release = release,                                                                        \
    };
#if defined(__x86_64__)
ROW(cpu_moe_int8_x86_avx512vnni, int8, TENON_CPU_LEVEL_AVX512VNNI, TENON_TRAIT_INT8_ACTIVATIONS)
ROW(cpu_moe_float_x86_avx512vnni, float, TENON_CPU_LEVEL_AVX512VNNI, 0)
ROW(cpu_moe_int8_x86_avx512, int8, TENON_CPU_LEVEL_AVX512, TENON_TRAIT_INT8_ACTIVATIONS)
ROW(cpu_moe_float_x86_avx512, float, TENON_CPU_LEVEL_AVX512, 0)
ROW(cpu_moe_int8_x86_avx2, int8, TENON_CPU_LEVEL_AVX2, TENON_TRAIT_INT8_ACTIVATIONS)
ROW(cpu_moe_float_x86_avx2, float, TENON_CPU_LEVEL_AVX2, 0)
#elif defined(__aarch64__)
ROW(cpu_moe_int8_arm_neonbf16, int8, TENON_CPU_LEVEL_NEONBF16, TENON_TRAIT_INT8_ACTIVATIONS)
ROW(cpu_moe_float_arm_neonbf16, float, TENON_CPU_LEVEL_NEONBF16, 0)
ROW(cpu_moe_int8_arm_neondot, int8, TENON_CPU_LEVEL_NEONDOT, TENON_TRAIT_INT8_ACTIVATIONS)
ROW(cpu_moe_float_arm_neondot, float, TENON_CPU_LEVEL_NEONDOT, 0)
ROW(cpu_moe_int8_arm_neon, int8, TENON_CPU_LEVEL_NEON, TENON_TRAIT_INT8_ACTIVATIONS)
ROW(cpu_moe_float_arm_neon, float, TENON_CPU_LEVEL_NEON, 0)
#endif
ROW(cpu_moe_int8_scalar, int8, 0, TENON_TRAIT_INT8_ACTIVATIONS)
ROW(cpu_moe_float_scalar, float, 0, 0)
