/* SPDX-License-Identifier: Apache-2.0 */
#include "llama_session.h"

#include <math.h>
#include <stdlib.h>

#include "llama_calls.h"

static bool allocate_buffers(llama_session *session, host_error *error) {
    const llama_config *config = &session->config;
    const size_t tokens = (size_t)session->options.chunk;
    const size_t q_cols = (size_t)(config->heads_q * config->head_dim);
    const size_t kv_cols = (size_t)(config->heads_kv * config->head_dim);
    const size_t hidden = (size_t)config->hidden, inter = (size_t)config->inter;
    const size_t angles = (size_t)session->options.max_length * (size_t)config->head_dim / 2;
    session->slots = calloc(tokens, sizeof *session->slots);
    const struct {
        float **out;
        size_t count;
    } wanted[] = {
        {&session->cosines, angles},
        {&session->sines, angles},
        {&session->x, tokens * hidden},
        {&session->normed, tokens * hidden},
        {&session->qkv, tokens * (q_cols + 2 * kv_cols)},
        {&session->attended, tokens * q_cols},
        {&session->gate_up, tokens * 2 * inter},
        {&session->activated, tokens * inter},
        {&session->delta, tokens * hidden},
        {&session->logits, (size_t)config->vocabulary},
    };
    bool done = session->slots != NULL;
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        *wanted[i].out = aligned_alloc(64, (wanted[i].count * sizeof(float) + 63) / 64 * 64);
        done = done && *wanted[i].out;
    }
    return done || host_fail(error, "out of memory for %zu tokens in one pass", tokens);
}

static void fill_angles(llama_session *session) {
    const int64_t half = session->config.head_dim / 2;
    for (int64_t i = 0; i < half; i++) {
        const double frequency = pow(session->config.rope_base, -(double)i / (double)half);
        for (int64_t position = 0; position < session->options.max_length; position++) {
            session->cosines[position * half + i] = (float)cos((double)position * frequency);
            session->sines[position * half + i] = (float)sin((double)position * frequency);
        }
    }
}

static bool create_layer(tenon_library *library, llama_session *session, session_layer *layer,
                         const llama_tensors *tensors, uint64_t index, host_error *error) {
    const int64_t rotary = session->config.head_dim, chunk = session->options.chunk;
    const int32_t compute = session->options.compute;
    const weight_part qkv[] = {{tensors->q, rotary}, {tensors->k, rotary}, {tensors->v, 0}};
    const weight_part gate_up[] = {{tensors->gate, 0}, {tensors->up, 0}};
    const weight_part attention_out = {tensors->attention_out, 0}, down = {tensors->down, 0};
    layer->attention_norm = llama_copy_vector(tensors->attention_norm, error);
    layer->mlp_norm = llama_copy_vector(tensors->mlp_norm, error);
    if (!layer->attention_norm || !layer->mlp_norm ||
        !linear_create(library, &layer->qkv, "qkv", qkv, 3, compute, chunk, error) ||
        !linear_create(library, &layer->attention_out, "attention_out", &attention_out, 1, compute,
                       chunk, error)) {
        return false;
    }
    if (session->options.moe != MOE_OFF) {
        const moe_options moe = {session->options.moe, session->options.pack_experts, compute};
        return moe_mlp_create(library, &layer->moe, &moe, &session->moe, &session->config, tensors,
                              chunk, session->options.seed + index, error);
    }
    return linear_create(library, &layer->gate_up, "gate_up", gate_up, 2, compute, chunk, error) &&
           linear_create(library, &layer->down, "down", &down, 1, compute, chunk, error);
}

