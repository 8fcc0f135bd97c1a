/* SPDX-License-Identifier: Apache-2.0 */
/* Every vector row of CPU attention, and of ROCm's in the interpreter, forced by name, against the
 * formula in double that stands below: random mixed batches with all options, poisoned outputs, NaN
 * wherever nobody may read, the same bits again, alone, and with other thread counts, and lengths
 * and page ids that lie. */
#include "row_names.h"
#include "test_host.h"

enum { BATCH_MAX = 6, FREE_PAGES = 3 };

typedef enum { F32, F16, BF16 } type;
static const struct {
    const char *name;
    int code, bits;
    double half_ulp; /* relative */
} types[] = {
    {"f32", kDLFloat, 32, 0}, {"f16", kDLFloat, 16, 0x1p-11}, {"bf16", kDLBfloat, 16, 0x1p-8}};

typedef struct problem {
    type q, kv, out;
    int heads_kv, group, d_qk, d_v, page_size, batch;
    int n_q[BATCH_MAX], n_kv[BATCH_MAX];
    bool causal, csr, head_major, sinks, lse, base2, tree;
    int alibi; /* 0: none, 1: [heads], 2: [batch, heads] */
    int left, right;
    float softcap, scale;
} problem;

typedef struct data {
    int n_tokens, heads_q, n_pages, max_pages, mask_bytes, row_qk, row_v;
    void *q, *k, *v, *out;
    float *lse, *sinks, *slopes, *expected, *bound, *expected_lse;
    int32_t *cu, *lens, *table, *indptr, *indices;
    uint8_t *tree;
    int64_t out_bytes;
    test_tensor tq, tk, tv, to, tl, tcu, tlens, ttable, tindptr, tindices, tsinks, tslopes, ttree;
    tenon_attention_args args;
} data;

/* ---- numbers ---- */

static float from_bits(uint32_t u) {
    float f;
    memcpy(&f, &u, 4);
    return f;
}

static double load(const void *p, int64_t i, type t) {
    if (t == F32) return (double)((const float *)p)[i];
    const uint16_t h = ((const uint16_t *)p)[i];
    if (t == BF16) return (double)from_bits((uint32_t)h << 16);
    const int e = h >> 10 & 31, m = h & 1023;
    const double x = e == 31 ? (m ? NAN : INFINITY) : e ? ldexp(1024 + m, e - 25) : ldexp(m, -24);
    return h & 0x8000 ? -x : x;
}

/* x is a multiple of 1/64 below 2, so that every type holds it. */
static void save(void *p, int64_t i, type t, double x) {
    const float f = (float)x;
    uint32_t u;
    memcpy(&u, &f, 4);
    if (t == F32)
        ((float *)p)[i] = f;
    else if (t == BF16)
        ((uint16_t *)p)[i] = (uint16_t)(u >> 16);
    else if (x != x)
        ((uint16_t *)p)[i] = 0x7e00;
    else
        ((uint16_t *)p)[i] =
            (uint16_t)(x == 0
                           ? 0
                           : (u >> 16 & 0x8000) | ((u >> 23 & 255) - 112) << 10 | (u >> 13 & 1023));
}

static double grid(void) {
    return (int)(test_random() >> 40) % 64 / 64.0 * (test_random() & 1 ? 1 : -1);
}
static int below(int n) {
    return (int)(test_random() >> 33) % n;
}

/* ---- a problem's data ---- */

static int64_t at(const test_tensor *t, int64_t a, int64_t b, int64_t c) {
    return a * t->strides[0] + b * t->strides[1] + c * t->strides[2];
}

static void *make_cache(const problem *p, int n_pages, int d, int row, test_tensor *t) {
    const int64_t n = (int64_t)n_pages * p->page_size * p->heads_kv * row;
    void *cache = malloc((size_t)n * 4 + 64);
    test_view(t, cache, types[p->kv].code, types[p->kv].bits,
              SHAPE(n_pages, p->page_size, p->heads_kv, d));
    t->strides[0] = (int64_t)p->page_size * p->heads_kv * row;
    t->strides[1] = p->head_major ? row : (int64_t)p->heads_kv * row;
    t->strides[2] = p->head_major ? (int64_t)p->page_size * row : row;
    for (int64_t i = 0; i < n; i++) save(cache, i, p->kv, NAN);
    return cache;
}

