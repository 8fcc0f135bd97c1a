/* SPDX-License-Identifier: Apache-2.0 */
/* moe_combine: every kernel against the sum in double, over types, both layouts, skipped and
 * hostile rows, smaller runs, strides. */
#include "moe_test.h"

enum { MAX_TOKENS = 40, MAX_K = 9, MAX_ROWS = 256, MAX_HIDDEN = 700 };

typedef struct options {
    int64_t tokens, k, hidden, rows, local; /* local > 0: masked, rows each */
    int bits;                               /* 32: f32, 16: bf16 */
    bool weights, shared, hostile;
    float scale;
} options;

static const tenon_api *api;
static tenon_context *context;
static tenon_error error = {.struct_size = sizeof error};
static float y[MAX_ROWS * MAX_HIDDEN], shared[MAX_TOKENS * MAX_HIDDEN], weights[MAX_TOKENS * MAX_K];
static uint16_t y16[MAX_ROWS * MAX_HIDDEN], shared16[MAX_TOKENS * MAX_HIDDEN];
static union {
    float f[MAX_TOKENS * MAX_HIDDEN];
    uint16_t h[MAX_TOKENS * MAX_HIDDEN * 2];
} out, twice;
static int32_t rows[MAX_TOKENS * MAX_K];
static test_tensor ty, tr, tw, ts, to;

static double value_at(const options *o, int64_t i) {
    if (o->bits == 32) return (double)out.f[i];
    const uint32_t u = (uint32_t)out.h[i] << 16;
    float f;
    memcpy(&f, &u, 4);
    return (double)f;
}

static const DLTensor *view(test_tensor *t, const options *o, float *f, uint16_t *h, int ndim,
                            const int64_t *shape) {
    return o->bits == 32 ? test_view(t, f, kDLFloat, 32, ndim, shape)
                         : test_view(t, h, kDLBfloat, 16, ndim, shape);
}

