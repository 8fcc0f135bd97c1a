/* SPDX-License-Identifier: Apache-2.0 */
/* mla_attention: DeepSeek's latent attention with the up-projections absorbed into q and out. Every
 * head reads the same row c[j]:
 *
 *     s[j] = softmax_scale * q . c[j],   p[j] = exp(s[j] - m),   m = max s
 *     out  = sum_j p[j] c[j][0 : d_latent] / (sum_j p[j] + exp(sink - m)),   lse = m + log sum_j
 * p[j] */
#include <math.h>

#include "paged_sequence.h"
#include "ref_latent_row.h"

static void store_row(const tenon_mla_attention_args *a, int64_t token, int64_t head,
                      const double *acc, double sum, double sink, double lse) {
    int64_t d_latent = a->out->shape[2];
    for (int64_t d = 0; d < d_latent; d++)
        tenon_ref_store3(a->out, token, head, d, sum > 0 || isnan(sum) ? acc[d] / (sum + sink) : 0);
    if (a->lse)
        tenon_ref_store2(a->lse, token, head,
                         a->flags & TENON_MLA_ATTENTION_LSE_BASE2 ? lse / log(2.0) : lse);
}

static void empty_rows(const tenon_mla_attention_args *a, int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; t++)
        for (int64_t h = 0; h < a->q->shape[1]; h++) store_row(a, t, h, NULL, 0, 0, -INFINITY);
}

static double logit(const tenon_mla_attention_args *a, const tenon_ref_latent_cache *cache,
                    int64_t row, int64_t token, int64_t head) {
    double dot = 0;
    for (int64_t d = 0; d < a->q->shape[2]; d++)
        dot += tenon_ref_load3(a->q, token, head, d) * tenon_ref_latent_load(cache, row, d);
    return (double)a->softmax_scale * dot;
}

/* Row `token`, which sees the kv positions below `end`. */
static void attend(const tenon_mla_attention_args *a, const tenon_ref_latent_cache *cache,
                   const tenon_paged_sequence *s, int64_t token, int64_t head, int64_t end,
                   double *acc) {
    const int64_t page_size = a->cache->shape[1], d_latent = a->out->shape[2];
    double max = -INFINITY, sum = 0;
    for (int64_t j = 0; j < end; j++)
        max = fmax(max, logit(a, cache,
                              tenon_ref_latent_at(cache, s->pages[j / page_size], j % page_size),
                              token, head));
    for (int64_t d = 0; d < d_latent; d++) acc[d] = 0;
    for (int64_t j = 0; j < end; j++) {
        int64_t row = tenon_ref_latent_at(cache, s->pages[j / page_size], j % page_size);
        double x = logit(a, cache, row, token, head);
        if (x == -INFINITY) continue; /* weight 0, whatever the value is */
        double p = exp(x - max);
        sum += p;
        for (int64_t d = 0; d < d_latent; d++) acc[d] += p * tenon_ref_latent_load(cache, row, d);
    }
    double sink = a->sinks ? exp(tenon_ref_load1(a->sinks, head) - max) : 0;
    store_row(a, token, head, acc, sum, sink, sum == 0 ? -INFINITY : max + log(sum));
}

static int32_t run(const tenon_kernel_plan *plan, const void *args, tenon_error *error) {
    const tenon_mla_attention_args *a = args;
    (void)plan, (void)error;
    tenon_paged_batch batch = tenon_mla_attention_batch(a);
    if (!tenon_paged_batch_ok(&batch)) {
        empty_rows(a, 0, batch.n_rows);
        return TENON_OK;
    }
    tenon_ref_latent_cache cache =
        tenon_ref_latent_cache_of(a->cache, a->kv_scale, a->kv_element, a->cache_format);
    for (int64_t b = 0; b < batch.n_sequences; b++) {
        tenon_paged_sequence s;
        if (!tenon_paged_sequence_at(&batch, b, &s)) {
            empty_rows(a, s.first_row, s.first_row + s.n_rows);
            continue;
        }
        for (int64_t i = 0; i < s.n_rows; i++) {
            int64_t end =
                a->flags & TENON_MLA_ATTENTION_CAUSAL ? s.kv_len - s.n_rows + i + 1 : s.kv_len;
            for (int64_t h = 0; h < a->q->shape[1]; h++)
                attend(a, &cache, &s, s.first_row + i, h, end, a->workspace);
        }
    }
    empty_rows(a, tenon_paged_batch_end(&batch), batch.n_rows);
    return TENON_OK;
}

/* The numerator of one row. */
static int32_t plan(tenon_kernel_plan *plan, tenon_error *error) {
    const tenon_mla_attention_args *a = plan->problem.args;
    (void)error;
    plan->workspace_bytes = (uint64_t)a->out->shape[2] * sizeof(double);
    return TENON_OK;
}

extern const tenon_kernel tenon_ref_mla_attention;
const tenon_kernel tenon_ref_mla_attention = {
    .name = "ref_mla_attention",
    .op = TENON_OP_MLA_ATTENTION,
    .traits = TENON_TRAIT_REFERENCE | TENON_TRAIT_DETERMINISTIC | TENON_TRAIT_BATCH_INVARIANT,
    .checked_on = "hardware",
    .plan = plan,
    .run = run,
};
