/* SPDX-License-Identifier: Apache-2.0 */
/* matmul on ROCm: a row of out has the same bits alone, among few and among many rows, that is in
 * the kernels that stream the weights and in the one that makes tiles. argv[1]: the target. */
#include "test_host.h"

enum { K = 416, N = 44, MOST_ROWS = 131 };

typedef struct subject {
    const char *name, *row, *targets;
    int x_code, x_bits; /* elements; bits of an element of x */
    int32_t x_format, w_format;
    int w_code, w_bits, w_cols;
    int scale_bits, scale_cols; /* of w: 0 bits: none */
    int x_scale_bits, x_scale_cols;
    int32_t group_cols;
} subject;

#define ALL  "gfx90a gfx942 gfx950"
#define F(x) TENON_FORMAT_##x
static const subject subjects[] = {
    {"bf16", "bf16_gfx9", ALL, kDLBfloat, 16, 0, 0, kDLBfloat, 16, K, 0, 0, 0, 0, 0},
    {"f16", "f16_gfx9", ALL, kDLFloat, 16, 0, 0, kDLFloat, 16, K, 0, 0, 0, 0, 0},
    {"int4", "bf16_gfx9", ALL, kDLBfloat, 16, 0, F(INT4), kDLUInt, 8, K / 2, 32, 4, 0, 0, 128},
    {"f16 int4", "f16_gfx9", ALL, kDLFloat, 16, 0, F(INT4), kDLUInt, 8, K / 2, 32, 4, 0, 0, 128},
    {"mxfp4 w", "bf16_gfx9", ALL, kDLBfloat, 16, 0, F(MXFP4), kDLUInt, 8, K / 2, 8, K / 32, 0, 0,
     0},
    {"fp8 w", "bf16_gfx9", ALL, kDLBfloat, 16, 0, F(FP8), kDLFloat8_e4m3fn, 8, K, 32, 4, 0, 0, 128},
    {"fp8 fnuz", "fp8_gfx942", "gfx942", kDLFloat8_e4m3fnuz, 8, F(FP8), F(FP8), kDLFloat8_e4m3fnuz,
     8, K, 32, 4, 32, 4, 128},
    {"fp8 ocp", "fp8_gfx942", "gfx942 gfx950", kDLFloat8_e4m3fn, 8, F(FP8), F(FP8), kDLFloat8_e4m3fn, 8, K,
     32, 4, 32, 4, 128},
    {"mxfp8", "mx_gfx950", "gfx950", kDLFloat8_e4m3fn, 8, F(MXFP8), F(MXFP8), kDLFloat8_e4m3fn, 8,
     K, 8, K / 32, 8, K / 32, 0},
    {"mxfp4", "mx_gfx950", "gfx950", kDLUInt, 4, F(MXFP4), F(MXFP4), kDLUInt, 8, K / 2, 8, K / 32,
     8, K / 32, 0},
};

/* Bytes of numbers near 1, never a NaN. */
static void fill(uint8_t *bytes, size_t n, int code, int bits) {
    for (size_t i = 0; i < n; i++) {
        const uint8_t r = (uint8_t)(test_random() >> 40);
        bytes[i] = code == kDLUInt ? r
                   : bits == 8     ? (r & 0x80) | (0x30 + r % 16)
                   : i % 2         ? (r & 0x80) | (code == kDLBfloat ? 0x3f : 0x3a + r % 2)
                                   : r;
    }
}

static void fill_scales(uint8_t *bytes, size_t n, int bits) {
    for (size_t i = 0; i < n && bits == 8; i++)
        bytes[i] = (uint8_t)(123 + (test_random() >> 40) % 8);
    for (size_t i = 0; i < n && bits == 32; i++) {
        const float x = 0.5f + (float)(test_random() >> 54) / 1024;
        memcpy(bytes + 4 * i, &x, 4);
    }
}