bool llama_session_create(tenon_library *library, llama_session *session, const llama_model *model,
                          const session_options *options, host_error *error) {
    *session = (llama_session){
        .config = model->config, .options = *options, .embedding = model->embedding};
    const llama_config *config = &session->config;
    const weight_part head = {model->head, 0};
    paged_cache_describe(&session->cache, config->layers, config->heads_kv, config->head_dim,
                         options->kv_type, options->kv_native, options->page_size,
                         options->max_length);
    if (!allocate_buffers(session, error) ||
        (options->kv_native && !llama_size_native_cache(library, session, error)) ||
        !paged_cache_allocate(&session->cache, error) ||
        (options->moe != MOE_OFF &&
         !moe_buffers_create(&session->moe, config, options->chunk, error))) {
        return false;
    }
    fill_angles(session);
    session->layers = calloc((size_t)config->layers, sizeof *session->layers);
    if (!session->layers) return host_fail(error, "out of memory for the layers");
    for (int64_t i = 0; i < config->layers; i++) {
        if (!create_layer(library, session, &session->layers[i], &model->layers[i], (uint64_t)i,
                          error)) {
            return false;
        }
    }
    session->final_norm = llama_copy_vector(model->final_norm, error);
    /* Only the last token's logits are wanted, so the head never sees more than one row. */
    return session->final_norm &&
           linear_create(library, &session->head, "head", &head, 1, options->compute, 1, error) &&
           llama_plan_calls(library, session, error) && tenon_library_reserve(library, error);
}

static void free_plans(const tenon_library *library, session_plans *plans) {
    planned_call_free(library, &plans->embed);
    planned_call_free(library, &plans->append);
    planned_call_free(library, &plans->attend);
}

void llama_session_free(const tenon_library *library, llama_session *session) {
    for (int64_t i = 0; session->layers && i < session->config.layers; i++) {
        session_layer *layer = &session->layers[i];
        free(layer->attention_norm);
        free(layer->mlp_norm);
        linear_free(library, &layer->qkv);
        linear_free(library, &layer->attention_out);
        linear_free(library, &layer->gate_up);
        linear_free(library, &layer->down);
        moe_mlp_free(library, &layer->moe);
    }
    free(session->layers);
    free(session->final_norm);
    linear_free(library, &session->head);
    paged_cache_free(&session->cache);
    free_plans(library, &session->decode);
    free_plans(library, &session->chunk);
    float *buffers[] = {session->cosines, session->sines,    session->x,       session->normed,
                        session->qkv,     session->attended, session->gate_up, session->activated,
                        session->delta,   session->logits};
    for (size_t i = 0; i < sizeof buffers / sizeof buffers[0]; i++) free(buffers[i]);
    free(session->slots);
    moe_buffers_free(&session->moe);
    *session = (llama_session){0};
}

typedef void (*plan_visitor)(void *user, const planned_call *call);

static void visit_linear(const linear_layer *layer, plan_visitor visit, void *user) {
    for (int p = 0; p < layer->piece_count; p++) {
        visit(user, &layer->pieces[p].decode);
        visit(user, &layer->pieces[p].chunk);
    }
}

static void visit_moe(const moe_plans *plans, plan_visitor visit, void *user) {
    const planned_call *calls[] = {&plans->router,  &plans->route, &plans->dispatch,
                                   &plans->gate_up, &plans->down,  &plans->combine,
                                   &plans->fused};
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        if (calls[i]->plan) visit(user, calls[i]);
    }
}

static void visit_shared(const session_plans *plans, plan_visitor visit, void *user) {
    visit(user, &plans->embed);
    visit(user, &plans->append);
    visit(user, &plans->attend);
}

void llama_session_each_plan(const llama_session *session,
                             void (*visit)(void *user, const planned_call *call), void *user) {
    visit_shared(&session->decode, visit, user);
    visit_shared(&session->chunk, visit, user);
    for (int64_t i = 0; i < session->config.layers; i++) {
        const session_layer *layer = &session->layers[i];
        visit_linear(&layer->qkv, visit, user);
        visit_linear(&layer->attention_out, visit, user);
        visit_linear(&layer->gate_up, visit, user);
        visit_linear(&layer->down, visit, user);
        visit_moe(&layer->moe.decode, visit, user);
        visit_moe(&layer->moe.chunk, visit, user);
    }
    visit_linear(&session->head, visit, user);
}
