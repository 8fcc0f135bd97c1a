/* SPDX-License-Identifier: Apache-2.0 */
/* Every format that quantize writes, by every kernel, against the reference bit for bit: elements,
 * scales, zero points and padding; values of every size with zeros, infinities and NaN among them,
 * given scales, limits, groups of rows, rows and columns that are not full. */
#include "float_operand.h"

static const tenon_api *api;
static tenon_context *contexts[2];

typedef struct quantized_type {
    const char *name;
    int32_t format, element;
    int q_code, q_bits, scale_code, scale_bits;
    int64_t group_cols, group_rows; /* 0: the format's own */
    int zero_code, zero_bits;
} quantized_type;

static const quantized_type targets[] = {
    {"fp8 token", TENON_FORMAT_FP8, 0, kDLFloat8_e4m3fn, 8, kDLFloat, 32, -1, 1, 0, 0},
    {"fp8 group", TENON_FORMAT_FP8, 0, kDLFloat8_e4m3fnuz, 8, kDLFloat, 32, 128, 1, 0, 0},
    {"fp8 block", TENON_FORMAT_FP8, 0, kDLFloat8_e5m2, 8, kDLFloat, 32, 128, 128, 0, 0},
    {"fp8 tensor", TENON_FORMAT_FP8, 0, kDLFloat8_e5m2fnuz, 8, kDLFloat, 32, -1, -1, 0, 0},
    {"fp8 f16", TENON_FORMAT_FP8, 0, kDLFloat8_e4m3fn, 8, kDLFloat, 16, 20, 3, 0, 0},
    {"fp8 bf16", TENON_FORMAT_FP8, TENON_ELEMENT_E4M3FN, kDLUInt, 8, kDLBfloat, 16, 64, 1, 0, 0},
    {"fp8 e8m0", TENON_FORMAT_FP8, 0, kDLFloat8_e4m3fn, 8, kDLUInt, 8, 128, 1, 0, 0},
    {"int8 token", TENON_FORMAT_INT8, 0, kDLInt, 8, kDLFloat, 32, -1, 1, 0, 0},
    {"int8 f16", TENON_FORMAT_INT8, 0, kDLInt, 8, kDLFloat, 16, 32, 1, 0, 0},
    {"int8 zero", TENON_FORMAT_INT8, 0, kDLInt, 8, kDLFloat, 32, -1, 1, kDLInt, 32},
    {"uint8 zero", TENON_FORMAT_INT8, 0, kDLUInt, 8, kDLFloat, 32, 64, 4, kDLUInt, 8},
    {"uint8 zero f32", TENON_FORMAT_INT8, 0, kDLUInt, 8, kDLBfloat, 16, -1, -1, kDLFloat, 32},
    {"mxfp8", TENON_FORMAT_MXFP8, 0, kDLFloat8_e4m3fn, 8, kDLUInt, 8, 0, 0, 0, 0},
    {"mxfp8 e5m2", TENON_FORMAT_MXFP8, 0, kDLFloat8_e5m2, 8, kDLUInt, 8, 0, 0, 0, 0},
    {"mxfp6 e2m3", TENON_FORMAT_MXFP6_E2M3, 0, kDLUInt, 6, kDLUInt, 8, 0, 0, 0, 0},
    {"mxfp6 e3m2", TENON_FORMAT_MXFP6_E3M2, 0, kDLUInt, 6, kDLUInt, 8, 0, 0, 0, 0},
    {"mxfp4", TENON_FORMAT_MXFP4, 0, kDLUInt, 4, kDLUInt, 8, 0, 0, 0, 0},
    {"nvfp4", TENON_FORMAT_NVFP4, 0, kDLUInt, 4, kDLFloat8_e4m3fn, 8, 0, 0, 0, 0},
    {"q4_0", TENON_FORMAT_GGUF_Q4_0, 0, kDLUInt, 18, 0, 0, 32, 0, 0, 0},
    {"q4_1", TENON_FORMAT_GGUF_Q4_1, 0, kDLUInt, 20, 0, 0, 32, 0, 0, 0},
    {"q8_0", TENON_FORMAT_GGUF_Q8_0, 0, kDLUInt, 34, 0, 0, 32, 0, 0, 0},
    {"q4_k", TENON_FORMAT_GGUF_Q4_K, 0, kDLUInt, 144, 0, 0, 256, 0, 0, 0},
    {"q6_k", TENON_FORMAT_GGUF_Q6_K, 0, kDLUInt, 210, 0, 0, 256, 0, 0, 0},
};

