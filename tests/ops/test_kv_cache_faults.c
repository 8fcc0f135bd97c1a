/* SPDX-License-Identifier: Apache-2.0 */
/* Slots, rows and pages that lie, through every row of kv_append, mla_append and kv_gather: what is
 * good is moved, what is not is left out and reported, and no byte beside the slots that were named
 * changes. Buffers are exact, so that a sanitizer sees an overrun. */
#include "test_kernels.h"

enum {
    TOKENS = 6,
    HEADS = 2,
    DK = 48,
    DV = 32,
    PAGES = 4,
    PAGE_SIZE = 4,
    SLOTS = PAGES * PAGE_SIZE,
    BATCH = 3,
    MAX_PAGES = 2
};

typedef struct appended {
    int64_t slot[TOKENS];
    int fault;
    int64_t position, value;
} appended;

static const appended cases[] = {
    {{0, 15, 7, 3, 8, 1}, TENON_FAULT_NONE, 0, 0},
    {{-1, 15, -1, 3, 8, -1}, TENON_FAULT_NONE, 0, 0},
    {{0, -2, 7, 3, 8, 1}, TENON_FAULT_PAGE_OUT_OF_RANGE, 1, -2},
    {{0, 15, SLOTS, 3, 8, 1}, TENON_FAULT_PAGE_OUT_OF_RANGE, 2, SLOTS},
    {{0, 15, 7, INT32_MAX, 8, 1}, TENON_FAULT_PAGE_OUT_OF_RANGE, 3, INT32_MAX},
    {{0, 15, 7, 3, INT32_MIN, 1}, TENON_FAULT_PAGE_OUT_OF_RANGE, 4, INT32_MIN},
};
static const appended wide_cases[] = {
    /* 64-bit slots that would be good if they were cut to 32 bits */
    {{0, INT64_C(1) << 32, 7, 3, 8, 1}, TENON_FAULT_PAGE_OUT_OF_RANGE, 1, INT64_C(1) << 32},
    {{0, 15, 7, 3, 8, INT64_MIN}, TENON_FAULT_PAGE_OUT_OF_RANGE, 5, INT64_MIN},
    {{0, 15, INT64_MAX, 3, 8, 1}, TENON_FAULT_PAGE_OUT_OF_RANGE, 2, INT64_MAX},
};

static float *noise(int64_t n) {
    float *x = malloc((size_t)n * sizeof *x);
    for (int64_t i = 0; i < n; i++) x[i] = test_uniform();
    return x;
}

/* Which token last wrote a slot; -1: none, and the slot must hold what it held. */
static int writer(const appended *c, int64_t slot) {
    for (int t = TOKENS - 1; t >= 0; t--)
        if (c->slot[t] == slot) return t;
    return -1;
}

static void check_cache(const float *cache, const float *x, int64_t row, const appended *c,
                        const char *kernel, const char *what) {
    int wrong = 0;
    for (int64_t slot = 0; slot < SLOTS; slot++) {
        int t = writer(c, slot);
        for (int64_t i = 0; i < row; i++) {
            uint32_t got, want = 0x7f7f7f7fu;
            memcpy(&got, &cache[slot * row + i], 4);
            if (t >= 0) memcpy(&want, &x[t * row + i], 4);
            wrong += got != want;
        }
    }
    CHECK(wrong == 0, "%s: %s: %d values", kernel, what, wrong);
}

static void set_slots(void *data, bool wide, const appended *c) {
    for (int t = 0; t < TOKENS; t++) {
        if (wide)
            ((int64_t *)data)[t] = c->slot[t];
        else
            ((int32_t *)data)[t] = (int32_t)c->slot[t];
    }
}

static void check_fault(const tenon_fault *fault, const appended *c, const char *kernel) {
    CHECK(fault->code == c->fault && fault->position == c->position && fault->value == c->value &&
              (c->fault == TENON_FAULT_NONE || fault->limit == SLOTS),
          "%s: fault %d at %lld: %lld, limit %lld; expected %d at %lld: %lld", kernel, fault->code,
          (long long)fault->position, (long long)fault->value, (long long)fault->limit, c->fault,
          (long long)c->position, (long long)c->value);
}

