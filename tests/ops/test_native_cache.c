/* SPDX-License-Identifier: Apache-2.0 */
/* The CPU's native cache layout: its size by query, what kv_append wrote comes back from kv_gather,
 * and attention over it is what the reference makes of a strided bf16 cache that holds the same.
 * Every slot that was not written holds NaN. */
#include "row_names.h"
#include "test_host.h"

static const char *const row_names[] = {ROWS_ATTENTION("attention")};
enum {
    BATCH = 3,
    PAGES = 40,
    HEADS_KV = 2,
    GROUP = 3,
    ROWS = sizeof row_names / sizeof *row_names
};

typedef struct shape {
    int page_size, d_qk, d_v, query_bits, left;
    bool causal;
    int n_q[BATCH], n_kv[BATCH];
} shape;

typedef struct fixture {
    const tenon_api *api;
    tenon_context *context;
    tenon_error error;
    int n_tokens, n_kv, max_pages;
    int64_t native_bytes;
    float *key, *value, *q, *back_k, *back_v;
    uint16_t *q16;
    void *k[2], *v[2]; /* strided, native */
    int64_t *slots;
    int32_t table[BATCH * PAGES], cu[BATCH + 1], lens[BATCH], cu_rows[BATCH + 1];
} fixture;

static void *poisoned(int64_t bytes) {
    void *p = aligned_alloc(64, (size_t)(bytes + 63) / 64 * 64);
    if (!p) exit(2);
    memset(p, 0xff, (size_t)bytes);
    return p;
}

static void make(fixture *f, const shape *s) {
    int next_page = PAGES;
    f->n_tokens = f->n_kv = 0, f->max_pages = PAGES / BATCH;
    for (int b = 0; b < BATCH; b++) {
        f->cu[b] = f->n_tokens, f->cu_rows[b] = f->n_kv;
        f->n_tokens += s->n_q[b], f->n_kv += s->n_kv[b], f->lens[b] = s->n_kv[b];
    }
    f->cu[BATCH] = f->n_tokens, f->cu_rows[BATCH] = f->n_kv;
    f->slots = malloc((size_t)f->n_kv * sizeof *f->slots);
    for (int b = 0; b < BATCH; b++)
        for (int j = 0; j < s->n_kv[b]; j++) {
            if (j % s->page_size == 0) f->table[b * f->max_pages + j / s->page_size] = --next_page;
            f->slots[f->cu_rows[b] + j] = (int64_t)next_page * s->page_size + j % s->page_size;
        }
    const size_t n_k = (size_t)f->n_kv * HEADS_KV * (size_t)s->d_qk,
                 n_v = (size_t)f->n_kv * HEADS_KV * (size_t)s->d_v;
    const size_t n_q = (size_t)f->n_tokens * HEADS_KV * GROUP * (size_t)s->d_qk;
    f->key = malloc(n_k * 4), f->back_k = malloc(n_k * 4), f->value = malloc(n_v * 4),
    f->back_v = malloc(n_v * 4);
    f->q = malloc(n_q * 4), f->q16 = malloc(n_q * 2);
    for (size_t i = 0; i < n_k; i++) f->key[i] = test_uniform();
    for (size_t i = 0; i < n_v; i++) f->value[i] = test_uniform();
    for (size_t i = 0; i < n_q; i++) {
        f->q[i] = 2 * test_uniform();
        uint32_t bits;
        memcpy(&bits, &f->q[i], 4);
        f->q16[i] = (uint16_t)(bits >> 16);
    }
}

static void release(fixture *f) {
    void *all[] = {f->key,  f->value, f->q,    f->back_k, f->back_v, f->q16,
                   f->k[0], f->k[1],  f->v[0], f->v[1],   f->slots};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) free(all[i]);
}

/* The caches' views, strided or native. */
static void view_caches(const fixture *f, const shape *s, bool native, test_tensor *k,
                        test_tensor *v) {
    if (native) {
        test_view(k, f->k[1], kDLUInt, 8, SHAPE(f->native_bytes));
        test_view(v, f->v[1], kDLUInt, 8, SHAPE(f->native_bytes));
    } else {
        test_view(k, f->k[0], kDLBfloat, 16, SHAPE(PAGES, s->page_size, HEADS_KV, s->d_qk));
        test_view(v, f->v[0], kDLBfloat, 16, SHAPE(PAGES, s->page_size, HEADS_KV, s->d_v));
    }
}

