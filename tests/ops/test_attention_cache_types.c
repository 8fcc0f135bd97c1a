/* SPDX-License-Identifier: Apache-2.0 */
/* Caches that the vector rows of CPU attention bring to f32 first: fp8 and int8 with every form of
 * scale, unequal types, split and odd head dims, fp8 queries. Against the scalar reference, whose
 * own tests stand on independent arithmetic; the same bits on 1 and 3 threads. test_attention_cpu.c
 * has everything else. */
#include "row_names.h"
#include "test_host.h"

enum { TOKENS = 9, BATCH = 2, PAGES = 24, PAGE_SIZE = 8, HEADS_KV = 2, GROUP_MAX = 7, D_MAX = 128 };

typedef struct type {
    const char *name;
    int code, bits;
} type;
static const type bf16 = {"bf16", kDLBfloat, 16}, f16 = {"f16", kDLFloat, 16},
                  f32 = {"f32", kDLFloat, 32}, i8 = {"i8", kDLInt, 8}, u8 = {"u8", kDLUInt, 8},
                  e4m3fn = {"e4m3fn", kDLFloat8_e4m3fn, 8},
                  e4m3fnuz = {"e4m3fnuz", kDLFloat8_e4m3fnuz, 8},
                  e5m2 = {"e5m2", kDLFloat8_e5m2, 8},
                  e5m2fnuz = {"e5m2fnuz", kDLFloat8_e5m2fnuz, 8};

typedef struct problem {
    const type *q, *k, *v;
    int d_qk, d_v;
    int split; /* > 0: rank 5, that many elements in a piece; -1: slots are the last dim in memory
                */
    int k_scale, v_scale; /* 0: none, 1: [1], 2: [heads_kv], 3: [pages, page_size, heads_kv] */
    int q_scale;          /* 0: none, 1: [1], 2: [heads_kv], 3: [batch, heads_kv] */
    int element;
    int group; /* query heads of a KV head */
} problem;

/* Numbers of a few units at most, never NaN: for fp8 the top bit of the exponent is off. */
static void fill(void *data, const type *t, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        const float x = test_uniform();
        const uint32_t random = (uint32_t)(test_random() >> 24);
        uint32_t bits;
        memcpy(&bits, &x, 4);
        if (t->bits == 32)
            ((float *)data)[i] = x;
        else if (t->code == kDLBfloat)
            ((uint16_t *)data)[i] = (uint16_t)(bits >> 16);
        else if (t->bits == 16)
            ((uint16_t *)data)[i] = (uint16_t)(random & 0xbbff);
        else
            ((uint8_t *)data)[i] = (uint8_t)(t->code == kDLInt ? random : random & 0xbf);
        if (t->bits == 8 && t->code != kDLInt && ((uint8_t *)data)[i] == 0x80)
            ((uint8_t *)data)[i] = 0;
    }
}

static const DLTensor *view_cache(test_tensor *t, void *data, const type *ty, int d, int split) {
    if (!split) return test_view(t, data, ty->code, ty->bits, SHAPE(PAGES, PAGE_SIZE, HEADS_KV, d));
    if (split < 0) {
        test_view(t, data, ty->code, ty->bits, SHAPE(PAGES, PAGE_SIZE, HEADS_KV, d));
        t->strides[1] = 1, t->strides[2] = (int64_t)d * PAGE_SIZE, t->strides[3] = PAGE_SIZE;
        return &t->view;
    }
    /* In memory [pages, heads, d / x, page_size, x]. */
    test_view(t, data, ty->code, ty->bits, SHAPE(PAGES, PAGE_SIZE, HEADS_KV, d / split, split));
    t->strides[0] = HEADS_KV * d * PAGE_SIZE, t->strides[1] = split,
    t->strides[2] = (int64_t)d * PAGE_SIZE;
    t->strides[3] = (int64_t)PAGE_SIZE * split, t->strides[4] = 1;
    return &t->view;
}

static const DLTensor *view_scale(test_tensor *t, float *data, int form) {
    if (form == 0) return NULL;
    if (form == 1) return test_view(t, data, kDLFloat, 32, SHAPE(1));
    if (form == 2) return test_view(t, data, kDLFloat, 32, SHAPE(HEADS_KV));
    return test_view(t, data, kDLFloat, 32, SHAPE(PAGES, PAGE_SIZE, HEADS_KV));
}

static const DLTensor *view_q_scale(test_tensor *t, float *data, int form) {
    return form == 3 ? test_view(t, data, kDLFloat, 32, SHAPE(BATCH, HEADS_KV))
                     : view_scale(t, data, form);
}