static void test_append(const test_kernels *kernels, int index, bool wide, const appended *c) {
    float *key = noise(TOKENS * HEADS * DK), *value = noise(TOKENS * HEADS * DV);
    float *k = malloc(SLOTS * HEADS * DK * sizeof *k), *v = malloc(SLOTS * HEADS * DV * sizeof *v);
    void *slots = malloc(TOKENS * (wide ? 8 : 4));
    test_tensor tkey, tvalue, tk, tv, ts;
    tenon_fault fault = {0};
    tenon_error error = {.struct_size = sizeof error};
    memset(k, 0x7f, SLOTS * HEADS * DK * sizeof *k),
        memset(v, 0x7f, SLOTS * HEADS * DV * sizeof *v);
    set_slots(slots, wide, c);
    tenon_kv_append_args a = {
        .struct_size = sizeof a,
        .fault = &fault,
        .key = test_view(&tkey, key, kDLFloat, 32, SHAPE(TOKENS, HEADS, DK)),
        .value = test_view(&tvalue, value, kDLFloat, 32, SHAPE(TOKENS, HEADS, DV)),
        .k = test_view(&tk, k, kDLFloat, 32, SHAPE(PAGES, PAGE_SIZE, HEADS, DK)),
        .v = test_view(&tv, v, kDLFloat, 32, SHAPE(PAGES, PAGE_SIZE, HEADS, DV)),
        .slot_mapping = test_view(&ts, slots, kDLInt, wide ? 64 : 32, SHAPE(TOKENS))};
    tenon_plan *plan = test_plan_of(kernels, index, TENON_OP_KV_APPEND, &a);
    if (plan) {
        void *memory = test_workspace(kernels->api, plan, &a.workspace, &a.workspace_bytes);
        CHECK(kernels->api->run(plan, &a, &error) == TENON_OK, "%s: %s", kernels->name[index],
              error.text);
        check_cache(k, key, HEADS * DK, c, kernels->name[index], "k");
        check_cache(v, value, HEADS * DV, c, kernels->name[index], "v");
        check_fault(&fault, c, kernels->name[index]);
        kernels->api->plan_destroy(plan);
        free(memory);
    }
    free(key), free(value), free(k), free(v), free(slots);
}

static void test_mla_append(const test_kernels *kernels, int index, bool wide, const appended *c) {
    float *x = noise(TOKENS * (DK + DV)), *cache = malloc(SLOTS * (DK + DV) * sizeof *cache);
    void *slots = malloc(TOKENS * (wide ? 8 : 4));
    test_tensor tc, tp, tcache, ts;
    tenon_fault fault = {0};
    tenon_error error = {.struct_size = sizeof error};
    memset(cache, 0x7f, SLOTS * (DK + DV) * sizeof *cache);
    set_slots(slots, wide, c);
    tenon_mla_append_args a = {
        .struct_size = sizeof a,
        .fault = &fault,
        .kv_c = test_view(&tc, x, kDLFloat, 32, SHAPE(TOKENS, DK)),
        .k_pe = test_view(&tp, x + DK, kDLFloat, 32, SHAPE(TOKENS, DV)),
        .cache = test_view(&tcache, cache, kDLFloat, 32, SHAPE(PAGES, PAGE_SIZE, DK + DV)),
        .slot_mapping = test_view(&ts, slots, kDLInt, wide ? 64 : 32, SHAPE(TOKENS))};
    tc.strides[0] = tp.strides[0] = DK + DV; /* both are parts of one fused row */
    tenon_plan *plan = test_plan_of(kernels, index, TENON_OP_MLA_APPEND, &a);
    if (plan) {
        void *memory = test_workspace(kernels->api, plan, &a.workspace, &a.workspace_bytes);
        CHECK(kernels->api->run(plan, &a, &error) == TENON_OK, "%s: %s", kernels->name[index],
              error.text);
        check_cache(cache, x, DK + DV, c, kernels->name[index], "cache");
        check_fault(&fault, c, kernels->name[index]);
        kernels->api->plan_destroy(plan);
        free(memory);
    }
    free(x), free(cache), free(slots);
}

