/* SPDX-License-Identifier: Apache-2.0 */
/* attention, as the paper has it, one query row and head at a time:
 *
 *     s[j] = softcap(softmax_scale * q . k[j]) + slope * (j - i)      for every kv position j that
 * position i sees p[j] = exp(s[j] - m),  m = max s                                softcap(x) = c *
 * tanh(x / c) out  = sum_j p[j] v[j] / (sum_j p[j] + exp(sink - m)),  lse = m + log sum_j p[j]
 *
 * The logits are computed twice, once for the maximum and once for the sums, so that no row of them
 * has to be kept. */
#include <math.h>

#include "paged_sequence.h"
#include "ref_paged_cache.h"

/* One query row of one head, and what it may see. */
typedef struct row {
    const tenon_attention_args *a;
    const tenon_paged_sequence *sequence;
    tenon_ref_cache k, v;
    int64_t page_size, token, head, head_kv, d_qk, d_v;
    int64_t position, first_new; /* kv position of the row, and of the first row of its sequence */
    double q_scale, softmax_scale, slope;
} row;

static bool sees(const row *r, int64_t j) {
    const tenon_attention_args *a = r->a;
    if (a->window_left > 0 && j < r->position - a->window_left) return false;
    if (a->tree_mask && j >= r->first_new) {
        int64_t bit = j - r->first_new;
        return ((const uint8_t *)tenon_data(
                   a->tree_mask))[tenon_ref_at2(a->tree_mask, r->token, bit / 8)] >>
                   bit % 8 &
               1;
    }
    if (a->flags & TENON_ATTENTION_CAUSAL) return j <= r->position;
    return a->window_right <= 0 || j <= r->position + a->window_right;
}

static double logit(const row *r, int64_t j) {
    int64_t page = r->sequence->pages[j / r->page_size], slot = j % r->page_size;
    double dot = 0;
    for (int64_t d = 0; d < r->d_qk; d++)
        dot += tenon_ref_load3(r->a->q, r->token, r->head, d) *
               tenon_ref_cache_load(&r->k, page, slot, r->head_kv, d);
    double s =
        r->softmax_scale * r->q_scale * tenon_ref_cache_scale(&r->k, page, slot, r->head_kv) * dot;
    if (r->a->softcap > 0) s = (double)r->a->softcap * tanh(s / (double)r->a->softcap);
    return s + r->slope * (double)(j - r->position);
}

static void store_row(const tenon_attention_args *a, int64_t token, int64_t head, const double *acc,
                      double sum, double sink, double lse) {
    int64_t d_v = a->out->shape[2];
    for (int64_t d = 0; d < d_v; d++)
        tenon_ref_store3(a->out, token, head, d, sum > 0 || isnan(sum) ? acc[d] / (sum + sink) : 0);
    if (a->lse)
        tenon_ref_store2(a->lse, token, head,
                         a->flags & TENON_ATTENTION_LSE_BASE2 ? lse / log(2.0) : lse);
}

static void attend(const row *r, double *acc) {
    const tenon_paged_sequence *s = r->sequence;
    double max = -INFINITY, sum = 0;
    for (int64_t j = s->visible_begin; j < s->visible_end; j++)
        if (sees(r, j)) max = fmax(max, logit(r, j));
    for (int64_t d = 0; d < r->d_v; d++) acc[d] = 0;
    for (int64_t j = s->visible_begin; j < s->visible_end; j++) {
        if (!sees(r, j)) continue;
        double x = logit(r, j);
        if (x == -INFINITY) continue; /* weight 0, whatever the value is */
        double p = exp(x - max);
        int64_t page = s->pages[j / r->page_size], slot = j % r->page_size;
        double scale = tenon_ref_cache_scale(&r->v, page, slot, r->head_kv);
        sum += p;
        for (int64_t d = 0; d < r->d_v; d++)
            acc[d] += p * (scale * tenon_ref_cache_load(&r->v, page, slot, r->head_kv, d));
    }
    double sink = r->a->sinks ? exp(tenon_ref_load1(r->a->sinks, r->head) - max) : 0;
    store_row(r->a, r->token, r->head, acc, sum, sink, sum == 0 ? -INFINITY : max + log(sum));
}

static void empty_rows(const tenon_attention_args *a, int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; t++)
        for (int64_t h = 0; h < a->q->shape[1]; h++) store_row(a, t, h, NULL, 0, 0, -INFINITY);
}

/* [1], [heads_kv] or [batch, heads_kv]. */
static double q_scale_of(const DLTensor *scale, int64_t b, int64_t head_kv) {
    if (!scale) return 1;
    if (scale->ndim == 2) return tenon_ref_load2(scale, b, head_kv);
    return tenon_ref_load1(scale, scale->shape[0] == 1 ? 0 : head_kv);
}

/* The two caches, and what they have in common. */
typedef struct caches {
    tenon_ref_cache k, v;
    int64_t pages, page_size, heads_kv;
} caches;