enum { BUFFERS = 3 };

typedef struct result {
    uint8_t *data[BUFFERS]; /* elements, scales, zero points */
    size_t bytes[BUFFERS];
} result;

typedef struct problem {
    const quantized_type *t;
    int64_t rows, cols;
    void *x;
    int x_code, x_bits, swizzled;
    float global, amax_floor, scale_limit, element_max;
    int32_t rounding;
    uint32_t flags;
} problem;

static void run(const problem *p, const char *kernel, tenon_context *context, result *out,
                int32_t *status) {
    const quantized_type *t = p->t;
    const int gguf = t->format >= TENON_FORMAT_GGUF_Q4_0, nv = t->format == TENON_FORMAT_NVFP4;
    const int mx = t->format >= TENON_FORMAT_MXFP4 && t->format <= TENON_FORMAT_MXFP8;
    const int64_t group = nv ? 16 : mx ? 32 : t->group_cols < 0 ? p->cols : t->group_cols;
    const int64_t cols = operand_ceil(p->cols, group);
    const int64_t rows = t->group_rows < 0
                             ? (p->rows > 0)
                             : operand_ceil(p->rows, t->group_rows ? t->group_rows : 1);
    const int64_t row_bytes = gguf ? p->cols / group * t->q_bits : p->cols * t->q_bits / 8;
    const int64_t scales =
        p->swizzled ? operand_ceil(p->rows, 128) * operand_ceil(cols, 4) * 512 : rows * cols;
    test_tensor tx, tq, ts, tz, tg;
    tenon_error error = {.struct_size = sizeof error};
    tenon_quant quant = {.struct_size = sizeof quant,
                         .format = t->format,
                         .element = t->element,
                         .group_cols = nv || mx || gguf ? 0 : (int32_t)t->group_cols,
                         .group_rows = (int32_t)t->group_rows,
                         .scale_rounding = p->rounding,
                         .flags = p->flags};
    tenon_quantize_args a = {
        .struct_size = sizeof a,
        .x = test_view(&tx, p->x, p->x_code, p->x_bits, SHAPE(p->rows, p->cols)),
        .q = test_view(&tq, out->data[0], t->q_code, 8, SHAPE(p->rows, row_bytes)),
        .q_quant = &quant,
        .amax_floor = p->amax_floor,
        .scale_limit = p->scale_limit,
        .element_max = p->element_max};
    if (!gguf)
        quant.scale =
            p->swizzled
                ? test_view(&ts, out->data[1], t->scale_code, t->scale_bits, SHAPE(scales))
                : test_view(&ts, out->data[1], t->scale_code, t->scale_bits, SHAPE(rows, cols));
    if (p->swizzled) quant.scale_layout = TENON_SCALE_LAYOUT_SWIZZLE_128X4;
    if (t->zero_bits)
        quant.zero_point =
            test_view(&tz, out->data[2], t->zero_code, t->zero_bits, SHAPE(rows, cols));
    if (nv && p->global != 0)
        quant.global_scale = test_view(&tg, (void *)(uintptr_t)&p->global, kDLFloat, 32, SHAPE(1));
    out->bytes[0] = (size_t)(p->rows * row_bytes);
    out->bytes[1] = gguf ? 0 : (size_t)(scales * t->scale_bits / 8);
    out->bytes[2] = (size_t)(rows * cols * t->zero_bits / 8);
    *status = operand_run(api, context, TENON_OP_QUANTIZE, kernel, &a, NULL, &error);
    CHECK(*status == TENON_OK || *status == TENON_STATUS_UNSUPPORTED, "%s %s: %s", t->name, kernel,
          error.text);
}

static void fill(problem *p, int kind) {
    const int64_t count = p->rows * p->cols;
    for (int64_t i = 0; i < count; i++) {
        float x = test_uniform();
        if (kind) x = ldexpf(x, (int)(test_random() >> 33) % 40 - 20);
        if (kind == 1 && (test_random() >> 40) % 8 == 0) x = 0;
        if (kind == 2 && (test_random() >> 40) % 300 == 0)
            x = (test_random() >> 50 & 1) ? NAN : -INFINITY;
        uint32_t u;
        memcpy(&u, &x, 4);
        if (p->x_bits == 32)
            ((float *)p->x)[i] = x;
        else if (p->x_code == kDLBfloat)
            ((uint16_t *)p->x)[i] = (uint16_t)(isnan(x) ? 0x7fc0 : u >> 16);
        else
            ((uint16_t *)p->x)[i] =
                isnan(x) ? 0x7e00 : (uint16_t)(0x2000 + (test_random() >> 40) % 0x3000);
    }
}

