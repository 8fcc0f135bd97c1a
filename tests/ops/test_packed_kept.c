/* SPDX-License-Identifier: Apache-2.0 */
/* Blobs that keep the checkpoint's tensors: the same bytes as the reference's from tensors of any
 * strides, back bit for bit, and multiplied with the bits of the unpacked weights by the same
 * kernel, which is no reference. */
#include "packed_subject.h"

#define F(name) TENON_FORMAT_##name
static const group_spec specs[] = {
    {"int4 g16", F(INT4), 16, 0, S_F16, Z_NONE, 0, 0},
    {"int4 g16 zero", F(INT4), 16, 0, S_F32, Z_F32, 0, 0},
    {"int4 g24", F(INT4), 24, 0, S_BF16, Z_U8, 0, 0},
    {"gptq g24", F(INT4_GPTQ), 24, 0, S_F16, Z_PACKED, 0, 0},
    {"awq g16", F(INT4_AWQ), 16, 0, S_F16, Z_PACKED, 0, 0},
    {"int8 g16", F(INT8), 16, 0, S_F16, Z_NONE, 0, 0},
    {"ct8 act-order", F(INT8_CT), 64, 0, S_BF16, Z_NONE, 0, 1},
    {"ct8 act-order zero", F(INT8_CT), 128, 0, S_BF16, Z_PACKED, 0, 1},
    {"gptq g128", F(INT4_GPTQ), 128, 0, S_F16, Z_PACKED, 0, 0}, /* a panel's, were it not asked */
};

static const tenon_api *api;
static tenon_context *contexts[2];

/* By the reference and by all threads. */
static void pack_both(const packed_subject *s, packed_blob *got) {
    packed_blob want;
    pack_subject(api, contexts[0], s, "ref_pack_weights", &want, NULL);
    pack_subject(api, contexts[1], s, "cpu_pack_weights_kept", got, NULL);
    CHECK(want.count == got->count && !memcmp(want.bytes, got->bytes, (size_t)got->count),
          "%s: other bytes than the reference's", s->name);
    free(want.bytes);
}

static int32_t multiply(tenon_context *context, const packed_subject *s, const DLTensor *w,
                        const tenon_quant *quant, int compute, const float *x, float *y,
                        char kernel[96]) {
    enum { M = 5 };
    static int32_t offsets[3] = {0, 2, M};
    tenon_error error = {.struct_size = sizeof error};
    tenon_query query = {.struct_size = sizeof query};
    test_tensor ta, to, te;
    const int32_t op = s->experts ? TENON_OP_MOE_MATMUL : TENON_OP_MATMUL;
    const DLTensor *in = test_view(&ta, (void *)(uintptr_t)x, kDLFloat, 32, SHAPE(M, s->k));
    const DLTensor *out = test_view(&to, y, kDLFloat, 32, SHAPE(M, s->n));
    tenon_matmul_args one = {.struct_size = sizeof one,
                             .a = in,
                             .w = w,
                             .w_quant = quant,
                             .out = out,
                             .compute = compute};
    tenon_moe_matmul_args many = {.struct_size = sizeof many,
                                  .x = in,
                                  .w = w,
                                  .w_quant = quant,
                                  .expert_offsets = test_view(&te, offsets, kDLInt, 32, SHAPE(3)),
                                  .out = out,
                                  .compute = compute};
    void *args = s->experts ? (void *)&many : (void *)&one;
    memset(y, 0x5a, (size_t)(M * s->n) * 4);
    CHECK(!api->query(context, op, args, NULL, &query, &error) && !query.status &&
              !(query.traits & TENON_TRAIT_REFERENCE),
          "%s: %s %s", s->name, query.kernel, query.reason);
    snprintf(kernel, 96, "%s", query.kernel);
    const int32_t status = operand_run(api, context, op, NULL, args, NULL, &error);
    CHECK(!status, "%s: %s", s->name, error.text);
    return status;
}

