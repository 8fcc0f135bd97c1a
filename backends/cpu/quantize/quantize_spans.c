/* SPDX-License-Identifier: Apache-2.0 */
/* quantize to int8 or float8 with a scale for each token, or for each group of columns of a token:
 * one span of a row after the other, each read twice while it is in the L1 cache. */
#include "cpu_backend.h"
#include "quantize_span.h"
#include "weight_view.h"

enum { TASK_ELEMENTS = 1 << 15 };

static const char *why_not(const tenon_problem *problem, tenon_reason *reason) {
    const tenon_quantize_args *a = problem->args;
    const tenon_quant *quant = a->q_quant;
    tenon_weight_view q;
    if (tenon_activation_view_from(a->q, quant, &q, reason)) return reason->text;
    if (quant->format != TENON_FORMAT_INT8 && quant->format != TENON_FORMAT_FP8)
        return tenon_decline(reason, "format=%d, spans are INT8 or FP8", quant->format);
    if (q.number != TENON_NUMBER_I8 && q.number != TENON_NUMBER_E4M3FN &&
        q.number != TENON_NUMBER_E4M3FNUZ && q.number != TENON_NUMBER_E5M2)
        return tenon_decline(reason,
                             "elements are of number %d, spans take i8, e4m3fn, e4m3fnuz, e5m2",
                             (int)q.number);
    if (quant->zero_point || (quant->flags & TENON_QUANT_STATIC_SCALE))
        return tenon_decline(reason, "%s",
                             quant->zero_point ? "a zero point is asked for"
                                               : "the scale is an input (STATIC_SCALE)");
    if (a->amax_floor != 0 || a->scale_limit != 0 || a->element_max != 0)
        return tenon_decline(reason, "amax_floor=%g, scale_limit=%g, element_max=%g are not all 0",
                             (double)a->amax_floor, (double)a->scale_limit, (double)a->element_max);
    if (q.group_rows != 1 || q.scale.number != TENON_NUMBER_F32 || q.scale_swizzled)
        return tenon_decline(reason,
                             "group_rows=%lld with a scale of number %d%s; spans have one f32 "
                             "scale for columns of one row",
                             (long long)q.group_rows, (int)q.scale.number,
                             q.scale_swizzled ? ", swizzled" : "");
    if (q.k_stride != 1)
        return tenon_decline(reason, "elements of q are %lld bytes apart", (long long)q.k_stride);
    return NULL;
}

typedef struct quantize_call {
    tenon_quantize_span_fn span;
    const DLTensor *x;
    tenon_weight_view q;
    tenon_number x_number;
    int64_t spans_per_task;
} quantize_call;

static void quantize_task(void *arg, int64_t task, int32_t thread) {
    const quantize_call *c = arg;
    const int64_t x_bytes = c->x->dtype.bits / 8, spans = c->q.n * c->q.col_groups;
    (void)thread;
    for (int64_t s = task * c->spans_per_task; s < spans && s < (task + 1) * c->spans_per_task;
         s++) {
        const int64_t row = s / c->q.col_groups, group = s % c->q.col_groups;
        const int64_t col = group * c->q.group_cols, left = c->q.k - col;
        const uint8_t *x =
            (const uint8_t *)tenon_data(c->x) + (row * c->x->strides[0] + col) * x_bytes;
        uint8_t *q = (uint8_t *)(uintptr_t)c->q.data + row * c->q.n_stride + col;
        float *scale = (float *)(uintptr_t)c->q.scale.data + row * c->q.scale.row_stride +
                       group * c->q.scale.col_stride;
        *scale = c->span(c->x_number, x, left < c->q.group_cols ? left : c->q.group_cols,
                         c->q.number, q);
    }
}

static int32_t run(const tenon_kernel_plan *self, const void *args, tenon_error *error) {
    const tenon_quantize_args *a = args;
    quantize_call call = {.x = a->x, .x_number = tenon_number_of(a->x->dtype)};
    tenon_reason reason;
    const int32_t status = tenon_activation_view_from(a->q, a->q_quant, &call.q, &reason);
    if (status)
        return tenon_fail(error, status, TENON_OP_QUANTIZE, -1, "quantize: q: %s", reason.text);
    call.span = tenon_quantize_span_scalar;
#if defined(__x86_64__)
    if (self->kernel->needs == TENON_CPU_LEVEL_AVX2) call.span = tenon_quantize_span_x86_avx2;
    if (self->kernel->needs == TENON_CPU_LEVEL_AVX512) call.span = tenon_quantize_span_x86_avx512;
#elif defined(__aarch64__)
    if (self->kernel->needs == TENON_CPU_LEVEL_NEON) call.span = tenon_quantize_span_arm_neon;
#endif
    const int64_t spans = call.q.n * call.q.col_groups;
    const int64_t span_cols = call.q.group_cols < call.q.k ? call.q.group_cols : call.q.k;
    call.spans_per_task =
        span_cols > 0 && span_cols < TASK_ELEMENTS ? TASK_ELEMENTS / span_cols : 1;
    tenon_cpu_run(self, (spans + call.spans_per_task - 1) / call.spans_per_task, quantize_task,
                  &call);
    return TENON_OK;
}

#define ROW(symbol, needs_)                                                                        \
    extern const tenon_kernel tenon_##symbol;                                                      \
    const tenon_kernel tenon_##symbol = {                                                          \
        .name = #symbol,                                                                           \
        .op = TENON_OP_QUANTIZE,                                                                   \
        .traits = TENON_TRAIT_DETERMINISTIC | TENON_TRAIT_BATCH_INVARIANT,                         \
        .needs = (needs_),                                                                         \
        .checked_on = "hardware",                                                                  \
        .why_not = why_not,                                                                        \
        .run = run,                                                                                \
    };

#if defined(__x86_64__)
ROW(cpu_quantize_x86_avx512, TENON_CPU_LEVEL_AVX512)
ROW(cpu_quantize_x86_avx2, TENON_CPU_LEVEL_AVX2)
#elif defined(__aarch64__)
ROW(cpu_quantize_arm_neon, TENON_CPU_LEVEL_NEON)
#endif
ROW(cpu_quantize_scalar, 0)