static void compare(const test_kernels *kernels, const problem *p, uint8_t *scratch, size_t room) {
    result want = {{scratch, scratch + room, scratch + 2 * room}, {0}};
    result got = {{scratch + 3 * room, scratch + 4 * room, scratch + 5 * room}, {0}};
    int32_t status;
    /* What is given is in the buffers before: scales and zero points of ordinary size. */
    memset(scratch, 0x33, 6 * room);
    run(p, "ref_quantize", contexts[0], &want, &status);
    if (status) return;
    for (int i = 0; i < kernels->count; i++)
        for (int threads = 0; threads < 2; threads++) {
            if (!strncmp(kernels->name[i], "cpu_quantize_", 13) &&
                strncmp(kernels->name[i], "cpu_quantize_rows", 17))
                continue; /* the spans have a test of their own */
            memset(scratch + 3 * room, 0x33, 3 * room);
            run(p, kernels->name[i], contexts[threads], &got, &status);
            if (status) continue;
            for (int b = 0; b < BUFFERS; b++) {
                size_t at = 0;
                while (at < want.bytes[b] && want.data[b][at] == got.data[b][at]) at++;
                CHECK(at == want.bytes[b],
                      "%s %s rows=%d cols=%d flags %d rounding %d max %g: buffer %d differs at %d: "
                      "%02x, not %02x",
                      kernels->name[i], p->t->name, (int)p->rows, (int)p->cols, (int)p->flags,
                      (int)p->rounding, (double)p->element_max, b, (int)at, got.data[b][at],
                      want.data[b][at]);
                CHECK(got.data[b][got.bytes[b]] == 0x33, "%s %s: wrote past buffer %d",
                      kernels->name[i], p->t->name, b);
            }
        }
}

int main(void) {
    enum { ROOM = 140 * 800 * 4 + 64 };
    static const int64_t sizes[][2] = {{1, 512}, {5, 300}, {131, 256}, {3, 768}, {0, 256}};
    static const struct {
        int code, bits;
    } types[] = {{kDLFloat, 32}, {kDLBfloat, 16}, {kDLFloat, 16}};
    tenon_error error = {.struct_size = sizeof error};
    api = test_load();
    for (int i = 0; i < 2; i++) {
        const tenon_context_options options = {
            .struct_size = sizeof options, .n_threads = 1 + 2 * i, .log_level = -1};
        CHECK(api->context_create(&options, &contexts[i], &error) == TENON_OK, "%s", error.text);
    }
    const test_kernels kernels = test_kernels_of(api, contexts[0], TENON_OP_QUANTIZE);
    uint8_t *scratch = malloc(6 * ROOM);
    void *x = malloc(ROOM);
    for (size_t t = 0; t < sizeof targets / sizeof *targets; t++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
            for (int variant = 0; variant < 6; variant++) {
                const quantized_type *target = &targets[t];
                const int gguf = target->format >= TENON_FORMAT_GGUF_Q4_0;
                const int blocks = gguf || target->format >= TENON_FORMAT_MXFP4;
                const int64_t step = gguf ? target->group_cols : 32;
                problem p = {.t = target, .rows = sizes[s][0], .x = x};
                p.cols = blocks ? sizes[s][1] / step * step : sizes[s][1];
                p.x_code = types[variant % 3].code, p.x_bits = types[variant % 3].bits;
                p.rounding = variant % 4;
                p.swizzled = target->format >= TENON_FORMAT_MXFP4 && !gguf && variant % 2;
                p.global = variant % 3 ? 0.3f + fabsf(test_uniform()) : 0;
                if (target->format == TENON_FORMAT_NVFP4 && variant == 4)
                    p.flags |= TENON_QUANT_RECIPROCAL_GLOBAL_SCALE;
                if (variant == 2 && !gguf) p.amax_floor = 0.01f;
                if (variant == 3 && !gguf) p.scale_limit = 0.004f, p.element_max = 5.5f;
                if (variant == 5 && !gguf) p.flags |= TENON_QUANT_STATIC_SCALE;
                if (target->zero_bits && variant == 1) p.flags |= TENON_QUANT_SYMMETRIC;
                for (int kind = 0; kind < (gguf ? 2 : 3); kind++) {
                    fill(&p, kind);
                    compare(&kernels, &p, scratch, ROOM);
                }
            }
    free(scratch), free(x);
    for (int i = 0; i < 2; i++) api->context_destroy(contexts[i]);
    return test_report();
}
