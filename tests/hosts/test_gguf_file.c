/* SPDX-License-Identifier: Apache-2.0 */
/* A GGUF file that is damaged or means harm must end in a sentence: never in a read outside the
 * file. Each variant is parsed from a copy of exactly its size, so that a sanitizer build sees the
 * first byte too many. */
#include "bpe_tokenizer.h"
#include "gguf_writer.h"
#include "llama_model.h"
#include "test_host.h"

/* What a host does with a file: parse, tokenizer, model; then touches all that it was given. True
 * if all of it was accepted. */
static bool load_all(const unsigned char *bytes, size_t size_bytes, host_error *error) {
    unsigned char *copy = malloc(size_bytes ? size_bytes : 1);
    gguf_file file;
    llama_model model;
    bool accepted = false;
    memcpy(copy, bytes, size_bytes);
    strcpy(error->text, "");
    if (gguf_parse(&file, copy, size_bytes, error)) {
        unsigned sum = 0;
        for (size_t i = 0; i < file.tensor_count; i++) {
            sum += file.tensors[i].data[0] + file.tensors[i].data[file.tensors[i].size_bytes - 1];
        }
        bpe_tokenizer *tokenizer = bpe_tokenizer_create(&file, error);
        if (tokenizer) {
            token_list list = {0};
            if (bpe_encode(tokenizer, "aba ab 1<|end|>", 15, BPE_SPECIALS_PARSED, &list, error)) {
                for (size_t i = 0; i < list.count; i++) {
                    sum += (unsigned)bpe_token_bytes(tokenizer, list.ids[i]).length_bytes;
                }
            }
            token_list_free(&list);
        }
        accepted = llama_model_read(&model, &file, error) && tokenizer && sum > 0;
        llama_model_free(&model);
        bpe_tokenizer_destroy(tokenizer);
        gguf_close(&file);
    }
    CHECK(accepted || error->text[0], "refused without a reason");
    free(copy);
    return accepted;
}

static void test_intact(const gguf_writer *good) {
    gguf_file file;
    host_error error = {{0}};
    int64_t value;
    CHECK(load_all(good->bytes, good->count, &error), "%s", error.text);
    CHECK(gguf_parse(&file, good->bytes, good->count, &error), "%s", error.text);
    CHECK(file.entry_count == 16 && file.tensor_count == 12, "%zu keys, %zu tensors",
          file.entry_count, file.tensor_count);
    CHECK(!gguf_read_integer(&file, "llama.block_count", 2, 9, &value, &error) &&
              strstr(error.text, "is 1, outside 2 to 9"),
          "%s", error.text);
    CHECK(!gguf_read_integer(&file, "general.architecture", 0, 9, &value, &error), "a string");
    CHECK(!gguf_read_integer(&file, "missing", 0, 9, &value, &error) &&
              strstr(error.text, "missing"),
          "%s", error.text);
    bpe_tokenizer *tokenizer = bpe_tokenizer_create(&file, &error);
    token_list list = {0};
    CHECK(tokenizer && bpe_encode(tokenizer, "aba ab1", 7, BPE_SPECIALS_AS_TEXT, &list, &error),
          "%s", error.text);
    static const int32_t by_rank[] = {7, 5, 3, 4}; /* aba, " ", ab, 1: "a b" merges before " a" */
    CHECK(list.count == 4 && memcmp(list.ids, by_rank, sizeof by_rank) == 0, "%zu tokens",
          list.count);
    token_list_free(&list);
    bpe_tokenizer_destroy(tokenizer);
    gguf_close(&file);
}

static void test_truncated(const gguf_writer *good) {
    host_error error;
    for (size_t size = 0; size < good->count; size++) {
        CHECK(!load_all(good->bytes, size, &error), "accepted with %zu of %zu bytes", size,
              good->count);
    }
}

/* Not every change is an error; none may be more than that. */
static void test_mutated(const gguf_writer *good, size_t metadata_bytes) {
    static gguf_writer bad;
    static const unsigned char values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
    host_error error;
    int accepted = 0, refused = 0;
    for (size_t at = 0; at < metadata_bytes; at++) {
        for (size_t v = 0; v < sizeof values; v++) {
            bad = *good;
            bad.bytes[at] = values[v];
            if (load_all(bad.bytes, bad.count, &error)) {
                accepted++;
            } else {
                refused++;
            }
        }
    }
    CHECK(refused > accepted / 4, "%d refused, %d accepted", refused, accepted);
}

/* Where a text stands in the metadata, and where it ends. */
static size_t end_of(const gguf_writer *file, const char *text) {
    const size_t length = strlen(text);
    for (size_t at = 0; at + length <= file->count; at++) {
        if (memcmp(file->bytes + at, text, length) == 0) return at + length;
    }
    CHECK(false, "the file has no '%s'", text);
    return 0;
}

