/* SPDX-License-Identifier: Apache-2.0 */
#include "llama_model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool read_config(llama_config *config, const gguf_file *file, host_error *error) {
    enum { MANY = 1 << 20 };
    gguf_string architecture;
    double epsilon;
    int64_t rotary_dim;
    if (!gguf_read_string(file, "general.architecture", &architecture, error)) return false;
    if (architecture.length_bytes != 5 || memcmp(architecture.bytes, "llama", 5) != 0) {
        return host_fail(error, "the model's architecture is '%.*s', this host runs 'llama'",
                         architecture.length_bytes > 40 ? 40 : (int)architecture.length_bytes,
                         architecture.bytes);
    }
    if (!gguf_read_integer(file, "llama.block_count", 1, 1000, &config->layers, error) ||
        !gguf_read_integer(file, "llama.embedding_length", 1, MANY, &config->hidden, error) ||
        !gguf_read_integer(file, "llama.feed_forward_length", 1, MANY, &config->inter, error) ||
        !gguf_read_integer(file, "llama.attention.head_count", 1, 4096, &config->heads_q, error) ||
        !gguf_read_integer(file, "llama.attention.head_count_kv", 1, config->heads_q,
                           &config->heads_kv, error) ||
        !gguf_read_integer(file, "llama.context_length", 1, INT32_MAX / 2, &config->max_context,
                           error) ||
        !gguf_read_real(file, "llama.rope.freq_base", &config->rope_base, error) ||
        !gguf_read_real(file, "llama.attention.layer_norm_rms_epsilon", &epsilon, error)) {
        return false;
    }
    config->norm_epsilon = (float)epsilon;
    config->head_dim = config->hidden / config->heads_q;
    rotary_dim = config->head_dim;
    if (gguf_find(file, "llama.rope.dimension_count") &&
        !gguf_read_integer(file, "llama.rope.dimension_count", 1, MANY, &rotary_dim, error)) {
        return false;
    }
    if (config->hidden % config->heads_q || config->heads_q % config->heads_kv ||
        config->head_dim % 2 || rotary_dim != config->head_dim) {
        return host_fail(error,
                         "hidden %lld, %lld query heads, %lld KV heads and %lld rotary dimensions "
                         "do not make whole heads of one even size",
                         (long long)config->hidden, (long long)config->heads_q,
                         (long long)config->heads_kv, (long long)rotary_dim);
    }
    if (!(config->rope_base > 1.0) || !(epsilon > 0.0) || !isfinite(config->rope_base) ||
        !isfinite(epsilon)) {
        return host_fail(error, "rope base %g or norm epsilon %g makes no sense", config->rope_base,
                         epsilon);
    }
    if (gguf_find(file, "llama.rope.scaling.type") || gguf_find_tensor(file, "rope_freqs.weight")) {
        return host_fail(error,
                         "the model scales its rotary frequencies, which this host does not");
    }
    return true;
}

/* rows 0: a vector. */
static bool find_tensor(const gguf_tensor **out, const gguf_file *file, const char *name,
                        int64_t cols, int64_t rows, host_error *error) {
    const gguf_tensor *tensor = gguf_find_tensor(file, name);
    if (!tensor) return host_fail(error, "the file has no tensor '%s'", name);
    const int rank = rows ? 2 : 1;
    if (tensor->dimension_count != rank || tensor->extent[0] != (uint64_t)cols ||
        (rows && tensor->extent[1] != (uint64_t)rows)) {
        return host_fail(error, "tensor '%s' is %llu x %llu, expected %lld x %lld", name,
                         (unsigned long long)tensor->extent[0],
                         (unsigned long long)tensor->extent[1], (long long)cols,
                         (long long)(rows ? rows : 1));
    }
    *out = tensor;
    return true;
}

static bool find_layer(llama_tensors *layer, const llama_config *config, const gguf_file *file,
                       int64_t index, host_error *error) {
    const int64_t q_rows = config->heads_q * config->head_dim;
    const int64_t kv_rows = config->heads_kv * config->head_dim;
    const struct {
        const gguf_tensor **out;
        const char *name;
        int64_t cols, rows;
    } wanted[] = {
        {&layer->attention_norm, "attn_norm", config->hidden, 0},
        {&layer->q, "attn_q", config->hidden, q_rows},
        {&layer->k, "attn_k", config->hidden, kv_rows},
        {&layer->v, "attn_v", config->hidden, kv_rows},
        {&layer->attention_out, "attn_output", q_rows, config->hidden},
        {&layer->mlp_norm, "ffn_norm", config->hidden, 0},
        {&layer->gate, "ffn_gate", config->hidden, config->inter},
        {&layer->up, "ffn_up", config->hidden, config->inter},
        {&layer->down, "ffn_down", config->inter, config->hidden},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        char name[64];
        snprintf(name, sizeof name, "blk.%lld.%s.weight", (long long)index, wanted[i].name);
        if (!find_tensor(wanted[i].out, file, name, wanted[i].cols, wanted[i].rows, error)) {
            return false;
        }
        snprintf(name, sizeof name, "blk.%lld.%s.bias", (long long)index, wanted[i].name);
        if (gguf_find_tensor(file, name)) {
            return host_fail(error, "tensor '%s': this host knows no biases", name);
        }
    }
    return true;
}

bool llama_model_read(llama_model *model, const gguf_file *file, host_error *error) {
    *model = (llama_model){0};
    llama_config *config = &model->config;
    if (!read_config(config, file, error)) return false;
    const gguf_tensor *embedding = gguf_find_tensor(file, "token_embd.weight");
    config->vocabulary = embedding ? (int64_t)embedding->extent[1] : 0;
    if (config->vocabulary < 1 || config->vocabulary > INT32_MAX / 2) {
        return host_fail(error, "the file has no usable token_embd.weight");
    }
    if (!find_tensor(&model->embedding, file, "token_embd.weight", config->hidden,
                     config->vocabulary, error) ||
        !find_tensor(&model->final_norm, file, "output_norm.weight", config->hidden, 0, error)) {
        return false;
    }
    model->head = model->embedding;
    if (gguf_find_tensor(file, "output.weight") &&
        !find_tensor(&model->head, file, "output.weight", config->hidden, config->vocabulary,
                     error)) {
        return false;
    }
    model->layers = calloc((size_t)config->layers, sizeof *model->layers);
    if (!model->layers) return host_fail(error, "out of memory for the list of layers");
    for (int64_t i = 0; i < config->layers; i++) {
        if (!find_layer(&model->layers[i], config, file, i, error)) {
            llama_model_free(model);
            return false;
        }
    }
    return true;
}

void llama_model_free(llama_model *model) {
    free(model->layers);
    *model = (llama_model){0};
}

float *llama_copy_vector(const gguf_tensor *tensor, host_error *error) {
    if (tensor->format != GGUF_F32) {
        host_fail(error, "tensor '%.*s' is %s, expected F32", (int)tensor->name.length_bytes,
                  tensor->name.bytes, gguf_format_name(tensor->format));
        return NULL;
    }
    float *values = malloc(tensor->size_bytes);
    if (!values) {
        host_fail(error, "out of memory for a norm's weights");
        return NULL;
    }
    memcpy(values, tensor->data, tensor->size_bytes);
    return values;
}
