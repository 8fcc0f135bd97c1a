/* SPDX-License-Identifier: Apache-2.0 */
/* One matmul against the formula in double, within a bound that is computed for each element:
 * rounding of f32 sums, and for the int8 kernels half a step of each group's scale. Strides,
 * poison, the same bits alone and in a batch, packed and not, with one thread and with three. */
#ifndef TENON_MATMUL_CHECK_H
#define TENON_MATMUL_CHECK_H

#include "weight_fixture.h"

typedef struct problem {
    weight_fixture *w;
    int64_t m;
    value_type a_type, out_type, bias_type;
    int has_bias, exact;
    int64_t a_stride, out_stride;
    void *a, *bias;
} problem;

static const tenon_api *api;
static int wide_int8; /* the library was asked for int8 kernels */

/* Runs p on the given rows; out: caller's, poisoned by it. Returns the plan's status. */
static inline int32_t multiply(tenon_context *context, const char *kernel, const problem *p,
                               int packed, int64_t row0, int64_t rows, int64_t plan_rows,
                               void *out) {
    tenon_error error = {.struct_size = sizeof error};
    test_tensor ta, tout, tbias;
    const weight_fixture *w = p->w;
    const int64_t a_bytes = value_bits[p->a_type] / 8, b_bytes = value_bits[p->bias_type] / 8;
    (void)b_bytes;
    tenon_matmul_args a = {.struct_size = sizeof a,
                           .a = test_view(&ta, (char *)p->a + row0 * p->a_stride * a_bytes,
                                          value_code[p->a_type], value_bits[p->a_type],
                                          SHAPE(plan_rows, w->k)),
                           .w = packed ? &w->blob_tensor.view : &w->tensor.view,
                           .w_quant = packed ? &w->blob_quant : weight_quant(w),
                           .out = test_view(&tout, out, value_code[p->out_type],
                                            value_bits[p->out_type], SHAPE(plan_rows, w->n)),
                           .compute = p->exact ? TENON_COMPUTE_EXACT : TENON_COMPUTE_DEFAULT};
    if (p->has_bias)
        a.bias = test_view(&tbias, p->bias, value_code[p->bias_type], value_bits[p->bias_type],
                           SHAPE(w->n));
    ta.strides[0] = p->a_stride, tout.strides[0] = p->out_stride;
    tenon_plan_options options = {.struct_size = sizeof options, .kernel = kernel};
    tenon_plan *plan = NULL;
    /* More rows are planned than there is memory for, which may reach into another tensor: a plan
     * needs no data. */
    void *const a_data = ta.view.data;
    ta.view.data = tout.view.data = NULL;
    const int32_t status = tenon_matmul_plan(api, context, &a, &options, &plan, &error);
    ta.view.data = a_data, tout.view.data = out;
    if (status) return status;
    tenon_query query = {.struct_size = sizeof query};
    api->plan_query(plan, &query, &error);
    wide_int8 = !!(query.traits & TENON_TRAIT_INT8_ACTIVATIONS);
    a.workspace_bytes = query.workspace_bytes;
    a.workspace = aligned_alloc(64, (size_t)(query.workspace_bytes + 63) / 64 * 64);
    memset(a.workspace, 0xa5, (size_t)query.workspace_bytes);
    ta.shape[0] = tout.shape[0] = rows;
    CHECK(tenon_matmul_run(api, plan, &a, &error) == TENON_OK, "%s: %s", query.kernel, error.text);
    free(a.workspace);
    api->plan_destroy(plan);
    return TENON_OK;
}

/* The formula, and how far a kernel may be from it. */
static inline double expected(const problem *p, int64_t m, int64_t n, double *bound) {
    const weight_fixture *w = p->w;
    double sum = 0, magnitude = 0, step = 0;
    for (int64_t k0 = 0; k0 < w->k; k0 += w->a_group) {
        double largest = 0, weights = 0;
        for (int64_t k = k0; k < k0 + w->a_group && k < w->k; k++) {
            const double x = value_at(p->a_type, p->a, m * p->a_stride + k),
                         v = w->value[n * w->k + k];
            sum += x * v, magnitude += fabs(x * v), weights += fabs(v);
            largest = fmax(largest, fabs(x));
        }
        step += largest / 254 * weights;
    }
    if (p->has_bias) {
        const double b = value_at(p->bias_type, p->bias, n);
        sum += b, magnitude += fabs(b);
    }
    /* Codes, scales and offsets of quantized weights add up to more than the values they cancel to.
     */
    *bound = magnitude * w->cancelled * (double)(w->k + 8) * 0x1p-24 +
             (wide_int8 ? step * 1.01 : 0) + fabs(sum) * value_epsilon(p->out_type) + 1e-7;
    return sum;
}