static caches caches_of(const tenon_attention_args *a) {
    if (!(a->flags & TENON_ATTENTION_NATIVE_CACHE))
        return (caches){tenon_ref_cache_of(a->k, a->k_scale, a->kv_element),
                        tenon_ref_cache_of(a->v, a->v_scale, a->kv_element), a->k->shape[0],
                        a->k->shape[1], a->k->shape[2]};
    const int64_t d_qk = a->q->shape[2], d_v = a->out->shape[2];
    tenon_native_cache page = {1, a->page_size, a->n_kv_heads, d_qk > d_v ? d_qk : d_v};
    int64_t page_bytes = tenon_native_page_bytes(&page),
            pages = page_bytes ? a->k->shape[0] / page_bytes : 0;
    return (caches){{a->k,
                     NULL,
                     TENON_NUMBER_BF16,
                     1,
                     TENON_REF_NATIVE_K,
                     {pages, a->page_size, a->n_kv_heads, d_qk}},
                    {a->v,
                     NULL,
                     TENON_NUMBER_BF16,
                     1,
                     TENON_REF_NATIVE_V,
                     {pages, a->page_size, a->n_kv_heads, d_v}},
                    pages,
                    a->page_size,
                    a->n_kv_heads};
}

static void attend_sequence(const tenon_attention_args *a, const caches *c, int64_t b,
                            const tenon_paged_sequence *s, double *acc) {
    const int64_t heads_q = a->q->shape[1], heads_kv = c->heads_kv;
    row r = {.a = a,
             .sequence = s,
             .k = c->k,
             .v = c->v,
             .page_size = c->page_size,
             .d_qk = a->q->shape[2],
             .d_v = a->out->shape[2],
             .first_new = s->kv_len - s->n_rows};
    r.softmax_scale = a->softmax_scale > 0 ? (double)a->softmax_scale : 1 / sqrt((double)r.d_qk);
    for (int64_t i = 0; i < s->n_rows; i++)
        for (int64_t h = 0; h < heads_q; h++) {
            r.token = s->first_row + i;
            r.position = r.first_new + i;
            r.head = h;
            r.head_kv = h / (heads_q / heads_kv);
            r.q_scale = q_scale_of(a->q_scale, b, r.head_kv);
            r.slope = !a->alibi_slopes             ? 0
                      : a->alibi_slopes->ndim == 2 ? tenon_ref_load2(a->alibi_slopes, b, h)
                                                   : tenon_ref_load1(a->alibi_slopes, h);
            attend(&r, acc);
        }
}

static int32_t run(const tenon_kernel_plan *plan, const void *args, tenon_error *error) {
    const tenon_attention_args *a = args;
    (void)plan, (void)error;
    caches c = caches_of(a);
    tenon_paged_batch batch = tenon_attention_batch(a, c.pages, c.page_size);
    if (!tenon_paged_batch_ok(&batch)) {
        empty_rows(a, 0, batch.n_rows);
        return TENON_OK;
    }
    for (int64_t b = 0; b < batch.n_sequences; b++) {
        tenon_paged_sequence s;
        if (tenon_paged_sequence_at(&batch, b, &s))
            attend_sequence(a, &c, b, &s, a->workspace);
        else
            empty_rows(a, s.first_row, s.first_row + s.n_rows);
    }
    empty_rows(a, tenon_paged_batch_end(&batch), batch.n_rows);
    return TENON_OK;
}

/* The numerator of one row. */
static int32_t plan(tenon_kernel_plan *plan, tenon_error *error) {
    const tenon_attention_args *a = plan->problem.args;
    (void)error;
    plan->workspace_bytes = (uint64_t)a->out->shape[2] * sizeof(double);
    return TENON_OK;
}

static const char *why_not(const tenon_problem *problem, tenon_reason *reason) {
    const tenon_attention_args *a = problem->args;
    if (!(a->flags & TENON_ATTENTION_NATIVE_CACHE)) return NULL;
    if (a->k_scale || a->v_scale || a->kv_element != TENON_ELEMENT_AS_TENSOR)
        return tenon_decline(reason, "the native cache holds bf16, without scales");
    if (!tenon_native_cache_fits(a->page_size, a->q->shape[2]) ||
        !tenon_native_cache_fits(a->page_size, a->out->shape[2]))
        return tenon_decline(
            reason, "page_size=%d, head dims %lld and %lld: the native cache needs multiples of %d",
            a->page_size, (long long)a->q->shape[2], (long long)a->out->shape[2],
            TENON_NATIVE_GROUP);
    return NULL;
}

extern const tenon_kernel tenon_ref_attention;
const tenon_kernel tenon_ref_attention = {
    .name = "ref_attention",
    .op = TENON_OP_ATTENTION,
    .traits = TENON_TRAIT_REFERENCE | TENON_TRAIT_DETERMINISTIC | TENON_TRAIT_BATCH_INVARIANT,
    .checked_on = "hardware",
    .why_not = why_not,
    .plan = plan,
    .run = run,
};
