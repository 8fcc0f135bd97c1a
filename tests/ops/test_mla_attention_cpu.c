/* SPDX-License-Identifier: Apache-2.0 */
/* Every vector row of CPU latent attention over caches that the reference wrote: bf16, f16, fp8 and
 * FP8_DS rows, decode and prefill, few and many heads, against the reference in double; the same
 * bits alone and on other threads. Slots that nobody owns hold NaN. */
#include "row_names.h"
#include "test_host.h"

enum { PAGES = 40, PAGE_SIZE = 16, BATCH = 3, LATENT = 512, ROPE = 64, HEADS_MAX = 40, CASES = 7 };
enum { D = LATENT + ROPE, TOKENS_MAX = 60 };

typedef struct problem {
    const char *name;
    int code, bits, format; /* of the cache */
    int q_bits;             /* 16: bf16 */
    int heads;
    bool causal, sinks;
    int n_q[BATCH], n_kv[BATCH];
} problem;

static const problem problems[CASES] = {
    {"bf16", kDLBfloat, 16, TENON_MLA_CACHE_PLAIN, 16, 16, true, false, {1, 1, 1}, {130, 17, 200}},
    {"FP8_DS", kDLUInt, 8, TENON_MLA_CACHE_FP8_DS, 16, 16, true, false, {1, 1, 1}, {130, 17, 200}},
    {"FP8_DS", kDLUInt, 8, TENON_MLA_CACHE_FP8_DS, 16, 2, true, true, {20, 1, 3}, {25, 64, 70}},
    {"FP8_DS", kDLUInt, 8, TENON_MLA_CACHE_FP8_DS, 32, 3, false, true, {2, 13, 1}, {66, 30, 129}},
    {"e4m3fn",
     kDLFloat8_e4m3fn,
     8,
     TENON_MLA_CACHE_PLAIN,
     16,
     5,
     true,
     false,
     {6, 7, 1},
     {60, 7, 190}},
    {"f16", kDLFloat, 16, TENON_MLA_CACHE_PLAIN, 32, 3, true, false, {1, 12, 2}, {65, 40, 3}},
    {"bf16", kDLBfloat, 16, TENON_MLA_CACHE_PLAIN, 16, 40, true, true, {1, 3, 1}, {208, 100, 1}},
};

typedef struct data {
    uint16_t q16[TOKENS_MAX * HEADS_MAX * D];
    float q[TOKENS_MAX * HEADS_MAX * D], latent[PAGES * PAGE_SIZE * LATENT],
        rope[PAGES * PAGE_SIZE * ROPE], out[3][TOKENS_MAX * HEADS_MAX * LATENT],
        lse[3][TOKENS_MAX * HEADS_MAX], sinks[HEADS_MAX], scale[1];
    uint8_t cache[PAGES * PAGE_SIZE * D * 2];
    int32_t cu[BATCH + 1], lens[BATCH], table[BATCH][PAGES / BATCH], slots[PAGES * PAGE_SIZE];
    test_tensor t[12];
} data;

static data d;

static void append(const tenon_api *api, tenon_context *context, const problem *p, int n_slots) {
    const tenon_plan_options options = {.struct_size = sizeof options, .kernel = "ref_mla_append"};
    tenon_error error = {.struct_size = sizeof error};
    tenon_plan *plan = NULL;
    const bool quantized = p->code == kDLFloat8_e4m3fn;
    const tenon_mla_append_args a = {
        .struct_size = sizeof a,
        .kv_c = test_view(&d.t[0], d.latent, kDLFloat, 32, SHAPE(n_slots, LATENT)),
        .k_pe = test_view(&d.t[1], d.rope, kDLFloat, 32, SHAPE(n_slots, ROPE)),
        .cache = test_view(&d.t[2], d.cache, p->code, p->bits,
                           SHAPE(PAGES, PAGE_SIZE, p->format == TENON_MLA_CACHE_FP8_DS ? 656 : D)),
        .slot_mapping = test_view(&d.t[3], d.slots, kDLInt, 32, SHAPE(n_slots)),
        .kv_scale = quantized ? test_view(&d.t[4], d.scale, kDLFloat, 32, SHAPE(1)) : NULL,
        .cache_format = p->format};
    CHECK(api->plan_create(context, TENON_OP_MLA_APPEND, &a, &options, &plan, &error) == TENON_OK &&
              api->run(plan, &a, &error) == TENON_OK,
          "%s: %s", p->name, error.text);
    api->plan_destroy(plan);
}

