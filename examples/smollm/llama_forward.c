/* SPDX-License-Identifier: Apache-2.0 */
/* The graph of a llama model, read from top to bottom:
 *   x = embedding
 *   each layer:  x += out . attention(rope(q), rope(k), v)   with q, k, v = qkv . norm(x)
 *                x += down . (silu(gate) * up)               with gate, up = gate_up . norm(x)
 *   logits = head . norm(x) */
#include "llama_calls.h"
#include "llama_math.h"

static bool run_mlp(tenon_library *library, llama_session *session, session_layer *layer,
                    int32_t count, host_error *error) {
    if (session->options.moe != MOE_OFF) {
        return moe_mlp_run(library, &layer->moe, &session->moe, session->normed, count,
                           session->delta, error);
    }
    if (!linear_run(library, &layer->gate_up, session->normed, count, session->gate_up, error)) {
        return false;
    }
    silu_times_up(session->activated, session->gate_up, count, session->config.inter);
    return linear_run(library, &layer->down, session->activated, count, session->delta, error);
}

static void rotate_all(llama_session *session, int32_t first_position, int32_t count) {
    const llama_config *config = &session->config;
    const int64_t half = config->head_dim / 2;
    const int64_t row = (config->heads_q + 2 * config->heads_kv) * config->head_dim;
    for (int64_t t = 0; t < count; t++) {
        const int64_t position = first_position + t;
        /* Query heads and key heads follow each other, so one call turns both. */
        rotate_heads(session->qkv + t * row, config->heads_q + config->heads_kv, config->head_dim,
                     session->cosines + position * half, session->sines + position * half);
    }
}

static bool run_layer(tenon_library *library, llama_session *session, int64_t index,
                      int32_t first_position, int32_t count, host_error *error) {
    session_layer *layer = &session->layers[index];
    const llama_config *config = &session->config;
    const int64_t hidden = config->hidden;
    rms_norm(session->normed, session->x, layer->attention_norm, count, hidden,
             config->norm_epsilon);
    if (!linear_run(library, &layer->qkv, session->normed, count, session->qkv, error)) {
        return false;
    }
    rotate_all(session, first_position, count);
    if (!llama_attend(library, session, index, count, error) ||
        !linear_run(library, &layer->attention_out, session->attended, count, session->delta,
                    error)) {
        return false;
    }
    add_to(session->x, session->delta, count * hidden);
    rms_norm(session->normed, session->x, layer->mlp_norm, count, hidden, config->norm_epsilon);
    if (!run_mlp(library, session, layer, count, error)) return false;
    add_to(session->x, session->delta, count * hidden);
    return true;
}

bool llama_session_feed(tenon_library *library, llama_session *session, const int32_t *ids,
                        int32_t count, host_error *error) {
    const int64_t hidden = session->config.hidden;
    int32_t passed = 0, pass = 0;
    for (; passed < count; passed += pass) {
        const int32_t first_position = session->cache.length;
        pass = count - passed;
        if (pass > session->options.chunk) pass = session->options.chunk;
        if (session->options.max_length - first_position < pass) {
            return host_fail(error, "%d tokens after %d do not fit into %d positions", pass,
                             first_position, session->options.max_length);
        }
        if (!paged_cache_extend(&session->cache, pass, session->slots, error)) return false;
        session->seq_lens[0] = session->cache.length;
        session->cu_seqlens[0] = 0;
        session->cu_seqlens[1] = pass;
        if (!llama_embed(library, session, ids + passed, pass, error)) return false;
        for (int64_t layer = 0; layer < session->config.layers; layer++) {
            if (!run_layer(library, session, layer, first_position, pass, error)) return false;
        }
    }
    if (count <= 0) return host_fail(error, "there is no token to feed");
    rms_norm(session->normed, session->x + (pass - 1) * hidden, session->final_norm, 1, hidden,
             session->config.norm_epsilon);
    return linear_run(library, &session->head, session->normed, 1, session->logits, error);
}