static void append(fixture *f, const shape *s, bool native) {
    test_tensor tkey, tvalue, tk, tv, tslots;
    view_caches(f, s, native, &tk, &tv);
    tenon_kv_append_args a = {
        .struct_size = sizeof a,
        .flags = native ? TENON_KV_APPEND_NATIVE_CACHE : 0,
        .key = test_view(&tkey, f->key, kDLFloat, 32, SHAPE(f->n_kv, HEADS_KV, s->d_qk)),
        .value = test_view(&tvalue, f->value, kDLFloat, 32, SHAPE(f->n_kv, HEADS_KV, s->d_v)),
        .k = &tk.view,
        .v = &tv.view,
        .slot_mapping = test_view(&tslots, f->slots, kDLInt, 64, SHAPE(f->n_kv)),
        .page_size = native ? s->page_size : 0,
        .n_pages = native ? PAGES : 0};
    if (native) {
        /* The size, asked for with empty caches. */
        tenon_query query = {.struct_size = sizeof query};
        tk.shape[0] = tv.shape[0] = 0;
        CHECK(f->api->query(f->context, TENON_OP_KV_APPEND, &a, NULL, &query, &f->error) ==
                      TENON_OK &&
                  query.status == TENON_OK,
              "%s", query.reason);
        f->native_bytes = (int64_t)query.output_bytes;
        CHECK(f->native_bytes == (int64_t)PAGES * s->page_size * HEADS_KV *
                                     (s->d_qk > s->d_v ? s->d_qk : s->d_v) * 2,
              "%lld bytes", (long long)f->native_bytes);
        f->k[1] = poisoned(f->native_bytes), f->v[1] = poisoned(f->native_bytes);
        view_caches(f, s, native, &tk, &tv);
        tk.shape[0] = tv.shape[0] = f->native_bytes - 1;
        CHECK(f->api->call(f->context, TENON_OP_KV_APPEND, &a, &f->error) ==
                  TENON_STATUS_INVALID_ARGUMENT,
              "a cache that is too small was taken");
        tk.shape[0] = tv.shape[0] = f->native_bytes;
    }
    CHECK(f->api->call(f->context, TENON_OP_KV_APPEND, &a, &f->error) == TENON_OK, "%s",
          f->error.text);
    if (native) {
        tenon_fault fault = {0};
        const int64_t old = f->slots[0];
        a.fault = &fault, f->slots[0] = (int64_t)PAGES * s->page_size;
        CHECK(f->api->call(f->context, TENON_OP_KV_APPEND, &a, &f->error) == TENON_OK &&
                  tenon_fault_poll(&fault) == TENON_FAULT_PAGE_OUT_OF_RANGE && fault.position == 0,
              "fault %d at %lld", fault.code, (long long)fault.position);
        f->slots[0] = old;
    }
}

static void gather(fixture *f, const shape *s, bool native, float *key, float *value) {
    test_tensor tkey, tvalue, tk, tv, tcu, ttable;
    view_caches(f, s, native, &tk, &tv);
    const tenon_kv_gather_args a = {
        .struct_size = sizeof a,
        .flags = native ? TENON_KV_GATHER_NATIVE_CACHE : 0,
        .k = &tk.view,
        .v = &tv.view,
        .key = test_view(&tkey, key, kDLFloat, 32, SHAPE(f->n_kv, HEADS_KV, s->d_qk)),
        .value = test_view(&tvalue, value, kDLFloat, 32, SHAPE(f->n_kv, HEADS_KV, s->d_v)),
        .cu_rows = test_view(&tcu, f->cu_rows, kDLInt, 32, SHAPE(BATCH + 1)),
        .block_table = test_view(&ttable, f->table, kDLInt, 32, SHAPE(BATCH, f->max_pages)),
        .page_size = native ? s->page_size : 0,
        .n_pages = native ? PAGES : 0};
    CHECK(f->api->call(f->context, TENON_OP_KV_GATHER, &a, &f->error) == TENON_OK, "%s",
          f->error.text);
}

/* False where the row declines. */
static bool attend(fixture *f, const shape *s, bool native, const char *kernel, float *out) {
    test_tensor tq, tk, tv, to, tcu, tlens, ttable;
    tenon_plan *plan = NULL;
    tenon_query query = {.struct_size = sizeof query};
    const tenon_plan_options options = {.struct_size = sizeof options, .kernel = kernel};
    const bool half = s->query_bits == 16;
    view_caches(f, s, native, &tk, &tv);
    tenon_attention_args a = {
        .struct_size = sizeof a,
        .flags = (native ? TENON_ATTENTION_NATIVE_CACHE : 0u) |
                 (s->causal ? TENON_ATTENTION_CAUSAL : 0u),
        .q = test_view(&tq, half ? (void *)f->q16 : (void *)f->q, half ? kDLBfloat : kDLFloat,
                       s->query_bits, SHAPE(f->n_tokens, HEADS_KV * GROUP, s->d_qk)),
        .k = &tk.view,
        .v = &tv.view,
        .out = test_view(&to, out, kDLFloat, 32, SHAPE(f->n_tokens, HEADS_KV * GROUP, s->d_v)),
        .cu_seqlens_q = test_view(&tcu, f->cu, kDLInt, 32, SHAPE(BATCH + 1)),
        .seq_lens = test_view(&tlens, f->lens, kDLInt, 32, SHAPE(BATCH)),
        .block_table = test_view(&ttable, f->table, kDLInt, 32, SHAPE(BATCH, f->max_pages)),
        .window_left = s->left,
        .window_right = -1,
        .page_size = native ? s->page_size : 0,
        .n_kv_heads = native ? HEADS_KV : 0};
    const int32_t status =
        f->api->plan_create(f->context, TENON_OP_ATTENTION, &a, &options, &plan, &f->error);
    if (status == TENON_STATUS_UNSUPPORTED && row_takes_bf16_alone(kernel) && !half) return false;
    CHECK(status == TENON_OK, "%s: %s", kernel, f->error.text);
    if (status) return false;
    f->api->plan_query(plan, &query, &f->error);
    a.workspace = poisoned((int64_t)query.workspace_bytes),
    a.workspace_bytes = query.workspace_bytes;
    CHECK(f->api->run(plan, &a, &f->error) == TENON_OK, "%s: %s", kernel, f->error.text);
    free(a.workspace);
    f->api->plan_destroy(plan);
    return true;
}