static void make(const tenon_api *api, tenon_context *context, const problem *p) {
    int n_slots = 0, next_page = PAGES;
    memset(d.cache, 0xff, sizeof d.cache);
    for (int b = 0; b < BATCH; b++) {
        d.cu[b + 1] = d.cu[b] + p->n_q[b];
        d.lens[b] = p->n_kv[b];
        for (int j = 0; j < p->n_kv[b]; j++) {
            if (j % PAGE_SIZE == 0) d.table[b][j / PAGE_SIZE] = --next_page;
            d.slots[n_slots++] = next_page * PAGE_SIZE + j % PAGE_SIZE;
        }
    }
    d.scale[0] = 0.02f;
    for (int i = 0; i < n_slots * LATENT; i++) d.latent[i] = 2 * test_uniform();
    for (int i = 0; i < n_slots * ROPE; i++) d.rope[i] = test_uniform();
    for (int i = 0; i < p->heads; i++) d.sinks[i] = test_uniform();
    for (int i = 0; i < d.cu[BATCH] * p->heads * D; i++) {
        uint32_t bits;
        d.q[i] = test_uniform();
        memcpy(&bits, &d.q[i], 4);
        d.q16[i] = (uint16_t)(bits >> 16);
    }
    append(api, context, p, n_slots);
}

/* Sequences [first, end) into out[into]. False where the row declines: bf16 products take no wider
 * type. */
static bool attend(const tenon_api *api, tenon_context *context, const char *kernel,
                   const problem *p, int first, int end, int into) {
    const tenon_plan_options options = {.struct_size = sizeof options, .kernel = kernel};
    tenon_error error = {.struct_size = sizeof error};
    tenon_query query = {.struct_size = sizeof query};
    tenon_plan *plan = NULL;
    int32_t cu[BATCH + 1];
    for (int b = first; b <= end; b++) cu[b - first] = d.cu[b] - d.cu[first];
    const int n = cu[end - first], q_at = d.cu[first] * p->heads;
    void *q =
        p->q_bits == 16 ? (void *)(d.q16 + (size_t)q_at * D) : (void *)(d.q + (size_t)q_at * D);
    tenon_mla_attention_args a = {
        .struct_size = sizeof a,
        .flags = p->causal ? TENON_MLA_ATTENTION_CAUSAL : 0u,
        .q = test_view(&d.t[5], q, p->q_bits == 16 ? kDLBfloat : kDLFloat, p->q_bits,
                       SHAPE(n, p->heads, D)),
        .cache = &d.t[2].view,
        .out = test_view(&d.t[6], d.out[into] + (size_t)q_at * LATENT, kDLFloat, 32,
                         SHAPE(n, p->heads, LATENT)),
        .lse = test_view(&d.t[7], d.lse[into] + q_at, kDLFloat, 32, SHAPE(n, p->heads)),
        .cu_seqlens_q = test_view(&d.t[8], cu, kDLInt, 32, SHAPE(end - first + 1)),
        .seq_lens = test_view(&d.t[9], d.lens + first, kDLInt, 32, SHAPE(end - first)),
        .block_table =
            test_view(&d.t[10], d.table[first], kDLInt, 32, SHAPE(end - first, PAGES / BATCH)),
        .sinks = p->sinks ? test_view(&d.t[11], d.sinks, kDLFloat, 32, SHAPE(p->heads)) : NULL,
        .kv_scale = p->code == kDLFloat8_e4m3fn ? &d.t[4].view : NULL,
        .cache_format = p->format,
        .softmax_scale = 0.05f};
    const int32_t status =
        api->plan_create(context, TENON_OP_MLA_ATTENTION, &a, &options, &plan, &error);
    if (status == TENON_STATUS_UNSUPPORTED && row_takes_bf16_alone(kernel) &&
        strstr(error.text, "no f16 or f32"))
        return false;
    CHECK(status == TENON_OK, "%s: %s", kernel, error.text);
    if (status) return false;
    api->plan_query(plan, &query, &error);
    a.workspace = aligned_alloc(64, (query.workspace_bytes + 127) / 64 * 64);
    a.workspace_bytes = query.workspace_bytes;
    if (!a.workspace) exit(2);
    memset(a.workspace, 0xff, query.workspace_bytes);
    CHECK(api->run(plan, &a, &error) == TENON_OK, "%s: %s", kernel, error.text);
    free(a.workspace);
    api->plan_destroy(plan);
    return true;
}

