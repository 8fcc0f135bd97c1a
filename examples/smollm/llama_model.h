/* SPDX-License-Identifier: Apache-2.0 */
/* What a GGUF file of the llama family says about its model: sizes, and which tensor is which. */
#ifndef SMOLLM_LLAMA_MODEL_H
#define SMOLLM_LLAMA_MODEL_H

#include "gguf_file.h"

typedef struct llama_config {
    int64_t layers, hidden, inter, heads_q, heads_kv, head_dim, vocabulary;
    int64_t max_context; /* positions that the model was trained for */
    float norm_epsilon;
    double rope_base;
} llama_config;

typedef struct llama_tensors {
    const gguf_tensor *attention_norm, *q, *k, *v, *attention_out;
    const gguf_tensor *mlp_norm, *gate, *up, *down;
} llama_tensors;

typedef struct llama_model {
    llama_config config;
    const gguf_tensor *embedding, *head, *final_norm; /* head is embedding where they are tied */
    llama_tensors *layers;
} llama_model;

/* Checks that every tensor is there with the shape that the sizes ask for. The file must outlive
 * the model. */
bool llama_model_read(llama_model *model, const gguf_file *file, host_error *error);
void llama_model_free(llama_model *model);

/* The values of an F32 vector tensor, copied because the file need not align them. NULL on failure.
 */
float *llama_copy_vector(const gguf_tensor *tensor, host_error *error);

#endif