typedef struct gathered {
    const char *what;
    int32_t cu[BATCH + 1], start[BATCH], page[BATCH][MAX_PAGES];
    int from, end, fault; /* rows [from, end) are 0, the others what the lists say */
} gathered;

static const gathered gathers[] = {
    {"clean", {0, 3, 3, 8}, {0, 0, 2}, {{1, 9}, {9, 9}, {3, 0}}, 0, 0, TENON_FAULT_NONE},
    {"empty sequence with any start",
     {0, 3, 3, 8},
     {0, -4, 2},
     {{1, 9}, {9, 9}, {3, 0}},
     0,
     0,
     TENON_FAULT_NONE},
    {"page before the start",
     {0, 3, 3, 7},
     {0, 0, 4},
     {{1, 9}, {9, 9}, {-1, 2}},
     7,
     8,
     TENON_FAULT_NONE},
    {"page beyond the cache",
     {0, 3, 3, 8},
     {0, 0, 2},
     {{1, 9}, {9, 9}, {3, PAGES}},
     3,
     8,
     TENON_FAULT_PAGE_OUT_OF_RANGE},
    {"page negative",
     {0, 3, 3, 8},
     {0, 0, 2},
     {{-1, 9}, {9, 9}, {3, 0}},
     0,
     3,
     TENON_FAULT_PAGE_OUT_OF_RANGE},
    {"start negative",
     {0, 3, 3, 8},
     {0, 0, -1},
     {{1, 9}, {9, 9}, {3, 0}},
     3,
     8,
     TENON_FAULT_LENGTH_OUT_OF_RANGE},
    {"start beyond the list",
     {0, 3, 3, 8},
     {0, 0, 4},
     {{1, 9}, {9, 9}, {3, 0}},
     3,
     8,
     TENON_FAULT_LENGTH_OUT_OF_RANGE},
    {"start largest",
     {0, 3, 3, 8},
     {0, 0, INT32_MAX},
     {{1, 9}, {9, 9}, {3, 0}},
     3,
     8,
     TENON_FAULT_LENGTH_OUT_OF_RANGE},
    {"rows fall",
     {0, 3, 2, 8},
     {0, 0, 2},
     {{1, 9}, {9, 9}, {3, 0}},
     0,
     8,
     TENON_FAULT_LENGTH_OUT_OF_RANGE},
    {"rows beyond the tensor",
     {0, 3, 3, 9},
     {0, 0, 2},
     {{1, 9}, {9, 9}, {3, 0}},
     0,
     8,
     TENON_FAULT_LENGTH_OUT_OF_RANGE},
    {"rows from above 0",
     {1, 3, 3, 8},
     {0, 0, 2},
     {{1, 9}, {9, 9}, {3, 0}},
     0,
     8,
     TENON_FAULT_LENGTH_OUT_OF_RANGE},
};

static int wrong_rows(const gathered *g, const float *got, const float *cache, int64_t row) {
    int wrong = 0;
    for (int b = 0; b < BATCH; b++)
        for (int r = g->cu[b]; r < g->cu[b + 1] && r < 8; r++) {
            if (r >= g->from && r < g->end) continue;
            int64_t j = g->start[b] + r - g->cu[b],
                    slot = g->page[b][j / PAGE_SIZE] * PAGE_SIZE + j % PAGE_SIZE;
            wrong += memcmp(&got[r * row], &cache[slot * row], (size_t)row * sizeof *got) != 0;
        }
    for (int r = g->from; r < g->end; r++)
        for (int64_t i = 0; i < row; i++) wrong += got[r * row + i] != 0;
    return wrong;
}

