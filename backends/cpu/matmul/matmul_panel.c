/* SPDX-License-Identifier: Apache-2.0 */
/* matmul over panels: out[m, n] = sum_k a[m, k] w[n, k] + bias[n].
 *
 * Two rows for each instruction set: int8 rounds activations to int8 per 32 (compute DEFAULT,
 * quantized weights), float keeps them. Both take weights packed or as the checkpoint has them,
 * with the same bits. Activations are prepared a round of rows at a time, so that the workspace
 * stays bounded. */
#include "cpu_backend.h"
#include "panel_order.h"
#include "panel_weights.h"

typedef struct matmul_state {
    tenon_panel_shape shape;
    tenon_panel_weights weights;
    tenon_panel_type a_type, out_type, bias_type;
    bool quantized; /* activations come quantized: as a_rows says */
    tenon_panel_rows a_rows;
    int64_t rows;                  /* of a round */
    uint64_t scratch_at, order_at; /* in the workspace */
    tenon_blob_header header;
} matmul_state;

typedef struct matmul_call {
    const matmul_state *state;
    const uint8_t *a, *bias;
    uint8_t *out;
    int64_t a_stride, out_stride; /* bytes */
    int64_t first;                /* row of the round */
} matmul_call;

static int32_t type_bytes(tenon_panel_type type) {
    return type == TENON_PANEL_TYPE_F32 ? 4 : 2;
}

static bool is_quantized(const tenon_matmul_args *a) {
    tenon_panel_type type;
    return (a->a_quant && a->a_quant->format != TENON_FORMAT_NONE) ||
           !tenon_panel_type_of(a->a->dtype, &type);
}

static const char *why_not(const tenon_problem *problem, tenon_reason *reason, int int8) {
    const tenon_matmul_args *a = problem->args;
    tenon_panel_weights w;
    tenon_blob_header header;
    tenon_weight_view view;
    if (int8 && is_quantized(a))
        return tenon_decline(reason, "activations come quantized (format %d, dtype code %d)",
                             a->a_quant ? a->a_quant->format : 0, a->a->dtype.code);
    if (is_quantized(a) && tenon_activation_view_from(a->a, a->a_quant, &view, reason))
        return reason->text;
    if (int8 && a->compute == TENON_COMPUTE_EXACT)
        return tenon_decline(reason, "compute=EXACT, this kernel rounds activations to int8");
    const char *why = tenon_panel_weights_from(a->w, a->w_quant, &w, &header, reason);
    if (why) return why;
    if (int8 && tenon_panel_keeps_activations(w.kind))
        return tenon_decline(reason, "weights are floats: activations keep their precision");
    return NULL;
}
static const char *why_not_int8(const tenon_problem *problem, tenon_reason *reason) {
    return why_not(problem, reason, 1);
}
static const char *why_not_float(const tenon_problem *problem, tenon_reason *reason) {
    return why_not(problem, reason, 0);
}

