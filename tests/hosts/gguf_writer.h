/* SPDX-License-Identifier: Apache-2.0 */
/* Writes a small but complete GGUF file into memory, for tests that then break it. */
#ifndef TEST_GGUF_WRITER_H
#define TEST_GGUF_WRITER_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct gguf_writer {
    unsigned char bytes[1 << 16];
    size_t count;
} gguf_writer;

static inline void put_bytes(gguf_writer *w, const void *data, size_t count) {
    if (count > sizeof w->bytes - w->count) abort();
    memcpy(w->bytes + w->count, data, count);
    w->count += count;
}

static inline void put_u32(gguf_writer *w, uint32_t value) {
    put_bytes(w, &value, sizeof value);
}
static inline void put_u64(gguf_writer *w, uint64_t value) {
    put_bytes(w, &value, sizeof value);
}

static inline void put_string(gguf_writer *w, const char *text) {
    put_u64(w, strlen(text));
    put_bytes(w, text, strlen(text));
}

enum { TYPE_U32 = 4, TYPE_I32 = 5, TYPE_F32 = 6, TYPE_STRING = 8, TYPE_ARRAY = 9 };

static inline void put_u32_entry(gguf_writer *w, const char *key, uint32_t value) {
    put_string(w, key);
    put_u32(w, TYPE_U32);
    put_u32(w, value);
}

static inline void put_f32_entry(gguf_writer *w, const char *key, float value) {
    put_string(w, key);
    put_u32(w, TYPE_F32);
    put_bytes(w, &value, sizeof value);
}

static inline void put_string_entry(gguf_writer *w, const char *key, const char *value) {
    put_string(w, key);
    put_u32(w, TYPE_STRING);
    put_string(w, value);
}

static inline void put_array_head(gguf_writer *w, const char *key, uint32_t type, uint64_t count) {
    put_string(w, key);
    put_u32(w, TYPE_ARRAY);
    put_u32(w, type);
    put_u64(w, count);
}

static inline void put_tensor(gguf_writer *w, const char *name, uint64_t cols, uint64_t rows,
                              uint64_t *offset) {
    put_string(w, name);
    put_u32(w, rows ? 2 : 1);
    put_u64(w, cols);
    if (rows) put_u64(w, rows);
    put_u32(w, 0); /* F32 */
    put_u64(w, *offset);
    *offset += cols * (rows ? rows : 1) * 4;
}

enum { TINY_HIDDEN = 16, TINY_INTER = 24, TINY_VOCABULARY = 8 };

/* One layer, two query heads on one KV head; every tensor a multiple of 32 bytes. Answers where the
 * metadata ends and the tensors' data begin. */
static inline size_t write_tiny_model(gguf_writer *w) {
    static const char *const tokens[TINY_VOCABULARY] = {
        "<|end|>", "a", "b", "ab", "1", "\xc4\xa0", "\xc4\xa0\x61", "aba"};
    static const char *const merges[] = {"a b", "\xc4\xa0 a", "ab a"};
    static const float zero;
    uint64_t offset = 0;
    w->count = 0;
    put_bytes(w, "GGUF", 4);
    put_u32(w, 3);
    put_u64(w, 12); /* tensors */
    put_u64(w, 16); /* keys */
    put_string_entry(w, "general.architecture", "llama");
    put_u32_entry(w, "general.alignment", 32);
    put_u32_entry(w, "llama.block_count", 1);
    put_u32_entry(w, "llama.embedding_length", TINY_HIDDEN);
    put_u32_entry(w, "llama.feed_forward_length", TINY_INTER);
    put_u32_entry(w, "llama.attention.head_count", 2);
    put_u32_entry(w, "llama.attention.head_count_kv", 1);
    put_u32_entry(w, "llama.context_length", 64);
    put_f32_entry(w, "llama.rope.freq_base", 10000.0f);
    put_f32_entry(w, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    put_string_entry(w, "tokenizer.ggml.model", "gpt2");
    put_string_entry(w, "tokenizer.ggml.pre", "smollm");
    put_array_head(w, "tokenizer.ggml.tokens", TYPE_STRING, TINY_VOCABULARY);
    for (int i = 0; i < TINY_VOCABULARY; i++) put_string(w, tokens[i]);
    put_array_head(w, "tokenizer.ggml.token_type", TYPE_I32, TINY_VOCABULARY);
    for (int i = 0; i < TINY_VOCABULARY; i++) put_u32(w, i == 0 ? 3 : 1);
    put_array_head(w, "tokenizer.ggml.merges", TYPE_STRING, 3);
    for (int i = 0; i < 3; i++) put_string(w, merges[i]);
    put_u32_entry(w, "tokenizer.ggml.eos_token_id", 0);
    put_tensor(w, "token_embd.weight", TINY_HIDDEN, TINY_VOCABULARY, &offset);
    put_tensor(w, "output_norm.weight", TINY_HIDDEN, 0, &offset);
    put_tensor(w, "blk.0.attn_norm.weight", TINY_HIDDEN, 0, &offset);
    put_tensor(w, "blk.0.attn_q.weight", TINY_HIDDEN, TINY_HIDDEN, &offset);
    put_tensor(w, "blk.0.attn_k.weight", TINY_HIDDEN, TINY_HIDDEN / 2, &offset);
    put_tensor(w, "blk.0.attn_v.weight", TINY_HIDDEN, TINY_HIDDEN / 2, &offset);
    put_tensor(w, "blk.0.attn_output.weight", TINY_HIDDEN, TINY_HIDDEN, &offset);
    put_tensor(w, "blk.0.ffn_norm.weight", TINY_HIDDEN, 0, &offset);
    put_tensor(w, "blk.0.ffn_gate.weight", TINY_HIDDEN, TINY_INTER, &offset);
    put_tensor(w, "blk.0.ffn_up.weight", TINY_HIDDEN, TINY_INTER, &offset);
    put_tensor(w, "blk.0.ffn_down.weight", TINY_INTER, TINY_HIDDEN, &offset);
    put_tensor(w, "unused", TINY_HIDDEN, 0, &offset);
    const size_t metadata_bytes = w->count;
    while (w->count % 32) put_bytes(w, "", 1);
    for (uint64_t i = 0; i < offset / 4; i++) put_bytes(w, &zero, sizeof zero);
    return metadata_bytes;
}

#endif
