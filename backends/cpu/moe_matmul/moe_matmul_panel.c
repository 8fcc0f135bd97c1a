/* SPDX-License-Identifier: Apache-2.0 */
/* moe_matmul over panels: for each expert the tiles of matmul over its rows, which are gathered
 * while they are prepared; bias, activation and row weight are applied to each block of sums before
 * it leaves the cache.
 *
 * Rows are taken in rounds of bounded size, so that the workspace stays bounded; experts keep their
 * order, so an expert's weights are read once unless its rows are cut by the end of a round. */
#include "cpu_backend.h"
#include "moe_activation.h"
#include "moe_layout.h"
#include "panel_gate.h"
#include "panel_weights.h"

enum {
    MAX_SEGMENTS = TENON_MOE_MAX_LOCAL + TENON_PANEL_MAX_ROUND_ROWS / TENON_PANEL_SEGMENT_ROWS + 1
};

typedef struct moe_state {
    tenon_panel_shape shape;
    tenon_panel_weights weights;
    tenon_panel_type x_type;
    bool quantized; /* activations come quantized: as x_rows says */
    tenon_panel_rows x_rows;
    tenon_panel_gate gate;
    int64_t rows, segments_bytes;
    tenon_blob_header header;
} moe_state;

typedef struct moe_call {
    const moe_state *state;
    const tenon_moe_matmul_args *args;
    const uint8_t *x, *bias;
    uint8_t *out;
    int64_t x_rows, max_rows; /* max_rows 0: not the masked layout */
} moe_call;

static int64_t index_at(const DLTensor *t, int64_t i) {
    const int64_t at = i * t->strides[0];
    return t->dtype.bits == 64 ? ((const int64_t *)tenon_data(t))[at]
                               : (int64_t)((const int32_t *)tenon_data(t))[at];
}

static bool is_quantized(const tenon_moe_matmul_args *a) {
    tenon_panel_type type;
    return (a->x_quant && a->x_quant->format != TENON_FORMAT_NONE) ||
           !tenon_panel_type_of(a->x->dtype, &type);
}

static const char *why_not(const tenon_problem *problem, tenon_reason *reason, int int8) {
    const tenon_moe_matmul_args *a = problem->args;
    tenon_panel_weights w;
    tenon_blob_header header;
    tenon_weight_view view;
    if (int8 && is_quantized(a))
        return tenon_decline(reason, "activations come quantized (format %d, dtype code %d)",
                             a->x_quant ? a->x_quant->format : 0, a->x->dtype.code);
    if (is_quantized(a) && tenon_activation_view_from(a->x, a->x_quant, &view, reason))
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
    const tenon_moe_matmul_args *a = self->problem.args;
    tenon_reason reason;
    moe_state *st = tenon_platform_allocate(self->problem.platform, sizeof *st);
    if (!st)
        return tenon_fail(error, TENON_STATUS_NO_MEMORY, TENON_OP_MOE_MATMUL, -1,
                          "moe_matmul: %zu bytes", sizeof *st);
    memset(st, 0, sizeof *st);
    self->state = st;
    const char *why =
        tenon_panel_weights_from(a->w, a->w_quant, &st->weights, &st->header, &reason);
    if (why)
        return tenon_fail(error, TENON_STATUS_UNSUPPORTED, TENON_OP_MOE_MATMUL, -1,
                          "moe_matmul: w: %s", why);
    tenon_panel_type_of(a->x->dtype, &st->x_type);
    st->gate =
        (tenon_panel_gate){.epilogue = {a->activation, tenon_activation_alpha(a->alpha), a->limit},
                           .gate_layout = a->gate_layout,
                           .gated = tenon_activation_is_gated(a->activation),
                           .n_out = a->out->shape[a->out->ndim - 1]};
    tenon_panel_type_of(a->out->dtype, &st->gate.out_type);
    if (a->bias) tenon_panel_type_of(a->bias->dtype, &st->gate.bias_type);

    const tenon_panel_kernels *kernels = tenon_panel_kernels_for(self->kernel->needs);
    const tenon_panel_kind kind = st->weights.kind;
    const int exact = !(self->kernel->traits & TENON_TRAIT_INT8_ACTIVATIONS);
    const int64_t rows = a->out->shape[0] * (a->out->ndim == 3 ? a->out->shape[1] : 1);
    st->shape = (tenon_panel_shape){.kernels = kernels,
                                    .kind = kind,
                                    .mode = tenon_panel_mode_for(kernels, kind, st->x_type, exact),
                                    .n = st->weights.n,
                                    .k = st->weights.k,
                                    .units = tenon_panel_units(kind, st->weights.k),
                                    .groups = st->weights.groups,
                                    .n_threads = tenon_cpu_threads(self),
                                    .sums_slots = TENON_PANEL_GATE_SUMS};
    st->quantized = is_quantized(a);
    if (st->quantized) {
        tenon_weight_view view;
        const int32_t status = tenon_activation_view_from(a->x, a->x_quant, &view, &reason);
        if (status)
            return tenon_fail(error, status, TENON_OP_MOE_MATMUL, -1, "moe_matmul: x: %s",
                              reason.text);
        tenon_panel_shape_rows(&st->shape, &view, &st->x_rows);
        st->x_rows.decoder = tenon_row_decoder_for(self->kernel->needs);
        st->x_type = st->x_rows.type;
    }
    st->rows = tenon_panel_round_rows(&st->shape, rows);
    st->segments_bytes = (MAX_SEGMENTS * (int64_t)sizeof(tenon_panel_segment) + 63) / 64 * 64;
    self->workspace_bytes = (uint64_t)st->segments_bytes +
                            tenon_panel_rows_bytes(&st->shape, st->rows) +
                            (uint64_t)st->shape.n_threads * tenon_panel_scratch_bytes(&st->shape);
    return TENON_OK;
}

