/* SPDX-License-Identifier: Apache-2.0 */
/* moe_combine on the CPU: one task is one token's span of columns. Rows that are skipped or out of
 * range are left out before the sum starts, so the inner loop asks nothing. README.md has the
 * numbers. */
#include "combine_rows.h"
#include "cpu_backend.h"

enum {
    MAX_SLOTS = 64,
    SPAN = 2048 /* columns of a task: 4 KiB of each row in bf16, enough to outweigh the hand-out of
                   a task */
};

typedef struct job {
    const tenon_moe_combine_args *args;
    tenon_combine_fn combine;
    int64_t spans;
} job;

static const char *element(const DLTensor *t, int64_t at) {
    return (const char *)tenon_data(t) + at * (t->dtype.bits / 8);
}

/* First element of a row of y, or NULL. */
static const char *row_of(const tenon_moe_combine_args *a, int64_t pair, int32_t row) {
    const DLTensor *y = a->y;
    const int64_t rows = y->ndim == 2 ? y->shape[0] : y->shape[0] * y->shape[1];
    if (row >= 0 && row < rows)
        return element(y, y->ndim == 2 ? row * y->strides[0]
                                       : row / y->shape[1] * y->strides[0] +
                                             row % y->shape[1] * y->strides[1]);
    if (row != -1)
        tenon_report_fault(a->fault, TENON_OP_MOE_COMBINE, TENON_FAULT_ROW_OUT_OF_RANGE, pair, row,
                           rows);
    return NULL;
}

static void task(void *arg, int64_t index, int32_t thread) {
    const job *j = arg;
    const tenon_moe_combine_args *a = j->args;
    const int64_t t = index / j->spans, col = index % j->spans * SPAN, hidden = a->out->shape[1],
                  k = a->pair_rows->shape[1];
    const int32_t *rows = (const int32_t *)tenon_data(a->pair_rows) + t * a->pair_rows->strides[0];
    const float *weights = a->topk_weights ? (const float *)tenon_data(a->topk_weights) +
                                                 t * a->topk_weights->strides[0]
                                           : NULL;
    const void *row[MAX_SLOTS];
    float weight[MAX_SLOTS];
    tenon_combine_span span = {
        .row = row,
        .weight = weight,
        .scale = a->scale == 0 ? 1 : a->scale,
        .shared = a->shared ? element(a->shared, t * a->shared->strides[0] + col) : NULL,
        .out = (char *)(uintptr_t)element(a->out, t * a->out->strides[0] + col),
        .count = hidden - col < SPAN ? hidden - col : SPAN,
        .row_type = tenon_number_of(a->y->dtype),
        .shared_type = a->shared ? tenon_number_of(a->shared->dtype) : TENON_NUMBER_UNKNOWN,
        .out_type = tenon_number_of(a->out->dtype)};
    (void)thread;
    for (int64_t slot = 0; slot < k; slot++) {
        const char *first = row_of(a, t * k + slot, rows[slot]);
        if (!first) continue;
        row[span.n_rows] = first + col * (a->y->dtype.bits / 8);
        weight[span.n_rows++] = weights ? weights[slot] : 1;
    }
    j->combine(&span);
}

static int32_t run(const tenon_kernel_plan *plan, const tenon_moe_combine_args *a,
                   tenon_combine_fn combine) {
    job j = {a, combine, (a->out->shape[1] + SPAN - 1) / SPAN};
    tenon_cpu_run(plan, a->out->shape[0] * j.spans, task, &j);
    return TENON_OK;
}

static const char *why_not(const tenon_problem *problem, tenon_reason *reason) {
    const tenon_moe_combine_args *a = problem->args;
    return a->pair_rows->shape[1] > MAX_SLOTS
               ? tenon_decline(reason, "k=%lld, at most %d", (long long)a->pair_rows->shape[1],
                               MAX_SLOTS)
               : NULL;
}

#define ROW(symbol, level, feature_bits)                                                           \
    static int32_t run_##level(const tenon_kernel_plan *plan, const void *args,                    \
                               tenon_error *error) {                                               \
        (void)error;                                                                               \
        return run(plan, args, tenon_combine_rows_##level);                                        \
    }                                                                                              \
    extern const tenon_kernel tenon_##symbol;                                                      \
    const tenon_kernel tenon_##symbol = {                                                          \
        .name = #symbol,                                                                           \
        .op = TENON_OP_MOE_COMBINE,                                                                \
        .traits = TENON_TRAIT_DETERMINISTIC | TENON_TRAIT_BATCH_INVARIANT,                         \
        .needs = feature_bits,                                                                     \
        .checked_on = "hardware",                                                                  \
        .why_not = why_not,                                                                        \
        .run = run_##level,                                                                        \
    };
#if defined(__x86_64__)
ROW(cpu_moe_combine_x86_avx512, x86_avx512, TENON_CPU_LEVEL_AVX512)
ROW(cpu_moe_combine_x86_avx2, x86_avx2, TENON_CPU_LEVEL_AVX2)
#elif defined(__aarch64__)
ROW(cpu_moe_combine_arm_neon, arm_neon, TENON_CPU_LEVEL_NEON)
#endif
ROW(cpu_moe_combine_scalar, scalar, 0)