/* Random q, pages in random order with room between, NaN in every slot that no sequence owns. */
static void make(const problem *p, data *d) {
    memset(d, 0, sizeof *d);
    d->heads_q = p->heads_kv * p->group;
    d->cu = calloc(BATCH_MAX + 1, 4), d->lens = calloc(BATCH_MAX, 4),
    d->indptr = calloc(BATCH_MAX + 1, 4);
    int n_entries = 0, max_q = 1;
    for (int b = 0; b < p->batch; b++) {
        const int pages = (p->n_kv[b] + p->page_size - 1) / p->page_size;
        d->cu[b + 1] = d->cu[b] + p->n_q[b];
        d->lens[b] = p->n_kv[b];
        d->indptr[b + 1] = n_entries += pages;
        if (pages > d->max_pages) d->max_pages = pages;
        if (p->n_q[b] > max_q) max_q = p->n_q[b];
    }
    if (!d->max_pages) d->max_pages = 1;
    d->n_tokens = d->cu[p->batch], d->n_pages = n_entries + FREE_PAGES;
    d->mask_bytes = max_q / 8 + 1;
    d->row_qk = p->d_qk + 8 * below(2), d->row_v = p->d_v + 8 * below(2);
    d->k = make_cache(p, d->n_pages, p->d_qk, d->row_qk, &d->tk);
    d->v = make_cache(p, d->n_pages, p->d_v, d->row_v, &d->tv);
    d->table = malloc((size_t)(p->batch * d->max_pages + 1) * 4),
    d->indices = malloc((size_t)(n_entries + 1) * 4);
    int *order = malloc((size_t)d->n_pages * sizeof *order);
    for (int i = 0; i < d->n_pages; i++) order[i] = i;
    for (int i = d->n_pages - 1; i > 0; i--) {
        const int j = below(i + 1), o = order[i];
        order[i] = order[j], order[j] = o;
    }
    for (int i = 0; i < n_entries; i++) d->indices[i] = order[i];
    for (int b = 0; b < p->batch; b++)
        for (int i = 0; i < d->max_pages; i++) {
            const bool used = i < d->indptr[b + 1] - d->indptr[b];
            d->table[b * d->max_pages + i] = used ? d->indices[d->indptr[b] + i] : -1;
            for (int s = 0; used && s < p->page_size && i * p->page_size + s < p->n_kv[b]; s++)
                for (int h = 0; h < p->heads_kv; h++) {
                    const int64_t page = d->table[b * d->max_pages + i];
                    for (int c = 0; c < p->d_qk; c++)
                        save(d->k, at(&d->tk, page, s, h) + c, p->kv, grid());
                    for (int c = 0; c < p->d_v; c++)
                        save(d->v, at(&d->tv, page, s, h) + c, p->kv, grid());
                }
        }
    free(order);
    d->q = malloc((size_t)d->n_tokens * d->heads_q * p->d_qk * 4 + 64);
    for (int64_t i = 0; i < (int64_t)d->n_tokens * d->heads_q * p->d_qk; i++)
        save(d->q, i, p->q, 2 * grid());
    d->out_bytes = (int64_t)d->n_tokens * d->heads_q * p->d_v * types[p->out].bits / 8;
    d->out = malloc((size_t)d->out_bytes + 64);
    const size_t n_rows = (size_t)d->n_tokens * d->heads_q + 1;
    d->lse = malloc(n_rows * 4), d->expected_lse = malloc(n_rows * 4);
    d->expected = calloc(n_rows * p->d_v, 4), d->bound = calloc(n_rows * p->d_v, 4);
    d->sinks = malloc((size_t)d->heads_q * 4),
    d->slopes = malloc((size_t)d->heads_q * BATCH_MAX * 4);
    for (int i = 0; i < d->heads_q; i++) d->sinks[i] = 3 * test_uniform();
    for (int i = 0; i < d->heads_q * BATCH_MAX; i++) d->slopes[i] = 0.1f * test_uniform();
    d->tree = malloc((size_t)(d->n_tokens + 1) * d->mask_bytes);
    for (int i = 0; i < d->n_tokens * d->mask_bytes; i++)
        d->tree[i] = (uint8_t)(test_random() >> 20);

    tenon_attention_args *a = &d->args;
    a->struct_size = sizeof *a;
    a->flags =
        (p->causal ? TENON_ATTENTION_CAUSAL : 0u) | (p->base2 ? TENON_ATTENTION_LSE_BASE2 : 0u);
    a->q = test_view(&d->tq, d->q, types[p->q].code, types[p->q].bits,
                     SHAPE(d->n_tokens, d->heads_q, p->d_qk));
    a->k = &d->tk.view, a->v = &d->tv.view;
    a->out = test_view(&d->to, d->out, types[p->out].code, types[p->out].bits,
                       SHAPE(d->n_tokens, d->heads_q, p->d_v));
    if (p->lse) a->lse = test_view(&d->tl, d->lse, kDLFloat, 32, SHAPE(d->n_tokens, d->heads_q));
    a->cu_seqlens_q = test_view(&d->tcu, d->cu, kDLInt, 32, SHAPE(p->batch + 1));
    a->seq_lens = test_view(&d->tlens, d->lens, kDLInt, 32, SHAPE(p->batch));
    if (p->csr) {
        a->page_indptr = test_view(&d->tindptr, d->indptr, kDLInt, 32, SHAPE(p->batch + 1));
        a->page_indices = test_view(&d->tindices, d->indices, kDLInt, 32, SHAPE(n_entries));
    } else {
        a->block_table = test_view(&d->ttable, d->table, kDLInt, 32, SHAPE(p->batch, d->max_pages));
    }
    if (p->sinks) a->sinks = test_view(&d->tsinks, d->sinks, kDLFloat, 32, SHAPE(d->heads_q));
    if (p->alibi == 1)
        a->alibi_slopes = test_view(&d->tslopes, d->slopes, kDLFloat, 32, SHAPE(d->heads_q));
    if (p->alibi == 2)
        a->alibi_slopes =
            test_view(&d->tslopes, d->slopes, kDLFloat, 32, SHAPE(p->batch, d->heads_q));
    if (p->tree)
        a->tree_mask = test_view(&d->ttree, d->tree, kDLUInt, 8, SHAPE(d->n_tokens, d->mask_bytes));
    a->softmax_scale = p->scale, a->softcap = p->softcap;
    a->window_left = p->left, a->window_right = p->right;
    a->max_kv_len = p->csr ? 2000 : 0;
    a->max_q_len = p->tree || p->head_major ? max_q : 0;
}

