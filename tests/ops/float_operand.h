/* SPDX-License-Identifier: Apache-2.0 */
/* Random tensors in the formats whose elements are small floats or bytes with scales beside them,
 * in buffers of exactly their size, with their values in double. */
#ifndef TENON_FLOAT_OPERAND_H
#define TENON_FLOAT_OPERAND_H

#include "test_kernels.h"

/* group_cols, group_rows: as in tenon_quant. scale: its type's code and bits. */
typedef struct operand_format {
    const char *name;
    int32_t format, element, group_cols, group_rows;
    int scale_code, scale_bits;
    int swizzled, global; /* global 1: multiplies, 2: divides */
} operand_format;

static const operand_format operand_formats[] = {
    {"fp8 plain", TENON_FORMAT_NONE, TENON_ELEMENT_E4M3FN, 0, 0, 0, 0, 0, 0},
    {"fp8 tensor", TENON_FORMAT_FP8, TENON_ELEMENT_E4M3FN, -1, -1, kDLFloat, 32, 0, 0},
    {"fp8 row", TENON_FORMAT_FP8, TENON_ELEMENT_E4M3FNUZ, -1, 1, kDLFloat, 32, 0, 0},
    {"fp8 row f16", TENON_FORMAT_FP8, TENON_ELEMENT_E5M2, -1, 1, kDLFloat, 16, 0, 0},
    {"fp8 row bf16", TENON_FORMAT_FP8, TENON_ELEMENT_E5M2FNUZ, -1, 1, kDLBfloat, 16, 0, 0},
    {"fp8 128x128", TENON_FORMAT_FP8, TENON_ELEMENT_E4M3FN, 128, 128, kDLFloat, 32, 0, 0},
    {"fp8 1x128", TENON_FORMAT_FP8, TENON_ELEMENT_E4M3FN, 128, 1, kDLFloat, 32, 0, 0},
    {"fp8 1x128 e8m0", TENON_FORMAT_FP8, TENON_ELEMENT_E5M2, 128, 1, kDLUInt, 8, 0, 0},
    {"fp8 32x64", TENON_FORMAT_FP8, TENON_ELEMENT_E5M2FNUZ, 64, 32, kDLFloat, 32, 0, 0},
    {"fp8 3x20", TENON_FORMAT_FP8, TENON_ELEMENT_E4M3FNUZ, 20, 3, kDLFloat, 32, 0, 0},
    {"int8 row", TENON_FORMAT_INT8, 0, -1, 1, kDLFloat, 32, 0, 0},
    {"int8 1x128", TENON_FORMAT_INT8, 0, 128, 1, kDLFloat, 32, 0, 0},
    {"mxfp8", TENON_FORMAT_MXFP8, TENON_ELEMENT_E4M3FN, 0, 0, kDLUInt, 8, 0, 0},
    {"mxfp8 e5m2 128x4", TENON_FORMAT_MXFP8, TENON_ELEMENT_E5M2, 0, 0, kDLUInt, 8, 1, 0},
    {"mxfp6 e2m3", TENON_FORMAT_MXFP6_E2M3, 0, 0, 0, kDLUInt, 8, 0, 0},
    {"mxfp6 e3m2 128x4", TENON_FORMAT_MXFP6_E3M2, 0, 0, 0, kDLUInt, 8, 1, 0},
    {"mxfp4", TENON_FORMAT_MXFP4, 0, 0, 0, kDLUInt, 8, 0, 0},
    {"nvfp4", TENON_FORMAT_NVFP4, 0, 0, 0, kDLFloat8_e4m3fn, 8, 0, 0},
    {"nvfp4 global", TENON_FORMAT_NVFP4, 0, 0, 0, kDLUInt, 8, 0, 1},
    {"nvfp4 128x4", TENON_FORMAT_NVFP4, 0, 0, 0, kDLFloat8_e4m3fn, 8, 1, 2},
};
enum { OPERAND_FORMATS = sizeof operand_formats / sizeof operand_formats[0] };

typedef struct operand {
    const operand_format *format;
    int64_t n, k, row_bytes;
    uint8_t *data;
    void *scale;
    float global;
    double *value; /* [n, k]; operand_read */
    test_tensor tensor, scale_tensor, global_tensor;
    tenon_quant quant;
    size_t data_bytes, scale_bytes;
} operand;

