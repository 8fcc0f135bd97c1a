/* SPDX-License-Identifier: Apache-2.0 */
/* dequantize of packed weights, bit for bit what it gives of the same weights unpacked: every kind
 * of panel, and blobs that keep the checkpoint's tensors; all types of result, rows by index with
 * some out of range, rows that lie apart, experts, one thread and three. */
#include "packed_subject.h"

#define F(name) TENON_FORMAT_##name
static const group_spec specs[] = {
    {"mxfp4", F(MXFP4), 32, 0, S_E8M0, Z_NONE, 0, 0},
    {"int4 g32 f16", F(INT4), 32, 0, S_F16, Z_NONE, 0, 0},
    {"int4 g96 f32", F(INT4), 96, 0, S_F32, Z_NONE, 0, 0},
    {"int4 g128 bf16", F(INT4), 128, 0, S_BF16, Z_NONE, 0, 0},
    {"int4 g128 u8 zero", F(INT4), 128, 0, S_F16, Z_U8, 0, 0},
    {"int4 g64 f32 zero", F(INT4), 64, 0, S_BF16, Z_F32, 0, 0},
    {"gptq g128", F(INT4_GPTQ), 128, 0, S_F16, Z_PACKED, 0, 0},
    {"gptq v2 g64", F(INT4_GPTQ_V2), 64, 0, S_BF16, Z_PACKED, 0, 0},
    {"awq g32", F(INT4_AWQ), 32, 0, S_F16, Z_PACKED, 0, 0},
    {"awq g64 sym", F(INT4_AWQ), 64, 0, S_BF16, Z_NONE, 0, 0},
    {"ct4 channel", F(INT4_CT), -1, 0, S_F16, Z_NONE, 0, 0},
    {"ct8 g128", F(INT8_CT), 128, 0, S_BF16, Z_NONE, 0, 0},
    {"ct8 channel zero", F(INT8_CT), -1, 0, S_BF16, Z_PACKED, 0, 0},
    {"int8 g32 f16", F(INT8), 32, 0, S_F16, Z_NONE, 0, 0},
    {"int8 tensor", F(INT8), -1, -1, S_F32, Z_NONE, 0, 0},
    {"uint8 g64 u8 zero", F(INT8), 64, 0, S_F16, Z_U8, 1, 0},
    {"gptq act-order g128", F(INT4_GPTQ), 128, 0, S_F16, Z_PACKED, 0, 1},
    {"ct4 act-order", F(INT4_CT), 64, 0, S_BF16, Z_PACKED, 0, 1},
    {"int4 g16", F(INT4), 16, 0, S_F16, Z_NONE, 0, 0},
    {"int4 g24 zero", F(INT4), 24, 0, S_BF16, Z_U8, 0, 0},
    {"int8 g16", F(INT8), 16, 0, S_F32, Z_NONE, 0, 0},
    {"ct8 act-order", F(INT8_CT), 64, 0, S_BF16, Z_NONE, 0, 1},
};

static const struct {
    int code, bits;
} types[] = {{kDLFloat, 32}, {kDLFloat, 16}, {kDLBfloat, 16}};

static const tenon_api *api;
static tenon_context *contexts[2];

enum { PICKED = 9, GAP = 5 };

/* Rows of x lie GAP elements apart; what no row of x covers keeps its poison. */
static void dequantize(tenon_context *context, const packed_subject *s, const DLTensor *q,
                       const tenon_quant *quant, int type, const int64_t *picks, uint8_t *out,
                       size_t bytes, tenon_fault *fault, char kernel[96]) {
    tenon_error error = {.struct_size = sizeof error};
    tenon_query query = {.struct_size = sizeof query};
    test_tensor tx, ti;
    const int64_t rows = picks ? PICKED : s->n, step = s->k + GAP;
    tenon_dequantize_args a = {.struct_size = sizeof a, .q = q, .q_quant = quant, .fault = fault};
    memset(out, 0x5a, bytes);
    if (picks) a.row_index = test_view(&ti, (void *)(uintptr_t)picks, kDLInt, 64, SHAPE(PICKED));
    a.x = s->experts ? test_view(&tx, out, types[type].code, types[type].bits,
                                 SHAPE(s->experts, rows, s->k))
                     : test_view(&tx, out, types[type].code, types[type].bits, SHAPE(rows, s->k));
    tx.strides[tx.view.ndim - 2] = step;
    if (s->experts) tx.strides[0] = rows * step;
    CHECK(!api->query(context, TENON_OP_DEQUANTIZE, &a, NULL, &query, &error) && !query.status &&
              !(query.traits & TENON_TRAIT_REFERENCE),
          "%s: %s %s", s->name, query.kernel, query.reason);
    snprintf(kernel, 96, "%s", query.kernel);
    CHECK(!operand_run(api, context, TENON_OP_DEQUANTIZE, NULL, &a, NULL, &error), "%s: %s",
          s->name, error.text);
}