static void release(tenon_kernel_plan *self) {
    tenon_platform_release(self->problem.platform, self->state, sizeof(moe_state));
}

/* What row r reads and by what its result is multiplied; false: the row is 0. Reports what is out
 * of range, except the pair that dispatch writes for "none". */
static bool source_of(const moe_call *call, int64_t r, bool say, int64_t *source, float *weight) {
    const tenon_moe_matmul_args *a = call->args;
    const int64_t per_token = a->pairs_per_token > 0 ? a->pairs_per_token : 1;
    const bool in_order = !a->row_pairs || a->pairs_per_token == -1;
    const int64_t pair = a->row_pairs ? index_at(a->row_pairs, r) : r;
    tenon_fault *fault = say ? a->fault : NULL;
    *source = in_order ? r : pair < 0 ? -1 : pair / per_token;
    *weight = 1.0f;
    if (*source < 0 || *source >= call->x_rows) {
        if (in_order)
            tenon_report_fault(fault, TENON_OP_MOE_MATMUL, TENON_FAULT_ROW_OUT_OF_RANGE, r, r,
                               call->x_rows);
        else if (pair != call->x_rows * per_token)
            tenon_report_fault(fault, TENON_OP_MOE_MATMUL, TENON_FAULT_ROW_OUT_OF_RANGE, r, pair,
                               call->x_rows * per_token);
        return false;
    }
    if (!a->row_weights) return true;
    const int64_t pairs = a->row_weights->shape[0];
    if (pair < 0 || pair >= pairs) {
        if (pair != pairs)
            tenon_report_fault(fault, TENON_OP_MOE_MATMUL, TENON_FAULT_ROW_OUT_OF_RANGE, r, pair,
                               pairs);
        return false;
    }
    *weight = ((const float *)tenon_data(a->row_weights))[pair * a->row_weights->strides[0]];
    return true;
}

static int64_t row_index(const void *operation, int64_t r) {
    int64_t source;
    float weight;
    return source_of(operation, r, true, &source, &weight) ? source : -1;
}