static void test_gather(const test_kernels *kernels, int index, const gathered *g) {
    float *k = noise(SLOTS * HEADS * DK), *v = noise(SLOTS * HEADS * DV),
          *key = noise(8 * HEADS * DK), *value = noise(8 * HEADS * DV);
    test_tensor tk, tv, tkey, tvalue, tcu, ts, tt;
    tenon_fault fault = {0};
    tenon_error error = {.struct_size = sizeof error};
    tenon_kv_gather_args a = {
        .struct_size = sizeof a,
        .fault = &fault,
        .k = test_view(&tk, k, kDLFloat, 32, SHAPE(PAGES, PAGE_SIZE, HEADS, DK)),
        .v = test_view(&tv, v, kDLFloat, 32, SHAPE(PAGES, PAGE_SIZE, HEADS, DV)),
        .key = test_view(&tkey, key, kDLFloat, 32, SHAPE(8, HEADS, DK)),
        .value = test_view(&tvalue, value, kDLFloat, 32, SHAPE(8, HEADS, DV)),
        .cu_rows = test_view(&tcu, (void *)(uintptr_t)g->cu, kDLInt, 32, SHAPE(BATCH + 1)),
        .seq_starts = test_view(&ts, (void *)(uintptr_t)g->start, kDLInt, 32, SHAPE(BATCH)),
        .block_table =
            test_view(&tt, (void *)(uintptr_t)g->page, kDLInt, 32, SHAPE(BATCH, MAX_PAGES))};
    tenon_plan *plan = test_plan_of(kernels, index, TENON_OP_KV_GATHER, &a);
    if (plan) {
        void *memory = test_workspace(kernels->api, plan, &a.workspace, &a.workspace_bytes);
        CHECK(kernels->api->run(plan, &a, &error) == TENON_OK, "%s: %s: %s", kernels->name[index],
              g->what, error.text);
        int wrong = wrong_rows(g, key, k, HEADS * DK) + wrong_rows(g, value, v, HEADS * DV);
        CHECK(wrong == 0, "%s: %s: %d rows or values", kernels->name[index], g->what, wrong);
        CHECK(fault.code == g->fault, "%s: %s: fault %d, expected %d", kernels->name[index],
              g->what, fault.code, g->fault);
        kernels->api->plan_destroy(plan);
        free(memory);
    }
    free(k), free(v), free(key), free(value);
}

int main(void) {
    const tenon_api *api = test_load();
    tenon_context *context = test_context(api);
    test_kernels append = test_kernels_of(api, context, TENON_OP_KV_APPEND);
    test_kernels mla_append = test_kernels_of(api, context, TENON_OP_MLA_APPEND);
    test_kernels gather = test_kernels_of(api, context, TENON_OP_KV_GATHER);
    /* A GPU has the writers first. */
    const bool on_cpu = !getenv("TENON_BACKEND");
    CHECK(append.count > 0 && mla_append.count > 0 && (gather.count > 0 || !on_cpu),
          "%d, %d, %d kernels", append.count, mla_append.count, gather.count);
    for (int wide = 0; wide < 2; wide++)
        for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
            for (int i = 0; i < append.count; i++) test_append(&append, i, wide, &cases[c]);
            for (int i = 0; i < mla_append.count; i++)
                test_mla_append(&mla_append, i, wide, &cases[c]);
        }
    for (size_t c = 0; c < sizeof wide_cases / sizeof wide_cases[0]; c++) {
        for (int i = 0; i < append.count; i++) test_append(&append, i, true, &wide_cases[c]);
        for (int i = 0; i < mla_append.count; i++)
            test_mla_append(&mla_append, i, true, &wide_cases[c]);
    }
    for (size_t c = 0; c < sizeof gathers / sizeof gathers[0]; c++)
        for (int i = 0; i < gather.count; i++) test_gather(&gather, i, &gathers[c]);
    api->context_destroy(context);
    return test_report();
}
