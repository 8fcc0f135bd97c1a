/* SPDX-License-Identifier: Apache-2.0 */
/* The matmul family over every storage format, in buffers of exactly the size that the format asks
 * for, so that a sanitizer build sees each read and write out of bounds: dequantize, matmul against
 * the dequantized values, packing and unpacking bit for bit, and damaged blobs. What the values are
 * is checked in tests/golden. */
#include "test_host.h"

enum { N = 40, K = 512, M = 5, PARTS = 5 };

typedef struct extent {
    int code, bits, lanes;
    int64_t shape[2];
} extent;

/* One weight: storage, scale, zero point, global scale, group index; bits 0: not there. */
typedef struct weight {
    const char *name;
    int32_t format, element, group_cols, group_rows, scale_layout;
    extent part[PARTS];
} weight;

#define U8  kDLUInt, 8, 1
#define I8  kDLInt, 8, 1
#define I32 kDLInt, 32, 1
#define F16 kDLFloat, 16, 1
#define F32 kDLFloat, 32, 1
#define FN  kDLFloat8_e4m3fn, 8, 1

static const weight weights[] = {
    {"f32", TENON_FORMAT_NONE, 0, 0, 0, 0, {{F32, {N, K}}}},
    {"fp8 128x128", TENON_FORMAT_FP8, 0, 128, 128, 0, {{FN, {N, K}}, {F32, {1, 4}}}},
    {"fp8 bytes",
     TENON_FORMAT_FP8,
     TENON_ELEMENT_E5M2FNUZ,
     -1,
     1,
     0,
     {{U8, {N, K}}, {F32, {N, 1}}}},
    {"int8", TENON_FORMAT_INT8, 0, -1, 1, 0, {{I8, {N, K}}, {F32, {N, 1}}, {I32, {N, 1}}}},
    {"int4",
     TENON_FORMAT_INT4,
     0,
     64,
     0,
     0,
     {{U8, {N, K / 2}}, {F16, {N, K / 64}}, {U8, {N, K / 64}}}},
    {"gptq",
     TENON_FORMAT_INT4_GPTQ,
     0,
     128,
     0,
     0,
     {{I32, {K / 8, N}}, {F16, {K / 128, N}}, {I32, {K / 128, N / 8}}, {0}, {I32, {K, 0}}}},
    {"gptq v2",
     TENON_FORMAT_INT4_GPTQ_V2,
     0,
     128,
     0,
     0,
     {{I32, {K / 8, N}}, {F16, {K / 128, N}}, {I32, {K / 128, N / 8}}}},
    {"awq",
     TENON_FORMAT_INT4_AWQ,
     0,
     128,
     0,
     0,
     {{I32, {K, N / 8}}, {F16, {K / 128, N}}, {I32, {K / 128, N / 8}}}},
    {"ct int4",
     TENON_FORMAT_INT4_CT,
     0,
     32,
     0,
     0,
     {{I32, {N, K / 8}}, {F16, {N, K / 32}}, {I32, {N / 8, K / 32}}}},
    {"ct int8",
     TENON_FORMAT_INT8_CT,
     0,
     32,
     0,
     0,
     {{I32, {N, K / 4}}, {F16, {N, K / 32}}, {I32, {N / 4, K / 32}}}},
    {"mxfp4", TENON_FORMAT_MXFP4, 0, 0, 0, 0, {{U8, {N, K / 2}}, {U8, {N, K / 32}}}},
    {"mxfp4 pairs",
     TENON_FORMAT_MXFP4,
     0,
     0,
     0,
     0,
     {{kDLFloat4_e2m1fn, 4, 2, {N, K / 2}}, {U8, {N, K / 32}}}},
    {"mxfp4 elements",
     TENON_FORMAT_MXFP4,
     0,
     32,
     0,
     0,
     {{kDLFloat4_e2m1fn, 4, 1, {N, K}}, {U8, {N, K / 32}}}},
    {"mxfp4 128x4",
     TENON_FORMAT_MXFP4,
     0,
     0,
     0,
     TENON_SCALE_LAYOUT_SWIZZLE_128X4,
     {{U8, {N, K / 2}}, {U8, {128, K / 32}}}},
    {"mxfp6 e2m3", TENON_FORMAT_MXFP6_E2M3, 0, 0, 0, 0, {{U8, {N, K / 4 * 3}}, {U8, {N, K / 32}}}},
    {"mxfp6 elements",
     TENON_FORMAT_MXFP6_E3M2,
     0,
     0,
     0,
     0,
     {{kDLFloat6_e3m2fn, 6, 1, {N, K}}, {U8, {N, K / 32}}}},
    {"mxfp8", TENON_FORMAT_MXFP8, 0, 0, 0, 0, {{FN, {N, K}}, {U8, {N, K / 32}}}},
    {"nvfp4",
     TENON_FORMAT_NVFP4,
     0,
     0,
     0,
     0,
     {{U8, {N, K / 2}}, {FN, {N, K / 16}}, {0}, {F32, {1, 0}}}},
    {"q4_0", TENON_FORMAT_GGUF_Q4_0, 0, 0, 0, 0, {{U8, {N, K / 32 * 18}}}},
    {"q4_1", TENON_FORMAT_GGUF_Q4_1, 0, 0, 0, 0, {{U8, {N, K / 32 * 20}}}},
    {"q8_0", TENON_FORMAT_GGUF_Q8_0, 0, 0, 0, 0, {{U8, {N, K / 32 * 34}}}},
    {"q4_k", TENON_FORMAT_GGUF_Q4_K, 0, 0, 0, 0, {{U8, {N, K / 256 * 144}}}},
    {"q6_k", TENON_FORMAT_GGUF_Q6_K, 0, 0, 0, 0, {{U8, {N, K / 256 * 210}}}},
};

