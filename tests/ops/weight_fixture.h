/* SPDX-License-Identifier: Apache-2.0 */
/* Random weights in the formats that the CPU's panels take, with their values in double from the
 * formulas of abi/FORMATS.md, written here a second time. */
#ifndef TENON_WEIGHT_FIXTURE_H
#define TENON_WEIGHT_FIXTURE_H

#include "test_host.h"

typedef enum weight_kind {
    W_BF16,
    W_F16,
    W_F32,
    W_Q4_0,
    W_Q4_1,
    W_Q8_0,
    W_Q4_K,
    W_Q6_K,
    W_KINDS
} weight_kind;

static const struct {
    const char *name;
    int32_t format, code, bits, block, block_bytes;
} weight_formats[W_KINDS] = {
    {"bf16", TENON_FORMAT_NONE, kDLBfloat, 16, 1, 2},
    {"f16", TENON_FORMAT_NONE, kDLFloat, 16, 1, 2},
    {"f32", TENON_FORMAT_NONE, kDLFloat, 32, 1, 4},
    {"q4_0", TENON_FORMAT_GGUF_Q4_0, kDLUInt, 8, 32, 18},
    {"q4_1", TENON_FORMAT_GGUF_Q4_1, kDLUInt, 8, 32, 20},
    {"q8_0", TENON_FORMAT_GGUF_Q8_0, kDLUInt, 8, 32, 34},
    {"q4_k", TENON_FORMAT_GGUF_Q4_K, kDLUInt, 8, 256, 144},
    {"q6_k", TENON_FORMAT_GGUF_Q6_K, kDLUInt, 8, 256, 210},
};

