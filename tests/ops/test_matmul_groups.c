/* SPDX-License-Identifier: Apache-2.0 */
/* Every panel kernel of matmul with weights whose scales and zero points lie beside them: all
 * packings of int4, int8, MXFP4; odd sizes; packed weights unpacked bit for bit. */
#include "group_fixture.h"
#include "matmul_check.h"
#include "row_names.h"

#define F(name) TENON_FORMAT_##name
static const group_spec specs[] = {
    {"mxfp4", F(MXFP4), 32, 0, S_E8M0, Z_NONE, 0, 0},
    {"int4 g32 f16", F(INT4), 32, 0, S_F16, Z_NONE, 0, 0},
    {"int4 g64 bf16", F(INT4), 64, 0, S_BF16, Z_NONE, 0, 0},
    {"int4 g96 f32", F(INT4), 96, 0, S_F32, Z_NONE, 0, 0},
    {"int4 g128 u8 zero", F(INT4), 128, 0, S_F16, Z_U8, 0, 0},
    {"int4 g64 f32 zero", F(INT4), 64, 0, S_BF16, Z_F32, 0, 0},
    {"int4 channel", F(INT4), -1, 0, S_BF16, Z_NONE, 0, 0},
    {"gptq g128", F(INT4_GPTQ), 128, 0, S_F16, Z_PACKED, 0, 0},
    {"gptq g32 sym", F(INT4_GPTQ), 32, 0, S_F16, Z_NONE, 0, 0},
    {"gptq v2 g64 bf16", F(INT4_GPTQ_V2), 64, 0, S_BF16, Z_PACKED, 0, 0},
    {"gptq f32", F(INT4_GPTQ), 64, 0, S_F32, Z_PACKED, 0, 0},
    {"awq g128", F(INT4_AWQ), 128, 0, S_F16, Z_PACKED, 0, 0},
    {"awq g32", F(INT4_AWQ), 32, 0, S_F16, Z_PACKED, 0, 0},
    {"awq g64 sym", F(INT4_AWQ), 64, 0, S_BF16, Z_NONE, 0, 0},
    {"ct4 g32", F(INT4_CT), 32, 0, S_BF16, Z_NONE, 0, 0},
    {"ct4 g128 zero", F(INT4_CT), 128, 0, S_BF16, Z_PACKED, 0, 0},
    {"ct4 channel", F(INT4_CT), -1, 0, S_F16, Z_NONE, 0, 0},
    {"ct8 g128", F(INT8_CT), 128, 0, S_BF16, Z_NONE, 0, 0},
    {"ct8 channel zero", F(INT8_CT), -1, 0, S_BF16, Z_PACKED, 0, 0},
    {"int8 channel f32", F(INT8), -1, 0, S_F32, Z_NONE, 0, 0},
    {"int8 channel bf16", F(INT8), -1, 0, S_BF16, Z_NONE, 0, 0},
    {"int8 g32 f16", F(INT8), 32, 0, S_F16, Z_NONE, 0, 0},
    {"int8 g128 i32 zero", F(INT8), 128, 0, S_F32, Z_I32, 0, 0},
    {"int8 tensor", F(INT8), -1, -1, S_F32, Z_NONE, 0, 0},
    {"uint8 g64 u8 zero", F(INT8), 64, 0, S_F16, Z_U8, 1, 0},
    {"gptq act-order g128", F(INT4_GPTQ), 128, 0, S_F16, Z_PACKED, 0, 1},
    {"gptq act-order g32 sym", F(INT4_GPTQ_V2), 32, 0, S_BF16, Z_NONE, 0, 1},
    {"gptq act-order f32", F(INT4_GPTQ), 64, 0, S_F32, Z_PACKED, 0, 1},
    {"ct4 act-order", F(INT4_CT), 64, 0, S_BF16, Z_PACKED, 0, 1},
    {"uint8 channel", F(INT8), -1, 0, S_F16, Z_NONE, 1, 0},
};

static const char *const kernels[] = {ROWS_INT8_AND_FLOAT("matmul")};