/* out[0]: the reference; out[1], out[2]: the row, in a batch and one by one on other threads. */
static void check(const tenon_api *api, tenon_context *const *contexts, const char *kernel,
                  const problem *p) {
    const size_t n = (size_t)d.cu[BATCH] * (size_t)p->heads;
    memset(d.out[1], 0x7f, sizeof d.out[1]), memset(d.out[2], 0x7f, sizeof d.out[2]);
    if (!attend(api, contexts[0], kernel, p, 0, BATCH, 1)) return;
    for (int b = 0; b < BATCH; b++) attend(api, contexts[1], kernel, p, b, b + 1, 2);
    double worst = 0, size = 0, worst_lse = 0;
    for (size_t i = 0; i < n * LATENT; i++) {
        const double off = fabs((double)d.out[1][i] - (double)d.out[0][i]);
        worst = isnan(off) ? INFINITY : fmax(worst, off);
        size = fmax(size, fabs((double)d.out[0][i]));
    }
    for (size_t i = 0; i < n; i++) {
        const double off = fabs((double)d.lse[1][i] - (double)d.lse[0][i]);
        worst_lse = isnan(off) ? INFINITY : fmax(worst_lse, off);
    }
    /* bf16 products: weights, and FP8_DS latents times their scales, are rounded to bf16. */
    const bool rough = row_takes_bf16_alone(kernel);
    const bool rounds_keys = rough && p->format == TENON_MLA_CACHE_FP8_DS;
    CHECK(size > 0.01 && worst <= (rough ? 0x1p-7 : 1e-5) * size,
          "%s: %s, %d heads: off by %g of %g", kernel, p->name, p->heads, worst, size);
    CHECK(worst_lse <= (rounds_keys ? 5e-3 : 1e-5), "%s: %s, %d heads: lse off by %g", kernel,
          p->name, p->heads, worst_lse);
    CHECK(!memcmp(d.out[1], d.out[2], n * LATENT * 4) && !memcmp(d.lse[1], d.lse[2], n * 4),
          "%s: %s, %d heads: other bits alone and on other threads", kernel, p->name, p->heads);
}

int main(void) {
    static const char *kernels[] = {ROWS_ATTENTION("mla_attention")};
    enum { KERNELS = sizeof kernels / sizeof *kernels };
    const tenon_api *api = test_load();
    tenon_context *contexts[2] = {NULL};
    tenon_error error = {.struct_size = sizeof error};
    bool usable[KERNELS] = {false};
    int n_usable = 0;
    for (int c = 0; c < 2; c++) {
        const tenon_context_options options = {.struct_size = sizeof options,
                                               .n_threads = c ? 3 : 1};
        CHECK(api->context_create(&options, &contexts[c], &error) == TENON_OK, "%s", error.text);
    }
    for (int i = 0; i < KERNELS; i++) {
        tenon_kernel_info info = {.struct_size = sizeof info};
        for (uint32_t k = 0; api->kernel_info(contexts[0], k, &info, &error) == TENON_OK; k++)
            if (!strcmp(info.name, kernels[i])) usable[i] = info.available;
        n_usable += usable[i];
    }
    if (!n_usable) {
        printf("skipped: no row runs on this machine\n");
        return 77;
    }
    for (int i = 0; i < CASES; i++) {
        make(api, contexts[0], &problems[i]);
        attend(api, contexts[0], "ref_mla_attention", &problems[i], 0, BATCH, 0);
        for (int k = 0; k < KERNELS; k++)
            if (usable[k]) check(api, contexts, kernels[k], &problems[i]);
    }
    for (int c = 0; c < 2; c++) api->context_destroy(contexts[c]);
    return test_report();
}