/* False where the row declines: bf16 products take no wider type. */
static bool run(const tenon_api *api, tenon_context *context, const char *kernel,
                tenon_attention_args *a) {
    tenon_plan *plan = NULL;
    tenon_error error = {.struct_size = sizeof error};
    tenon_query query = {.struct_size = sizeof query};
    const tenon_plan_options options = {.struct_size = sizeof options, .kernel = kernel};
    const int32_t status =
        api->plan_create(context, TENON_OP_ATTENTION, a, &options, &plan, &error);
    if (status == TENON_STATUS_UNSUPPORTED && row_takes_bf16_alone(kernel) &&
        strstr(error.text, "no f16 or f32"))
        return false;
    CHECK(status == TENON_OK, "%s: %s", kernel, error.text);
    if (status) return false;
    api->plan_query(plan, &query, &error);
    a->workspace = aligned_alloc(64, (query.workspace_bytes + 127) / 64 * 64),
    a->workspace_bytes = query.workspace_bytes;
    if (!a->workspace) exit(2);
    memset(a->workspace, 0xff, query.workspace_bytes);
    CHECK(api->run(plan, a, &error) == TENON_OK, "%s: %s", kernel, error.text);
    free(a->workspace);
    a->workspace = NULL, a->workspace_bytes = 0;
    api->plan_destroy(plan);
    return true;
}

static void check(const tenon_api *api, tenon_context *const *contexts, const char *kernel,
                  const problem *p) {
    enum {
        CACHE = PAGES * PAGE_SIZE * HEADS_KV * D_MAX,
        OUT = TOKENS * HEADS_KV * GROUP_MAX * D_MAX,
        SCALES = PAGES * PAGE_SIZE * HEADS_KV
    };
    static char k[CACHE * 4], v[CACHE * 4], q[OUT * 4];
    static float out[3][OUT], lse[TOKENS * HEADS_KV * GROUP_MAX], k_scale[SCALES], v_scale[SCALES],
        q_scale[BATCH * HEADS_KV];
    int32_t cu[BATCH + 1] = {0, 1, TOKENS}, lens[BATCH] = {83, 70}, table[BATCH][PAGES / BATCH];
    test_tensor tq, tk, tv, to, tl, tcu, tlens, ttable, tks, tvs, tqs;
    fill(k, p->k, CACHE), fill(v, p->v, CACHE), fill(q, p->q, OUT);
    const bool small = p->k == &i8 || p->v == &i8;
    for (int i = 0; i < SCALES; i++)
        k_scale[i] = (1.5f + test_uniform()) / (small ? 64 : 1),
        v_scale[i] = (1.5f + test_uniform()) / (small ? 64 : 1);
    for (int i = 0; i < BATCH * HEADS_KV; i++) q_scale[i] = 1.5f + test_uniform();
    for (int i = 0; i < PAGES; i++) table[i % BATCH][i / BATCH] = (i * 7 + 5) % PAGES;
    tenon_attention_args a = {
        .struct_size = sizeof a,
        .flags = TENON_ATTENTION_CAUSAL,
        .q = test_view(&tq, q, p->q->code, p->q->bits, SHAPE(TOKENS, HEADS_KV * p->group, p->d_qk)),
        .k = view_cache(&tk, k, p->k, p->d_qk, p->split),
        .v = view_cache(&tv, v, p->v, p->d_v, p->split),
        .lse = test_view(&tl, lse, kDLFloat, 32, SHAPE(TOKENS, HEADS_KV * p->group)),
        .cu_seqlens_q = test_view(&tcu, cu, kDLInt, 32, SHAPE(BATCH + 1)),
        .seq_lens = test_view(&tlens, lens, kDLInt, 32, SHAPE(BATCH)),
        .block_table = test_view(&ttable, table, kDLInt, 32, SHAPE(BATCH, PAGES / BATCH)),
        .q_scale = view_q_scale(&tqs, q_scale, p->q_scale),
        .k_scale = view_scale(&tks, k_scale, p->k_scale),
        .v_scale = view_scale(&tvs, v_scale, p->v_scale),
        .kv_element = p->element,
        .window_left = -1,
        .window_right = -1};
    for (int i = 0; i < 3; i++) {
        memset(out[i], 0x7f, sizeof out[i]);
        a.out = test_view(&to, out[i], kDLFloat, 32, SHAPE(TOKENS, HEADS_KV * p->group, p->d_v));
        if (!run(api, contexts[i != 1], i == 0 ? "ref_attention" : kernel, &a)) return;
    }
    double worst = 0, size = 0;
    for (int i = 0; i < TOKENS * HEADS_KV * p->group * p->d_v; i++) {
        const double difference = fabs((double)out[1][i] - (double)out[0][i]);
        size = fmax(size, fabs((double)out[0][i]));
        worst = isnan(difference) ? INFINITY : fmax(worst, difference);
    }
    /* bf16 products round the weights to bf16. */
    CHECK(worst <= (row_takes_bf16_alone(kernel) ? 0x1p-8 : 1e-5) * size && size > 0,
          "%s: q %s k %s v %s d %d/%d split %d scales %d %d %d: off by %g of %g", kernel,
          p->q->name, p->k->name, p->v->name, p->d_qk, p->d_v, p->split, p->q_scale, p->k_scale,
          p->v_scale, worst, size);
    CHECK(!memcmp(out[1], out[2], sizeof out[1]), "%s: k %s v %s: other bits on other threads",
          kernel, p->k->name, p->v->name);
}

