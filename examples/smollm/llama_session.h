/* SPDX-License-Identifier: Apache-2.0 */
/* A model that is ready to run: weights packed, calls planned, buffers and cache allocated. */
#ifndef SMOLLM_LLAMA_SESSION_H
#define SMOLLM_LLAMA_SESSION_H

#include "linear_layer.h"
#include "llama_model.h"
#include "moe_mlp.h"
#include "paged_cache.h"

typedef struct session_options {
    int32_t max_length; /* prompt and answer together */
    int32_t chunk;      /* prompt tokens in one pass */
    int32_t page_size;  /* tokens in a page of the cache */
    DLDataType kv_type; /* of a strided cache */
    bool kv_native;     /* the cache in the library's own layout */
    int32_t compute;    /* TENON_COMPUTE_* */
    moe_mode moe;
    bool pack_experts;
    uint64_t seed; /* of the routers */
} session_options;

typedef struct session_layer {
    float *attention_norm, *mlp_norm;
    linear_layer qkv, attention_out;
    linear_layer gate_up, down; /* dense */
    moe_mlp moe;                /* otherwise */
} session_layer;

/* The calls that are the same in every layer, once for one token and once for a chunk. */
typedef struct session_plans {
    planned_call embed, append, attend;
} session_plans;

typedef struct llama_session {
    llama_config config;
    session_options options;
    const gguf_tensor *embedding;
    session_layer *layers;
    float *final_norm;
    linear_layer head;
    paged_cache cache;
    session_plans decode, chunk;
    /* [max_length][head_dim / 2] */
    float *cosines, *sines;
    /* Buffers of a pass, [chunk][..] except logits. */
    int64_t *slots;
    float *x, *normed, *qkv, *attended, *gate_up, *activated, *delta, *logits;
    int32_t seq_lens[1], cu_seqlens[2];
    moe_buffers moe;
} llama_session;

/* The model's file must stay open. *session must be freed on failure too. */
bool llama_session_create(tenon_library *library, llama_session *session, const llama_model *model,
                          const session_options *options, host_error *error);
void llama_session_free(const tenon_library *library, llama_session *session);

/* Appends tokens to the sequence, in passes of at most options.chunk; ids must be below the size of
 * the vocabulary. On success session->logits belongs to the last token. */
bool llama_session_feed(tenon_library *library, llama_session *session, const int32_t *ids,
                        int32_t count, host_error *error);

/* Calls visit for each plan of the session, layer after layer. */
void llama_session_each_plan(const llama_session *session,
                             void (*visit)(void *user, const planned_call *call), void *user);

#endif