static void release(data *d) {
    void *all[] = {d->q,      d->k,        d->v,       d->out,          d->lse, d->sinks,
                   d->slopes, d->expected, d->bound,   d->expected_lse, d->cu,  d->lens,
                   d->table,  d->indptr,   d->indices, d->tree};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) free(all[i]);
}

/* ---- the formula ---- */

static bool sees(const problem *p, const data *d, int b, int t, int j) {
    const int first_new = p->n_kv[b] - p->n_q[b], i = first_new + t;
    if (p->left > 0 && j < i - p->left) return false;
    if (p->right > 0 && !p->causal && !p->tree && j > i + p->right) return false;
    if (p->tree && j >= first_new) {
        const int bit = j - first_new;
        return d->tree[(d->cu[b] + t) * d->mask_bytes + bit / 8] >> (bit % 8) & 1;
    }
    return !p->causal || j <= i;
}

/* expected, and in bound how much weight and value met there: what rounding errors are relative to.
 */
static void compute_row(const problem *p, data *d, int b, int t, int h) {
    const int kv_head = h / p->group, i = p->n_kv[b] - p->n_q[b] + t;
    const int64_t row = (int64_t)(d->cu[b] + t) * d->heads_q + h;
    const double scale = p->scale != 0 ? (double)p->scale : 1 / sqrt(p->d_qk);
    double *logit = malloc(sizeof(double) * (size_t)(p->n_kv[b] + 1)), max = -INFINITY, sum = 0;
    for (int j = 0; j < p->n_kv[b]; j++) {
        const int64_t k =
            at(&d->tk, d->table[b * d->max_pages + j / p->page_size], j % p->page_size, kv_head);
        double dot = 0;
        logit[j] = -INFINITY;
        if (!sees(p, d, b, t, j)) continue;
        for (int c = 0; c < p->d_qk; c++)
            dot += load(d->q, row * p->d_qk + c, p->q) * load(d->k, k + c, p->kv);
        dot *= scale;
        if (p->softcap > 0) dot = (double)p->softcap * tanh(dot / (double)p->softcap);
        if (p->alibi) dot += (double)d->slopes[p->alibi == 2 ? b * d->heads_q + h : h] * (j - i);
        logit[j] = dot;
        if (dot > max) max = dot;
    }
    for (int j = 0; j < p->n_kv[b]; j++) sum += logit[j] == -INFINITY ? 0 : exp(logit[j] - max);
    const double total = sum + (p->sinks ? exp((double)d->sinks[h] - max) : 0);
    d->expected_lse[row] =
        sum == 0 ? -INFINITY : (float)((max + log(sum)) / (p->base2 ? log(2.0) : 1));
    for (int c = 0; c < p->d_v; c++) {
        double acc = 0, size = 0;
        for (int j = 0; j < p->n_kv[b]; j++) {
            if (logit[j] == -INFINITY) continue;
            const double w = exp(logit[j] - max) / total;
            const double x = load(d->v,
                                  at(&d->tv, d->table[b * d->max_pages + j / p->page_size],
                                     j % p->page_size, kv_head) +
                                      c,
                                  p->kv);
            acc += w * x, size += w * fabs(x);
        }
        d->expected[row * p->d_v + c] = (float)acc, d->bound[row * p->d_v + c] = (float)size;
    }
    free(logit);
}

