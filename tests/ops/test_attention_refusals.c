/* SPDX-License-Identifier: Apache-2.0 */
/* What the attention family's operations refuse, and whether the text names the field and the
 * values that were wrong. */
#include "test_kernels.h"

static const tenon_api *api;
static tenon_context *context;

static void expect(int32_t op, const void *args, int32_t status, const char *text, int line) {
    tenon_query query = {.struct_size = sizeof query};
    tenon_error error = {.struct_size = sizeof error};
    CHECK(api->query(context, op, args, NULL, &query, &error) == TENON_OK, "line %d: %s", line,
          error.text);
    CHECK(query.status == status && strstr(query.reason, text),
          "line %d: status %d, \"%s\"; expected %d and \"%s\"", line, query.status, query.reason,
          status, text);
}
/* One change to a copy of the good arguments. */
#define REFUSES(op, OP, good, change, text)                                                        \
    do {                                                                                           \
        tenon_##op##_args a = good;                                                                \
        change;                                                                                    \
        expect(TENON_OP_##OP, &a, TENON_STATUS_INVALID_ARGUMENT, text, __LINE__);                  \
    } while (0)

enum { TOKENS = 6, HEADS_Q = 4, HEADS_KV = 2, D = 64, PAGES = 5, PAGE_SIZE = 8, BATCH = 2 };

/* Views without data: query reads none. */
static const DLTensor *view(int code, int bits, int ndim, const int64_t *shape) {
    static test_tensor pool[160];
    static int used;
    if (used == 160) abort();
    return test_view(&pool[used++], NULL, code, bits, ndim, shape);
}
#define BF16(...) view(kDLBfloat, 16, SHAPE(__VA_ARGS__))
#define F32(...)  view(kDLFloat, 32, SHAPE(__VA_ARGS__))
#define U8(...)   view(kDLUInt, 8, SHAPE(__VA_ARGS__))
#define I8(...)   view(kDLInt, 8, SHAPE(__VA_ARGS__))
#define I32(...)  view(kDLInt, 32, SHAPE(__VA_ARGS__))
#define FP8(...)  view(kDLFloat8_e4m3fn, 8, SHAPE(__VA_ARGS__))

static void test_attention(void) {
    tenon_attention_args good = {.struct_size = sizeof good,
                                 .flags = TENON_ATTENTION_CAUSAL,
                                 .q = BF16(TOKENS, HEADS_Q, D),
                                 .k = BF16(PAGES, PAGE_SIZE, HEADS_KV, D),
                                 .v = BF16(PAGES, PAGE_SIZE, HEADS_KV, D),
                                 .out = BF16(TOKENS, HEADS_Q, D),
                                 .cu_seqlens_q = I32(BATCH + 1),
                                 .seq_lens = I32(BATCH),
                                 .block_table = I32(BATCH, 4),
                                 .window_left = -1,
                                 .window_right = -1};
    expect(TENON_OP_ATTENTION, &good, TENON_STATUS_OK, "", __LINE__);
    REFUSES(attention, ATTENTION, good, a.block_table = NULL, "block_table: no page list");
    REFUSES(attention, ATTENTION, good, (a.block_table = NULL, a.page_indptr = I32(BATCH + 1)),
            "no page list");
    REFUSES(attention, ATTENTION, good, (a.page_indptr = I32(BATCH + 1), a.page_indices = I32(9)),
            "give one page list");
    REFUSES(attention, ATTENTION, good, a.q = BF16(TOKENS, 3, D), "heads_q");
    REFUSES(attention, ATTENTION, good, (a.q = BF16(TOKENS, 3, D), a.out = BF16(TOKENS, 3, D)),
            "heads_q=3 is not a multiple of heads_kv=2");
    REFUSES(attention, ATTENTION, good, a.k = BF16(PAGES, PAGE_SIZE, HEADS_KV, 4, 8),
            "multiply to the head dim 64");
    REFUSES(attention, ATTENTION, good, a.k = BF16(PAGES, PAGE_SIZE, HEADS_KV, 32), "k");
    REFUSES(attention, ATTENTION, good, a.page_size = 16,
            "page_size: 16, but k is bf16[5, 8, 2, 64]");
    REFUSES(attention, ATTENTION, good, a.page_size = -8, "page_size");
    REFUSES(attention, ATTENTION, good, a.n_kv_heads = 4, "n_kv_heads: 4, but k has 2");
    REFUSES(attention, ATTENTION, good, a.kv_element = TENON_ELEMENT_E4M3FN, "kv_element");
    REFUSES(attention, ATTENTION, good,
            (a.k = U8(PAGES, PAGE_SIZE, HEADS_KV, D), a.v = U8(PAGES, PAGE_SIZE, HEADS_KV, D)),
            "kv_element: AS_TENSOR");
    REFUSES(attention, ATTENTION, good, a.k_scale = F32(1), "k_scale: is given, but k is bf16");
    REFUSES(attention, ATTENTION, good, a.v_scale = F32(HEADS_KV),
            "v_scale: is given, but v is bf16");
    REFUSES(attention, ATTENTION, good,
            (a.k = I8(PAGES, PAGE_SIZE, HEADS_KV, D), a.v = I8(PAGES, PAGE_SIZE, HEADS_KV, D)),
            "k_scale: is NULL, but k is i8");
    REFUSES(attention, ATTENTION, good,
            (a.k = FP8(PAGES, PAGE_SIZE, HEADS_KV, D), a.k_scale = F32(3)), "k_scale");
    REFUSES(attention, ATTENTION, good,
            (a.k = FP8(PAGES, PAGE_SIZE, HEADS_KV, D), a.k_scale = F32(PAGES, PAGE_SIZE, 1)),
            "k_scale");
    REFUSES(attention, ATTENTION, good, a.q_scale = F32(1), "q_scale: is given, but q is bf16");
    REFUSES(attention, ATTENTION, good, a.softmax_scale = -1, "softmax_scale: -1 is negative");
    REFUSES(attention, ATTENTION, good, a.softcap = -30, "softcap: -30 is negative");
    REFUSES(attention, ATTENTION, good, a.softcap = NAN, "softcap");
    REFUSES(attention, ATTENTION, good, a.window_left = -2, "window_left: -2");
    REFUSES(attention, ATTENTION, good, a.window_right = -7, "window_right: -7");
    REFUSES(attention, ATTENTION, good, a.max_q_len = -1, "max_q_len: -1");
    REFUSES(attention, ATTENTION, good, a.max_kv_len = -1, "max_kv_len: -1");
    REFUSES(attention, ATTENTION, good, (a.max_q_len = 17, a.tree_mask = U8(TOKENS, 2)),
            "tree_mask: 2 bytes in a row, but max_q_len=17 new tokens need 3");
    REFUSES(attention, ATTENTION, good, a.tree_mask = U8(TOKENS, 0), "tree_mask");
    REFUSES(attention, ATTENTION, good, a.flags |= TENON_ATTENTION_NATIVE_CACHE,
            "a native cache is u8[bytes]");
    REFUSES(attention, ATTENTION, good, (a.k = U8(4096), a.v = U8(4096)),
            "NATIVE_CACHE is not set");
    REFUSES(attention, ATTENTION, good,
            (a.flags |= TENON_ATTENTION_NATIVE_CACHE, a.k = U8(4096), a.v = U8(4096)),
            "a native cache needs it");
    REFUSES(
        attention, ATTENTION, good,
        (a.flags |= TENON_ATTENTION_NATIVE_CACHE, a.k = U8(4096), a.v = U8(4096), a.page_size = 16),
        "n_kv_heads: 0, a native cache needs it");
    REFUSES(attention, ATTENTION, good, a.reserved = 1, "reserved=1");
    REFUSES(attention, ATTENTION, good, a.flags |= 1u << 20, "unknown bits");
}

static void test_kv_append(void) {
    tenon_kv_append_args good = {.struct_size = sizeof good,
                                 .key = BF16(TOKENS, HEADS_KV, D),
                                 .value = BF16(TOKENS, HEADS_KV, D),
                                 .k = FP8(PAGES, PAGE_SIZE, HEADS_KV, D),
                                 .v = FP8(PAGES, PAGE_SIZE, HEADS_KV, D),
                                 .slot_mapping = I32(TOKENS)};
    expect(TENON_OP_KV_APPEND, &good, TENON_STATUS_OK, "", __LINE__);
    REFUSES(kv_append, KV_APPEND, good, a.n_pages = 6, "n_pages: 6, but k has 5");
    REFUSES(kv_append, KV_APPEND, good, a.flags |= TENON_KV_APPEND_DYNAMIC_SCALE,
            "k_scale: DYNAMIC_SCALE writes it");
    REFUSES(kv_append, KV_APPEND, good,
            (a.flags |= TENON_KV_APPEND_DYNAMIC_SCALE, a.k_scale = F32(1), a.v_scale = F32(1)),
            "[pages, page_size, heads_kv]");
    REFUSES(kv_append, KV_APPEND, good,
            (a.flags |= TENON_KV_APPEND_DYNAMIC_SCALE, a.k_scale = F32(PAGES, PAGE_SIZE, HEADS_KV)),
            "v_scale: DYNAMIC_SCALE");
    REFUSES(kv_append, KV_APPEND, good,
            (a.flags |= TENON_KV_APPEND_DYNAMIC_SCALE, a.k = BF16(PAGES, PAGE_SIZE, HEADS_KV, D)),
            "k: bf16: DYNAMIC_SCALE is for");
    REFUSES(kv_append, KV_APPEND, good,
            (a.v = BF16(PAGES, PAGE_SIZE, HEADS_KV, D), a.v_scale = F32(1)),
            "v_scale: is given, but v is bf16");
    REFUSES(kv_append, KV_APPEND, good, a.key = BF16(TOKENS, HEADS_KV, 32), "d_qk");
    REFUSES(kv_append, KV_APPEND, good, a.slot_mapping = I32(TOKENS + 1), "slot_mapping");
}

static void test_kv_gather(void) {
    tenon_kv_gather_args good = {.struct_size = sizeof good,
                                 .k = BF16(PAGES, PAGE_SIZE, HEADS_KV, D),
                                 .v = BF16(PAGES, PAGE_SIZE, HEADS_KV, D),
                                 .key = BF16(TOKENS, HEADS_KV, D),
                                 .value = BF16(TOKENS, HEADS_KV, D),
                                 .cu_rows = I32(BATCH + 1),
                                 .block_table = I32(BATCH, 4)};
    expect(TENON_OP_KV_GATHER, &good, TENON_STATUS_OK, "", __LINE__);
    REFUSES(kv_gather, KV_GATHER, good, a.block_table = NULL, "no page list");
    REFUSES(kv_gather, KV_GATHER, good, (a.page_indptr = I32(BATCH + 1), a.page_indices = I32(9)),
            "give one page list");
    REFUSES(kv_gather, KV_GATHER, good, a.page_size = 4, "page_size: 4");
    REFUSES(kv_gather, KV_GATHER, good, a.n_pages = 4, "n_pages: 4");
    REFUSES(kv_gather, KV_GATHER, good, a.kv_element = TENON_ELEMENT_E5M2, "kv_element");
    REFUSES(kv_gather, KV_GATHER, good, a.v_scale = F32(1), "v_scale");
}

static void test_mla(void) {
    tenon_mla_attention_args good = {.struct_size = sizeof good,
                                     .flags = TENON_MLA_ATTENTION_CAUSAL,
                                     .q = BF16(TOKENS, HEADS_Q, 576),
                                     .cache = U8(PAGES, PAGE_SIZE, 656),
                                     .out = BF16(TOKENS, HEADS_Q, 512),
                                     .cu_seqlens_q = I32(BATCH + 1),
                                     .seq_lens = I32(BATCH),
                                     .block_table = I32(BATCH, 4),
                                     .cache_format = TENON_MLA_CACHE_FP8_DS,
                                     .softmax_scale = 0.1f};
    expect(TENON_OP_MLA_ATTENTION, &good, TENON_STATUS_OK, "", __LINE__);
    REFUSES(mla_attention, MLA_ATTENTION, good, a.softmax_scale = 0,
            "softmax_scale: 0, must be given");
    REFUSES(mla_attention, MLA_ATTENTION, good, a.kv_scale = F32(1),
            "kv_scale: is given, but an FP8_DS row carries its own");
    REFUSES(mla_attention, MLA_ATTENTION, good, a.kv_element = TENON_ELEMENT_E4M3FN, "kv_element");
    REFUSES(mla_attention, MLA_ATTENTION, good, a.cache = U8(PAGES, PAGE_SIZE, 1, 640),
            "rows of 640");
    REFUSES(mla_attention, MLA_ATTENTION, good,
            (a.q = BF16(TOKENS, HEADS_Q, 320), a.out = BF16(TOKENS, HEADS_Q, 256)),
            "FP8_DS is 512 + 64, but d_latent=256 and d_rope=64");
    REFUSES(mla_attention, MLA_ATTENTION, good, a.cache_format = TENON_MLA_CACHE_PLAIN,
            "rows of 656, expected d_latent=512 + d_rope=64");
    REFUSES(mla_attention, MLA_ATTENTION, good,
            (a.cache_format = TENON_MLA_CACHE_PLAIN, a.cache = U8(PAGES, PAGE_SIZE, 576)),
            "kv_element: 0");
    REFUSES(mla_attention, MLA_ATTENTION, good,
            (a.cache_format = TENON_MLA_CACHE_PLAIN, a.cache = I8(PAGES, PAGE_SIZE, 576)),
            "kv_scale: is NULL");
    REFUSES(mla_attention, MLA_ATTENTION, good, a.out = BF16(TOKENS, HEADS_Q, 600),
            "d_latent=600, expected 1 to d_qk=576");
    REFUSES(mla_attention, MLA_ATTENTION, good, a.block_table = NULL, "no page list");

    tenon_mla_append_args append = {.struct_size = sizeof append,
                                    .kv_c = BF16(TOKENS, 512),
                                    .k_pe = BF16(TOKENS, 1, 64),
                                    .cache = BF16(PAGES, PAGE_SIZE, 1, 576),
                                    .slot_mapping = I32(TOKENS)};
    expect(TENON_OP_MLA_APPEND, &append, TENON_STATUS_OK, "", __LINE__);
    REFUSES(mla_append, MLA_APPEND, append, a.kv_scale = F32(1),
            "kv_scale: is given, but only fp8 and int8");
    REFUSES(mla_append, MLA_APPEND, append, a.k_pe = BF16(TOKENS, 32),
            "rows of 576, expected d_latent=512 + d_rope=32");
    REFUSES(mla_append, MLA_APPEND, append, a.cache_format = TENON_MLA_CACHE_FP8_DS,
            "an FP8_DS row is 656 contiguous u8");
}

int main(void) {
    api = test_load();
    context = test_context(api);
    test_attention();
    test_kv_append();
    test_kv_gather();
    test_mla();
    api->context_destroy(context);
    return test_report();
}