static inline int64_t operand_ceil(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

/* Elements of a byte's worth of NaN or infinity are left out: they have tests of their own. */
static inline uint8_t operand_tame(const operand_format *f, uint8_t byte) {
    if (f->format != TENON_FORMAT_NONE && f->format != TENON_FORMAT_FP8 &&
        f->format != TENON_FORMAT_MXFP8)
        return byte;
    switch (f->element) {
    case TENON_ELEMENT_E4M3FN:
        return (byte & 0x7f) == 0x7f ? byte & 0xf7 : byte;
    case TENON_ELEMENT_E5M2:
        return (byte & 0x7c) == 0x7c ? byte & 0xbf : byte;
    default:
        return byte == 0x80 ? 1 : byte;
    }
}

static inline void operand_fill_scales(operand *o, int64_t count) {
    const operand_format *f = o->format;
    for (int64_t i = 0; i < count; i++) {
        const float x = 0.002f + 0.01f * fabsf(test_uniform());
        uint32_t bits;
        memcpy(&bits, &x, 4);
        if (f->scale_bits == 32)
            ((float *)o->scale)[i] = x;
        else if (f->scale_code == kDLBfloat)
            ((uint16_t *)o->scale)[i] = (uint16_t)(bits >> 16);
        else if (f->scale_bits == 16)
            ((uint16_t *)o->scale)[i] = (uint16_t)(0x1c00 + (test_random() >> 40) % 0x800);
        else if (f->format == TENON_FORMAT_NVFP4)
            ((uint8_t *)o->scale)[i] = (uint8_t)((test_random() >> 40) % 0x7f);
        else
            ((uint8_t *)o->scale)[i] = (uint8_t)(115 + (test_random() >> 40) % 20);
    }
}

static inline void operand_make(operand *o, const operand_format *f, int64_t n, int64_t k) {
    static const uint8_t codes[] = {0, kDLFloat8_e4m3fn, kDLFloat8_e4m3fnuz, kDLFloat8_e5m2,
                                    kDLFloat8_e5m2fnuz};
    *o = (operand){.format = f, .n = n, .k = k};
    const int float8 = f->element != 0;
    const int64_t bits = float8 || f->format == TENON_FORMAT_INT8                             ? 8
                         : f->format == TENON_FORMAT_NVFP4 || f->format == TENON_FORMAT_MXFP4 ? 4
                                                                                              : 6;
    o->row_bytes = k * bits / 8;
    o->data_bytes = (size_t)(n * o->row_bytes);
    o->data = malloc(o->data_bytes + 1);
    for (size_t i = 0; i < o->data_bytes; i++)
        o->data[i] = operand_tame(f, (uint8_t)(test_random() >> 32));
    const int code = float8 ? codes[f->element] : f->format == TENON_FORMAT_INT8 ? kDLInt : kDLUInt;
    test_view(&o->tensor, o->data, code, 8, SHAPE(n, o->row_bytes));
    o->quant = (tenon_quant){.struct_size = sizeof o->quant,
                             .format = f->format,
                             .group_cols = f->group_cols,
                             .group_rows = f->group_rows};
    if (!f->scale_bits) return;
    const int64_t group_cols = f->format == TENON_FORMAT_NVFP4 ? 16
                               : f->format >= TENON_FORMAT_MXFP4 && f->format <= TENON_FORMAT_MXFP8
                                   ? 32
                               : f->group_cols == -1 ? k
                                                     : f->group_cols;
    const int64_t rows =
        f->group_rows == -1 ? (n > 0) : operand_ceil(n, f->group_rows ? f->group_rows : 1);
    const int64_t cols = k ? operand_ceil(k, group_cols) : 0;
    int64_t count = rows * cols;
    if (f->swizzled) {
        count = operand_ceil(n, 128) * operand_ceil(cols, 4) * 512;
        o->quant.scale_layout = TENON_SCALE_LAYOUT_SWIZZLE_128X4;
    }
    o->scale_bytes = (size_t)count * (size_t)f->scale_bits / 8;
    o->scale = malloc(o->scale_bytes + 1);
    operand_fill_scales(o, count);
    o->quant.scale = f->swizzled ? test_view(&o->scale_tensor, o->scale, f->scale_code,
                                             f->scale_bits, SHAPE(count))
                                 : test_view(&o->scale_tensor, o->scale, f->scale_code,
                                             f->scale_bits, SHAPE(rows, cols));
    if (f->global) {
        o->global = 0.25f + fabsf(test_uniform());
        o->quant.global_scale = test_view(&o->global_tensor, &o->global, kDLFloat, 32, SHAPE(1));
        if (f->global == 2) o->quant.flags = TENON_QUANT_RECIPROCAL_GLOBAL_SCALE;
    }
}

static inline const tenon_quant *operand_quant(const operand *o) {
    return o->format->format == TENON_FORMAT_NONE ? NULL : &o->quant;
}

static inline void operand_free(operand *o) {
    free(o->data), free(o->scale), free(o->value);
}

/* One run of an operation by a kernel of that name; NULL: the best. *traits may be NULL. */
__attribute__((noinline)) static int32_t operand_run(const tenon_api *api, tenon_context *context,
                                                     int32_t op, const char *kernel, void *args,
                                                     uint32_t *traits, tenon_error *error) {
    tenon_plan_options options = {.struct_size = sizeof options, .kernel = kernel};
    tenon_plan *plan = NULL;
    int32_t status = api->plan_create(context, op, args, &options, &plan, error);
    if (status) return status;
    tenon_query query = {.struct_size = sizeof query};
    api->plan_query(plan, &query, error);
    if (traits) *traits = query.traits;
    tenon_matmul_args *head = args; /* every args struct begins the same */
    head->workspace_bytes = query.workspace_bytes;
    head->workspace = aligned_alloc(64, (size_t)(query.workspace_bytes + 64) / 64 * 64);
    memset(head->workspace, 0xa5, (size_t)query.workspace_bytes);
    status = api->run(plan, args, error);
    free(head->workspace);
    api->plan_destroy(plan);
    return status;
}

/* The values, by the reference. */
static inline void operand_read(operand *o, const tenon_api *api, tenon_context *context) {
    const size_t count = (size_t)(o->n * o->k);
    float *x = malloc(count * 4 + 4);
    tenon_error error = {.struct_size = sizeof error};
    test_tensor tx;
    tenon_dequantize_args a = {.struct_size = sizeof a,
                               .q = &o->tensor.view,
                               .q_quant = operand_quant(o),
                               .x = test_view(&tx, x, kDLFloat, 32, SHAPE(o->n, o->k))};
    CHECK(operand_run(api, context, TENON_OP_DEQUANTIZE, "ref_dequantize", &a, NULL, &error) ==
              TENON_OK,
          "%s: %s", o->format->name, error.text);
    o->value = malloc(count * sizeof(double) + 8);
    for (size_t i = 0; i < count; i++) o->value[i] = (double)x[i];
    free(x);
}

#endif /* TENON_FLOAT_OPERAND_H */