int main(void) {
    static const problem problems[] = {
        {&bf16, &e4m3fn, &e4m3fn, 64, 64, 0, 1, 2, 0, 0, 3},
        {&f32, &e4m3fnuz, &e4m3fnuz, 80, 128, 0, 3, 3, 0, 0, 3},
        {&f16, &e5m2, &e5m2, 128, 64, 0, 0, 0, 0, 0, 3},
        {&f32, &e5m2fnuz, &e4m3fn, 64, 64, 0, 2, 1, 0, 0, 3},
        {&f32, &i8, &i8, 64, 64, 0, 3, 3, 0, 0, 3},
        {&bf16, &i8, &i8, 40, 24, 0, 1, 2, 0, 0, 3},
        {&bf16, &u8, &u8, 64, 64, 0, 1, 1, 0, TENON_ELEMENT_E4M3FN, 3},
        {&f32, &u8, &u8, 64, 64, 0, 2, 3, 0, TENON_ELEMENT_E5M2, 3},
        {&bf16, &bf16, &f16, 64, 64, 0, 0, 0, 0, 0, 3},
        {&f32, &f32, &bf16, 64, 128, 0, 0, 0, 0, 0, 3},
        {&bf16, &bf16, &bf16, 64, 128, 8, 0, 0, 0, 0, 3},
        {&f16, &f16, &f16, 96, 96, 4, 0, 0, 0, 0, 3},
        {&bf16, &e4m3fnuz, &e4m3fnuz, 128, 128, 16, 1, 1, 0, 0, 3},
        {&f32, &f32, &f32, 21, 13, 0, 0, 0, 0, 0, 3},
        {&bf16, &bf16, &bf16, 68, 50, 0, 0, 0, 0, 0, 3},
        {&f16, &f16, &f16, 1, 1, 0, 0, 0, 0, 0, 3},
        {&e4m3fn, &e4m3fn, &e4m3fn, 64, 64, 0, 1, 1, 1, 0, 3},
        {&e5m2, &bf16, &bf16, 64, 64, 0, 0, 0, 2, 0, 3},
        {&e4m3fnuz, &e4m3fnuz, &e4m3fnuz, 128, 128, 0, 2, 2, 3, 0, 3},
        {&bf16, &e5m2, &e5m2fnuz, 96, 40, 0, 3, 3, 0, 0, 3},
        {&bf16, &i8, &e4m3fn, 128, 33, 0, 3, 2, 0, 0, 3},
        {&bf16, &bf16, &i8, 64, 64, 0, 0, 3, 0, 0, 3},
        {&e4m3fn, &bf16, &bf16, 64, 64, -1, 0, 0, 1, 0, 3},
        {&bf16, &e4m3fn, &e4m3fn, 48, 64, -1, 1, 1, 0, 0, 3},
        {&f32, &f32, &f16, 24, 20, -1, 0, 0, 0, 0, 3},
        /* Few rows multiply these codes without staging them: 1, 2, 4 and 4 + 3 at a time. */
        {&bf16, &i8, &i8, 128, 64, 0, 3, 3, 0, 0, 1},
        {&bf16, &e4m3fn, &i8, 64, 128, 0, 1, 2, 0, 0, 2},
        {&bf16, &i8, &e5m2, 64, 64, 0, 1, 0, 0, 0, 4},
        {&bf16, &e5m2, &e4m3fn, 128, 128, 0, 0, 3, 0, 0, 7},
        {&bf16, &i8, &i8, 64, 64, 0, 2, 1, 0, 0, 7},
    };
    static const char *kernels[] = {ROWS_ATTENTION("attention")};
    const tenon_api *api = test_load();
    tenon_context *contexts[2] = {NULL};
    tenon_error error = {.struct_size = sizeof error};
    int n_usable = 0;
    for (int c = 0; c < 2; c++) {
        const tenon_context_options options = {.struct_size = sizeof options,
                                               .n_threads = c ? 3 : 1};
        CHECK(api->context_create(&options, &contexts[c], &error) == TENON_OK, "%s", error.text);
    }
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++) {
        tenon_kernel_info info = {.struct_size = sizeof info};
        bool usable = false;
        for (uint32_t k = 0; !usable && api->kernel_info(contexts[0], k, &info, &error) == TENON_OK;
             k++)
            usable = !strcmp(info.name, kernels[i]) && info.available;
        n_usable += usable;
        for (size_t p = 0; usable && p < sizeof problems / sizeof problems[0]; p++)
            check(api, contexts, kernels[i], &problems[p]);
    }
    if (!n_usable) {
        printf("skipped: no row runs on this machine\n");
        return 77;
    }
    for (int c = 0; c < 2; c++) api->context_destroy(contexts[c]);
    return test_report();
}
