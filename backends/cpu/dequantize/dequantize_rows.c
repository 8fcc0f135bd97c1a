/* SPDX-License-Identifier: Apache-2.0 */
/* dequantize of every format, also of blobs that keep the checkpoint's tensors: rows shared among
 * the threads, each decoded a few hundred columns at a time (row_decode/). */
#include "cpu_backend.h"
#include "kept_blob.h"
#include "row_decode.h"

/* Some 30 microseconds: less is not worth waking another thread. */
enum { TASK_ELEMENTS = 1 << 16 };

static const char *why_not(const tenon_problem *problem, tenon_reason *reason) {
    const tenon_dequantize_args *a = problem->args;
    tenon_weight_view view;
    return tenon_kept_weight_view(a->q, a->q_quant, &view, reason) ? reason->text : NULL;
}

typedef struct dequantize_call {
    const tenon_dequantize_args *a;
    tenon_weight_view q;
    tenon_row_decoder decoder;
    tenon_number type;
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
    (void)thread;
    for (int64_t i = first; i < end; i++) {
        const int64_t expert = i / expert_rows, to = i % expert_rows;
        const int64_t from = source_row(c->a, to);
        if (from < 0 || from >= c->q.n) {
            tenon_report_fault(c->a->fault, TENON_OP_DEQUANTIZE, TENON_FAULT_ROW_OUT_OF_RANGE, to,
                               from, c->q.n);
            continue;
        }
        const tenon_weight_view one = with_experts ? tenon_weight_expert(&c->q, expert) : c->q;
        uint8_t *out =
            (uint8_t *)tenon_data(x) +
            ((with_experts ? expert * x->strides[0] : 0) + to * x->strides[with_experts]) * bytes;
        tenon_row_decode(&one, &c->decoder, from, 0, c->q.k, c->type, out);
    }
}

static int32_t run(const tenon_kernel_plan *plan, const void *args, tenon_error *error) {
    const tenon_dequantize_args *a = args;
    dequantize_call call = {.a = a,
                            .decoder = tenon_row_decoder_for(plan->kernel->needs),
                            .type = tenon_number_of(a->x->dtype)};
    tenon_reason reason;
    const int32_t status = tenon_kept_weight_view(a->q, a->q_quant, &call.q, &reason);
    if (status)
        return tenon_fail(error, status, TENON_OP_DEQUANTIZE, -1, "dequantize: q: %s", reason.text);
    /* Of a blob it is the header that says the shape, and this may be another blob. */
    const int64_t x_experts = a->x->ndim == 3 ? a->x->shape[0] : 1;
    if (call.q.k != a->x->shape[a->x->ndim - 1] || call.q.experts != x_experts)
        return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, TENON_OP_DEQUANTIZE, -1,
                          "dequantize: q: k=%lld and %lld experts, not those of x",
                          (long long)call.q.k, (long long)call.q.experts);
    call.rows = a->x->ndim == 3 ? a->x->shape[0] * a->x->shape[1] : a->x->shape[0];
    const int64_t cols = call.q.k > 0 ? call.q.k : 1;
    call.rows_per_task = cols < TASK_ELEMENTS ? TASK_ELEMENTS / cols : 1;
    tenon_cpu_run(plan, (call.rows + call.rows_per_task - 1) / call.rows_per_task, dequantize_task,
                  &call);
    return TENON_OK;
}

#define ROW(symbol, needs_)                                                                        \
    extern const tenon_kernel tenon_##symbol;                                                      \
    const tenon_kernel tenon_##symbol = {                                                          \
        .name = #symbol,                                                                           \
        .op = TENON_OP_DEQUANTIZE,                                                                 \
        .traits = TENON_TRAIT_DETERMINISTIC | TENON_TRAIT_BATCH_INVARIANT,                         \
        .needs = (needs_),                                                                         \
        .checked_on = "hardware",                                                                  \
        .why_not = why_not,                                                                        \
        .run = run,                                                                                \
    };

#if defined(__x86_64__)
ROW(cpu_dequantize_rows_x86_avx512, TENON_CPU_LEVEL_AVX512)
ROW(cpu_dequantize_rows_x86_avx2, TENON_CPU_LEVEL_AVX2)
#elif defined(__aarch64__)
ROW(cpu_dequantize_rows_arm_neon, TENON_CPU_LEVEL_NEON)
#endif
ROW(cpu_dequantize_rows_scalar, 0)