/* The tensors of one weight, each in its own allocation. */
typedef struct instance {
    test_tensor tensor[PARTS];
    const DLTensor *view[PARTS];
    void *data[PARTS];
    size_t bytes[PARTS];
    tenon_quant quant;
} instance;

static void make(instance *made, const weight *w) {
    memset(made, 0, sizeof *made);
    for (int i = 0; i < PARTS; i++) {
        const extent *e = &w->part[i];
        if (!e->bits) continue;
        int ndim = e->shape[1] ? 2 : 1;
        made->bytes[i] =
            (size_t)(e->shape[0] * (ndim == 2 ? e->shape[1] : 1) * e->bits * e->lanes / 8);
        made->data[i] = calloc(1, made->bytes[i]);
        made->view[i] =
            test_view(&made->tensor[i], made->data[i], e->code, e->bits, ndim, e->shape);
        made->tensor[i].view.dtype.lanes = (uint16_t)e->lanes;
    }
    made->quant = (tenon_quant){.struct_size = sizeof(tenon_quant),
                                .format = w->format,
                                .element = w->element,
                                .scale_layout = w->scale_layout,
                                .group_cols = w->group_cols,
                                .group_rows = w->group_rows,
                                .scale = made->view[1],
                                .zero_point = made->view[2],
                                .global_scale = made->view[3],
                                .group_index = made->view[4]};
}

/* Any code is a weight, only not a NaN or an infinity: those have tests of their own. */
static uint8_t tame(const weight *w, int part, uint8_t byte) {
    bool power = part == 1 && w->part[1].code == kDLUInt;
    if (power) return (uint8_t)(122 + byte % 8);                    /* e8m0 near 1 */
    if (part == 1) return (uint8_t)(0x20 + byte % 0x30);            /* e4m3fn, positive */
    if (w->part[part].code == kDLFloat8_e4m3fn) return byte & 0xf7; /* NaN is 0x7f */
    if (w->element == TENON_ELEMENT_E5M2FNUZ) return byte | 1;      /* NaN is 0x80 */
    return byte;
}

static void fill_gguf(uint8_t *bytes, size_t count, const weight *w) {
    const size_t block = w->format == TENON_FORMAT_GGUF_Q4_0   ? 18
                         : w->format == TENON_FORMAT_GGUF_Q4_1 ? 20
                         : w->format == TENON_FORMAT_GGUF_Q8_0 ? 34
                         : w->format == TENON_FORMAT_GGUF_Q4_K ? 144
                                                               : 210;
    for (size_t at = 0; at < count; at += block) {
        size_t d = block == 210 ? 208 : 0;
        bytes[at + d + 1] = 0x20; /* an f16 between 0.0078 and 0.0137 */
        if (block == 20 || block == 144) bytes[at + 3] = 0x20;
    }
}

