/* SPDX-License-Identifier: Apache-2.0 */
/* Values that are no numbers: exactly the rows that see their position get what the definition
 * says, in those dims alone; every other element keeps the bits that it has without them. Few rows
 * and many, every float and fp8 cache, strided and native; the same bits on 1 and 3 threads. */
#include "row_names.h"
#include "test_host.h"

enum { HEADS_KV = 2, GROUP = 3, D = 64, PAGE_SIZE = 16, PAGES = 24, TOKENS_MAX = 70 };

typedef struct problem {
    const char *name;
    int code, bits;
    bool native;
    int n_q, n_kv, left;
} problem;

typedef struct bad {
    int position, head, dim;
    float value;
} bad;

static const bad places[] = {{70, 0, 5, INFINITY}, {200, 1, 63, NAN}, {209, 0, 17, -INFINITY}};

static char key_data[PAGES * PAGE_SIZE * HEADS_KV * D * 4],
    value_data[PAGES * PAGE_SIZE * HEADS_KV * D * 4],
    query_data[TOKENS_MAX * HEADS_KV * GROUP * D * 4];
static _Alignas(64) char native_k[PAGES * PAGE_SIZE * HEADS_KV * D * 2],
    native_v[PAGES * PAGE_SIZE * HEADS_KV * D * 2];
static float out[3][TOKENS_MAX * HEADS_KV * GROUP * D];

static void store(void *data, const problem *p, int64_t i, float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    if (p->bits == 32)
        ((float *)data)[i] = x;
    else if (p->code == kDLBfloat)
        ((uint16_t *)data)[i] = (uint16_t)(isnan(x) ? 0x7fc0 : bits >> 16);
    else if (p->bits == 16) /* of numbers: multiples of 1/64 below 1 */
        ((uint16_t *)data)[i] =
            (uint16_t)((bits >> 16 & 0x8000) |
                       (isnan(x)   ? 0x7e00
                        : isinf(x) ? 0x7c00
                        : x == 0   ? 0
                                   : ((bits >> 23 & 255) - 112) << 10 | (bits >> 13 & 1023)));
    else /* e5m2: powers of two */
        ((uint8_t *)data)[i] =
            (uint8_t)((bits >> 24 & 0x80) | (isnan(x)   ? 0x7e
                                             : isinf(x) ? 0x7c
                                             : x == 0   ? 0
                                                        : ((bits >> 23 & 255) - 112) << 2));
}

static void fill(const problem *p) {
    for (int64_t i = 0; i < PAGES * PAGE_SIZE * HEADS_KV * D; i++) {
        store(key_data, p, i, (float)((int)(test_random() >> 40) % 64) / 64);
        store(value_data, p, i, (float)((int)(test_random() >> 40) % 64) / 64 - 0.5f);
    }
    for (int64_t i = 0; i < TOKENS_MAX * HEADS_KV * GROUP * D; i++) {
        const float x = (float)((int)(test_random() >> 40) % 64) / 64 - 0.5f;
        uint32_t bits;
        memcpy(&bits, &x, 4);
        if (p->bits == 32 || p->code == kDLFloat)
            ((float *)query_data)[i] = x;
        else
            ((uint16_t *)query_data)[i] = (uint16_t)(bits >> 16);
    }
}

static int64_t place_of(const bad *b) {
    return ((int64_t)b->position * HEADS_KV + b->head) * D + b->dim;
}

/* The native cache out of the strided one. */
static void to_native(const tenon_api *api, tenon_context *context) {
    enum { N = PAGES * PAGE_SIZE };
    static int32_t slots[N];
    test_tensor t[5];
    tenon_error error = {.struct_size = sizeof error};
    for (int i = 0; i < N; i++) slots[i] = i;
    const tenon_kv_append_args a = {
        .struct_size = sizeof a,
        .flags = TENON_KV_APPEND_NATIVE_CACHE,
        .key = test_view(&t[0], key_data, kDLBfloat, 16, SHAPE(N, HEADS_KV, D)),
        .value = test_view(&t[1], value_data, kDLBfloat, 16, SHAPE(N, HEADS_KV, D)),
        .k = test_view(&t[2], native_k, kDLUInt, 8, SHAPE(sizeof native_k)),
        .v = test_view(&t[3], native_v, kDLUInt, 8, SHAPE(sizeof native_v)),
        .slot_mapping = test_view(&t[4], slots, kDLInt, 32, SHAPE(N)),
        .page_size = PAGE_SIZE,
        .n_pages = PAGES};
    CHECK(api->call(context, TENON_OP_KV_APPEND, &a, &error) == TENON_OK, "%s", error.text);
}

