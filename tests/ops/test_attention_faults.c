/* SPDX-License-Identifier: Apache-2.0 */
/* Lengths and page lists that lie, through every attention row: nothing is read or written out of
 * bounds (buffers are exact, so that a sanitizer sees it), the sequence that is wrong gives empty
 * rows and a fault, and the others give the bits they give without it. Slots that no sequence uses
 * hold NaN. */
#include "test_kernels.h"

enum {
    BATCH = 3,
    TOKENS = 7,
    HEADS_Q = 4,
    HEADS_KV = 2,
    D = 64,
    PAGES = 9,
    PAGE_SIZE = 4,
    MAX_PAGES = 3
};
static const int32_t good_cu[BATCH + 1] = {0, 1, 4, 7}, good_lens[BATCH] = {9, 6, 10};
static const int32_t good_table[BATCH][MAX_PAGES] = {{8, 0, 3}, {5, 1, -1}, {2, 7, 4}};
static const int32_t good_indptr[BATCH + 1] = {0, 3, 5, 8},
                                         good_indices[8] = {8, 0, 3, 5, 1, 2, 7, 4};

/* Which rows a change empties: none, those of sequence 1, all, those from token 4 on. */
enum { NOBODY, SECOND, ALL, TAIL };

typedef struct problem {
    tenon_attention_args a;
    test_tensor q, k, v, out, lse, cu, lens, table, indptr, indices;
    int32_t *cu_data, *lens_data, *table_data, *indptr_data, *indices_data;
    void *q_data, *k_data, *v_data;
    float *out_data, *lse_data;
    tenon_fault fault;
} problem;

static void fill(void *data, int64_t i, bool bf16, float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    if (bf16)
        ((uint16_t *)data)[i] = (uint16_t)(bits >> 16);
    else
        ((float *)data)[i] = x;
}

static bool used(int64_t page, int64_t slot) {
    for (int b = 0; b < BATCH; b++)
        for (int p = 0; p * PAGE_SIZE < good_lens[b]; p++)
            if (good_table[b][p] == page && p * PAGE_SIZE + slot < good_lens[b]) return true;
    return false;
}

static void reset(problem *p) {
    memcpy(p->cu_data, good_cu, sizeof good_cu);
    memcpy(p->lens_data, good_lens, sizeof good_lens);
    memcpy(p->table_data, good_table, sizeof good_table);
    memcpy(p->indptr_data, good_indptr, sizeof good_indptr);
    memcpy(p->indices_data, good_indices, sizeof good_indices);
    memset(p->out_data, 0x7f, (TOKENS + 1) * HEADS_Q * D * sizeof(float));
    memset(p->lse_data, 0x7f, (TOKENS + 1) * HEADS_Q * sizeof(float));
    memset(&p->fault, 0, sizeof p->fault);
}

static void make(problem *p, bool bf16, bool csr) {
    const int code = bf16 ? kDLBfloat : kDLFloat, bits = bf16 ? 16 : 32, bytes = bits / 8;
    const int64_t n_q = TOKENS * HEADS_Q * D, n_kv = PAGES * PAGE_SIZE * HEADS_KV * D;
    memset(p, 0, sizeof *p);
    p->q_data = malloc((size_t)(n_q * bytes)), p->k_data = malloc((size_t)(n_kv * bytes)),
    p->v_data = malloc((size_t)(n_kv * bytes));
    p->out_data = malloc((TOKENS + 1) * HEADS_Q * D * sizeof(float)),
    p->lse_data = malloc((TOKENS + 1) * HEADS_Q * sizeof(float));
    p->cu_data = malloc(sizeof good_cu), p->lens_data = malloc(sizeof good_lens),
    p->table_data = malloc(sizeof good_table);
    p->indptr_data = malloc(sizeof good_indptr), p->indices_data = malloc(sizeof good_indices);
    for (int64_t i = 0; i < n_q; i++) fill(p->q_data, i, bf16, test_uniform());
    for (int64_t i = 0; i < n_kv; i++) {
        int64_t slot = i / (HEADS_KV * D);
        bool is_used = used(slot / PAGE_SIZE, slot % PAGE_SIZE);
        fill(p->k_data, i, bf16, is_used ? test_uniform() : NAN);
        fill(p->v_data, i, bf16, is_used ? test_uniform() : NAN);
    }
    p->a = (tenon_attention_args){
        .struct_size = sizeof p->a,
        .flags = TENON_ATTENTION_CAUSAL,
        .fault = &p->fault,
        .q = test_view(&p->q, p->q_data, code, bits, SHAPE(TOKENS, HEADS_Q, D)),
        .k = test_view(&p->k, p->k_data, code, bits, SHAPE(PAGES, PAGE_SIZE, HEADS_KV, D)),
        .v = test_view(&p->v, p->v_data, code, bits, SHAPE(PAGES, PAGE_SIZE, HEADS_KV, D)),
        .out = test_view(&p->out, p->out_data, kDLFloat, 32, SHAPE(TOKENS, HEADS_Q, D)),
        .lse = test_view(&p->lse, p->lse_data, kDLFloat, 32, SHAPE(TOKENS, HEADS_Q)),
        .cu_seqlens_q = test_view(&p->cu, p->cu_data, kDLInt, 32, SHAPE(BATCH + 1)),
        .seq_lens = test_view(&p->lens, p->lens_data, kDLInt, 32, SHAPE(BATCH)),
        .window_left = -1,
        .window_right = -1};
    const DLTensor *table =
        test_view(&p->table, p->table_data, kDLInt, 32, SHAPE(BATCH, MAX_PAGES));
    const DLTensor *indptr = test_view(&p->indptr, p->indptr_data, kDLInt, 32, SHAPE(BATCH + 1));
    const DLTensor *indices = test_view(&p->indices, p->indices_data, kDLInt, 32, SHAPE(8));
    if (csr)
        p->a.page_indptr = indptr, p->a.page_indices = indices;
    else
        p->a.block_table = table;
    reset(p);
}