static void fill(instance *made, const weight *w) {
    for (int i = 0; i < PARTS; i++) {
        int code = w->part[i].code, bits = w->part[i].bits;
        for (size_t b = 0; b < made->bytes[i]; b++) {
            uint8_t byte = (uint8_t)(test_random() >> 32);
            ((uint8_t *)made->data[i])[b] = bits == 8 ? tame(w, i, byte) : byte;
        }
        for (size_t e = 0; code == kDLFloat && bits == 32 && e < made->bytes[i] / 4; e++)
            ((float *)made->data[i])[e] = test_uniform();
        for (size_t e = 0; code == kDLFloat && bits == 16 && e < made->bytes[i] / 2; e++)
            ((uint16_t *)made->data[i])[e] = 0x2c00 | (uint16_t)(test_random() >> 54);
    }
    if (w->format == TENON_FORMAT_INT8)
        for (int e = 0; e < N; e++) ((int32_t *)made->data[2])[e] %= 128;
    for (int e = 0; made->data[4] && e < K; e++)
        ((int32_t *)made->data[4])[e] = (int32_t)(test_random() >> 62);
    if (w->format >= TENON_FORMAT_GGUF_Q4_0) fill_gguf(made->data[0], made->bytes[0], w);
}

static void drop(instance *made) {
    for (int i = 0; i < PARTS; i++) free(made->data[i]);
}

/* ---- one call with the reference ---- */

static int32_t run(const tenon_api *api, tenon_context *context, int32_t op, const char *kernel,
                   void *args, tenon_error *error) {
    tenon_plan_options options = {.struct_size = sizeof options, .kernel = kernel};
    tenon_plan *plan = NULL;
    int32_t status = api->plan_create(context, op, args, &options, &plan, error);
    if (status) return status;
    tenon_query query = {.struct_size = sizeof query};
    api->plan_query(plan, &query, error);
    tenon_matmul_args *head = args; /* every args struct begins the same */
    void *workspace =
        query.workspace_bytes ? aligned_alloc(64, (query.workspace_bytes + 63) / 64 * 64) : NULL;
    head->workspace = workspace, head->workspace_bytes = query.workspace_bytes;
    status = api->run(plan, args, error);
    free(workspace);
    api->plan_destroy(plan);
    return status;
}

static void check_values(const tenon_api *api, tenon_context *context, const weight *w,
                         instance *made, float *values, float *out) {
    static float x[M][K];
    tenon_error error = {.struct_size = sizeof error};
    test_tensor tv, tx, to;
    for (int i = 0; i < M * K; i++) (&x[0][0])[i] = test_uniform();
    tenon_dequantize_args dequantize = {.struct_size = sizeof dequantize,
                                        .q = made->view[0],
                                        .q_quant = &made->quant,
                                        .x = test_view(&tv, values, kDLFloat, 32, SHAPE(N, K))};
    CHECK(run(api, context, TENON_OP_DEQUANTIZE, "ref_dequantize", &dequantize, &error) == TENON_OK,
          "%s: %s", w->name, error.text);
    tenon_matmul_args matmul = {.struct_size = sizeof matmul,
                                .a = test_view(&tx, x, kDLFloat, 32, SHAPE(M, K)),
                                .w = made->view[0],
                                .w_quant = &made->quant,
                                .out = test_view(&to, out, kDLFloat, 32, SHAPE(M, N))};
    CHECK(run(api, context, TENON_OP_MATMUL, "ref_matmul", &matmul, &error) == TENON_OK, "%s: %s",
          w->name, error.text);
    for (int m = 0; m < M; m++)
        for (int n = 0; n < N; n++) {
            double sum = 0, magnitude = 0;
            for (int k = 0; k < K; k++) {
                double product = (double)x[m][k] * (double)values[n * K + k];
                sum += product, magnitude += fabs(product);
            }
            /* the values were rounded to f32, and so was the result */
            CHECK(fabs((double)out[m * N + n] - sum) <= 0x1p-23 * magnitude,
                  "%s: out[%d][%d]=%g, expected %g", w->name, m, n, (double)out[m * N + n], sum);
        }
}

