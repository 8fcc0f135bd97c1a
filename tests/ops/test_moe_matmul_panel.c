/* SPDX-License-Identifier: Apache-2.0 */
/* The panel kernels of moe_matmul over quantized experts: every row must have the bits that matmul
 * of the same kind gives for that row and that expert's weights alone (which test_matmul_panel.c
 * holds against the formula); with gathered rows, packed and not, more rows than one round takes,
 * one thread and three. */
#include "row_names.h"
#include "weight_fixture.h"

enum { EXPERTS = 3, TOKENS = 700, SLOTS = 4 };

static const tenon_api *api;

typedef struct problem {
    weight_fixture w;
    int64_t rows;
    int32_t offsets[EXPERTS + 1];
    int32_t *pairs;
    float *x, *out, *again;
} problem;

static void make(problem *p, weight_kind kind, int64_t n, int64_t k, tenon_context *context) {
    static const int32_t ends[EXPERTS + 1] = {0, 5, 2105, 2300};
    weight_make(&p->w, kind, EXPERTS, n, k);
    weight_pack(&p->w, api, context, TENON_COMPUTE_DEFAULT);
    memcpy(p->offsets, ends, sizeof ends);
    p->rows = ends[EXPERTS];
    p->pairs = malloc((size_t)p->rows * 4);
    for (int64_t r = 0; r < p->rows; r++)
        p->pairs[r] = (int32_t)(test_random() >> 33) % (TOKENS * SLOTS);
    p->x = malloc((size_t)(TOKENS * k) * 4);
    for (int64_t i = 0; i < TOKENS * k; i++) p->x[i] = test_uniform();
    p->out = malloc((size_t)(p->rows * n) * 4);
    p->again = malloc((size_t)(p->rows * n) * 4);
}

static void release(problem *p) {
    weight_free(&p->w);
    free(p->pairs), free(p->x), free(p->out), free(p->again);
}

static int32_t run_planned(tenon_context *context, int32_t op, const char *kernel, void *args,
                           void **workspace, uint64_t *workspace_bytes) {
    tenon_error error = {.struct_size = sizeof error};
    tenon_query query = {.struct_size = sizeof query};
    const tenon_plan_options options = {.struct_size = sizeof options, .kernel = kernel};
    tenon_plan *plan = NULL;
    const int32_t status = api->plan_create(context, op, args, &options, &plan, &error);
    if (status) return status;
    api->plan_query(plan, &query, &error);
    *workspace_bytes = query.workspace_bytes;
    *workspace = aligned_alloc(64, (size_t)(query.workspace_bytes + 63) / 64 * 64);
    memset(*workspace, 0xa5, (size_t)query.workspace_bytes);
    CHECK(api->run(plan, args, &error) == TENON_OK, "%s: %s", kernel, error.text);
    free(*workspace);
    api->plan_destroy(plan);
    return TENON_OK;
}

static int32_t run_moe(tenon_context *context, const char *kernel, problem *p, int packed,
                       float *out) {
    test_tensor tx, to, tp, tout;
    tenon_fault fault = {0};
    memset(out, 0x5a, (size_t)(p->rows * p->w.n) * 4);
    tenon_moe_matmul_args a = {.struct_size = sizeof a,
                               .fault = &fault,
                               .x = test_view(&tx, p->x, kDLFloat, 32, SHAPE(TOKENS, p->w.k)),
                               .w = packed ? &p->w.blob_tensor.view : &p->w.tensor.view,
                               .w_quant = packed ? &p->w.blob_quant : weight_quant(&p->w),
                               .expert_offsets =
                                   test_view(&to, p->offsets, kDLInt, 32, SHAPE(EXPERTS + 1)),
                               .row_pairs = test_view(&tp, p->pairs, kDLInt, 32, SHAPE(p->rows)),
                               .out = test_view(&tout, out, kDLFloat, 32, SHAPE(p->rows, p->w.n)),
                               .pairs_per_token = SLOTS};
    const int32_t status =
        run_planned(context, TENON_OP_MOE_MATMUL, kernel, &a, &a.workspace, &a.workspace_bytes);
    CHECK(fault.code == TENON_FAULT_NONE, "%s: fault %d", kernel, fault.code);
    return status;
}

/* Rows of one expert through matmul, by the kernel of the same name. */
static void compare_row(tenon_context *context, const char *moe_kernel, const problem *p,
                        int64_t expert, int64_t row) {
    char kernel[96];
    test_tensor ta, tw, tout;
    float *out = malloc((size_t)p->w.n * 4);
    snprintf(kernel, sizeof kernel, "cpu_%s", moe_kernel + strlen("cpu_moe_"));
    tenon_matmul_args a = {
        .struct_size = sizeof a,
        .a = test_view(&ta, p->x + p->pairs[row] / SLOTS * p->w.k, kDLFloat, 32, SHAPE(1, p->w.k)),
        .w = test_view(&tw, p->w.data + expert * p->w.n * p->w.row_bytes,
                       weight_formats[p->w.kind].code, weight_formats[p->w.kind].bits,
                       SHAPE(p->w.n, p->w.tensor.shape[2])),
        .w_quant = weight_quant(&p->w),
        .out = test_view(&tout, out, kDLFloat, 32, SHAPE(1, p->w.n))};
    CHECK(run_planned(context, TENON_OP_MATMUL, kernel, &a, &a.workspace, &a.workspace_bytes) ==
              TENON_OK,
          "%s", kernel);
    CHECK(!memcmp(out, p->out + row * p->w.n, (size_t)p->w.n * 4),
          "%s %s: expert %d row %d differs from matmul", moe_kernel, weight_formats[p->w.kind].name,
          (int)expert, (int)row);
    free(out);
}

int main(void) {
    static const char *const kernels[] = {ROWS_INT8_AND_FLOAT("moe_matmul")};
    tenon_context *contexts[2] = {NULL, NULL};
    tenon_error error = {.struct_size = sizeof error};
    int taken = 0;
    api = test_load();
    for (int i = 0; i < 2; i++) {
        const tenon_context_options options = {
            .struct_size = sizeof options, .n_threads = 1 + 2 * i, .log_level = -1};
        CHECK(api->context_create(&options, &contexts[i], &error) == TENON_OK, "%s", error.text);
    }
    for (int kind = 0; kind < W_KINDS; kind += test_is_emulated() ? 3 : 1) {
        problem p;
        make(&p, (weight_kind)kind, 45, 256, contexts[0]);
        for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++) {
            if (run_moe(contexts[1], kernels[i], &p, 1, p.out)) continue;
            taken++;
            run_moe(contexts[0], kernels[i], &p, 0, p.again);
            CHECK(!memcmp(p.out, p.again, (size_t)(p.rows * p.w.n) * 4),
                  "%s %s: packed and unpacked differ", kernels[i], weight_formats[kind].name);
            static const int64_t rows[] = {0, 4, 5, 1924, 1925, 2104, 2105, 2299};
            for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
                compare_row(contexts[0], kernels[i], &p,
                            rows[r] < 5      ? 0
                            : rows[r] < 2105 ? 1
                                             : 2,
                            rows[r]);
        }
        release(&p);
    }
    CHECK(taken >= 2 * 5 + 3, "only %d kernels took a problem", taken);
    for (int i = 0; i < 2; i++) api->context_destroy(contexts[i]);
    return test_report();
}