static int32_t plan(tenon_kernel_plan *self, tenon_error *error) {
    const tenon_matmul_args *a = self->problem.args;
    const tenon_platform *platform = self->problem.platform;
    tenon_reason reason;
    matmul_state *st = tenon_platform_allocate(platform, sizeof *st);
    if (!st)
        return tenon_fail(error, TENON_STATUS_NO_MEMORY, TENON_OP_MATMUL, -1, "matmul: %zu bytes",
                          sizeof *st);
    memset(st, 0, sizeof *st);
    self->state = st;
    const char *why =
        tenon_panel_weights_from(a->w, a->w_quant, &st->weights, &st->header, &reason);
    if (why)
        return tenon_fail(error, TENON_STATUS_UNSUPPORTED, TENON_OP_MATMUL, -1, "matmul: w: %s",
                          why);
    tenon_panel_type_of(a->a->dtype, &st->a_type);
    tenon_panel_type_of(a->out->dtype, &st->out_type);
    if (a->bias) tenon_panel_type_of(a->bias->dtype, &st->bias_type);

    const tenon_panel_kernels *kernels = tenon_panel_kernels_for(self->kernel->needs);
    const tenon_panel_kind kind = st->weights.kind;
    const int exact = !(self->kernel->traits & TENON_TRAIT_INT8_ACTIVATIONS);
    st->shape =
        (tenon_panel_shape){.kernels = kernels,
                            .kind = kind,
                            .mode = tenon_panel_mode_for(kernels, kind, st->a_type, exact),
                            .n = st->weights.n,
                            .k = st->weights.k,
                            .units = tenon_panel_units(kind, st->weights.k),
                            .groups = st->weights.groups,
                            .ordered_row_bytes = st->weights.ordered ? 4 * st->weights.k : 0,
                            .n_threads = tenon_cpu_threads(self),
                            .sums_slots = 1};
    st->quantized = is_quantized(a);
    if (st->quantized) {
        tenon_weight_view view;
        const int32_t status = tenon_activation_view_from(a->a, a->a_quant, &view, &reason);
        if (status)
            return tenon_fail(error, status, TENON_OP_MATMUL, -1, "matmul: a: %s", reason.text);
        tenon_panel_shape_rows(&st->shape, &view, &st->a_rows);
        st->a_rows.decoder = tenon_row_decoder_for(self->kernel->needs);
        st->a_type = st->a_rows.type;
    }
    st->rows = tenon_panel_round_rows(&st->shape, a->a->shape[0]);
    st->scratch_at = tenon_panel_rows_bytes(&st->shape, st->rows);
    st->order_at =
        st->scratch_at + (uint64_t)st->shape.n_threads * tenon_panel_scratch_bytes(&st->shape);
    self->workspace_bytes = st->order_at;
    if (st->weights.ordered && !st->weights.packed) /* the order and the counts of groups */
        self->workspace_bytes += 4 * (uint64_t)(st->weights.k + st->weights.view.col_groups + 1);
    return TENON_OK;
}

static void release(tenon_kernel_plan *self) {
    tenon_platform_release(self->problem.platform, self->state, sizeof(matmul_state));
}

static const void *row_of(const void *operation, int64_t row) {
    const matmul_call *call = operation;
    return call->a + row * call->a_stride;
}

static int64_t row_index(const void *operation, int64_t row) {
    return ((const matmul_call *)operation)->first + row;
}

static void finish(const tenon_panel_job *job, const tenon_panel_segment *seg, int64_t block,
                   uint8_t *scratch) {
    const matmul_call *call = job->operation;
    const matmul_state *st = call->state;
    const int64_t col = block * TENON_PANEL_COLS;
    const int64_t left = st->shape.n - col;
    const int32_t n = left < TENON_PANEL_COLS ? (int32_t)left : TENON_PANEL_COLS;
    float bias[TENON_PANEL_COLS];
    if (call->bias)
        tenon_panel_load_row(st->bias_type, call->bias + col * type_bytes(st->bias_type), n, bias);
    const float *sums = tenon_panel_sums(job, seg, col, 0, scratch);
    uint8_t *out = call->out + seg->origin * call->out_stride + col * type_bytes(st->out_type);
    for (int32_t r = 0; r < seg->rows; r++)
        st->shape.kernels->store(sums + r * TENON_PANEL_COLS, call->bias ? bias : NULL, n,
                                 st->out_type, out + r * call->out_stride);
}