static const void *row_of(const void *operation, int64_t r) {
    const moe_call *call = operation;
    const int64_t *stride = call->args->x->strides;
    const int64_t source = row_index(operation, r);
    if (source < 0) return NULL;
    const int64_t at =
        call->max_rows ? source / call->max_rows * stride[0] + source % call->max_rows * stride[1]
                       : source * stride[0];
    return call->x + at * (call->args->x->dtype.bits / 8);
}

static uint8_t *out_row(const moe_call *call, int64_t r) {
    const int64_t *stride = call->args->out->strides;
    const int64_t at = call->max_rows
                           ? r / call->max_rows * stride[0] + r % call->max_rows * stride[1]
                           : r * stride[0];
    return call->out + at * tenon_panel_type_bytes(call->state->gate.out_type);
}

static void target_of(const void *operation, int64_t r, tenon_panel_target *target) {
    const moe_call *call = operation;
    int64_t source;
    target->out = out_row(call, r);
    target->zero = !source_of(call, r, false, &source, &target->weight);
}

static void finish(const tenon_panel_job *job, const tenon_panel_segment *seg, int64_t block,
                   uint8_t *scratch) {
    const moe_call *call = job->operation;
    const tenon_panel_gate *gate = &call->state->gate;
    const uint8_t *bias = NULL;
    if (call->bias)
        bias = call->bias +
               seg->expert * call->args->bias->strides[0] * tenon_panel_type_bytes(gate->bias_type);
    tenon_panel_gate_finish(job, seg, block, scratch, gate, bias, target_of);
}

/* The rows of expert e, or an empty range and a fault. */
static void rows_of(const moe_call *call, int64_t e, tenon_moe_range *range) {
    const tenon_moe_matmul_args *a = call->args;
    const int64_t rows = call->max_rows ? a->out->shape[0] * call->max_rows : a->out->shape[0];
    const int64_t first = call->max_rows ? e * call->max_rows : index_at(a->expert_offsets, e);
    const int64_t next =
        call->max_rows ? first + call->max_rows : index_at(a->expert_offsets, e + 1);
    int64_t count = a->expert_counts ? index_at(a->expert_counts, e) : 0;
    if (!tenon_moe_check_range(first, next, a->expert_counts ? &count : NULL, rows, range)) {
        tenon_report_fault(a->fault, TENON_OP_MOE_MATMUL, TENON_FAULT_LENGTH_OUT_OF_RANGE, e,
                           range->value, range->limit);
        range->count = 0;
    }
}

static int32_t run(const tenon_kernel_plan *self, const void *args, tenon_error *error) {
    const tenon_moe_matmul_args *a = args;
    const moe_state *st = self->state;
    tenon_panel_weights weights;
    tenon_reason reason;
    const int32_t status =
        tenon_panel_weights_at(&st->weights, &st->header, a->w, a->w_quant, &weights, &reason);
    if (status)
        return tenon_fail(error, status, TENON_OP_MOE_MATMUL, -1, "moe_matmul: w: %s", reason.text);

    const int64_t max_rows = a->out->ndim == 3 ? a->out->shape[1] : 0;
    if (a->out->ndim == 3 && !max_rows) return TENON_OK; /* tables without rows: nothing to write */
    moe_call call = {.state = st,
                     .args = a,
                     .x = tenon_data(a->x),
                     .bias = a->bias ? tenon_data(a->bias) : NULL,
                     .out = tenon_data(a->out),
                     .x_rows = a->x->shape[0] * (a->x->ndim == 3 ? a->x->shape[1] : 1),
                     .max_rows = max_rows};
    uint8_t *workspace = a->workspace;
    tenon_panel_segment *segments = (tenon_panel_segment *)(void *)workspace;
    tenon_panel_job job = {.shape = &st->shape,
                           .weights = &weights,
                           .segments = segments,
                           .prepared = workspace + st->segments_bytes,
                           .round_rows = st->rows,
                           .row = row_of,
                           .type = st->x_type,
                           .row_index = row_index,
                           .finish = finish,
                           .n_blocks = tenon_panel_gate_blocks(&st->gate),
                           .operation = &call};
    job.scratch = job.prepared + tenon_panel_rows_bytes(&st->shape, st->rows);
    tenon_panel_rows quantized_rows;
    if (st->quantized) {
        quantized_rows = st->x_rows;
        const int32_t wrong =
            tenon_activation_view_from(a->x, a->x_quant, &quantized_rows.view, &reason);
        if (wrong)
            return tenon_fail(error, wrong, TENON_OP_MOE_MATMUL, -1, "moe_matmul: x: %s",
                              reason.text);
        job.rows = &quantized_rows;
    }

    int64_t filled = 0; /* rows in this round */
    for (int64_t e = 0; e < weights.experts; e++) {
        tenon_moe_range range;
        rows_of(&call, e, &range);
        while (range.count > 0) {
            const int64_t room = st->rows - filled, rows = range.count < room ? range.count : room;
            job.n_segments +=
                tenon_panel_cut(filled, range.first, rows, (int32_t)e, segments + job.n_segments);
            filled += rows, range.first += rows, range.count -= rows;
            if (filled == st->rows) {
                tenon_panel_run(&job, tenon_cpu_state_of(self)->pool);
                filled = job.n_segments = 0;
            }
        }
    }
    if (filled) tenon_panel_run(&job, tenon_cpu_state_of(self)->pool);
    return TENON_OK;
}

