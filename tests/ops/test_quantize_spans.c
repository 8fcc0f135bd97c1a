/* SPDX-License-Identifier: Apache-2.0 */
/* quantize to int8 and e4m3fn per token and per group: each kernel against the reference row, whose
 * meaning the golden tests hold against the definition. Scales have the same bits; a code may
 * differ by one step only where the quotient lies within rounding of a tie. */
#include "test_kernels.h"
#include "weight_fixture.h"

static const tenon_api *api;
static tenon_context *context;

enum { MAX_ELEMENTS = 70 * 700 };
static float x[MAX_ELEMENTS];
static uint16_t x16[MAX_ELEMENTS];
static uint8_t q[2][MAX_ELEMENTS + 64];
static float scale[2][MAX_ELEMENTS + 8];

static int32_t quantize(const char *kernel, int which, int64_t rows, int64_t cols, int64_t stride,
                        int64_t group, int fp8, int bf16) {
    test_tensor tx, tq, ts;
    tenon_error error = {.struct_size = sizeof error};
    const int64_t groups = group ? (cols + group - 1) / group : 1;
    memset(q[which], 0x5a, sizeof q[which]), memset(scale[which], 0x5a, sizeof scale[which]);
    tenon_quant quant = {.struct_size = sizeof quant,
                         .format = fp8 ? TENON_FORMAT_FP8 : TENON_FORMAT_INT8,
                         .element = fp8 ? TENON_ELEMENT_E4M3FN : 0};
    quant.group_cols = group ? (int32_t)group : -1;
    quant.scale = test_view(&ts, scale[which], kDLFloat, 32, SHAPE(rows, groups));
    tenon_quantize_args a = {
        .struct_size = sizeof a,
        .x = test_view(&tx, bf16 ? (void *)x16 : (void *)x, bf16 ? kDLBfloat : kDLFloat,
                       bf16 ? 16 : 32, SHAPE(rows, cols)),
        .q = test_view(&tq, q[which], fp8 ? kDLUInt : kDLInt, 8, SHAPE(rows, cols)),
        .q_quant = &quant};
    tx.strides[0] = tq.strides[0] = stride;
    tenon_plan *plan = NULL;
    const tenon_plan_options options = {.struct_size = sizeof options, .kernel = kernel};
    int32_t status = tenon_quantize_plan(api, context, &a, &options, &plan, &error);
    if (status) return status;
    CHECK(tenon_quantize_run(api, plan, &a, &error) == TENON_OK, "%s: %s", kernel, error.text);
    api->plan_destroy(plan);
    return TENON_OK;
}

int main(void) {
    static const int64_t shapes[][3] = {{1, 1, 0},     {3, 33, 0},  {70, 512, 32},
                                        {5, 640, 128}, {7, 600, 0}, {64, 333, 0}};
    tenon_error error = {.struct_size = sizeof error};
    const tenon_context_options options = {
        .struct_size = sizeof options, .n_threads = 3, .log_level = -1};
    api = test_load();
    CHECK(api->context_create(&options, &context, &error) == TENON_OK, "%s", error.text);
    const test_kernels rows_of_op = test_kernels_of(api, context, TENON_OP_QUANTIZE);
    int taken = 0;
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (int variant = 0; variant < 4; variant++) {
            const int64_t rows = shapes[s][0], cols = shapes[s][1], group = shapes[s][2],
                          stride = cols + variant;
            for (int64_t i = 0; i < rows * stride; i++) {
                x[i] = test_uniform() * ldexpf(1, (int)(test_random() >> 40) % 8),
                x16[i] = float_to_bf16(x[i]);
            }
            if (rows > 4) { /* a row of zeros, one with NaN, one with infinity */
                memset(x + stride, 0, (size_t)cols * 4), memset(x16 + stride, 0, (size_t)cols * 2);
                x[2 * stride + 7] = NAN, x16[2 * stride + 7] = 0x7fc0;
                x[3 * stride + 9] = INFINITY, x16[3 * stride + 9] = 0x7f80;
            }
            const int fp8 = variant & 1, bf16 = variant >> 1;
            CHECK(quantize("ref_quantize", 0, rows, cols, stride, group, fp8, bf16) == TENON_OK,
                  "reference refuses");
            for (int k = 0; k < rows_of_op.count; k++) {
                const char *kernel = rows_of_op.name[k];
                if (!strncmp(kernel, "ref_", 4) ||
                    quantize(kernel, 1, rows, cols, stride, group, fp8, bf16))
                    continue;
                taken++;
                int64_t different = 0;
                const int64_t groups = group ? (cols + group - 1) / group : 1;
                for (int64_t i = 0; i < rows * groups; i++)
                    CHECK(!memcmp(&scale[0][i], &scale[1][i], 4) ||
                              (isnan(scale[0][i]) && isnan(scale[1][i])),
                          "%s: scale %d is %g, expected %g", kernel, (int)i, (double)scale[1][i],
                          (double)scale[0][i]);
                for (int64_t i = 0; i < rows * stride; i++) {
                    const int both_nan = fp8 && (q[0][i] & 0x7f) == 0x7f &&
                                         (q[1][i] & 0x7f) == 0x7f; /* of either sign */
                    different += q[0][i] != q[1][i] && !both_nan;
                    CHECK(i % stride < cols ? both_nan || abs(q[0][i] - q[1][i]) <= 1
                                            : q[1][i] == 0x5a,
                          "%s: [%d, %d] is %d, expected %d", kernel, (int)(i / stride),
                          (int)(i % stride), q[1][i], q[0][i]);
                }
                CHECK(different * 1000 <= rows * cols, "%s: %d of %d codes differ", kernel,
                      (int)different, (int)(rows * cols));
            }
        }
    CHECK(taken >= 24, "only %d problems taken", taken);
    api->context_destroy(context);
    return test_report();
}
