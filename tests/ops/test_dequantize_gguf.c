/* SPDX-License-Identifier: Apache-2.0 */
/* The CPU's row for GGUF blocks against the reference, bit for bit: random blocks, row indices with
 * some out of range, experts, and rows that lie apart. */
#include "test_host.h"

enum { ROWS = 7, WIDE = 512, EXPERTS = 3, PICKED = 11 };

static const struct {
    int format, block, bytes;
} formats[] = {
    {TENON_FORMAT_GGUF_Q4_0, 32, 18},   {TENON_FORMAT_GGUF_Q4_1, 32, 20},
    {TENON_FORMAT_GGUF_Q8_0, 32, 34},   {TENON_FORMAT_GGUF_Q4_K, 256, 144},
    {TENON_FORMAT_GGUF_Q6_K, 256, 210},
};

static const tenon_api *api;
static tenon_context *context;
static unsigned char q[EXPERTS * ROWS * (WIDE / 32 * 40)];
static float out[2][EXPERTS * ROWS * (WIDE + 8)], *const by_row = out[0], *const by_ref = out[1];

static void run_as(const char *kernel, tenon_dequantize_args *args, tenon_fault *fault) {
    const tenon_plan_options options = {.struct_size = sizeof options, .kernel = kernel};
    tenon_error error = {.struct_size = sizeof error};
    tenon_plan *plan = NULL;
    args->fault = fault;
    CHECK(!tenon_dequantize_plan(api, context, args, &options, &plan, &error), "%s: %s", kernel,
          error.text);
    if (plan) {
        CHECK(!tenon_dequantize_run(api, plan, args, &error), "%s: %s", kernel, error.text);
    }
    api->plan_destroy(plan);
}

/* Equal bits, or both a NaN: its payload is nobody's promise. */
static bool same(float a, float b) {
    return memcmp(&a, &b, sizeof a) == 0 || (isnan(a) && isnan(b));
}

static void compare(size_t f, int64_t experts, const int64_t *picks, int64_t x_step) {
    const int64_t row_bytes = WIDE / formats[f].block * formats[f].bytes;
    const int64_t rows = picks ? PICKED : ROWS;
    const tenon_quant quant = {.struct_size = sizeof quant, .format = formats[f].format};
    test_tensor tq, ti, tx;
    tenon_fault faults[2] = {{0}, {0}};
    tenon_dequantize_args args = {.struct_size = sizeof args, .q_quant = &quant};
    for (size_t i = 0; i < sizeof q; i++) q[i] = (unsigned char)(test_random() >> 40);
    args.q = experts ? test_view(&tq, q, kDLUInt, 8, SHAPE(experts, ROWS, row_bytes))
                     : test_view(&tq, q, kDLUInt, 8, SHAPE(ROWS, row_bytes));
    if (picks) {
        args.row_index = test_view(&ti, (void *)(uintptr_t)picks, kDLInt, 64, SHAPE(PICKED));
    }
    for (int k = 0; k < 2; k++) {
        for (size_t i = 0; i < sizeof out[k] / sizeof(float); i++) out[k][i] = 12345.0f;
        args.x = experts ? test_view(&tx, out[k], kDLFloat, 32, SHAPE(experts, rows, WIDE))
                         : test_view(&tx, out[k], kDLFloat, 32, SHAPE(rows, WIDE));
        tx.strides[tx.view.ndim - 2] = x_step;
        if (experts) tx.strides[0] = rows * x_step;
        run_as(k ? "ref_dequantize" : "cpu_dequantize_gguf", &args, &faults[k]);
    }
    int different = 0;
    for (size_t i = 0; i < sizeof out[0] / sizeof(float); i++) {
        different += !same(by_row[i], by_ref[i]);
    }
    CHECK(different == 0, "format %d, %lld experts, %s: %d elements differ", formats[f].format,
          (long long)experts, picks ? "picked rows" : "all rows", different);
    CHECK(faults[0].code == faults[1].code &&
              faults[0].code == (picks ? TENON_FAULT_ROW_OUT_OF_RANGE : 0),
          "faults %d and %d", faults[0].code, faults[1].code);
    CHECK(faults[0].limit == (picks ? ROWS : 0), "limit %lld", (long long)faults[0].limit);
}

int main(void) {
    static const int64_t picks[PICKED] = {0, 6, 6, 3, -1, 2, 7, 5, 1, INT64_MAX, 4};
    tenon_error error = {.struct_size = sizeof error};
    const tenon_context_options options = {.struct_size = sizeof options, .n_threads = 1};
    api = test_load();
    if (api->context_create(&options, &context, &error)) return puts(error.text), 2;
    for (size_t f = 0; f < sizeof formats / sizeof formats[0]; f++) {
        compare(f, 0, NULL, WIDE);
        compare(f, 0, NULL, WIDE + 8);
        compare(f, 0, picks, WIDE);
        compare(f, EXPERTS, NULL, WIDE);
        compare(f, EXPERTS, NULL, WIDE + 8);
    }
    api->context_destroy(context);
    return test_report();
}