static void compute(const problem *p, data *d) {
    for (int b = 0; b < p->batch; b++)
        for (int t = 0; t < p->n_q[b]; t++)
            for (int h = 0; h < d->heads_q; h++) compute_row(p, d, b, t, h);
}

/* ---- runs ---- */

static const char *describe(const problem *p) {
    static char text[400];
    int n = snprintf(text, sizeof text,
                     "q %s kv %s out %s heads %dx%d d %d/%d page %d%s%s%s%s%s%s alibi %d window "
                     "%d,%d softcap %g scale %g lens",
                     types[p->q].name, types[p->kv].name, types[p->out].name, p->heads_kv, p->group,
                     p->d_qk, p->d_v, p->page_size, p->causal ? " causal" : "",
                     p->csr ? " csr" : "", p->head_major ? " head-major" : "",
                     p->sinks ? " sinks" : "", p->lse ? " lse" : "", p->tree ? " tree" : "",
                     p->alibi, p->left, p->right, (double)p->softcap, (double)p->scale);
    for (int b = 0; b < p->batch; b++)
        n += snprintf(text + n, sizeof text - (size_t)n, " %d/%d", p->n_q[b], p->n_kv[b]);
    return text;
}

/* One run in a workspace of exactly the size asked for, fenced; false where the row declines. */
static bool run(const tenon_api *api, tenon_context *context, const char *kernel, data *d,
                const problem *p) {
    tenon_plan *plan = NULL;
    tenon_error error = {.struct_size = sizeof error};
    const tenon_plan_options options = {.struct_size = sizeof options, .kernel = kernel};
    tenon_query query = {.struct_size = sizeof query};
    int32_t status =
        api->plan_create(context, TENON_OP_ATTENTION, &d->args, &options, &plan, &error);
    if (status == TENON_STATUS_UNSUPPORTED) {
        CHECK(row_may_decline(kernel, error.text) ||
                  (!row_is_rocm(kernel) && row_takes_bf16_alone(kernel) &&
                   (p->q != BF16 || p->kv != BF16)),
              "%s declines %s: %s", kernel, describe(p), error.text);
        return false;
    }
    CHECK(status == TENON_OK, "%s: %s: %s", kernel, describe(p), error.text);
    if (status) return false;
    CHECK(api->plan_query(plan, &query, &error) == TENON_OK, "%s", error.text);
    uint8_t *workspace = aligned_alloc(64, (query.workspace_bytes + 127) / 64 * 64);
    if (!workspace) exit(2);
    memset(workspace, 0xff, query.workspace_bytes + 64);
    memset(d->out, 0x7f, (size_t)d->out_bytes + 64);
    memset(d->lse, 0x7f, ((size_t)d->n_tokens * (size_t)d->heads_q + 1) * 4);
    d->args.workspace = workspace, d->args.workspace_bytes = query.workspace_bytes;
    CHECK(api->run(plan, &d->args, &error) == TENON_OK, "%s: %s: %s", kernel, describe(p),
          error.text);
    d->args.workspace = NULL, d->args.workspace_bytes = 0;
    for (int i = 0; i < 64; i++) {
        if (workspace[query.workspace_bytes + i] != 0xff)
            CHECK(false, "%s: %s: workspace overrun", kernel, describe(p));
        if (((uint8_t *)d->out)[d->out_bytes + i] != 0x7f)
            CHECK(false, "%s: %s: output overrun", kernel, describe(p));
    }
    free(workspace);
    api->plan_destroy(plan);
    return true;
}