static void compare(const packed_subject *s, const packed_blob *blob, bool panels) {
    const int64_t rows = s->n > PICKED ? s->n : PICKED;
    const size_t bytes = (size_t)((s->experts ? s->experts : 1) * rows * (s->k + GAP) * 4);
    uint8_t *want = malloc(bytes), *got = malloc(bytes);
    int64_t picks[PICKED];
    for (int i = 0; i < PICKED; i++) picks[i] = (int64_t)((test_random() >> 20) % (uint64_t)s->n);
    picks[3] = s->n, picks[6] = -1;
    for (int type = 0; type < 3; type++)
        for (int by_index = 0; by_index < (s->experts ? 1 : 2); by_index++)
            for (int c = 0; c < 2; c++) {
                tenon_fault faults[2] = {{0}, {0}};
                char kernel[96];
                const int64_t *index = by_index ? picks : NULL;
                dequantize(contexts[0], s, s->w, s->quant, type, index, want, bytes, &faults[0],
                           kernel);
                dequantize(contexts[c], s, &blob->tensor.view, &packed_quant, type, index, got,
                           bytes, &faults[1], kernel);
                CHECK(!strcmp(kernel, "cpu_dequantize_packed") == panels, "%s: %s", s->name,
                      kernel);
                CHECK(!memcmp(want, got, bytes),
                      "%s: type %d, by index %d: other bits than unpacked", s->name, type,
                      by_index);
                CHECK(faults[0].code == faults[1].code &&
                          faults[1].code == (by_index ? TENON_FAULT_ROW_OUT_OF_RANGE : 0),
                      "%s: faults %d, %d", s->name, faults[0].code, faults[1].code);
            }
    free(want), free(got);
}

static void pack_and_compare(const packed_subject *s) {
    char packer[96];
    packed_blob blob;
    pack_subject(api, contexts[1], s, NULL, &blob, packer);
    const bool panels = !strcmp(packer, "cpu_pack_weights_panel");
    CHECK(panels || !strcmp(packer, "cpu_pack_weights_kept"), "%s: %s", s->name, packer);
    compare(s, &blob, panels);
    free(blob.bytes);
    if (!panels) return;
    pack_subject(api, contexts[1], s, "cpu_pack_weights_kept", &blob, NULL);
    compare(s, &blob, false);
    free(blob.bytes);
}

int main(void) {
    static const int64_t sizes[][3] = {{0, 33, 384}, {0, 75, 768}, {2, 40, 384}};
    api = test_load();
    for (int i = 0; i < 2; i++) {
        tenon_error error = {.struct_size = sizeof error};
        const tenon_context_options options = {
            .struct_size = sizeof options, .n_threads = 1 + 2 * i, .log_level = -1};
        CHECK(!api->context_create(&options, &contexts[i], &error), "%s", error.text);
    }
    for (size_t z = 0; z < sizeof sizes / sizeof *sizes; z++) {
        const int64_t experts = sizes[z][0], n = sizes[z][1], k = sizes[z][2];
        for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
            group_fixture f;
            if (experts && specs[i].act_order) continue;
            /* One group for all columns: any number of them. */
            group_make(&f, &specs[i], experts, n, specs[i].group_cols < 0 && z == 1 ? k - 27 : k);
            const packed_subject s = subject_of_weight(&f.w);
            pack_and_compare(&s);
            group_free(&f);
        }
        for (int kind = 0; kind < W_KINDS; kind++) {
            weight_fixture w;
            weight_make(&w, (weight_kind)kind, experts, n,
                        kind < W_Q4_0 && z == 1 ? k - 27 : k / 256 * 256);
            const packed_subject s = subject_of_weight(&w);
            pack_and_compare(&s);
            weight_free(&w);
        }
        for (int i = 0; i < OPERAND_FORMATS && !experts; i++) {
            operand o;
            operand_make(&o, &operand_formats[i], n, k);
            const packed_subject s = subject_of_operand(&o);
            pack_and_compare(&s);
            operand_free(&o);
        }
    }
    for (int i = 0; i < 2; i++) api->context_destroy(contexts[i]);
    return test_report();
}