static void check_blob(const tenon_api *api, tenon_context *context, const weight *w,
                       instance *made) {
    tenon_error error = {.struct_size = sizeof error};
    tenon_query query = {.struct_size = sizeof query};
    tenon_plan_options options = {.struct_size = sizeof options, .kernel = "ref_pack_weights"};
    test_tensor tb;
    tenon_pack_weights_args pack = {.struct_size = sizeof pack,
                                    .w = made->view[0],
                                    .w_quant = &made->quant,
                                    .blob = test_view(&tb, NULL, kDLUInt, 8, SHAPE(0))};
    CHECK(api->query(context, TENON_OP_PACK_WEIGHTS, &pack, &options, &query, &error) == TENON_OK &&
              query.status == TENON_OK,
          "%s: %s", w->name, query.reason);
    size_t bytes = query.output_bytes;
    CHECK(bytes > 576 && bytes % 64 == 0, "%s: a blob of %zu bytes", w->name, bytes);
    uint8_t *blob = aligned_alloc(64, bytes);
    pack.blob = test_view(&tb, blob, kDLUInt, 8, SHAPE((int64_t)bytes));
    CHECK(run(api, context, TENON_OP_PACK_WEIGHTS, "ref_pack_weights", &pack, &error) == TENON_OK,
          "%s: %s", w->name, error.text);

    instance back;
    make(&back, w);
    tenon_unpack_weights_args unpack = {
        .struct_size = sizeof unpack, .blob = pack.blob, .w = back.view[0], .w_quant = &back.quant};
    CHECK(run(api, context, TENON_OP_UNPACK_WEIGHTS, "ref_unpack_weights", &unpack, &error) ==
              TENON_OK,
          "%s: %s", w->name, error.text);
    for (int i = 0; i < PARTS; i++)
        CHECK(!back.bytes[i] || !memcmp(back.data[i], made->data[i], back.bytes[i]),
              "%s: tensor %d does not come back", w->name, i);

    for (int trial = 0; trial < 40; trial++) {
        size_t bit = (size_t)(test_random() % (bytes * 8));
        blob[bit / 8] ^= (uint8_t)(1u << bit % 8);
        int32_t status =
            run(api, context, TENON_OP_UNPACK_WEIGHTS, "ref_unpack_weights", &unpack, &error);
        CHECK(status == TENON_STATUS_CORRUPT, "%s: bit %zu flipped: status %d", w->name, bit,
              status);
        blob[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t keep = 0; keep < bytes; keep += keep < 640 ? 64 : 4096) {
        uint8_t *cut = aligned_alloc(64, keep ? keep : 64);
        memcpy(cut, blob, keep);
        unpack.blob = test_view(&tb, cut, kDLUInt, 8, SHAPE((int64_t)keep));
        int32_t status =
            run(api, context, TENON_OP_UNPACK_WEIGHTS, "ref_unpack_weights", &unpack, &error);
        CHECK(status == TENON_STATUS_CORRUPT, "%s: cut at %zu of %zu bytes: status %d", w->name,
              keep, bytes, status);
        free(cut);
    }
    drop(&back);
    free(blob);
}

int main(void) {
    static float values[N * K], out[M * N];
    const tenon_api *api = test_load();
    tenon_context *context = NULL;
    tenon_error error = {.struct_size = sizeof error};
    tenon_context_options quiet = {.struct_size = sizeof quiet, .log_level = -1};
    CHECK(api->context_create(&quiet, &context, &error) == TENON_OK, "%s", error.text);
    for (size_t i = 0; i < sizeof weights / sizeof weights[0]; i++) {
        instance made;
        make(&made, &weights[i]);
        fill(&made, &weights[i]);
        check_values(api, context, &weights[i], &made, values, out);
        check_blob(api, context, &weights[i], &made);
        drop(&made);
    }
    api->context_destroy(context);
    return test_report();
}