static void compare(const char *kernel, const problem *p, const data *d) {
    /* bf16 pairs round the weights to bf16; else only f32 arithmetic stands between. */
    const double weight_error = row_takes_bf16_alone(kernel) ? 0x1p-8 : 1e-5;
    int wrong = 0;
    for (int64_t i = 0; i < (int64_t)d->n_tokens * d->heads_q * p->d_v && wrong < 3; i++) {
        const double x = load(d->out, i, p->out), e = (double)d->expected[i];
        const double room =
            types[p->out].half_ulp * fabs(e) + weight_error * (double)d->bound[i] + 1e-7;
        if (!(fabs(x - e) <= room)) {
            wrong++;
            CHECK(false, "%s: %s: element %lld is %g, expected %g within %g", kernel, describe(p),
                  (long long)i, x, e, room);
        }
    }
    for (int64_t i = 0; p->lse && i < (int64_t)d->n_tokens * d->heads_q && wrong < 3; i++) {
        const float x = d->lse[i], e = d->expected_lse[i];
        if (!(e == -INFINITY ? x == e : fabsf(x - e) <= 2e-5f * (1 + fabsf(e)))) {
            wrong++;
            CHECK(false, "%s: %s: lse %lld is %g, expected %g", kernel, describe(p), (long long)i,
                  (double)x, (double)e);
        }
    }
    CHECK(wrong == 0, "%s", describe(p));
}

/* Sequence b alone: the same bits as in the batch. */
static void check_alone(const tenon_api *api, tenon_context *context, const char *kernel,
                        const problem *p, data *d, int b, const uint8_t *whole,
                        const float *whole_lse) {
    problem one = *p;
    data e = *d;
    const int64_t row = (int64_t)d->heads_q * p->d_v * types[p->out].bits / 8, first = d->cu[b];
    int32_t cu[2] = {0, p->n_q[b]}, indptr[2] = {0, d->indptr[b + 1] - d->indptr[b]};
    one.batch = 1, one.n_q[0] = p->n_q[b], one.n_kv[0] = p->n_kv[b];
    if (!one.n_q[0] || (p->csr && !indptr[1])) return;
    e.n_tokens = one.n_q[0], e.out_bytes = one.n_q[0] * row;
    e.out = malloc((size_t)e.out_bytes + 64),
    e.lse = malloc((size_t)(e.n_tokens * e.heads_q + 1) * 4);
    tenon_attention_args *a = &e.args;
    a->q = test_view(&e.tq, (char *)d->q + first * d->heads_q * p->d_qk * types[p->q].bits / 8,
                     types[p->q].code, types[p->q].bits, SHAPE(e.n_tokens, e.heads_q, p->d_qk));
    e.tk.view.shape = e.tk.shape, e.tk.view.strides = e.tk.strides, e.tv.view.shape = e.tv.shape,
    e.tv.view.strides = e.tv.strides;
    a->k = &e.tk.view, a->v = &e.tv.view;
    a->out = test_view(&e.to, e.out, types[p->out].code, types[p->out].bits,
                       SHAPE(e.n_tokens, e.heads_q, p->d_v));
    if (p->lse) a->lse = test_view(&e.tl, e.lse, kDLFloat, 32, SHAPE(e.n_tokens, e.heads_q));
    a->cu_seqlens_q = test_view(&e.tcu, cu, kDLInt, 32, SHAPE(2));
    a->seq_lens = test_view(&e.tlens, d->lens + b, kDLInt, 32, SHAPE(1));
    if (p->csr) {
        a->page_indptr = test_view(&e.tindptr, indptr, kDLInt, 32, SHAPE(2));
        a->page_indices =
            test_view(&e.tindices, d->indices + d->indptr[b], kDLInt, 32, SHAPE(indptr[1]));
    } else {
        a->block_table =
            test_view(&e.ttable, d->table + b * d->max_pages, kDLInt, 32, SHAPE(1, d->max_pages));
    }
    if (p->alibi == 2)
        a->alibi_slopes =
            test_view(&e.tslopes, d->slopes + b * d->heads_q, kDLFloat, 32, SHAPE(1, d->heads_q));
    if (p->tree)
        a->tree_mask = test_view(&e.ttree, d->tree + first * d->mask_bytes, kDLUInt, 8,
                                 SHAPE(e.n_tokens, d->mask_bytes));
    if (run(api, context, kernel, &e, &one)) {
        CHECK(!memcmp(e.out, whole + first * row, (size_t)e.out_bytes),
              "%s: %s: sequence %d alone has other bits", kernel, describe(p), b);
        if (p->lse)
            CHECK(!memcmp(e.lse, whole_lse + first * d->heads_q,
                          (size_t)(e.n_tokens * e.heads_q) * 4),
                  "%s: %s: sequence %d alone has another lse", kernel, describe(p), b);
    }
    free(e.out), free(e.lse);
}