#define ROW(symbol, mode, needs_, traits_)                                                         \
    extern const tenon_kernel tenon_##symbol;                                                      \
    const tenon_kernel tenon_##symbol = {                                                          \
        .name = #symbol,                                                                           \
        .op = TENON_OP_MOE_MATMUL,                                                                 \
        .traits = TENON_TRAIT_DETERMINISTIC | TENON_TRAIT_BATCH_INVARIANT | (traits_),             \
        .needs = (needs_),                                                                         \
        .checked_on = "hardware",                                                                  \
        .why_not = why_not_##mode,                                                                 \
        .plan = plan,                                                                              \
        .run = run,                                                                                \
        .release = release,                                                                        \
    };

#if defined(__x86_64__)
ROW(cpu_moe_matmul_int8_x86_avx512vnni, int8, TENON_CPU_LEVEL_AVX512VNNI,
    TENON_TRAIT_INT8_ACTIVATIONS)
ROW(cpu_moe_matmul_float_x86_avx512vnni, float, TENON_CPU_LEVEL_AVX512VNNI, 0)
ROW(cpu_moe_matmul_int8_x86_avx512, int8, TENON_CPU_LEVEL_AVX512, TENON_TRAIT_INT8_ACTIVATIONS)
ROW(cpu_moe_matmul_float_x86_avx512, float, TENON_CPU_LEVEL_AVX512, 0)
ROW(cpu_moe_matmul_int8_x86_avx2, int8, TENON_CPU_LEVEL_AVX2, TENON_TRAIT_INT8_ACTIVATIONS)
ROW(cpu_moe_matmul_float_x86_avx2, float, TENON_CPU_LEVEL_AVX2, 0)
#elif defined(__aarch64__)
ROW(cpu_moe_matmul_int8_arm_neonbf16, int8, TENON_CPU_LEVEL_NEONBF16, TENON_TRAIT_INT8_ACTIVATIONS)
ROW(cpu_moe_matmul_float_arm_neonbf16, float, TENON_CPU_LEVEL_NEONBF16, 0)
ROW(cpu_moe_matmul_int8_arm_neondot, int8, TENON_CPU_LEVEL_NEONDOT, TENON_TRAIT_INT8_ACTIVATIONS)
ROW(cpu_moe_matmul_float_arm_neondot, float, TENON_CPU_LEVEL_NEONDOT, 0)
ROW(cpu_moe_matmul_int8_arm_neon, int8, TENON_CPU_LEVEL_NEON, TENON_TRAIT_INT8_ACTIVATIONS)
ROW(cpu_moe_matmul_float_arm_neon, float, TENON_CPU_LEVEL_NEON, 0)
#endif
ROW(cpu_moe_matmul_int8_scalar, int8, 0, TENON_TRAIT_INT8_ACTIVATIONS)
ROW(cpu_moe_matmul_float_scalar, float, 0, 0)