static void check(fixture *f, const shape *s, const char *const *kernels) {
    make(f, s);
    const size_t out_bytes = (size_t)f->n_tokens * HEADS_KV * GROUP * (size_t)s->d_v * 4;
    const size_t k_bytes = (size_t)f->n_kv * HEADS_KV * (size_t)s->d_qk * 4,
                 v_bytes = (size_t)f->n_kv * HEADS_KV * (size_t)s->d_v * 4;
    float *expected = poisoned((int64_t)out_bytes), *native = poisoned((int64_t)out_bytes);
    f->k[0] = poisoned((int64_t)PAGES * s->page_size * HEADS_KV * s->d_qk * 2);
    f->v[0] = poisoned((int64_t)PAGES * s->page_size * HEADS_KV * s->d_v * 2);
    append(f, s, false);
    append(f, s, true);
    gather(f, s, false, f->key, f->value);
    gather(f, s, true, f->back_k, f->back_v);
    CHECK(!memcmp(f->key, f->back_k, k_bytes) && !memcmp(f->value, f->back_v, v_bytes),
          "page %d, d %d/%d: gathered rows differ", s->page_size, s->d_qk, s->d_v);
    attend(f, s, false, "ref_attention", expected);
    for (int i = 0; i < ROWS; i++) {
        if (!kernels[i]) continue;
        memset(native, 0xff, out_bytes);
        if (!attend(f, s, true, kernels[i], native)) continue;
        /* Values are below 1 in magnitude; bf16 pairs round the weights to bf16. */
        const double room = row_takes_bf16_alone(kernels[i]) ? 0x1p-8 : 2e-6;
        double worst = 0;
        for (size_t e = 0; e < out_bytes / 4; e++) {
            const double difference = fabs((double)native[e] - (double)expected[e]);
            worst = difference >= worst || isnan(difference) ? difference : worst;
        }
        CHECK(worst <= room, "%s: page %d, d %d/%d, window %d: off by %g", kernels[i], s->page_size,
              s->d_qk, s->d_v, s->left, worst);
    }
    free(expected), free(native);
    release(f);
}

int main(void) {
    static const shape shapes[] = {
        {16, 64, 64, 16, -1, true, {1, 5, 40}, {77, 130, 60}},
        {16, 64, 64, 32, -1, true, {1, 1, 1}, {200, 16, 1}},
        {32, 192, 128, 16, 20, true, {3, 1, 33}, {99, 320, 65}},
        {48, 80, 96, 32, 7, true, {1, 100, 2}, {300, 140, 31}},
        {64, 128, 128, 16, -1, false, {2, 1, 9}, {700, 64, 63}},
        {256, 32, 16, 32, 3, true, {1, 2, 3}, {1500, 1000, 255}},
    };
    const char *kernels[] = {ROWS_ATTENTION("attention")};
    fixture f = {.api = test_load(), .error = {.struct_size = sizeof f.error}};
    const tenon_context_options options = {.struct_size = sizeof options, .n_threads = 3};
    CHECK(f.api->context_create(&options, &f.context, &f.error) == TENON_OK, "%s", f.error.text);
    for (int i = 0; i < ROWS; i++) {
        tenon_kernel_info info = {.struct_size = sizeof info};
        bool found = false;
        for (uint32_t k = 0;
             !found && f.api->kernel_info(f.context, k, &info, &f.error) == TENON_OK; k++)
            found = !strcmp(info.name, kernels[i]) && info.available;
        if (found) continue;
        printf("%s: not on this machine\n", kernels[i]);
        kernels[i] = NULL;
    }
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) check(&f, &shapes[i], kernels);
    f.api->context_destroy(f.context);
    return test_report();
}