enum { CONTEXTS = 3 }; /* of 1, 2 and 5 threads */

static bool check_problem(const tenon_api *api, tenon_context **contexts, const char *kernel,
                          const problem *p, data *d) {
    if (!run(api, contexts[0], kernel, d, p)) return false;
    compare(kernel, p, d);
    uint8_t *whole = malloc((size_t)d->out_bytes + 1);
    const size_t lse_bytes = (size_t)d->n_tokens * (size_t)d->heads_q * 4;
    float *whole_lse = malloc(lse_bytes + 1);
    memcpy(whole, d->out, (size_t)d->out_bytes), memcpy(whole_lse, d->lse, lse_bytes);
    for (int c = 0; c < CONTEXTS; c++) {
        run(api, contexts[c], kernel, d, p);
        CHECK(!memcmp(whole, d->out, (size_t)d->out_bytes) && !memcmp(whole_lse, d->lse, lse_bytes),
              "%s: %s: other bits in context %d", kernel, describe(p), c);
    }
    for (int b = 0; b < p->batch && p->batch > 1; b++)
        check_alone(api, contexts[b % CONTEXTS], kernel, p, d, b, whole, whole_lse);
    free(whole), free(whole_lse);
    return true;
}

static problem random_problem(void) {
    static const int dims[][2] = {{64, 64},   {128, 128}, {80, 80}, {96, 96}, {192, 128},
                                  {256, 256}, {40, 72},   {8, 16},  {64, 64}};
    static const int pages[] = {16, 1, 7, 32, 64, 256, 5};
    static const int groups[] = {1, 3, 4, 8, 5, 2, 13};
    const int dim = below(9), shape = below(3);
    problem p = {.q = (type)below(3),
                 .kv = (type)below(3),
                 .out = (type)below(3),
                 .heads_kv = 1 + below(3),
                 .group = groups[below(7)],
                 .d_qk = dims[dim][0],
                 .d_v = dims[dim][1],
                 .page_size = pages[below(7)],
                 .batch = 1 + below(BATCH_MAX),
                 .causal = below(4) != 0,
                 .csr = below(2),
                 .head_major = below(2),
                 .lse = below(2),
                 .left = -1,
                 .right = -1};
    if (below(2)) p.q = p.kv = BF16;
    for (int b = 0; b < p.batch; b++) {
        p.n_q[b] = shape == 0 ? 1 : shape == 1 ? below(40) : 1 + below(2) * below(120);
        p.n_kv[b] = p.n_q[b] + (below(3) ? below(below(2) ? 1200 : 90) : 0);
    }
    if (below(4) == 0) p.n_kv[0] = p.n_q[0] = 1;
    if (below(8) == 0 && !p.causal)
        p.n_kv[0] = p.n_q[0] / 2; /* the first queries stand before the cache */
    if (below(8) == 0) p.n_kv[p.batch - 1] = 0;
    if (below(3) == 0) p.left = below(2) ? below(200) : below(8);
    if (below(4) == 0) p.right = below(30);
    if (below(4) == 0) p.softcap = 1.0f + 10.0f * (float)below(3);
    if (below(3) == 0) p.scale = 0.25f;
    p.sinks = below(3) == 0, p.base2 = below(2), p.tree = below(4) == 0;
    p.alibi = below(3) == 0 ? 1 + below(2) : 0;
    if (p.tree)
        for (int b = 0; b < p.batch; b++)
            if (p.n_kv[b] < p.n_q[b] && p.n_kv[b]) p.n_kv[b] = p.n_q[b];
    int entries = 0;
    for (int b = 0; b < p.batch; b++) entries += p.n_kv[b];
    if (!entries) p.csr = false;
    return p;
}

