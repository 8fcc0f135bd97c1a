/* SPDX-License-Identifier: Apache-2.0 */
/* moe_dispatch on the CPU: the stable counting sort of pair_sort.h, then each token's row is read
 * once and written k times (or quantized once and copied), then what padding there is is filled.
 * README.md has the bytes and the numbers. */
#include <string.h>

#include "cpu_backend.h"
#include "moe_layout.h"
#include "pair_sort.h"
#include "quantize_span.h"

enum { TASK_BYTES = 128 << 10 }; /* of output that one task writes */

typedef struct job {
    const tenon_moe_dispatch_args *args;
    tenon_pair_sort sort;
    tenon_quantize_span_fn quantize;
    int64_t row_bytes, tokens_per_task;
    const DLTensor *scale; /* or NULL */
    int64_t groups, group;
} job;

static bool is_masked(const tenon_moe_dispatch_args *a) {
    return a->x_out && a->x_out->ndim == 3;
}
static int64_t row_at(const DLTensor *t, int64_t row) {
    return t->ndim == 2 ? row * t->strides[0]
                        : row / t->shape[1] * t->strides[0] + row % t->shape[1] * t->strides[1];
}
static char *row_of(const DLTensor *t, int64_t row) {
    return (char *)tenon_data(t) + row_at(t, row) * (t->dtype.bits / 8);
}

/* One token's rows. The first is made from x, the others are copies of it: it is in the cache by
 * then. */
static void send_token(const job *j, int64_t t) {
    const tenon_moe_dispatch_args *a = j->args;
    const int64_t k = a->topk_ids->shape[1], x_bytes = a->x->dtype.bits / 8;
    const char *x = (const char *)tenon_data(a->x) + t * a->x->strides[0] * x_bytes;
    int64_t sent = -1;
    for (int64_t slot = 0; slot < k; slot++) {
        const int64_t row = j->sort.row[t * k + slot];
        if (row < 0) continue;
        if (!j->scale || sent >= 0)
            memcpy(row_of(a->x_out, row), j->scale ? row_of(a->x_out, sent) : x,
                   (size_t)j->row_bytes);
        if (j->scale && sent >= 0)
            memcpy(row_of(j->scale, row), row_of(j->scale, sent), (size_t)j->groups * 4);
        if (j->scale && sent < 0) {
            float *scale = (float *)(void *)row_of(j->scale, row);
            uint8_t *out = (uint8_t *)row_of(a->x_out, row);
            for (int64_t g = 0; g < j->groups; g++)
                scale[g] =
                    j->quantize(tenon_number_of(a->x->dtype), x + g * j->group * x_bytes, j->group,
                                tenon_number_of(a->x_out->dtype), out + g * j->group);
        }
        sent = row;
    }
}

/* The lists of pairs, and the activations. */
static void send_tokens(void *arg, int64_t index, int32_t thread) {
    const job *j = arg;
    const tenon_moe_dispatch_args *a = j->args;
    const int64_t tokens = a->topk_ids->shape[0], k = a->topk_ids->shape[1];
    const int64_t begin = index * j->tokens_per_task,
                  end = begin + j->tokens_per_task < tokens ? begin + j->tokens_per_task : tokens;
    int32_t *row_pairs = a->row_pairs ? tenon_data(a->row_pairs) : NULL;
    (void)thread;
    for (int64_t t = begin; t < end; t++) {
        const int32_t *row = j->sort.row + t * k;
        if (a->pair_rows)
            memcpy((int32_t *)tenon_data(a->pair_rows) + t * a->pair_rows->strides[0], row,
                   (size_t)k * sizeof *row);
        for (int64_t slot = 0; row_pairs && slot < k; slot++)
            if (row[slot] >= 0) row_pairs[row[slot]] = (int32_t)(t * k + slot);
        if (a->x_out) send_token(j, t);
    }
}

/* Rows [begin, end) have no pair; those of x_out that lie within an expert's rows are 0. */
static void fill_rows(const job *j, int64_t begin, int64_t end, bool zero) {
    const tenon_moe_dispatch_args *a = j->args;
    const int32_t none = (int32_t)tenon_pair_count(&j->sort);
    for (int64_t r = begin; r < end; r++) {
        if (a->row_pairs) ((int32_t *)tenon_data(a->row_pairs))[r] = none;
        if (!zero || !a->x_out) continue;
        memset(row_of(a->x_out, r), 0, (size_t)j->row_bytes);
        for (int64_t g = 0; j->scale && g < j->groups; g++)
            ((float *)(void *)row_of(j->scale, r))[g] = 1;
    }
}

/* Expert `index`, or for the last index what is behind all experts. */
static void fill_padding(void *arg, int64_t index, int32_t thread) {
    const job *j = arg;
    const tenon_moe_dispatch_args *a = j->args;
    const tenon_pair_sort *s = &j->sort;
    (void)thread;
    if (index < s->local)
        fill_rows(j, s->first[index] + s->count[index], s->first[index + 1], !s->max_rows);
    else if (a->row_pairs && !s->max_rows)
        fill_rows(j, s->first[s->local], a->row_pairs->shape[0], false);
}

