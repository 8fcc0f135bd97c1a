/* SPDX-License-Identifier: Apache-2.0 */
/* Every panel kernel of matmul with the weights that panels read in place: odd sizes, NaN and
 * infinities, unpacking bit for bit, which kernel takes what. */
#include "matmul_check.h"
#include "row_names.h"

/* NaN and infinity: their row is not finite, the other rows do not notice. */
static void check_nonfinite(tenon_context *context, const char *kernel, weight_kind kind) {
    weight_fixture w;
    problem p;
    weight_make(&w, kind, 0, 40, 256);
    random_problem(&p, &w, 3);
    p.a_type = p.out_type = V_F32, p.has_bias = 0, p.exact = 0;
    float *a = p.a, out[3 * 48], clean[3 * 48];
    p.out_stride = 40;
    for (int64_t i = 0; i < 3 * p.a_stride; i++) a[i] = test_uniform();
    if (!multiply(context, kernel, &p, 0, 0, 3, 3, clean)) {
        a[p.a_stride + 77] = NAN, a[2 * p.a_stride + 100] = INFINITY;
        multiply(context, kernel, &p, 0, 0, 3, 3, out);
        CHECK(!memcmp(out, clean, 40 * 4), "%s %s: row 0 changed", kernel, w.name);
        for (int n = 0; n < 40; n++) {
            CHECK(isnan(out[40 + n]), "%s %s: NaN gave %g", kernel, w.name, (double)out[40 + n]);
            CHECK(!isfinite(out[80 + n]), "%s %s: infinity gave %g", kernel, w.name,
                  (double)out[80 + n]);
        }
    }
    free_problem(&p);
    weight_free(&w);
}

static void check_unpack(tenon_context *context, weight_fixture *w) {
    tenon_error error = {.struct_size = sizeof error};
    const size_t bytes = (size_t)((w->experts ? w->experts : 1) * w->n * w->row_bytes);
    uint8_t *back = malloc(bytes + 1);
    test_tensor t = w->tensor;
    t.view.data = back, t.view.shape = t.shape, t.view.strides = t.strides;
    back[bytes] = 0x5a;
    tenon_unpack_weights_args a = {.struct_size = sizeof a,
                                   .blob = &w->blob_tensor.view,
                                   .w = &t.view,
                                   .w_quant = weight_quant(w)};
    tenon_plan *plan = NULL;
    CHECK(tenon_unpack_weights_plan(api, context, &a, NULL, &plan, &error) == TENON_OK, "%s",
          error.text);
    if (plan) {
        CHECK(tenon_unpack_weights_run(api, plan, &a, &error) == TENON_OK, "%s", error.text);
        CHECK(!memcmp(back, w->data, bytes) && back[bytes] == 0x5a, "%s: unpacked weights differ",
              w->name);
        const int64_t at =
            w->n > 0 && w->k > 0 ? 600 : 90; /* in the payload, or in the header of an empty one */
        w->blob[at] ^= 4;
        CHECK(tenon_unpack_weights_run(api, plan, &a, &error) == TENON_STATUS_CORRUPT,
              "a flipped bit was not seen: %s", error.text);
        w->blob[at] ^= 4;
    }
    api->plan_destroy(plan);
    free(back);
}

int main(void) {
    static const char *const kernels[] = {ROWS_INT8_AND_FLOAT("matmul")};
    static const int64_t sizes[][3] = {{1, 1, 256},   {2, 33, 256},   {5, 31, 512},
                                       {13, 75, 768}, {200, 34, 256}, {1930, 2, 256},
                                       {0, 5, 256},   {3, 0, 256},    {3, 7, 0}};
    tenon_context *contexts[2] = {NULL, NULL};
    tenon_error error = {.struct_size = sizeof error};
    api = test_load();
    for (int i = 0; i < 2; i++) {
        const tenon_context_options options = {
            .struct_size = sizeof options, .n_threads = 1 + 2 * i, .log_level = -1};
        CHECK(api->context_create(&options, &contexts[i], &error) == TENON_OK, "%s", error.text);
    }
    for (int kind = 0; kind < W_KINDS; kind++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            weight_fixture w;
            if (sizes[s][0] > 100 && test_is_emulated()) continue;
            /* Plain weights take any k. */
            const int64_t k =
                sizes[s][2] -
                (kind <= W_F32 && sizes[s][2] ? (int64_t)(test_random() >> 40) % 40 : 0);
            weight_make(&w, (weight_kind)kind, 0, sizes[s][1], k);
            weight_pack(&w, api, contexts[s & 1], TENON_COMPUTE_DEFAULT);
            check_unpack(contexts[0], &w);
            for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++)
                for (int again = test_is_emulated() ? 2 : 0; again < 3; again++) {
                    problem p;
                    random_problem(&p, &w, sizes[s][0]);
                    compare(contexts, kernels[i], &p);
                    free_problem(&p);
                }
            weight_free(&w);
        }
    for (int kind = 0; kind < W_KINDS; kind++)
        for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++)
            check_nonfinite(contexts[0], kernels[i], (weight_kind)kind);

    /* These rows run everywhere, so this must be taken, by int8 and by float. */
    weight_fixture w;
    problem p;
    weight_make(&w, W_Q4_0, 0, 8, 64);
    random_problem(&p, &w, 2);
    p.exact = 0;
    char *out = malloc(4096);
    CHECK(multiply(contexts[0], ROW_INT8("matmul"), &p, 0, 0, 2, 2, out) == TENON_OK && wide_int8,
          "int8 not taken");
    CHECK(multiply(contexts[0], ROW_FLOAT("matmul"), &p, 0, 0, 2, 2, out) == TENON_OK && !wide_int8,
          "float not taken");
    p.exact = 1;
    CHECK(multiply(contexts[0], ROW_INT8("matmul"), &p, 0, 0, 2, 2, out) ==
              TENON_STATUS_UNSUPPORTED,
          "int8 took EXACT");
    CHECK(multiply(contexts[0], NULL, &p, 0, 0, 2, 2, out) == TENON_OK && !wide_int8,
          "EXACT went to int8");
    free(out), free_problem(&p), weight_free(&w);
    for (int i = 0; i < 2; i++) api->context_destroy(contexts[i]);
    return test_report();
}
