/* SPDX-License-Identifier: Apache-2.0 */
/* merge_states, the body of merge_states_<arch>.c in the names of one simd header: one (token,
 * head) at a time, its head dim in blocks that stay in the first-level cache while the states go
 * by. Weights are in double, sums in f32. */
#include <math.h>

#include "cpu_backend.h"
#include "number.h"

enum { BLOCK = 512, TASK_BYTES = 128 * 1024 };

typedef struct job {
    const tenon_merge_states_args *a;
    int64_t n_tasks;
} job;

/* n elements as f32, added to sum with a weight. */
static void add_weighted(float *sum, const void *in, tenon_number type, float weight, int64_t n) {
    const vf32 w = vf32_set1(weight);
    const uint8_t *p = in;
    int64_t i = 0;
    switch (type) {
    case TENON_NUMBER_F32:
        for (; i < n; i += V_LANES) {
            const int m = n - i < V_LANES ? (int)(n - i) : V_LANES;
            vf32_store_n(
                sum + i,
                vf32_fma(w, vf32_load_n((const float *)in + i, m), vf32_load_n(sum + i, m)), m);
        }
        return;
    case TENON_NUMBER_F16:
        for (; i < n; i += V_LANES) {
            const int m = n - i < V_LANES ? (int)(n - i) : V_LANES;
            vf32_store_n(sum + i,
                         vf32_fma(w, vf32_load_f16_n(p + 2 * i, m), vf32_load_n(sum + i, m)), m);
        }
        return;
    default:
        for (; i < n; i += V_LANES) {
            const int m = n - i < V_LANES ? (int)(n - i) : V_LANES;
            vf32_store_n(sum + i,
                         vf32_fma(w, vf32_load_bf16_n(p + 2 * i, m), vf32_load_n(sum + i, m)), m);
        }
    }
}

static void store_scaled(void *out, tenon_number type, const float *sum, float scale, int64_t n) {
    const vf32 s = vf32_set1(scale);
    uint8_t *p = out;
    for (int64_t i = 0; i < n; i += V_LANES) {
        const int m = n - i < V_LANES ? (int)(n - i) : V_LANES;
        const vf32 x = vf32_mul(vf32_load_n(sum + i, m), s);
        if (type == TENON_NUMBER_F32)
            vf32_store_n((float *)out + i, x, m);
        else if (type == TENON_NUMBER_F16)
            vf32_store_f16_n(p + 2 * i, x, m);
        else
            vf32_store_bf16_n(p + 2 * i, x, m);
    }
}

/* log-sum-exp of one state; -inf for an empty one, which some hosts mark with +inf. */
static double lse_of(const tenon_merge_states_args *a, int64_t s, int64_t t, int64_t h) {
    const int64_t *stride = a->partial_lse->strides;
    double lse = (double)((const float *)tenon_data(
        a->partial_lse))[s * stride[0] + t * stride[1] + h * stride[2]];
    return lse == INFINITY ? -INFINITY : lse;
}

static void merge_one(const tenon_merge_states_args *a, int64_t t, int64_t h) {
    const int64_t n_states = a->partial_out->shape[0], d_v = a->out->shape[2],
                  *stride = a->partial_out->strides;
    const tenon_number from = tenon_number_of(a->partial_out->dtype),
                       to = tenon_number_of(a->out->dtype);
    const int64_t from_bytes = a->partial_out->dtype.bits / 8, to_bytes = a->out->dtype.bits / 8;
    const double log_base = a->flags & TENON_MERGE_STATES_LSE_BASE2 ? log(2.0) : 1.0;
    double max = -INFINITY, sum = 0;
    for (int64_t s = 0; s < n_states; s++) max = fmax(max, lse_of(a, s, t, h));
    for (int64_t s = 0; s < n_states; s++) {
        double lse = lse_of(a, s, t, h);
        if (lse != -INFINITY) sum += exp((lse - max) * log_base);
    }
    for (int64_t d = 0; d < d_v; d += BLOCK) {
        const int64_t n = d_v - d < BLOCK ? d_v - d : BLOCK;
        float block[BLOCK];
        memset(block, 0, (size_t)n * sizeof block[0]);
        for (int64_t s = 0; s < n_states; s++) {
            double lse = lse_of(a, s, t, h);
            const char *in = (const char *)tenon_data(a->partial_out) +
                             (s * stride[0] + t * stride[1] + h * stride[2] + d) * from_bytes;
            if (lse != -INFINITY)
                add_weighted(block, in, from, (float)exp((lse - max) * log_base), n);
        }
        store_scaled((char *)tenon_data(a->out) +
                         (t * a->out->strides[0] + h * a->out->strides[1] + d) * to_bytes,
                     to, block, sum == 0 ? 0 : (float)(1 / sum), n);
    }
    if (a->lse)
        ((float *)tenon_data(a->lse))[t * a->lse->strides[0] + h * a->lse->strides[1]] =
            (float)(sum == 0 ? -INFINITY : max + log(sum) / log_base);
}

static void merge_some(void *arg, int64_t task, int32_t thread) {
    const job *j = arg;
    const int64_t heads = j->a->out->shape[1], n = j->a->out->shape[0] * heads;
    (void)thread;
    for (int64_t i = n * task / j->n_tasks; i < n * (task + 1) / j->n_tasks; i++)
        merge_one(j->a, i / heads, i % heads);
}

static int32_t run(const tenon_kernel_plan *plan, const void *args, tenon_error *error) {
    const tenon_merge_states_args *a = args;
    const int64_t n = a->out->shape[0] * a->out->shape[1];
    job j = {a, n * a->out->shape[2] * a->partial_out->shape[0] * (a->partial_out->dtype.bits / 8) /
                        TASK_BYTES +
                    1};
    (void)error;
    if (j.n_tasks > n) j.n_tasks = n;
    if (j.n_tasks > 1)
        tenon_cpu_run(plan, j.n_tasks, merge_some, &j);
    else if (n > 0)
        merge_some(&j, 0, 0);
    return TENON_OK;
}

#define MERGE_STATES_ROW                                                                           \
    .op = TENON_OP_MERGE_STATES,                                                                   \
    .traits = TENON_TRAIT_DETERMINISTIC | TENON_TRAIT_BATCH_INVARIANT, .checked_on = "hardware",   \
    .run = run