static void store_index(const DLTensor *t, int64_t i, int64_t value) {
    if (t->dtype.bits == 64)
        ((int64_t *)tenon_data(t))[i] = value;
    else
        ((int32_t *)tenon_data(t))[i] = (int32_t)value;
}

static void write_offsets(const job *j) {
    const tenon_moe_dispatch_args *a = j->args;
    const tenon_pair_sort *s = &j->sort;
    for (int64_t e = 0; e <= s->local; e++) store_index(a->expert_offsets, e, s->first[e]);
    if (a->expert_counts)
        memcpy(tenon_data(a->expert_counts), s->count, (size_t)s->local * sizeof *s->count);
    if (a->n_rows) store_index(a->n_rows, 0, s->first[s->local]);
    if (!a->block_experts) return;

    const int64_t blocks = a->block_experts->shape[0], n_rows = s->first[s->local];
    int32_t *out = tenon_data(a->block_experts);
    int64_t e = 0;
    if (n_rows > blocks * s->block_rows)
        tenon_report_fault(a->fault, TENON_OP_MOE_DISPATCH, TENON_FAULT_ROW_OUT_OF_RANGE, blocks,
                           n_rows, blocks * s->block_rows + 1);
    for (int64_t b = 0; b < blocks; b++) {
        while (b * s->block_rows < n_rows && s->first[e + 1] <= b * s->block_rows) e++;
        out[b] = b * s->block_rows < n_rows ? (int32_t)e : -1;
    }
}

static int32_t run(const tenon_kernel_plan *plan, const void *args, tenon_error *error) {
    const tenon_moe_dispatch_args *a = args, *planned = plan->problem.args;
    const bool masked = is_masked(a);
    tenon_cpu_pool *pool = tenon_cpu_state_of(plan)->pool;
    job j = {.args = a,
             .sort = {.op = TENON_OP_MOE_DISPATCH,
                      .topk_ids = a->topk_ids,
                      .expert_map = a->expert_map,
                      .local = a->expert_offsets->shape[0] - 1,
                      .block_rows = tenon_moe_block_rows(a->block_rows),
                      .max_rows = masked ? a->x_out->shape[1] : 0,
                      .capacity = a->row_pairs          ? a->row_pairs->shape[0]
                                  : a->x_out && !masked ? a->x_out->shape[0]
                                                        : INT32_MAX,
                      .fault = a->fault},
             .quantize = tenon_quantize_span_scalar,
             .row_bytes =
                 a->x_out ? a->x_out->shape[a->x_out->ndim - 1] * (a->x_out->dtype.bits / 8) : 0,
             .scale = a->x_out_quant ? a->x_out_quant->scale : NULL};
    (void)error;
#if defined(__x86_64__)
    const uint64_t features = tenon_cpu_state_of(plan)->info.features;
    if (!tenon_cpu_missing(features, TENON_CPU_LEVEL_AVX2))
        j.quantize = tenon_quantize_span_x86_avx2;
    if (!tenon_cpu_missing(features, TENON_CPU_LEVEL_AVX512))
        j.quantize = tenon_quantize_span_x86_avx512;
#elif defined(__aarch64__)
    if (!tenon_cpu_missing(tenon_cpu_state_of(plan)->info.features, TENON_CPU_LEVEL_NEON))
        j.quantize = tenon_quantize_span_arm_neon;
#endif
    j.groups = j.scale ? j.scale->shape[j.scale->ndim - 1] : 0;
    j.group = j.groups ? a->x->shape[1] / j.groups : 0;

    tenon_pair_sort_place(&j.sort, a->workspace,
                          planned->topk_ids->shape[0] * planned->topk_ids->shape[1],
                          tenon_cpu_threads(plan));
    tenon_pair_sort_run(&j.sort, pool);
    write_offsets(&j);
    /* Only rows of activations are worth other threads. */
    tenon_cpu_pool_run(a->x_out && j.sort.block_rows > 1 ? pool : NULL, j.sort.local + 1,
                       fill_padding, &j);
    const int64_t tokens = a->topk_ids->shape[0],
                  token_bytes = a->topk_ids->shape[1] * (j.row_bytes + 8);
    j.tokens_per_task = token_bytes < TASK_BYTES ? TASK_BYTES / token_bytes : 1;
    tenon_cpu_pool_run(pool, (tokens + j.tokens_per_task - 1) / j.tokens_per_task, send_tokens, &j);
    return TENON_OK;
}

static int32_t plan_workspace(tenon_kernel_plan *plan, tenon_error *error) {
    const tenon_moe_dispatch_args *a = plan->problem.args;
    (void)error;
    plan->workspace_bytes =
        tenon_pair_sort_bytes(a->topk_ids->shape[0] * a->topk_ids->shape[1],
                              a->expert_offsets->shape[0] - 1, tenon_cpu_threads(plan));
    return TENON_OK;
}

extern const tenon_kernel tenon_cpu_moe_dispatch_sort;
const tenon_kernel tenon_cpu_moe_dispatch_sort = {
    .name = "cpu_moe_dispatch_sort",
    .op = TENON_OP_MOE_DISPATCH,
    .traits = TENON_TRAIT_DETERMINISTIC,
    .checked_on = "hardware",
    .plan = plan_workspace,
    .run = run,
};
