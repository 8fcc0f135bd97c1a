/* SPDX-License-Identifier: Apache-2.0 */
/* dequantize of packed panels: each row is taken out of its panel into the thread's scratch, as the
 * checkpoint had it, and decoded like any other (row_decode/), so the bits are those of the
 * weights before they were packed. A task takes the rows of whole panels, whose cache lines they
 * share. */
#include "cpu_backend.h"
#include "kept_blob.h"
#include "panel_row.h"
#include "row_decode.h"

enum { TASK_ELEMENTS = 1 << 16 };

static const char *why_not(const tenon_problem *problem, tenon_reason *reason) {
    const tenon_dequantize_args *a = problem->args;
    tenon_panel_source source;
    if (!tenon_is_packed(a->q_quant))
        return tenon_decline(reason, "format=%d is not PACKED",
                             a->q_quant ? a->q_quant->format : 0);
    return tenon_panel_source_from(a->q, &source, reason);
}

static int32_t plan(tenon_kernel_plan *self, tenon_error *error) {
    const tenon_dequantize_args *a = self->problem.args;
    tenon_panel_source source;
    tenon_reason reason;
    const char *why = tenon_panel_source_from(a->q, &source, &reason);
    if (why)
        return tenon_fail(error, TENON_STATUS_UNSUPPORTED, TENON_OP_DEQUANTIZE, -1,
                          "dequantize: q: %s", why);
    self->workspace_bytes =
        (uint64_t)tenon_cpu_threads(self) * tenon_panel_row_scratch_bytes(&source);
    return TENON_OK;
}

typedef struct dequantize_call {
    const tenon_dequantize_args *a;
    tenon_panel_source source;
    tenon_row_decoder decoder;
    tenon_number type;
    size_t scratch_bytes;
    int64_t rows, rows_per_task; /* rows of x, of all experts */
} dequantize_call;

static int64_t source_row(const tenon_dequantize_args *a, int64_t row) {
    const DLTensor *index = a->row_index;
    if (!index) return row;
    return tenon_index_load(index->dtype.bits == 64 ? TENON_NUMBER_I64 : TENON_NUMBER_I32,
                            tenon_data(index), row * index->strides[0]);
}

static void dequantize_task(void *arg, int64_t task, int32_t thread) {
    const dequantize_call *c = arg;
    const DLTensor *x = c->a->x;
    const int with_experts = x->ndim == 3;
    const int64_t expert_rows = x->shape[with_experts], bytes = x->dtype.bits / 8;
    const int64_t first = task * c->rows_per_task, left = c->rows - first;
    const int64_t end = first + (left < c->rows_per_task ? left : c->rows_per_task);
    uint8_t *scratch = (uint8_t *)c->a->workspace + (size_t)thread * c->scratch_bytes;
    for (int64_t i = first; i < end; i++) {
        const int64_t expert = i / expert_rows, to = i % expert_rows;
        const int64_t from = source_row(c->a, to);
        if (from < 0 || from >= c->source.rows.n) {
            tenon_report_fault(c->a->fault, TENON_OP_DEQUANTIZE, TENON_FAULT_ROW_OUT_OF_RANGE, to,
                               from, c->source.rows.n);
            continue;
        }
        const tenon_weight_view row = tenon_panel_row_view(&c->source, expert, from, scratch);
        uint8_t *out =
            (uint8_t *)tenon_data(x) +
            ((with_experts ? expert * x->strides[0] : 0) + to * x->strides[with_experts]) * bytes;
        tenon_row_decode(&row, &c->decoder, from, 0, row.k, c->type, out);
    }
}

static int32_t run(const tenon_kernel_plan *self, const void *args, tenon_error *error) {
    const tenon_dequantize_args *a = args;
    const int64_t x_experts = a->x->ndim == 3 ? a->x->shape[0] : 1;
    dequantize_call call = {.a = a,
                            .decoder =
                                tenon_row_decoder_for(tenon_cpu_state_of(self)->info.features),
                            .type = tenon_number_of(a->x->dtype)};
    tenon_reason reason;
    const char *why = tenon_panel_source_from(a->q, &call.source, &reason);
    if (why)
        return tenon_fail(error, TENON_STATUS_CORRUPT, TENON_OP_DEQUANTIZE, -1, "dequantize: q: %s",
                          why);
    /* This may be another blob than the planned one. */
    const int64_t k = call.source.rows.view.k, experts = call.source.rows.experts;
    call.scratch_bytes = tenon_panel_row_scratch_bytes(&call.source);
    if (k != a->x->shape[a->x->ndim - 1] || experts != x_experts ||
        (uint64_t)tenon_cpu_threads(self) * call.scratch_bytes > self->workspace_bytes)
        return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, TENON_OP_DEQUANTIZE, -1,
                          "dequantize: q: the blob has k=%lld and %lld experts in panels of kind "
                          "%d, which is not what was planned",
                          (long long)k, (long long)experts, (int)call.source.panels.kind);
    call.rows = x_experts * a->x->shape[a->x->ndim - 2];
    const int64_t rows = TASK_ELEMENTS / (k > 0 ? k : 1) / TENON_PANEL_COLS * TENON_PANEL_COLS;
    call.rows_per_task = rows > 0 ? rows : TENON_PANEL_COLS;
    tenon_cpu_run(self, (call.rows + call.rows_per_task - 1) / call.rows_per_task, dequantize_task,
                  &call);
    return TENON_OK;
}

extern const tenon_kernel tenon_cpu_dequantize_packed;
const tenon_kernel tenon_cpu_dequantize_packed = {
    .name = "cpu_dequantize_packed",
    .op = TENON_OP_DEQUANTIZE,
    .traits = TENON_TRAIT_DETERMINISTIC | TENON_TRAIT_BATCH_INVARIANT,
    .checked_on = "hardware",
    .why_not = why_not,
    .plan = plan,
    .run = run,
};