static inline float half_to_float(uint16_t h) {
    const int e = h >> 10 & 31, m = h & 1023;
    const float v = e == 31 ? (m ? NAN : INFINITY)
                    : e     ? ldexpf((float)(1024 + m), e - 25)
                            : ldexpf((float)m, -24);
    return h & 0x8000 ? -v : v;
}
static inline float bf16_to_float(uint16_t b) {
    const uint32_t u = (uint32_t)b << 16;
    float f;
    memcpy(&f, &u, 4);
    return f;
}
/* Round to nearest even. */
static inline uint16_t float_to_bf16(float f) {
    uint32_t u;
    memcpy(&u, &f, 4);
    if (f != f) return 0x7fc0;
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

static inline uint16_t read_u16(const uint8_t *p) {
    return (uint16_t)(p[0] | p[1] << 8);
}
/* A half of ordinary size and any mantissa. */
static inline void write_scale(uint8_t *p) {
    const uint16_t h = (uint16_t)(0x1c00 + (test_random() >> 20) % 0x800) |
                       (uint16_t)((test_random() >> 30 & 1) << 15);
    memcpy(p, &h, 2);
}

static inline void random_block(weight_kind kind, uint8_t *p) {
    for (int i = 0; i < weight_formats[kind].block_bytes; i++)
        p[i] = (uint8_t)(test_random() >> 24);
    const float x = test_uniform();
    switch (kind) {
    case W_BF16: {
        const uint16_t b = float_to_bf16(x);
        memcpy(p, &b, 2);
        break;
    }
    case W_F16:
        write_scale(p);
        break;
    case W_F32:
        memcpy(p, &x, 4);
        break;
    case W_Q4_1:
    case W_Q4_K:
        write_scale(p), write_scale(p + 2);
        break;
    case W_Q6_K:
        write_scale(p + 208);
        break;
    default:
        write_scale(p);
        break;
    }
}

static inline double block_value(weight_kind kind, const uint8_t *b, int k) {
    float f;
    switch (kind) {
    case W_BF16:
        return (double)bf16_to_float(read_u16(b));
    case W_F16:
        return (double)half_to_float(read_u16(b));
    case W_F32:
        memcpy(&f, b, 4);
        return (double)f;
    case W_Q4_0:
        return ((k < 16 ? b[2 + k] & 15 : b[2 + k - 16] >> 4) - 8) *
               (double)half_to_float(read_u16(b));
    case W_Q4_1:
        return (k < 16 ? b[4 + k] & 15 : b[4 + k - 16] >> 4) * (double)half_to_float(read_u16(b)) +
               (double)half_to_float(read_u16(b + 2));
    case W_Q8_0:
        return (int8_t)b[2 + k] * (double)half_to_float(read_u16(b));
    case W_Q4_K: {
        const uint8_t *s = b + 4;
        const int i = k / 32, q = b[16 + 32 * (k / 64) + k % 32];
        const int sc = i < 4 ? s[i] & 63 : (s[i + 4] & 15) | s[i - 4] >> 6 << 4;
        const int mn = i < 4 ? s[i + 4] & 63 : s[i + 4] >> 4 | s[i] >> 6 << 4;
        return (k / 32 % 2 ? q >> 4 : q & 15) * (double)half_to_float(read_u16(b)) * sc -
               (double)half_to_float(read_u16(b + 2)) * mn;
    }
    case W_Q6_K: {
        const int half = k / 128, part = k % 128 / 32, j = k % 32;
        const int byte = b[64 * half + 32 * (part & 1) + j], low = part < 2 ? byte & 15 : byte >> 4;
        const int high = b[128 + 32 * half + j] >> (2 * part) & 3;
        return ((low | high << 4) - 32) * (double)half_to_float(read_u16(b + 208)) *
               (int8_t)b[192 + k / 16];
    }
    default:
        return 0;
    }
}

typedef struct weight_fixture {
    const char *name;
    weight_kind kind;
    double cancelled; /* codes, scales and offsets add up to so much more than the values */
    int64_t a_group;  /* columns that share a scale where activations become int8 */
    int64_t experts, n, k, row_bytes; /* experts 0: rank 2 */
    uint8_t *data;
    double *value; /* [experts, n, k] */
    test_tensor tensor;
    tenon_quant quant;
    uint8_t *blob; /* after weight_pack */
    test_tensor blob_tensor;
    tenon_quant blob_quant;
} weight_fixture;

static inline const tenon_quant *weight_quant(const weight_fixture *w) {
    return w->quant.format ? &w->quant : NULL;
}

static inline void weight_make(weight_fixture *w, weight_kind kind, int64_t experts, int64_t n,
                               int64_t k) {
    memset(w, 0, sizeof *w);
    const int block = weight_formats[kind].block, bytes = weight_formats[kind].block_bytes;
    const int64_t rows = (experts ? experts : 1) * n, blocks = k / block;
    w->name = weight_formats[kind].name, w->a_group = 32, w->cancelled = kind >= W_Q4_0 ? 40 : 1;
    w->kind = kind, w->experts = experts, w->n = n, w->k = k, w->row_bytes = blocks * bytes;
    w->data = malloc((size_t)(rows * w->row_bytes) + 64);
    w->value = malloc((size_t)(rows * k) * sizeof(double) + 8);
    for (int64_t b = 0; b < rows * blocks; b++) {
        uint8_t *p = w->data + b * bytes;
        random_block(kind, p);
        for (int i = 0; i < block; i++) w->value[b * block + i] = block_value(kind, p, i);
    }
    const int64_t cols = weight_formats[kind].format ? w->row_bytes : k;
    const int64_t shape[3] = {experts, n, cols};
    test_view(&w->tensor, w->data, weight_formats[kind].code, weight_formats[kind].bits,
              experts ? 3 : 2, experts ? shape : shape + 1);
    w->quant = (tenon_quant){.struct_size = sizeof w->quant, .format = weight_formats[kind].format};
}

static inline void weight_pack(weight_fixture *w, const tenon_api *api, tenon_context *context,
                               int32_t compute) {
    tenon_error error = {.struct_size = sizeof error};
    tenon_query query = {.struct_size = sizeof query};
    tenon_pack_weights_args a = {.struct_size = sizeof a,
                                 .w = &w->tensor.view,
                                 .w_quant = weight_quant(w),
                                 .compute = compute};
    a.blob = test_view(&w->blob_tensor, NULL, kDLUInt, 8, SHAPE(0));
    CHECK(api->query(context, TENON_OP_PACK_WEIGHTS, &a, NULL, &query, &error) == TENON_OK &&
              query.status == TENON_OK,
          "%s %s", error.text, query.reason);
    const size_t bytes = (size_t)query.output_bytes;
    w->blob = aligned_alloc(64, (bytes + 127) / 64 * 64);
    memset(w->blob, 0x5a, (bytes + 127) / 64 * 64);
    test_view(&w->blob_tensor, w->blob, kDLUInt, 8, SHAPE((int64_t)bytes));
    tenon_plan *plan = NULL;
    CHECK(tenon_pack_weights_plan(api, context, &a, NULL, &plan, &error) == TENON_OK, "%s",
          error.text);
    if (plan) CHECK(tenon_pack_weights_run(api, plan, &a, &error) == TENON_OK, "%s", error.text);
    CHECK(w->blob[bytes] == 0x5a, "%s: pack_weights wrote past the blob", w->name);
    api->plan_destroy(plan);
    w->blob_quant =
        (tenon_quant){.struct_size = sizeof w->blob_quant, .format = TENON_FORMAT_PACKED};
}

static inline void weight_free(weight_fixture *w) {
    free(w->data);
    free(w->value);
    free(w->blob);
}

/* Activations and results in f32, bf16 or f16. */
typedef enum value_type { V_F32, V_BF16, V_F16 } value_type;
static const int value_code[3] = {kDLFloat, kDLBfloat, kDLFloat}, value_bits[3] = {32, 16, 16};

static inline double value_at(value_type type, const void *data, int64_t i) {
    if (type == V_F32) return (double)((const float *)data)[i];
    const uint16_t b = ((const uint16_t *)data)[i];
    return (double)(type == V_BF16 ? bf16_to_float(b) : half_to_float(b));
}
/* Any value for f32 and bf16; for f16 a random half near its magnitude, which is as good a random
 * input. */
static inline void value_set(value_type type, void *data, int64_t i, float x) {
    if (type == V_F32)
        ((float *)data)[i] = x;
    else if (type == V_BF16)
        ((uint16_t *)data)[i] = float_to_bf16(x);
    else {
        const float a = fabsf(x);
        int e;
        const float m = frexpf(a, &e);
        const uint16_t h = a != a         ? 0x7e00
                           : a > 60000.0f ? 0x7c00
                           : a < 0.001f   ? 0
                                          : (uint16_t)((e + 14) << 10 | (int)((2 * m - 1) * 1024));
        ((uint16_t *)data)[i] = (uint16_t)(h | (x < 0 ? 0x8000 : 0));
    }
}
/* Half a unit in the last place of the type, relative. */
static inline double value_epsilon(value_type type) {
    return type == V_F32 ? 0x1p-24 : type == V_BF16 ? 0x1p-8 : 0x1p-11;
}

#endif