static void check(const tenon_api *api, tenon_context *context, const subject *s) {
    static uint8_t x[MOST_ROWS * K * 2], w[N * K * 2], w_scale[N * 16 * 4],
        x_scale[MOST_ROWS * 16 * 4];
    static float whole[MOST_ROWS * N], part[MOST_ROWS * N];
    static const int64_t counts[] = {1, 17, 70};
    const int64_t x_cols = s->x_bits == 4 ? K / 2 : K, x_bytes = s->x_bits == 16 ? 2 : 1;
    tenon_error error = {.struct_size = sizeof error};
    char row[64];
    snprintf(row, sizeof row, "rocm_matmul_%s", s->row);
    fill(x, sizeof x, s->x_code, s->x_bits < 8 ? 8 : s->x_bits);
    fill(w, sizeof w, s->w_code, s->w_bits);
    fill_scales(w_scale, (size_t)(N * s->scale_cols), s->scale_bits);
    fill_scales(x_scale, (size_t)(MOST_ROWS * s->x_scale_cols), s->x_scale_bits);
    for (int turn = -1; turn < 3; turn++) {
        const int64_t m = turn < 0 ? MOST_ROWS : counts[turn], first = turn < 0 ? 0 : 9 * turn + 3;
        test_tensor tx, tw, tws, txs, tout;
        tenon_quant w_quant = {.struct_size = sizeof w_quant,
                               .format = s->w_format,
                               .group_cols = s->group_cols,
                               .group_rows = s->group_cols ? 1 : 0},
                    x_quant = w_quant;
        x_quant.format = s->x_format;
        if (s->scale_bits)
            w_quant.scale = test_view(&tws, w_scale, s->scale_bits == 32 ? kDLFloat : kDLUInt,
                                      s->scale_bits, SHAPE(N, s->scale_cols));
        if (s->x_scale_bits)
            x_quant.scale = test_view(&txs, x_scale + first * s->x_scale_cols * s->x_scale_bits / 8,
                                      s->x_scale_bits == 32 ? kDLFloat : kDLUInt, s->x_scale_bits,
                                      SHAPE(m, s->x_scale_cols));
        memset(part, 0x7f, sizeof part);
        const tenon_matmul_args a = {
            .struct_size = sizeof a,
            .a = test_view(&tx, x + first * x_cols * x_bytes, s->x_code, x_bytes == 2 ? 16 : 8,
                           SHAPE(m, x_cols)),
            .a_quant = s->x_format ? &x_quant : NULL,
            .w = test_view(&tw, w, s->w_code, s->w_bits, SHAPE(N, s->w_cols)),
            .w_quant = s->w_format ? &w_quant : NULL,
            .out = test_view(&tout, turn < 0 ? whole : part, kDLFloat, 32, SHAPE(m, N))};
        const tenon_plan_options options = {.struct_size = sizeof options, .kernel = row};
        tenon_plan *plan = NULL;
        CHECK(tenon_matmul_plan(api, context, &a, &options, &plan, &error) == TENON_OK, "%s: %s",
              s->name, error.text);
        if (!plan) return;
        CHECK(tenon_matmul_run(api, plan, &a, &error) == TENON_OK, "%s: %s", s->name, error.text);
        api->plan_destroy(plan);
        if (turn >= 0)
            CHECK(!memcmp(part, whole + first * N, (size_t)(m * N) * 4),
                  "%s: rows %d.. have other bits among %d rows than among %d", s->name, (int)first,
                  (int)m, MOST_ROWS);
    }
    int nonzero = 0;
    for (int i = 0; i < MOST_ROWS * N; i++) nonzero += isfinite(whole[i]) && whole[i] != 0;
    CHECK(nonzero > MOST_ROWS * N / 2, "%s: only %d results are numbers", s->name, nonzero);
}

int main(int argc, char **argv) {
    const tenon_api *api = test_load();
    tenon_context *context = NULL;
    tenon_error error = {.struct_size = sizeof error};
    CHECK(argc > 1 && api->context_create(NULL, &context, &error) == TENON_OK, "%s", error.text);
    for (size_t i = 0; i < sizeof subjects / sizeof subjects[0] && argc > 1; i++)
        if (strstr(subjects[i].targets, argv[1])) check(api, context, &subjects[i]);
    api->context_destroy(context);
    return test_report();
}