static void expect_refusal(const gguf_writer *good, size_t at, uint64_t value, size_t value_bytes,
                           const char *reason) {
    static gguf_writer bad;
    host_error error;
    bad = *good;
    memcpy(bad.bytes + at, &value, value_bytes);
    const bool accepted = load_all(bad.bytes, bad.count, &error);
    CHECK(!accepted && strstr(error.text, reason), "byte %zu = 0x%llx: got '%s', wanted '%s'", at,
          (unsigned long long)value, error.text, reason);
}

static void test_hostile_values(const gguf_writer *good) {
    const size_t alignment = end_of(good, "general.alignment") + 4;
    const size_t tokens = end_of(good, "tokenizer.ggml.tokens");
    const size_t types = end_of(good, "tokenizer.ggml.token_type");
    const size_t tensor = end_of(good, "blk.0.attn_q.weight");
    const size_t unused = end_of(good, "unused");
    expect_refusal(good, 0, 0x46554748, 4, "not a GGUF file");
    expect_refusal(good, 4, 1, 4, "version 1");
    expect_refusal(good, 4, 4, 4, "version 4");
    expect_refusal(good, 8, UINT64_MAX, 8, "cannot fit");
    expect_refusal(good, 16, UINT64_MAX / 2, 8, "cannot fit");
    expect_refusal(good, 24, UINT64_MAX, 8, "past the end");
    expect_refusal(good, 24, UINT64_MAX - 7, 8, "past the end");
    expect_refusal(good, alignment, 0, 4, "general.alignment");
    expect_refusal(good, alignment, 48, 4, "power of two");
    expect_refusal(good, alignment, 0x80000000u, 4, "general.alignment");
    expect_refusal(good, tokens + 4, TYPE_ARRAY, 4, "arrays of arrays");
    expect_refusal(good, tokens + 4, 99, 4, "unknown");
    expect_refusal(good, tokens + 8, UINT64_MAX, 8, "past the end");
    expect_refusal(good, tokens + 16, UINT64_MAX, 8, "past the end");
    expect_refusal(good, types + 8, UINT64_MAX / 4 + 2, 8, "past the end");
    expect_refusal(good, tensor, 0, 4, "dimensions");
    expect_refusal(good, tensor, 5, 4, "dimensions");
    expect_refusal(good, tensor + 4, UINT64_MAX, 8, "too large");
    expect_refusal(good, tensor + 4, (uint64_t)1 << 62, 8, "too large");
    expect_refusal(good, tensor + 12, (uint64_t)1 << 60, 8, "too large");
    expect_refusal(good, tensor + 12, 0, 8, "empty");
    expect_refusal(good, tensor + 12, 17, 8, "expected 16 x 16");
    expect_refusal(good, tensor + 20, 2, 4, "no whole number"); /* Q4_0 in rows of 16 */
    expect_refusal(good, tensor + 20, 77, 4, "number format 77");
    expect_refusal(good, tensor + 24, 1, 8, "not a multiple");
    expect_refusal(good, tensor + 24, (uint64_t)1 << 63, 8, "data section");
    expect_refusal(good, tensor + 24, UINT64_MAX - 31, 8, "data section");
    expect_refusal(good, unused + 16, good->count, 8, "data section");
    expect_refusal(good, end_of(good, "llama.block_count") + 4, 0, 4, "outside 1 to 1000");
    expect_refusal(good, end_of(good, "llama.block_count") + 4, 2, 4, "no tensor 'blk.1.");
    expect_refusal(good, end_of(good, "llama.attention.head_count") + 4, 3, 4, "whole heads");
    expect_refusal(good, end_of(good, "llama.rope.freq_base") + 4, 0x7f800000, 4, "makes no sense");
    expect_refusal(good, end_of(good, "tokenizer.ggml.eos_token_id") + 4, TINY_VOCABULARY, 4,
                   "outside 0 to 7");
    expect_refusal(good, end_of(good, "tokenizer.ggml.pre") + 12, 'x', 1, "pre-tokenizer");
    expect_refusal(good, end_of(good, "ab a") - 1, 'z', 1, "not in the vocabulary");
    expect_refusal(good, end_of(good, "ab a") - 2, 'z', 1, "no pair of tokens");
}

int main(void) {
    static gguf_writer good;
    const size_t metadata_bytes = write_tiny_model(&good);
    test_intact(&good);
    test_truncated(&good);
    test_mutated(&good, metadata_bytes);
    test_hostile_values(&good);
    return test_report();
}