static void check_unpack(tenon_context *context, group_fixture *f) {
    tenon_error error = {.struct_size = sizeof error};
    group_fixture back = *f;
    weight_fixture *w = &f->w;
    test_tensor *tensor[4] = {&back.w.tensor, &back.scale, &back.zero, &back.index};
    for (int i = 0; i < 4; i++) {
        if (!f->part[i]) continue;
        back.part[i] = malloc(f->part_bytes[i] + 1);
        memset(back.part[i], 0x5a, f->part_bytes[i] + 1);
        tensor[i]->view.data = back.part[i];
        tensor[i]->view.shape = tensor[i]->shape, tensor[i]->view.strides = tensor[i]->strides;
    }
    if (f->part[1]) back.w.quant.scale = &back.scale.view;
    if (f->part[2]) back.w.quant.zero_point = &back.zero.view;
    if (f->part[3]) back.w.quant.group_index = &back.index.view;
    tenon_unpack_weights_args a = {.struct_size = sizeof a,
                                   .blob = &w->blob_tensor.view,
                                   .w = &back.w.tensor.view,
                                   .w_quant = &back.w.quant};
    tenon_plan *plan = NULL;
    CHECK(tenon_unpack_weights_plan(api, context, &a, NULL, &plan, &error) == TENON_OK, "%s: %s",
          w->name, error.text);
    if (plan) {
        tenon_query query = {.struct_size = sizeof query};
        api->plan_query(plan, &query, &error);
        CHECK(!strcmp(query.kernel, "cpu_unpack_weights_panel"), "%s: %s", w->name, query.kernel);
        CHECK(tenon_unpack_weights_run(api, plan, &a, &error) == TENON_OK, "%s", error.text);
        for (int i = 0; i < 4; i++) {
            if (!f->part[i]) continue;
            CHECK(!memcmp(back.part[i], f->part[i], f->part_bytes[i]) &&
                      back.part[i][f->part_bytes[i]] == 0x5a,
                  "%s: part %d differs after unpacking", w->name, i);
        }
        uint64_t
            blob_bytes; /* as the header says: ordered columns may need less than was planned */
        memcpy(&blob_bytes, w->blob + 32, 8);
        const uint64_t at = blob_bytes - 1;
        w->blob[at] ^= 4;
        CHECK(tenon_unpack_weights_run(api, plan, &a, &error) == TENON_STATUS_CORRUPT,
              "a flipped bit was not seen: %s", error.text);
        w->blob[at] ^= 4;
    }
    api->plan_destroy(plan);
    for (int i = 0; i < 4; i++)
        if (f->part[i]) free(back.part[i]);
}

/* No reference where there is a vectorised kernel. */
static void check_taken(tenon_context *context, const group_fixture *f) {
    tenon_error error = {.struct_size = sizeof error};
    tenon_query query = {.struct_size = sizeof query};
    test_tensor ta, tout;
    const tenon_matmul_args a = {.struct_size = sizeof a,
                                 .a = test_view(&ta, NULL, kDLFloat, 32, SHAPE(4, f->w.k)),
                                 .w = &f->w.tensor.view,
                                 .w_quant = &f->w.quant,
                                 .out = test_view(&tout, NULL, kDLFloat, 32, SHAPE(4, f->w.n))};
    CHECK(api->query(context, TENON_OP_MATMUL, &a, NULL, &query, &error) == TENON_OK &&
              !strncmp(query.kernel, "cpu_matmul_int8", 15),
          "%s: %s %s", f->w.name, query.kernel, error.text);
}

/* Any index may stand in a checkpoint: groups of any size, and columns without a group, which are
 * NaN and so is every result. */
static void check_hostile_index(tenon_context *const contexts[2], const group_spec *spec,
                                int invalid) {
    static const int32_t outside[] = {-1, INT32_MIN, INT32_MAX, 1 << 20};
    group_fixture f;
    problem p;
    float out[5 * 44];
    group_make(&f, spec, 0, 44, 320);
    for (int64_t c = 0; c < f.w.k; c++) {
        const uint64_t r = test_random() >> 20;
        int32_t g = r % 3 ? (int32_t)(r / 3 % (uint64_t)f.groups) : 1;
        if (invalid && r % 7 == 0) g = outside[r / 7 % 4];
        memcpy(f.part[3] + 4 * c, &g, 4);
    }
    group_values(&f);
    weight_pack(&f.w, api, contexts[1], TENON_COMPUTE_DEFAULT);
    check_unpack(contexts[0], &f);
    for (size_t j = 0; j < sizeof kernels / sizeof *kernels; j++) {
        random_problem(&p, &f.w, 5);
        if (!invalid) {
            compare(contexts, kernels[j], &p);
        } else {
            p.out_type = V_F32, p.out_stride = 44;
            for (int packed = 0; packed < 2; packed++)
                if (!multiply(contexts[0], kernels[j], &p, packed, 0, 5, 5, out))
                    for (int i = 0; i < 5 * 44; i++)
                        CHECK(isnan(out[i]), "%s %s: %g", kernels[j], spec->name, (double)out[i]);
        }
        free_problem(&p);
    }
    group_free(&f);
}

/* int8 activations of the caller, -128 among them, with a scale for each row or for each 128
 * columns: nothing is rounded but f32 sums. */