static int32_t run(const tenon_kernel_plan *self, const void *args, tenon_error *error) {
    const tenon_matmul_args *a = args;
    const matmul_state *st = self->state;
    tenon_panel_weights weights;
    tenon_reason reason;
    const int32_t status =
        tenon_panel_weights_at(&st->weights, &st->header, a->w, a->w_quant, &weights, &reason);
    if (status) return tenon_fail(error, status, TENON_OP_MATMUL, -1, "matmul: w: %s", reason.text);

    matmul_call call = {.state = st,
                        .a = tenon_data(a->a),
                        .bias = a->bias ? tenon_data(a->bias) : NULL,
                        .out = tenon_data(a->out),
                        .a_stride = a->a->strides[0] * (a->a->dtype.bits / 8),
                        .out_stride = a->out->strides[0] * type_bytes(st->out_type)};
    tenon_panel_segment segments[TENON_PANEL_MAX_ROUND_ROWS / TENON_PANEL_SEGMENT_ROWS];
    /* The padding of ordered columns depends on their indices: at most what was planned. */
    tenon_panel_shape shape = st->shape;
    if (weights.ordered) {
        if (!weights.packed) {
            int32_t *order = (int32_t *)(void *)((uint8_t *)a->workspace + st->order_at);
            weights.k = tenon_panel_order(&weights.view, order, order + st->weights.k);
            weights.order = order;
        }
        shape.k = weights.k, shape.units = tenon_panel_units(shape.kind, weights.k);
    }
    tenon_panel_job job = {.shape = &shape,
                           .weights = &weights,
                           .segments = segments,
                           .prepared = a->workspace,
                           .round_rows = st->rows,
                           .row = row_of,
                           .type = st->a_type,
                           .row_index = row_index,
                           .finish = finish,
                           .n_blocks = tenon_panel_count(st->shape.n),
                           .operation = &call};
    job.scratch = job.prepared + st->scratch_at;
    tenon_panel_rows quantized_rows;
    if (st->quantized) {
        quantized_rows = st->a_rows;
        const int32_t wrong =
            tenon_activation_view_from(a->a, a->a_quant, &quantized_rows.view, &reason);
        if (wrong)
            return tenon_fail(error, wrong, TENON_OP_MATMUL, -1, "matmul: a: %s", reason.text);
        job.rows = &quantized_rows;
    }
    for (int64_t m0 = 0, m = a->a->shape[0]; m0 < m; m0 += st->rows) {
        const int64_t rows = m - m0 < st->rows ? m - m0 : st->rows;
        job.n_segments = tenon_panel_cut(0, 0, rows, 0, segments);
        tenon_panel_run(&job, tenon_cpu_state_of(self)->pool);
        call.a += st->rows * call.a_stride;
        call.first += st->rows;
        call.out += st->rows * call.out_stride;
    }
    return TENON_OK;
}

#define ROW(symbol, mode, needs_, traits_)                                                         \
    extern const tenon_kernel tenon_##symbol;                                                      \
    const tenon_kernel tenon_##symbol = {                                                          \
        .name = #symbol,                                                                           \
        .op = TENON_OP_MATMUL,                                                                     \
        .traits = TENON_TRAIT_DETERMINISTIC | TENON_TRAIT_BATCH_INVARIANT | (traits_),             \
        .needs = (needs_),                                                                         \
        .checked_on = "hardware",                                                                  \
        .why_not = why_not_##mode,                                                                 \
        .plan = plan,                                                                              \
        .run = run,                                                                                \
        .release = release,                                                                        \
    };

#if defined(__x86_64__)
ROW(cpu_matmul_int8_x86_avx512vnni, int8, TENON_CPU_LEVEL_AVX512VNNI, TENON_TRAIT_INT8_ACTIVATIONS)
ROW(cpu_matmul_float_x86_avx512vnni, float, TENON_CPU_LEVEL_AVX512VNNI, 0)
ROW(cpu_matmul_int8_x86_avx512, int8, TENON_CPU_LEVEL_AVX512, TENON_TRAIT_INT8_ACTIVATIONS)
ROW(cpu_matmul_float_x86_avx512, float, TENON_CPU_LEVEL_AVX512, 0)
ROW(cpu_matmul_int8_x86_avx2, int8, TENON_CPU_LEVEL_AVX2, TENON_TRAIT_INT8_ACTIVATIONS)
ROW(cpu_matmul_float_x86_avx2, float, TENON_CPU_LEVEL_AVX2, 0)
#elif defined(__aarch64__)
ROW(cpu_matmul_int8_arm_neonbf16, int8, TENON_CPU_LEVEL_NEONBF16, TENON_TRAIT_INT8_ACTIVATIONS)
ROW(cpu_matmul_float_arm_neonbf16, float, TENON_CPU_LEVEL_NEONBF16, 0)
ROW(cpu_matmul_int8_arm_neondot, int8, TENON_CPU_LEVEL_NEONDOT, TENON_TRAIT_INT8_ACTIVATIONS)
ROW(cpu_matmul_float_arm_neondot, float, TENON_CPU_LEVEL_NEONDOT, 0)
ROW(cpu_matmul_int8_arm_neon, int8, TENON_CPU_LEVEL_NEON, TENON_TRAIT_INT8_ACTIVATIONS)
ROW(cpu_matmul_float_arm_neon, float, TENON_CPU_LEVEL_NEON, 0)
#endif
ROW(cpu_matmul_int8_scalar, int8, 0, TENON_TRAIT_INT8_ACTIVATIONS)
ROW(cpu_matmul_float_scalar, float, 0, 0)
