/* SPDX-License-Identifier: Apache-2.0 */
/* Headers of packed weights with arbitrary fields and a checksum that fits: whatever reads the blob
 * refuses it or answers, and reads nothing outside it. The same where the header changes between
 * plan and run, and where the payload is damaged. */
#include "packed_blob.h"

#include "packed_subject.h"

#define F(name) TENON_FORMAT_##name
static const group_spec specs[] = {
    {"int4 g16", F(INT4), 16, 0, S_F16, Z_U8, 0, 0},
    {"ct8 act-order", F(INT8_CT), 64, 0, S_BF16, Z_PACKED, 0, 1},
    {"int4 g32", F(INT4), 32, 0, S_F16, Z_NONE, 0, 0},
    {"awq g128", F(INT4_AWQ), 128, 0, S_F16, Z_PACKED, 0, 0},
    {"gptq act-order", F(INT4_GPTQ), 64, 0, S_F16, Z_PACKED, 0, 1},
};

static const tenon_api *api;
static tenon_context *context;
static long n_refused, n_answered;

static void change(uint8_t *blob, int64_t count, int payload) {
    static const int64_t values[] = {0, 1, -1, 2, 3, 64, 1 << 20, INT32_MAX, INT64_MAX, INT64_MIN};
    tenon_blob_header header;
    if (payload) {
        for (int64_t i = (int64_t)sizeof header; i < count; i++)
            if (test_random() >> 40 & 1) blob[i] = (uint8_t)(test_random() >> 40);
        return;
    }
    for (uint64_t changes = 1 + (test_random() >> 40) % 3; changes; changes--) {
        const uint64_t r = test_random() >> 20;
        const int64_t value = values[(r >> 8) % (sizeof values / sizeof *values)];
        const size_t at = 32 + r % (sizeof header - 32) / 4 * 4;
        if (r >> 16 & 1)
            memcpy(blob + at, &value, 4);
        else if (r >> 17 & 1)
            memcpy(blob + at / 8 * 8, &value, 8);
        else
            blob[at + (r >> 18) % 4] ^= (uint8_t)(1 << (r >> 20) % 8);
    }
    memcpy(&header, blob, sizeof header);
    header.header_checksum = 0;
    header.header_checksum = tenon_blob_checksum(&header, sizeof header);
    memcpy(blob, &header, sizeof header);
}

/* args: of an operation, with the good blob. */
static void ask(int32_t op, void *args, uint8_t *bytes, const uint8_t *good, const uint8_t *bad,
                size_t count) {
    tenon_error error = {.struct_size = sizeof error};
    for (int after_plan = 0; after_plan < 2; after_plan++) {
        tenon_plan *plan = NULL;
        tenon_query query = {.struct_size = sizeof query};
        tenon_matmul_args *head = args; /* every args struct begins the same */
        memcpy(bytes, after_plan ? good : bad, count);
        int32_t status = api->plan_create(context, op, args, NULL, &plan, &error);
        CHECK(!after_plan || !status, "%s", error.text);
        if (!status) {
            api->plan_query(plan, &query, &error);
            head->workspace_bytes = query.workspace_bytes;
            head->workspace = aligned_alloc(64, (size_t)(query.workspace_bytes + 64) / 64 * 64);
            memcpy(bytes, bad, count);
            status = api->run(plan, args, &error);
            free(head->workspace);
            head->workspace = NULL, head->workspace_bytes = 0;
            api->plan_destroy(plan);
        }
        *(status ? &n_refused : &n_answered) += 1;
    }
}

static void check(const packed_subject *s, int rounds) {
    packed_blob blob;
    pack_subject(api, context, s, NULL, &blob, NULL);
    const size_t count = (size_t)blob.count;
    uint8_t *good = malloc(count), *bad = malloc(count);
    float *x = calloc((size_t)(2 * s->k), 4), *y = malloc((size_t)(s->n * s->k) * 4);
    uint8_t *back = malloc((size_t)(s->n * s->k) * 4);
    int64_t index[2] = {s->n - 1, 0};
    test_tensor ta, to, tx, ti;
    DLTensor w = *s->w;
    w.data = back;
    tenon_matmul_args m = {.struct_size = sizeof m,
                           .a = test_view(&ta, x, kDLFloat, 32, SHAPE(2, s->k)),
                           .w = &blob.tensor.view,
                           .w_quant = &packed_quant,
                           .out = test_view(&to, y, kDLFloat, 32, SHAPE(2, s->n))};
    tenon_dequantize_args d = {.struct_size = sizeof d,
                               .q = &blob.tensor.view,
                               .q_quant = &packed_quant,
                               .row_index = test_view(&ti, index, kDLInt, 64, SHAPE(2)),
                               .x = test_view(&tx, y, kDLFloat, 32, SHAPE(2, s->k))};
    tenon_unpack_weights_args u = {
        .struct_size = sizeof u, .blob = &blob.tensor.view, .w = &w, .w_quant = s->quant};
    memcpy(good, blob.bytes, count);
    for (int i = 0; i < rounds; i++) {
        memcpy(bad, good, count);
        change(bad, blob.count, i % 8 == 0);
        ask(TENON_OP_MATMUL, &m, blob.bytes, good, bad, count);
        ask(TENON_OP_DEQUANTIZE, &d, blob.bytes, good, bad, count);
        ask(TENON_OP_UNPACK_WEIGHTS, &u, blob.bytes, good, bad, count);
    }
    free(good), free(bad), free(x), free(y), free(back), free(blob.bytes);
}

int main(void) {
    api = test_load();
    context = test_context(api);
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        group_fixture f;
        group_make(&f, &specs[i], 0, 40, 256);
        const packed_subject s = subject_of_weight(&f.w);
        check(&s, 250);
        group_free(&f);
    }
    for (int i = 0; i < OPERAND_FORMATS; i++) {
        operand o;
        operand_make(&o, &operand_formats[i], 40, 256);
        const packed_subject s = subject_of_operand(&o);
        check(&s, 60);
        operand_free(&o);
    }
    CHECK(n_refused > 100 && n_answered > 100, "%ld refused, %ld answered", n_refused, n_answered);
    printf("%ld refused, %ld answered\n", n_refused, n_answered);
    api->context_destroy(context);
    return test_report();
}