static void check_products(const packed_subject *s, const packed_blob *blob) {
    const size_t count = (size_t)(5 * s->n);
    float *x = malloc((size_t)(5 * s->k) * 4), *want = malloc(count * 4), *got = malloc(count * 4);
    for (int64_t i = 0; i < 5 * s->k; i++) x[i] = test_uniform();
    for (int exact = 0; exact < 2; exact++)
        for (int c = 0; c < 2; c++) {
            const int compute = exact ? TENON_COMPUTE_EXACT : TENON_COMPUTE_DEFAULT;
            char kernel[2][96];
            multiply(contexts[0], s, s->w, s->quant, compute, x, want, kernel[0]);
            multiply(contexts[c], s, &blob->tensor.view, &packed_quant, compute, x, got, kernel[1]);
            CHECK(!strcmp(kernel[0], kernel[1]), "%s: %s, packed %s", s->name, kernel[0],
                  kernel[1]);
            CHECK(!memcmp(want, got, count * 4), "%s: exact %d: other bits than unpacked", s->name,
                  exact);
        }
    free(x), free(want), free(got);
}

/* Into tensors with the same strides; what lies between their elements stays. */
static void check_unpack(const packed_subject *s, const packed_blob *blob, const uint8_t *data,
                         size_t bytes) {
    tenon_error error = {.struct_size = sizeof error};
    uint8_t *back = malloc(bytes);
    DLTensor w = *s->w;
    tenon_unpack_weights_args a = {
        .struct_size = sizeof a, .blob = &blob->tensor.view, .w = &w, .w_quant = s->quant};
    for (int kernel = 0; kernel < 2; kernel++) {
        memset(back, 0x5a, bytes);
        w.data = back;
        CHECK(!operand_run(api, contexts[1], TENON_OP_UNPACK_WEIGHTS,
                           kernel ? "cpu_unpack_weights_kept" : NULL, &a, NULL, &error),
              "%s: %s", s->name, error.text);
        CHECK(!memcmp(back, data, bytes), "%s: elements differ", s->name);
    }
    blob->bytes[blob->count - 65] ^= 4;
    CHECK(operand_run(api, contexts[1], TENON_OP_UNPACK_WEIGHTS, NULL, &a, NULL, &error) ==
              TENON_STATUS_CORRUPT,
          "%s: a flipped bit was not seen", s->name);
    blob->bytes[blob->count - 65] ^= 4;
    free(back);
}

/* Elements apart in one dimension, in the other, and not at all: more than one task's work. */
static void check_strides(int64_t row_step, int64_t col_step) {
    enum { N = 300, K = 1024 };
    const size_t count = (size_t)((N - 1) * row_step + (K - 1) * col_step + 1);
    uint16_t *data = malloc(count * 2);
    test_tensor tensor;
    packed_subject s = {"bf16", test_view(&tensor, data, kDLBfloat, 16, SHAPE(N, K)), NULL, 0, N,
                        K};
    tensor.strides[0] = row_step, tensor.strides[1] = col_step;
    memset(data, 0x5a, count * 2);
    for (int64_t n = 0; n < N; n++)
        for (int64_t k = 0; k < K; k++)
            data[n * row_step + k * col_step] = float_to_bf16(test_uniform());
    packed_blob blob;
    pack_both(&s, &blob);
    check_unpack(&s, &blob, (const uint8_t *)data, count * 2);
    check_products(&s, &blob);
    free(blob.bytes), free(data);
}

int main(void) {
    api = test_load();
    for (int i = 0; i < 2; i++) {
        tenon_error error = {.struct_size = sizeof error};
        const tenon_context_options options = {
            .struct_size = sizeof options, .n_threads = 1 + 2 * i, .log_level = -1};
        CHECK(!api->context_create(&options, &contexts[i], &error), "%s", error.text);
    }
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++)
        for (int64_t experts = 0; experts <= 2; experts += 2) {
            group_fixture f;
            if (experts && specs[i].act_order) continue;
            group_make(&f, &specs[i], experts, 40, 384);
            const packed_subject s = subject_of_weight(&f.w);
            packed_blob blob;
            pack_both(&s, &blob);
            check_unpack(&s, &blob, f.part[0], f.part_bytes[0]);
            if (strcmp(s.name, "gptq g128")) check_products(&s, &blob);
            free(blob.bytes), group_free(&f);
        }
    check_strides(1024, 1);
    check_strides(1030, 1);
    check_strides(1, 300);
    for (int i = 0; i < 2; i++) api->context_destroy(contexts[i]);
    return test_report();
}