/* ---- lengths and page ids that lie ---- */

static void check_fault(const tenon_api *api, tenon_context *context, const char *kernel,
                        const char *what, const problem *p, data *d, int victim, int32_t code,
                        int64_t position) {
    tenon_fault slot = {0};
    const int64_t row = (int64_t)d->heads_q * p->d_v * types[p->out].bits / 8;
    uint8_t *good = malloc((size_t)d->out_bytes);
    memcpy(good, d->out, (size_t)d->out_bytes);
    d->args.fault = &slot;
    if (run(api, context, kernel, d, p)) {
        CHECK(tenon_fault_poll(&slot) == code && slot.op == TENON_OP_ATTENTION &&
                  slot.position == position,
              "%s: %s: fault %d of op %d at %lld", kernel, what, slot.code, slot.op,
              (long long)slot.position);
        for (int b = 0; b < p->batch; b++) {
            /* d->cu may lie: the true borders follow from the problem. */
            int64_t first = 0;
            for (int i = 0; i < b; i++) first += p->n_q[i];
            const uint8_t *now = (uint8_t *)d->out + first * row;
            bool zero = true;
            for (int64_t i = 0; i < p->n_q[b] * row; i++) zero = zero && now[i] == 0;
            if (b == victim || victim < 0)
                CHECK(zero, "%s: %s: rows of the faulty sequence are not 0", kernel, what);
            else
                CHECK(!memcmp(now, good + first * row, (size_t)(p->n_q[b] * row)),
                      "%s: %s: sequence %d suffers too", kernel, what, b);
        }
    }
    d->args.fault = NULL;
    memcpy(d->out, good, (size_t)d->out_bytes);
    free(good);
}