static void test_options(const char *kernel, options o) {
    const int64_t n_rows = o.local ? o.local * o.rows : o.rows;
    tenon_fault fault = {0};
    int64_t n_bad = 0;
    for (int64_t i = 0; i < n_rows * o.hidden; i++) y[i] = bf16_round(test_uniform(), &y16[i]);
    for (int64_t i = 0; i < o.tokens * o.hidden; i++)
        shared[i] = bf16_round(test_uniform(), &shared16[i]);
    for (int64_t i = 0; i < o.tokens * o.k; i++) {
        const int32_t bad[] = {(int32_t)n_rows, -2, INT32_MAX, INT32_MIN};
        weights[i] = test_uniform();
        rows[i] = test_random() % 5 == 0 ? -1 : (int32_t)((test_random() >> 33) % (uint64_t)n_rows);
        if (o.hostile && test_random() % 5 == 0) rows[i] = bad[(test_random() >> 33) % 4], n_bad++;
    }
    memset(&out, 0x7f, sizeof out);
    tenon_moe_combine_args a = {
        .struct_size = sizeof a,
        .fault = &fault,
        .y = o.local ? view(&ty, &o, y, y16, SHAPE(o.local, o.rows, o.hidden))
                     : view(&ty, &o, y, y16, SHAPE(o.rows, o.hidden)),
        .pair_rows = test_view(&tr, rows, kDLInt, 32, SHAPE(o.tokens, o.k)),
        .topk_weights =
            o.weights ? test_view(&tw, weights, kDLFloat, 32, SHAPE(o.tokens, o.k)) : NULL,
        .shared = o.shared ? view(&ts, &o, shared, shared16, SHAPE(o.tokens, o.hidden)) : NULL,
        .out = view(&to, &o, out.f, out.h, SHAPE(o.tokens, o.hidden)),
        .scale = o.scale};
    CHECK(run_guarded(api, context, TENON_OP_MOE_COMBINE, &a, &a, kernel, &error) == TENON_OK,
          "%s: %s", kernel, error.text);
    for (int64_t t = 0; t < o.tokens; t++)
        for (int64_t h = 0; h < o.hidden; h++) {
            double sum = 0, size = 0;
            for (int64_t s = 0; s < o.k; s++) {
                const int32_t r = rows[t * o.k + s];
                if (r < 0 || r >= n_rows) continue;
                const double part =
                    (o.weights ? (double)weights[t * o.k + s] : 1) * (double)y[r * o.hidden + h];
                sum += part, size += fabs(part);
            }
            sum *= o.scale == 0 ? 1 : (double)o.scale;
            sum += o.shared ? (double)shared[t * o.hidden + h] : 0;
            const double got = value_at(&o, t * o.hidden + h),
                         bound = 1e-6 * (size * fmax(1, (double)o.scale) + fabs(sum)) +
                                 (o.bits == 16 ? fabs(sum) / 256 : 0);
            CHECK(fabs(got - sum) <= bound, "%s: token %lld col %lld: %.9g, expected %.9g", kernel,
                  (long long)t, (long long)h, got, sum);
        }
    CHECK(tenon_fault_poll(&fault) == (n_bad ? TENON_FAULT_ROW_OUT_OF_RANGE : TENON_FAULT_NONE),
          "%s: fault %d, %lld bad rows", kernel, fault.code, (long long)n_bad);
    const size_t element = (size_t)o.bits / 8, end = (size_t)(o.tokens * o.hidden) * element;
    CHECK(((unsigned char *)&out)[end] == 0x7f || end == sizeof out, "%s: wrote past the output",
          kernel);

    /* One token alone, under the plan of all, has the same bits. */
    if (o.tokens < 2) return;
    memcpy(&twice, &out, sizeof out);
    memset(&out, 0x7f, sizeof out);
    tenon_moe_combine_args planned = a;
    test_tensor pr = tr, pw = tw, ps = ts, po = to;
    pr.view.shape = pr.shape, pw.view.shape = pw.shape, ps.view.shape = ps.shape,
    po.view.shape = po.shape;
    planned.pair_rows = &pr.view, planned.topk_weights = a.topk_weights ? &pw.view : NULL,
    planned.shared = a.shared ? &ps.view : NULL, planned.out = &po.view;
    tr.shape[0] = tw.shape[0] = ts.shape[0] = to.shape[0] = 1;
    CHECK(run_guarded(api, context, TENON_OP_MOE_COMBINE, &planned, &a, kernel, &error) == TENON_OK,
          "%s: %s", kernel, error.text);
    CHECK(!memcmp(&out, &twice, (size_t)o.hidden * element), "%s: other bits in a smaller batch",
          kernel);
    CHECK(((unsigned char *)&out)[(size_t)o.hidden * element] == 0x7f,
          "%s: wrote past the run's tokens", kernel);
}

int main(void) {
    api = test_load();
    context = quiet_context(api);
    const kernel_list kernels = kernels_of(api, context, TENON_OP_MOE_COMBINE);
    for (int n = 0; n < kernels.count; n++) {
        const char *kernel = kernels.name[n];
        printf("%s\n", kernel);
        for (int variant = 0; variant < 32; variant++)
            test_options(kernel, (options){.tokens = variant & 1 ? 33 : 1,
                                           .k = variant & 2 ? 8 : 1,
                                           .hidden = variant & 4 ? 688 : 37,
                                           .rows = variant & 8 ? 25 : 190,
                                           .local = variant & 8 ? 7 : 0,
                                           .bits = variant & 16 ? 16 : 32,
                                           .weights = variant & 3,
                                           .shared = variant & 4,
                                           .hostile = variant & 1,
                                           .scale = variant & 2 ? 2.5f : 0});
        test_options(kernel, (options){.tokens = 0, .k = 2, .hidden = 16, .rows = 4, .bits = 32});
        /* no rows at all: out is the shared part */
        test_options(
            kernel,
            (options){.tokens = 3, .k = 1, .hidden = 16, .rows = 1, .bits = 32, .shared = true});
    }
    api->context_destroy(context);
    return test_report();
}