static void destroy(problem *p) {
    void *all[] = {p->q_data,  p->k_data,    p->v_data,     p->out_data,    p->lse_data,
                   p->cu_data, p->lens_data, p->table_data, p->indptr_data, p->indices_data};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) free(all[i]);
}

static void run(const test_kernels *kernels, const tenon_plan *plan, problem *p, const char *kernel,
                const char *what) {
    tenon_error error = {.struct_size = sizeof error};
    CHECK(kernels->api->run(plan, &p->a, &error) == TENON_OK, "%s: %s: %s", kernel, what,
          error.text);
}

/* Emptied rows are 0 and -inf, the others the bits of the clean run, and what lies behind them is
 * not touched. */
static void compare(const problem *p, const float *out, const float *lse, int emptied, int code,
                    const char *kernel, const char *what) {
    int wrong = 0;
    for (int t = 0; t < TOKENS; t++) {
        bool empty =
            emptied == ALL || (emptied == SECOND && t >= 1 && t < 4) || (emptied == TAIL && t >= 4);
        for (int i = 0; i < HEADS_Q * D; i++) {
            float got = p->out_data[t * HEADS_Q * D + i],
                  want = empty ? 0 : out[t * HEADS_Q * D + i];
            wrong += memcmp(&got, &want, 4) != 0;
        }
        for (int h = 0; h < HEADS_Q; h++) {
            float got = p->lse_data[t * HEADS_Q + h],
                  want = empty ? -INFINITY : lse[t * HEADS_Q + h];
            wrong += memcmp(&got, &want, 4) != 0;
        }
    }
    for (int i = 0; i < HEADS_Q * D; i++)
        wrong += ((const uint32_t *)p->out_data)[TOKENS * HEADS_Q * D + i] != 0x7f7f7f7fu;
    for (int h = 0; h < HEADS_Q; h++)
        wrong += ((const uint32_t *)p->lse_data)[TOKENS * HEADS_Q + h] != 0x7f7f7f7fu;
    CHECK(wrong == 0, "%s: %s: %d values", kernel, what, wrong);
    CHECK(p->fault.code == code, "%s: %s: fault %d, expected %d", kernel, what, p->fault.code,
          code);
    CHECK(code == TENON_FAULT_NONE || p->fault.op == TENON_OP_ATTENTION, "%s: %s: op %d", kernel,
          what, p->fault.op);
}

typedef struct change {
    const char *what;
    int where; /* C: row offsets, L: kv lengths, T: table, P: indptr, I: indices */
    int index;
    int32_t value;
    int emptied, code;
} change;

