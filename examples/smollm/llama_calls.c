/* SPDX-License-Identifier: Apache-2.0 */
#include "llama_calls.h"

/* Keys, values and queries stay where the stacked matmul wrote them: each is a view with the row
 * stride of all three. */
static const DLTensor *view_heads(tensor_view *view, const llama_session *session, int32_t count,
                                  int64_t first_head, int64_t heads) {
    const llama_config *config = &session->config;
    const int64_t all_heads = config->heads_q + 2 * config->heads_kv;
    view_3d(view, session->qkv + first_head * config->head_dim, type_f32, count, heads,
            config->head_dim);
    view->strides[0] = all_heads * config->head_dim;
    return &view->tensor;
}

typedef struct embed_call {
    tenon_dequantize_args args;
    tensor_view table, ids, x;
    tenon_quant quant;
} embed_call;

static bool fill_embed(embed_call *call, const llama_session *session, const int32_t *ids,
                       int32_t count, host_error *error) {
    if (!view_gguf_tensor(&call->table, &call->quant, session->embedding, session->embedding->data,
                          session->config.vocabulary, error)) {
        return false;
    }
    call->args = (tenon_dequantize_args){
        .struct_size = sizeof call->args,
        .q = &call->table.tensor,
        .q_quant = &call->quant,
        .row_index = view_1d(&call->ids, ids, type_i32, count),
        .x = view_2d(&call->x, session->x, type_f32, count, session->config.hidden)};
    return true;
}

typedef struct append_call {
    tenon_kv_append_args args;
    tensor_view key, value, keys, values, slots;
} append_call;

static void fill_append(append_call *call, const llama_session *session, int64_t layer,
                        int32_t count) {
    static const DLDataType type_i64 = {kDLInt, 64, 1};
    const llama_config *config = &session->config;
    paged_cache_views(&session->cache, layer, &call->keys, &call->values);
    call->args = (tenon_kv_append_args){
        .struct_size = sizeof call->args,
        .key = view_heads(&call->key, session, count, config->heads_q, config->heads_kv),
        .value = view_heads(&call->value, session, count, config->heads_q + config->heads_kv,
                            config->heads_kv),
        .k = &call->keys.tensor,
        .v = &call->values.tensor,
        .slot_mapping = view_1d(&call->slots, session->slots, type_i64, count)};
    if (session->cache.native) {
        call->args.flags |= TENON_KV_APPEND_NATIVE_CACHE;
        call->args.page_size = session->cache.page_size;
        call->args.n_pages = session->cache.page_count;
    }
}

typedef struct attend_call {
    tenon_attention_args args;
    tensor_view q, keys, values, out, cu_seqlens, seq_lens, block_table;
} attend_call;

static void fill_attend(attend_call *call, const llama_session *session, int64_t layer,
                        int32_t count) {
    const llama_config *config = &session->config;
    const paged_cache *cache = &session->cache;
    paged_cache_views(cache, layer, &call->keys, &call->values);
    call->args = (tenon_attention_args){
        .struct_size = sizeof call->args,
        .flags = TENON_ATTENTION_CAUSAL,
        .q = view_heads(&call->q, session, count, 0, config->heads_q),
        .k = &call->keys.tensor,
        .v = &call->values.tensor,
        .out = view_3d(&call->out, session->attended, type_f32, count, config->heads_q,
                       config->head_dim),
        .cu_seqlens_q = view_1d(&call->cu_seqlens, session->cu_seqlens, type_i32, 2),
        .seq_lens = view_1d(&call->seq_lens, session->seq_lens, type_i32, 1),
        .block_table =
            view_2d(&call->block_table, cache->block_table, type_i32, 1, cache->page_count),
        .window_left = -1,
        .window_right = -1,
        .max_kv_len = session->options.max_length};
    if (cache->native) {
        call->args.flags |= TENON_ATTENTION_NATIVE_CACHE;
        call->args.page_size = cache->page_size;
        call->args.n_kv_heads = (int32_t)cache->heads_kv;
    }
}

bool llama_size_native_cache(const tenon_library *library, llama_session *session,
                             host_error *error) {
    append_call call;
    tenon_error reason = {.struct_size = sizeof reason};
    tenon_query answer = {.struct_size = sizeof answer};
    fill_append(&call, session, 0, 1);
    if (library->api->query(library->context, TENON_OP_KV_APPEND, &call.args, NULL, &answer,
                            &reason) != TENON_OK) {
        return host_fail(error, "native cache: %s", reason.text);
    }
    if (answer.status != TENON_OK) return host_fail(error, "native cache: %s", answer.reason);
    session->cache.half_bytes = (size_t)answer.output_bytes;
    return true;
}

static bool plan_for(tenon_library *library, llama_session *session, session_plans *plans,
                     int32_t count, host_error *error) {
    embed_call embed;
    append_call append;
    attend_call attend;
    if (!fill_embed(&embed, session, NULL, count, error)) return false;
    fill_append(&append, session, 0, count);
    fill_attend(&attend, session, 0, count);
    return plan_call(library, &plans->embed, "embed", TENON_OP_DEQUANTIZE, &embed.args, error) &&
           plan_call(library, &plans->append, "kv_append", TENON_OP_KV_APPEND, &append.args,
                     error) &&
           plan_call(library, &plans->attend, "attention", TENON_OP_ATTENTION, &attend.args, error);
}

bool llama_plan_calls(tenon_library *library, llama_session *session, host_error *error) {
    return plan_for(library, session, &session->decode, 1, error) &&
           plan_for(library, session, &session->chunk, session->options.chunk, error);
}

bool llama_embed(tenon_library *library, llama_session *session, const int32_t *ids, int32_t count,
                 host_error *error) {
    session_plans *plans = count == 1 ? &session->decode : &session->chunk;
    embed_call call;
    return fill_embed(&call, session, ids, count, error) &&
           run_call(library, &plans->embed, &call.args, error);
}

bool llama_attend(tenon_library *library, llama_session *session, int64_t layer, int32_t count,
                  host_error *error) {
    session_plans *plans = count == 1 ? &session->decode : &session->chunk;
    append_call append;
    attend_call attend;
    fill_append(&append, session, layer, count);
    fill_attend(&attend, session, layer, count);
    return run_call(library, &plans->append, &append.args, error) &&
           run_call(library, &plans->attend, &attend.args, error);
}