static void check_hostile(const tenon_api *api, tenon_context *context, const char *kernel,
                          type t) {
    problem p = {.q = t,
                 .kv = t,
                 .out = F32,
                 .heads_kv = 2,
                 .group = 3,
                 .d_qk = 64,
                 .d_v = 64,
                 .page_size = 16,
                 .batch = 3,
                 .n_q = {2, 5, 1},
                 .n_kv = {40, 300, 77},
                 .causal = true,
                 .lse = true,
                 .left = -1,
                 .right = -1};
    static const int32_t bad_ids[] = {-1, INT32_MIN, INT32_MAX, 1000};
    static const int32_t bad_lengths[] = {-1, INT32_MIN, INT32_MAX, 305};
    data d;
    for (int csr = 0; csr < 2; csr++) {
        p.csr = csr;
        make(&p, &d);
        if (!run(api, context, kernel, &d, &p)) {
            release(&d);
            return;
        }
        int32_t *pages = csr ? d.indices + d.indptr[1] : d.table + d.max_pages;
        for (int i = 0; i < 4; i++) {
            const int32_t old = pages[3];
            pages[3] = bad_ids[i];
            check_fault(api, context, kernel, "page id", &p, &d, 1, TENON_FAULT_PAGE_OUT_OF_RANGE,
                        pages + 3 - (csr ? d.indices : d.table));
            pages[3] = old;
            d.lens[1] = bad_lengths[i];
            check_fault(api, context, kernel, "length", &p, &d, 1, TENON_FAULT_LENGTH_OUT_OF_RANGE,
                        1);
            d.lens[1] = 300;
        }
        if (csr) {
            const int32_t end = d.indptr[3];
            d.indptr[3] = end + 1;
            check_fault(api, context, kernel, "indptr", &p, &d, 2, TENON_FAULT_LENGTH_OUT_OF_RANGE,
                        2);
            d.indptr[3] = INT32_MIN;
            check_fault(api, context, kernel, "indptr", &p, &d, 2, TENON_FAULT_LENGTH_OUT_OF_RANGE,
                        2);
            d.indptr[3] = end;
        }
        static const int32_t bad_ends[] = {
            9, -5, INT32_MAX, 6}; /* row offsets that lie leave nobody's rows certain */
        for (int i = 0; i < 4; i++) {
            d.cu[3] = bad_ends[i];
            check_fault(api, context, kernel, "cu_seqlens_q", &p, &d, -1,
                        TENON_FAULT_LENGTH_OUT_OF_RANGE, 3);
        }
        release(&d);
    }
    /* A window leaves pages behind that the host may have taken away. */
    p.left = 20, p.csr = false;
    make(&p, &d);
    compute(&p, &d);
    for (int i = 0; i < 10; i++) d.table[d.max_pages + i] = -1;
    if (run(api, context, kernel, &d, &p)) compare(kernel, &p, &d);
    release(&d);
}

int main(void) {
    static const char *kernels[] = {ROWS_ATTENTION("attention")};
    enum { KERNELS = sizeof kernels / sizeof *kernels };
    static const int threads[CONTEXTS] = {1, 2, 5};
    const tenon_api *api = test_load();
    tenon_context *contexts[CONTEXTS] = {NULL};
    tenon_error error = {.struct_size = sizeof error};
    bool usable[KERNELS] = {false};
    const char *rounds = getenv("TEST_ROUNDS");
    for (int c = 0; c < CONTEXTS; c++) {
        const tenon_context_options options = {.struct_size = sizeof options,
                                               .n_threads = threads[c]};
        CHECK(api->context_create(&options, &contexts[c], &error) == TENON_OK, "%s", error.text);
    }
    int n_usable = 0, ran[KERNELS] = {0}, declined[KERNELS] = {0};
    for (int i = 0; i < KERNELS; i++) {
        tenon_kernel_info info = {.struct_size = sizeof info};
        for (uint32_t k = 0; api->kernel_info(contexts[0], k, &info, &error) == TENON_OK; k++)
            if (!strcmp(info.name, kernels[i])) {
                usable[i] = info.available;
                if (!info.available)
                    printf("%s: not on this machine: %s\n", kernels[i], info.reason);
            }
        n_usable += usable[i];
    }
    if (!n_usable) {
        printf("skipped: no row runs on this machine\n");
        return 77;
    }
    for (int n = rounds ? atoi(rounds) : test_is_emulated() ? 6 : 60; n > 0; n--) {
        const problem p = random_problem();
        data d;
        make(&p, &d);
        compute(&p, &d);
        for (int i = 0; i < KERNELS; i++)
            if (usable[i]) (check_problem(api, contexts, kernels[i], &p, &d) ? ran : declined)[i]++;
        release(&d);
    }
    for (int i = 0; i < KERNELS; i++) {
        if (!usable[i]) continue;
        printf("%s: ran %d problems, declined %d\n", kernels[i], ran[i], declined[i]);
        CHECK(ran[i] > 0 || !row_is_rocm(kernels[i]), "%s ran nothing", kernels[i]);
    }
    for (int i = 0; i < KERNELS; i++)
        for (int c = 0; c < 2; c++)
            if (usable[i])
                check_hostile(api, contexts[c], kernels[i],
                              row_takes_bf16_alone(kernels[i]) ? BF16
                              : c                              ? F16
                                                               : F32);
    for (int c = 0; c < CONTEXTS; c++) api->context_destroy(contexts[c]);
    return test_report();
}