static const change lengths[] = {
    {"clean", 'L', 1, 6, NOBODY, TENON_FAULT_NONE},
    {"kv length 0", 'L', 1, 0, SECOND, TENON_FAULT_NONE},
    {"kv length negative", 'L', 1, -5, SECOND, TENON_FAULT_LENGTH_OUT_OF_RANGE},
    {"kv length least", 'L', 1, INT32_MIN, SECOND, TENON_FAULT_LENGTH_OUT_OF_RANGE},
    {"kv length beyond the list", 'L', 1, MAX_PAGES * PAGE_SIZE + 1, SECOND,
     TENON_FAULT_LENGTH_OUT_OF_RANGE},
    {"kv length largest", 'L', 1, INT32_MAX, SECOND, TENON_FAULT_LENGTH_OUT_OF_RANGE},
    {"more queries than kv positions", 'L', 1, 2, SECOND, TENON_FAULT_LENGTH_OUT_OF_RANGE},
    {"offsets start above 0", 'C', 0, 1, ALL, TENON_FAULT_LENGTH_OUT_OF_RANGE},
    {"offsets start below 0", 'C', 0, -1, ALL, TENON_FAULT_LENGTH_OUT_OF_RANGE},
    {"offsets fall", 'C', 2, 0, ALL, TENON_FAULT_LENGTH_OUT_OF_RANGE},
    {"offset negative", 'C', 1, -3, ALL, TENON_FAULT_LENGTH_OUT_OF_RANGE},
    {"offset beyond the tokens", 'C', 3, TOKENS + 1, ALL, TENON_FAULT_LENGTH_OUT_OF_RANGE},
    {"offset largest", 'C', 3, INT32_MAX, ALL, TENON_FAULT_LENGTH_OUT_OF_RANGE},
    {"padding tokens", 'C', 3, 4, TAIL, TENON_FAULT_NONE},
};
static const change tables[] = {
    {"page -1", 'T', 3, -1, SECOND, TENON_FAULT_PAGE_OUT_OF_RANGE},
    {"page beyond the cache", 'T', 4, PAGES, SECOND, TENON_FAULT_PAGE_OUT_OF_RANGE},
    {"page least", 'T', 4, INT32_MIN, SECOND, TENON_FAULT_PAGE_OUT_OF_RANGE},
    {"page largest", 'T', 3, INT32_MAX, SECOND, TENON_FAULT_PAGE_OUT_OF_RANGE},
    {"page that no row needs", 'T', 5, INT32_MAX, NOBODY, TENON_FAULT_NONE},
};
static const change lists[] = {
    {"index -1", 'I', 3, -1, SECOND, TENON_FAULT_PAGE_OUT_OF_RANGE},
    {"index beyond the cache", 'I', 4, PAGES, SECOND, TENON_FAULT_PAGE_OUT_OF_RANGE},
    /* indptr[1] and [2] belong to sequences 0 and 2, too: a change that leaves these right */
    {"list too short", 'P', 2, 4, -1, TENON_FAULT_LENGTH_OUT_OF_RANGE},
    {"list start negative", 'P', 1, -1, -1, TENON_FAULT_LENGTH_OUT_OF_RANGE},
    {"list falls", 'P', 1, 7, -1, TENON_FAULT_LENGTH_OUT_OF_RANGE},
    {"list end beyond the entries", 'P', 2, 9, -1, TENON_FAULT_LENGTH_OUT_OF_RANGE},
    {"list end largest", 'P', 3, INT32_MAX, -1, TENON_FAULT_LENGTH_OUT_OF_RANGE},
};

static int32_t *place(problem *p, const change *c) {
    return (c->where == 'C'   ? p->cu_data
            : c->where == 'L' ? p->lens_data
            : c->where == 'T' ? p->table_data
            : c->where == 'P' ? p->indptr_data
                              : p->indices_data) +
           c->index;
}

static void run_changes(const test_kernels *kernels, int kernel, tenon_plan *plan, problem *p,
                        const change *changes, size_t n, const float *out, const float *lse) {
    const char *name = kernels->name[kernel];
    for (size_t i = 0; i < n; i++) {
        const change *c = &changes[i];
        reset(p);
        *place(p, c) = c->value;
        run(kernels, plan, p, name, c->what);
        if (c->emptied >= 0) {
            compare(p, out, lse, c->emptied, c->code, name, c->what);
        } else { /* a broken list may also move its neighbour's: in bounds, and reported */
            CHECK(p->fault.code == c->code, "%s: %s: fault %d, expected %d", name, c->what,
                  p->fault.code, c->code);
        }
    }
}

static void test_kernel(const test_kernels *kernels, int kernel, bool bf16, bool csr) {
    problem p;
    float out[TOKENS * HEADS_Q * D], lse[TOKENS * HEADS_Q];
    make(&p, bf16, csr);
    tenon_plan *plan = test_plan_of(kernels, kernel, TENON_OP_ATTENTION, &p.a);
    if (plan) {
        void *memory = test_workspace(kernels->api, plan, &p.a.workspace, &p.a.workspace_bytes);
        run(kernels, plan, &p, kernels->name[kernel], "clean");
        memcpy(out, p.out_data, sizeof out), memcpy(lse, p.lse_data, sizeof lse);
        int not_finite = 0;
        for (int i = 0; i < TOKENS * HEADS_Q * D; i++) not_finite += !isfinite(out[i]);
        CHECK(!not_finite, "%s: %d values are not finite: NaN of unused slots leaked",
              kernels->name[kernel], not_finite);
        run_changes(kernels, kernel, plan, &p, lengths, sizeof lengths / sizeof lengths[0], out,
                    lse);
        if (csr)
            run_changes(kernels, kernel, plan, &p, lists, sizeof lists / sizeof lists[0], out, lse);
        else
            run_changes(kernels, kernel, plan, &p, tables, sizeof tables / sizeof tables[0], out,
                        lse);
        kernels->api->plan_destroy(plan);
        free(memory);
    }
    destroy(&p);
}

