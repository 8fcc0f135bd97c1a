/* SPDX-License-Identifier: Apache-2.0 */
#define _DEFAULT_SOURCE /* mkstemp */
/* TENON_TRACE: exact lines for problems with strides, descriptors, contents and flags; once each,
 * counted at the end. */
#include <pthread.h>
#include <unistd.h>

#include "abi_case.h"

static const tenon_api *api;
static tenon_error error = {.struct_size = sizeof error};
static char path[] = "tenon_trace_XXXXXX", text[1 << 16];
static void take_nothing(void) {}

static void read_trace(void) {
    FILE *file = fopen(path, "r");
    size_t n = file ? fread(text, 1, sizeof text - 1, file) : 0;
    text[n] = 0;
    if (file) fclose(file);
}

static int count(const char *needle) {
    int n = 0;
    for (const char *p = text; (p = strstr(p, needle)); p++) n++;
    return n;
}

static tenon_context *traced_context(void) {
    tenon_context *context = NULL;
    tenon_context_options options = {
        .struct_size = sizeof options, .trace_path = path, .log_level = TENON_LOG_ERROR};
    CHECK(!api->context_create(&options, &context, &error), "%s", error.text);
    const int32_t ops[] = {TENON_OP_ATTENTION, TENON_OP_MATMUL};
    for (int i = 0; i < 2; i++) {
        tenon_foreign_kernel k = {.struct_size = sizeof k,
                                  .op = ops[i],
                                  .name = "nothing",
                                  .signature = "void()",
                                  .function = take_nothing};
        CHECK(!api->register_kernel(context, &k, &error), "%s", error.text);
    }
    return context;
}

static void run_attention(tenon_context *context, int32_t kv_length) {
    static uint16_t q[3 * 4 * 64], cache[2][8 * 16 * 2 * 64], out[3 * 4 * 64];
    int32_t cu[2] = {0, 3}, lens[1] = {kv_length}, table[2] = {5, 0};
    test_tensor t[7];
    tenon_attention_args a = {.struct_size = sizeof a,
                              .flags = TENON_ATTENTION_CAUSAL | TENON_ATTENTION_LSE_BASE2};
    a.q = test_view(&t[0], q, kDLBfloat, 16, SHAPE(3, 4, 64));
    a.k = test_view(&t[1], cache, kDLBfloat, 16, SHAPE(8, 16, 2, 64));
    a.v = test_view(&t[2], cache[1], kDLBfloat, 16, SHAPE(8, 16, 2, 64));
    /* heads before slots */
    t[1].strides[1] = t[2].strides[1] = 64, t[1].strides[2] = t[2].strides[2] = 16 * 64;
    a.out = test_view(&t[3], out, kDLBfloat, 16, SHAPE(3, 4, 64));
    a.cu_seqlens_q = test_view(&t[4], cu, kDLInt, 32, SHAPE(2));
    a.seq_lens = test_view(&t[5], lens, kDLInt, 32, SHAPE(1));
    a.block_table = test_view(&t[6], table, kDLInt, 32, SHAPE(1, 2));
    a.softmax_scale = 0.1f, a.window_left = -1, a.window_right = -1;
    CHECK(!tenon_attention_call(api, context, &a, &error), "%s", error.text);
}

static void run_matmul(tenon_context *context) {
    static uint8_t w[4 * 36];
    static float a_data[2 * 64], out[2 * 4];
    test_tensor t[3];
    tenon_quant quant = {.struct_size = sizeof quant,
                         .format = TENON_FORMAT_GGUF_Q4_0,
                         .rows = 4,
                         .cols = 64},
                plain = {.struct_size = sizeof plain};
    tenon_matmul_args m = {.struct_size = sizeof m,
                           .w_quant = &quant,
                           .a_quant = &plain,
                           .compute = TENON_COMPUTE_EXACT};
    m.a = test_view(&t[0], a_data, kDLFloat, 32, SHAPE(2, 64));
    m.w = test_view(&t[1], w, kDLUInt, 8, SHAPE(4, 36));
    m.out = test_view(&t[2], out, kDLFloat, 32, SHAPE(2, 4));
    CHECK(!tenon_matmul_call(api, context, &m, &error), "%s", error.text);
}

static void *run_merge_often(void *context) {
    abi_case c;
    for (int i = 0; i < 100; i++) {
        abi_case_make(&c);
        if (tenon_merge_states_call(api, context, &c.args, NULL)) return context;
    }
    return NULL;
}

int main(void) {
    api = test_load();
    int made = mkstemp(path);
    CHECK(made >= 0, "mkstemp");
    close(made);
    tenon_context *context = traced_context();
    run_attention(context, 20);
    run_attention(context, 21);
    run_attention(context, 20);
    run_matmul(context);
    pthread_t threads[8];
    for (int i = 0; i < 8; i++) pthread_create(&threads[i], NULL, run_merge_often, context);
    for (int i = 0; i < 8; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        CHECK(!failed, "thread %d", i);
    }
    read_trace();
    CHECK(count("# runs=") == 0, "counts come at the end");
    api->context_destroy(context);
    read_trace();
    static const char attention[] =
        "attention q=bf16[3,4,64] k=bf16[8,16,2,64]:(2048,64,1024,1) "
        "v=bf16[8,16,2,64]:(2048,64,1024,1) out=bf16[3,4,64] cu_seqlens_q=i32[2]{0,3} "
        "seq_lens=i32[1]{20} block_table=i32[1,2]{5,0} softmax_scale=0.100000001 window_left=-1 "
        "window_right=-1 flags=CAUSAL|LSE_BASE2 # id=";
    CHECK(!strncmp(text, attention, sizeof attention - 1), "%s", text);
    CHECK(count("seq_lens=i32[1]{20}") == 1 && count("seq_lens=i32[1]{21}") == 1, "%s", text);
    CHECK(count("\nmatmul a=f32[2,64] a_quant.format=NONE w=u8[4,36] w_quant.format=GGUF_Q4_0 "
                "w_quant.rows=4 w_quant.cols=64 out=f32[2,4] compute=EXACT # id=") == 1,
          "%s", text);
    CHECK(count("\nmerge_states partial_out=f32[2,4,2,3] partial_lse=f32[2,4,2] out=f32[4,2,3] "
                "lse=f32[4,2] # id=") == 1,
          "%s", text);
    CHECK(count("\n# runs=2 id=") == 1 && count("\n# runs=800 id=") == 1 && count("# runs=") == 2,
          "%s", text);
    char id[32];
    memcpy(id, strstr(text, "# id=") + 2, 19);
    id[19] = 0;
    CHECK(count(id) == 2, "the count names the id %s of its problem", id);
    /* A run that is refused is not a problem that ran; a second context appends. */
    size_t before = strlen(text);
    context = traced_context();
    abi_case c;
    abi_case_make(&c);
    c.args.flags = 0x40;
    CHECK(tenon_merge_states_call(api, context, &c.args, &error) == TENON_STATUS_INVALID_ARGUMENT,
          "%s", error.text);
    api->context_destroy(context);
    read_trace();
    CHECK(strlen(text) == before, "%s", text + before);
    remove(path);

    tenon_context_options options = {.struct_size = sizeof options,
                                     .trace_path = "/nonexistent/folder/trace"};
    context = NULL;
    CHECK(api->context_create(&options, &context, &error) == TENON_STATUS_INVALID_ARGUMENT &&
              strstr(error.text, "/nonexistent/folder/trace") && !context,
          "%s", error.text);
    return test_report();
}