static void check_given_int8(tenon_context *context, const group_spec *spec, int64_t group) {
    enum { M = 7, N = 45, K = 384 };
    tenon_error error = {.struct_size = sizeof error};
    const int64_t groups = group ? K / group : 1;
    group_fixture f;
    test_tensor ta, ts, tout;
    int8_t *codes = malloc(M * K);
    float scale[M * 3], out[M * N];
    group_make(&f, spec, 0, N, K);
    for (int i = 0; i < M * K; i++) {
        const uint64_t r = test_random() >> 20;
        codes[i] = (int8_t)(r % 5 ? (int)(r % 256) - 128 : -128);
    }
    for (int i = 0; i < M * 3; i++) scale[i] = test_uniform() * 0.01f;
    const tenon_quant quant = {.struct_size = sizeof quant,
                               .format = TENON_FORMAT_INT8,
                               .group_cols = group ? (int32_t)group : -1,
                               .scale = test_view(&ts, scale, kDLFloat, 32, SHAPE(M, groups))};
    tenon_matmul_args a = {.struct_size = sizeof a,
                           .a = test_view(&ta, codes, kDLInt, 8, SHAPE(M, K)),
                           .a_quant = &quant,
                           .w = &f.w.tensor.view,
                           .w_quant = &f.w.quant,
                           .out = test_view(&tout, out, kDLFloat, 32, SHAPE(M, N))};
    for (size_t j = 0; j < sizeof kernels / sizeof *kernels; j++) {
        const tenon_plan_options options = {.struct_size = sizeof options, .kernel = kernels[j]};
        tenon_query query = {.struct_size = sizeof query};
        tenon_plan *plan = NULL;
        if (tenon_matmul_plan(api, context, &a, &options, &plan, &error)) continue;
        api->plan_query(plan, &query, &error);
        a.workspace_bytes = query.workspace_bytes;
        a.workspace = aligned_alloc(64, (size_t)(query.workspace_bytes + 63) / 64 * 64);
        memset(a.workspace, 0xa5, (size_t)query.workspace_bytes);
        memset(out, 0x5a, sizeof out);
        CHECK(tenon_matmul_run(api, plan, &a, &error) == TENON_OK, "%s", error.text);
        free(a.workspace), a.workspace = NULL, a.workspace_bytes = 0;
        api->plan_destroy(plan);
        double worst = 0;
        for (int m = 0; m < M; m++)
            for (int n = 0; n < N; n++) {
                double sum = 0, magnitude = 0;
                for (int k = 0; k < K; k++) {
                    const double x =
                        codes[m * K + k] * (double)scale[m * groups + (group ? k / group : 0)];
                    sum += x * f.w.value[n * K + k], magnitude += fabs(x * f.w.value[n * K + k]);
                }
                const double bound = magnitude * f.w.cancelled * (K + 8) * 0x1p-24 + 1e-7;
                worst = fmax(worst, fabs((double)out[m * N + n] - sum) / bound);
            }
        CHECK(worst <= 1, "%s %s, activations per %d: %.3g of the bound", kernels[j], spec->name,
              (int)group, worst);
    }
    free(codes), group_free(&f);
}

int main(void) {
    static const int64_t sizes[][3] = {{1, 33, 256}, {7, 75, 384}, {13, 8, 128}, {2, 40, 640}};
    tenon_context *contexts[2] = {NULL, NULL};
    tenon_error error = {.struct_size = sizeof error};
    api = test_load();
    for (int i = 0; i < 2; i++) {
        const tenon_context_options options = {
            .struct_size = sizeof options, .n_threads = 1 + 2 * i, .log_level = -1};
        CHECK(api->context_create(&options, &contexts[i], &error) == TENON_OK, "%s", error.text);
    }
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            group_fixture f;
            /* One group for all columns: any number of them. Else the last group may be short. */
            int64_t k = sizes[s][2];
            if (specs[i].group_cols < 0 && s == 1) k -= 27;
            if (specs[i].group_cols > 32 && s == 3) k -= 32;
            group_make(&f, &specs[i], 0, sizes[s][1], k);
            weight_pack(&f.w, api, contexts[s & 1], TENON_COMPUTE_DEFAULT);
            check_unpack(contexts[0], &f);
            check_taken(contexts[0], &f);
            for (size_t j = 0; j < sizeof kernels / sizeof *kernels; j++) {
                problem p;
                random_problem(&p, &f.w, sizes[s][0]);
                compare(contexts, kernels[j], &p);
                free_problem(&p);
            }
            group_free(&f);
        }
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++)
        for (int invalid = 0; invalid < 2 && specs[i].act_order; invalid++)
            check_hostile_index(contexts, &specs[i], invalid);
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++)
        for (int64_t group = 0; group < 256; group += 128)
            check_given_int8(contexts[i & 1], &specs[i], group);
    for (int i = 0; i < 2; i++) api->context_destroy(contexts[i]);
    return test_report();
}