/* False where the row declines: bf16 products take no wider type. */
static bool attend(const tenon_api *api, tenon_context *context, const char *kernel,
                   const problem *p, float *result) {
    const tenon_plan_options options = {.struct_size = sizeof options, .kernel = kernel};
    tenon_error error = {.struct_size = sizeof error};
    tenon_query query = {.struct_size = sizeof query};
    tenon_plan *plan = NULL;
    test_tensor t[7];
    int32_t cu[2] = {0, p->n_q}, lens[1] = {p->n_kv}, table[PAGES];
    const bool wide = p->bits == 32 || p->code == kDLFloat;
    for (int i = 0; i < PAGES; i++) table[i] = i;
    if (p->native && row_is_rocm(kernel)) return false; /* strided caches only */
    if (p->native) to_native(api, context);
    tenon_attention_args a = {
        .struct_size = sizeof a,
        .flags = TENON_ATTENTION_CAUSAL | (p->native ? TENON_ATTENTION_NATIVE_CACHE : 0u),
        .q = test_view(&t[0], query_data, wide ? kDLFloat : kDLBfloat, wide ? 32 : 16,
                       SHAPE(p->n_q, HEADS_KV * GROUP, D)),
        .k = p->native ? test_view(&t[1], native_k, kDLUInt, 8, SHAPE(sizeof native_k))
                       : test_view(&t[1], key_data, p->code, p->bits,
                                   SHAPE(PAGES, PAGE_SIZE, HEADS_KV, D)),
        .v = p->native ? test_view(&t[2], native_v, kDLUInt, 8, SHAPE(sizeof native_v))
                       : test_view(&t[2], value_data, p->code, p->bits,
                                   SHAPE(PAGES, PAGE_SIZE, HEADS_KV, D)),
        .out = test_view(&t[3], result, kDLFloat, 32, SHAPE(p->n_q, HEADS_KV * GROUP, D)),
        .cu_seqlens_q = test_view(&t[4], cu, kDLInt, 32, SHAPE(2)),
        .seq_lens = test_view(&t[5], lens, kDLInt, 32, SHAPE(1)),
        .block_table = test_view(&t[6], table, kDLInt, 32, SHAPE(1, PAGES)),
        .window_left = p->left,
        .window_right = -1,
        .page_size = p->native ? PAGE_SIZE : 0,
        .n_kv_heads = p->native ? HEADS_KV : 0};
    const int32_t status =
        api->plan_create(context, TENON_OP_ATTENTION, &a, &options, &plan, &error);
    if (status == TENON_STATUS_UNSUPPORTED && row_may_decline(kernel, error.text)) return false;
    if (status == TENON_STATUS_UNSUPPORTED && !row_is_rocm(kernel) && row_takes_bf16_alone(kernel))
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

static void check(const tenon_api *api, tenon_context *const *contexts, const char *kernel,
                  const problem *p) {
    enum { PLACES = sizeof places / sizeof places[0] };
    fill(p);
    memset(out, 0x7f, sizeof out);
    if (!attend(api, contexts[0], kernel, p, out[0])) return;
    for (int i = 0; i < PLACES; i++) store(value_data, p, place_of(&places[i]), places[i].value);
    attend(api, contexts[0], kernel, p, out[1]);
    attend(api, contexts[1], kernel, p, out[2]);
    int touched = 0, wrong = 0;
    for (int t = 0; t < p->n_q; t++)
        for (int h = 0; h < HEADS_KV * GROUP; h++)
            for (int d = 0; d < D; d++) {
                const size_t at = ((size_t)t * HEADS_KV * GROUP + (size_t)h) * D + (size_t)d;
                const int position = p->n_kv - p->n_q + t;
                float expected = out[0][at];
                for (int i = 0; i < PLACES; i++) {
                    const bad *b = &places[i];
                    if (b->head == h / GROUP && b->dim == d && b->position <= position &&
                        (p->left <= 0 || b->position >= position - p->left))
                        expected = b->value, touched++;
                }
                const float x = out[1][at];
                if (isnan(expected) ? !isnan(x) : x != expected) {
                    if (wrong++ < 3)
                        CHECK(false, "%s: %s%s, %d queries: row %d head %d dim %d is %g, not %g",
                              kernel, p->name, p->native ? " native" : "", p->n_q, t, h, d,
                              (double)x, (double)expected);
                }
            }
    CHECK(wrong == 0 && touched > 0, "%s: %s, %d queries: %d wrong, %d touched", kernel, p->name,
          p->n_q, wrong, touched);
    for (int i = 0; i < p->n_q * HEADS_KV * GROUP * D; i++)
        if (isnan(out[1][i]) ? !isnan(out[2][i]) : out[1][i] != out[2][i]) {
            CHECK(false, "%s: %s, %d queries: other bits on other threads", kernel, p->name,
                  p->n_q);
            break;
        }
}

int main(void) {
    static const problem problems[] = {
        {"bf16", kDLBfloat, 16, false, 1, 230, 0},
        {"bf16", kDLBfloat, 16, false, 9, 210, 3},
        {"bf16", kDLBfloat, 16, false, 70, 250, 0},
        {"bf16", kDLBfloat, 16, false, 60, 230, 40},
        {"bf16", kDLBfloat, 16, true, 8, 212, 0},
        {"bf16", kDLBfloat, 16, true, 70, 240, 0},
        {"f32", kDLFloat, 32, false, 8, 212, 5},
        {"f16", kDLFloat, 16, false, 3, 211, 0},
        {"f32", kDLFloat, 32, false, 70, 230, 0},
        {"e5m2", kDLFloat8_e5m2, 8, false, 8, 212, 0},
        {"e5m2", kDLFloat8_e5m2, 8, false, 64, 220, 0},
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