static inline void compare(tenon_context *const contexts[2], const char *kernel, problem *p) {
    const weight_fixture *w = p->w;
    const char *name = w->name;
    const int64_t bytes = value_bits[p->out_type] / 8, size = (p->m + 1) * p->out_stride * bytes;
    uint8_t *out = malloc((size_t)size), *other = malloc((size_t)size);
    memset(out, 0x5a, (size_t)size);
    if (multiply(contexts[0], kernel, p, 0, 0, p->m, p->m, out)) {
        free(out), free(other);
        return; /* this kernel does not take it: which ones must is asked elsewhere */
    }
    double worst = 0;
    for (int64_t m = 0; m < p->m; m++)
        for (int64_t n = 0; n < w->n; n++) {
            double bound, want = expected(p, m, n, &bound),
                          got = value_at(p->out_type, out, m * p->out_stride + n);
            const double share = fabs(got - want) / bound;
            if (!(share <= worst)) worst = share;
        }
    CHECK(worst <= 1, "%s %s m=%d n=%d k=%d types %d %d %d exact %d: %.3g of the bound", kernel,
          name, (int)p->m, (int)w->n, (int)w->k, p->a_type, p->out_type, p->has_bias, p->exact,
          worst);
    for (int64_t m = 0; m <= p->m; m++)
        for (int64_t i = (m < p->m ? w->n : 0) * bytes; i < p->out_stride * bytes; i++)
            CHECK(out[m * p->out_stride * bytes + i] == 0x5a, "%s %s: wrote past row %d", kernel,
                  name, (int)m);

    /* Again, packed, with other threads: the same bits. */
    for (int v = 0; v < 3; v++) {
        memset(other, 0x5a, (size_t)size);
        multiply(contexts[v & 1], kernel, p, v < 2, 0, p->m, p->m + v, other);
        CHECK(!memcmp(out, other, (size_t)size), "%s %s m=%d n=%d k=%d: other bits %s with %s",
              kernel, name, (int)p->m, (int)w->n, (int)w->k, v < 2 ? "packed" : "unpacked",
              v & 1 ? "3 threads" : "1 thread");
    }
    /* A row alone. */
    if (p->m > 1) {
        const int64_t row = (int64_t)(test_random() % (uint64_t)p->m);
        memset(other, 0x5a, (size_t)size);
        multiply(contexts[0], kernel, p, 1, row, 1, 1, other);
        CHECK(!memcmp(out + row * p->out_stride * bytes, other, (size_t)(w->n * bytes)),
              "%s %s: row %d of %d alone has other bits", kernel, name, (int)row, (int)p->m);
    }
    free(out), free(other);
}

static inline void random_problem(problem *p, weight_fixture *w, int64_t m) {
    const uint64_t r = test_random() >> 20;
    *p = (problem){.w = w,
                   .m = m,
                   .a_type = (value_type)(r % 3),
                   .out_type = (value_type)(r / 3 % 3),
                   .bias_type = (value_type)(r / 9 % 3)};
    p->has_bias = r / 27 % 2 == 0;
    p->exact = r / 54 % 3 == 0;
    p->a_stride = w->k + (int64_t)(r / 200 % 5), p->out_stride = w->n + (int64_t)(r / 1000 % 5);
    p->a = calloc((size_t)((m + 3) * p->a_stride + 8), 4);
    p->bias = calloc((size_t)w->n + 8, 4);
    for (int64_t i = 0; i < m * p->a_stride; i++) value_set(p->a_type, p->a, i, test_uniform());
    for (int64_t i = 0; i < w->n; i++) value_set(p->bias_type, p->bias, i, test_uniform());
}

static inline void free_problem(problem *p) {
    free(p->a);
    free(p->bias);
}

#endif