/* Promises of the plan (max_q_len, max_kv_len) bind its runs; a page that slid out of the window
 * may be gone. */
static void test_bounds(const test_kernels *kernels, int kernel) {
    static const change bounds[] = {
        {"max_kv_len", 'L', 1, 6, NOBODY, TENON_FAULT_NONE},
        {"beyond max_kv_len", 'L', 1, 11, SECOND, TENON_FAULT_LENGTH_OUT_OF_RANGE}};
    static const change slid[] = {
        {"page out of the window", 'T', 6, -1, NOBODY, TENON_FAULT_NONE},
        {"page in the window", 'T', 7, -1, TAIL, TENON_FAULT_PAGE_OUT_OF_RANGE}};
    problem p;
    float out[TOKENS * HEADS_Q * D], lse[TOKENS * HEADS_Q];
    for (int step = 0; step < 2; step++) {
        make(&p, false, false);
        if (step == 0)
            p.a.max_q_len = 3, p.a.max_kv_len = 10;
        else
            p.a.window_left = 3; /* sequence 2: rows at 7, 8, 9 see 4 .. 9 */
        tenon_plan *plan = test_plan_of(kernels, kernel, TENON_OP_ATTENTION, &p.a);
        if (plan) {
            void *memory = test_workspace(kernels->api, plan, &p.a.workspace, &p.a.workspace_bytes);
            run(kernels, plan, &p, kernels->name[kernel], "clean");
            memcpy(out, p.out_data, sizeof out), memcpy(lse, p.lse_data, sizeof lse);
            run_changes(kernels, kernel, plan, &p, step == 0 ? bounds : slid, 2, out, lse);
            if (step == 0) {
                reset(&p);
                p.cu_data[1] = 0; /* sequence 1 now has 4 rows */
                run(kernels, plan, &p, kernels->name[kernel], "beyond max_q_len");
                CHECK(p.fault.code == TENON_FAULT_LENGTH_OUT_OF_RANGE && p.fault.value == 4 &&
                          p.fault.position == 1,
                      "%s: fault %d, value %lld, position %lld", kernels->name[kernel],
                      p.fault.code, (long long)p.fault.value, (long long)p.fault.position);
            }
            kernels->api->plan_destroy(plan);
            free(memory);
        }
        destroy(&p);
    }
}

/* A plan for more sequences, tokens and pages than the run has gives the bits of the exact plan. */
static void test_smaller_run(const test_kernels *kernels, int kernel) {
    problem p;
    float out[TOKENS * HEADS_Q * D];
    make(&p, false, false);
    tenon_plan *plan = test_plan_of(kernels, kernel, TENON_OP_ATTENTION, &p.a);
    if (plan) {
        void *memory = test_workspace(kernels->api, plan, &p.a.workspace, &p.a.workspace_bytes);
        run(kernels, plan, &p, kernels->name[kernel], "clean");
        memcpy(out, p.out_data, sizeof out);
        reset(&p);
        p.q.shape[0] = p.out.shape[0] = p.lse.shape[0] = 4, p.cu.shape[0] = 3,
        p.lens.shape[0] = p.table.shape[0] = 2;
        run(kernels, plan, &p, kernels->name[kernel], "two sequences of three");
        CHECK(!memcmp(out, p.out_data, 4 * HEADS_Q * D * sizeof(float)),
              "%s: the bits depend on the rest of the batch", kernels->name[kernel]);
        CHECK(((uint32_t *)p.out_data)[4 * HEADS_Q * D] == 0x7f7f7f7fu,
              "%s: written past the run's tokens", kernels->name[kernel]);
        p.q.shape[0] = p.out.shape[0] = p.lse.shape[0] = 0, p.cu.shape[0] = 1,
        p.lens.shape[0] = p.table.shape[0] = 0;
        run(kernels, plan, &p, kernels->name[kernel], "nothing at all");
        CHECK(p.fault.code == TENON_FAULT_NONE, "%s: fault %d", kernels->name[kernel],
              p.fault.code);
        kernels->api->plan_destroy(plan);
        free(memory);
    }
    destroy(&p);
}

int main(void) {
    const tenon_api *api = test_load();
    tenon_context *context = test_context(api);
    test_kernels kernels = test_kernels_of(api, context, TENON_OP_ATTENTION);
    CHECK(kernels.count > 0, "no attention kernel");
    for (int i = 0; i < kernels.count; i++) {
        for (int form = 0; form < 4; form++) test_kernel(&kernels, i, form & 1, form & 2);
        test_bounds(&kernels, i);
        test_smaller_run(&kernels, i);
    }
    api->context_destroy(context);
    return test_report();
}
