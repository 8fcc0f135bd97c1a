/* SPDX-License-Identifier: Apache-2.0 */
/* Builds the tokenizer's tables from the file's metadata. */
#include "bpe_vocabulary.h"

#include "utf8_text.h"

enum { TOKEN_TYPE_CONTROL = 3, TOKEN_TYPE_USER_DEFINED = 4 };

/* GPT-2 writes each byte as a printable character: the 188 printable ones of Latin-1 as themselves,
 * the others in order as U+0100 and up. */
static void fill_byte_alphabet(uint16_t codepoint_of_byte[256]) {
    uint16_t next = 0x100;
    for (int byte = 0; byte < 256; byte++) {
        const bool printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) ||
                               (byte >= 0xae && byte <= 0xff);
        codepoint_of_byte[byte] = printable ? (uint16_t)byte : next++;
    }
}

/* Decodes one token's text into bytes; answers how many, or SIZE_MAX when a character is none of
 * the byte alphabet. */
static size_t decode_token(const gguf_string *text, const int16_t byte_of_codepoint[512],
                           char *out) {
    size_t count = 0;
    for (size_t at = 0; at < text->length_bytes;) {
        size_t length_bytes;
        const int32_t codepoint =
            utf8_decode(text->bytes + at, text->length_bytes - at, &length_bytes);
        if (codepoint < 0 || codepoint >= 512 || byte_of_codepoint[codepoint] < 0) return SIZE_MAX;
        out[count++] = (char)byte_of_codepoint[codepoint];
        at += length_bytes;
    }
    return count;
}

static bool load_tokens(bpe_tokenizer *tokenizer, const gguf_file *file, host_error *error) {
    const uint8_t *types;
    size_t type_count, text_bytes = 0;
    if (!gguf_read_strings(file, "tokenizer.ggml.tokens", &tokenizer->texts,
                           &tokenizer->token_count, error) ||
        !gguf_find_int32_array(file, "tokenizer.ggml.token_type", &types, &type_count, error)) {
        return false;
    }
    const size_t count = tokenizer->token_count;
    if (count == 0 || count > INT32_MAX / 2 || type_count != count) {
        return host_fail(error, "the vocabulary has %zu tokens but %zu token types", count,
                         type_count);
    }
    for (size_t id = 0; id < count; id++) text_bytes += tokenizer->texts[id].length_bytes;
    tokenizer->bytes = calloc(count, sizeof *tokenizer->bytes);
    tokenizer->is_control = calloc(count, sizeof *tokenizer->is_control);
    tokenizer->specials = calloc(count, sizeof *tokenizer->specials);
    tokenizer->byte_arena = malloc(text_bytes + 1);
    if (!tokenizer->bytes || !tokenizer->is_control || !tokenizer->specials ||
        !tokenizer->byte_arena || !text_table_fill(&tokenizer->by_text, tokenizer->texts, count)) {
        return host_fail(error, "out of memory for a vocabulary of %zu tokens", count);
    }

    uint16_t codepoint_of_byte[256];
    int16_t byte_of_codepoint[512];
    fill_byte_alphabet(codepoint_of_byte);
    for (int i = 0; i < 512; i++) byte_of_codepoint[i] = -1;
    for (int byte = 0; byte < 256; byte++) {
        char text[4];
        const size_t length_bytes = utf8_encode(codepoint_of_byte[byte], text);
        byte_of_codepoint[codepoint_of_byte[byte]] = (int16_t)byte;
        tokenizer->byte_token[byte] = text_table_find(&tokenizer->by_text, text, length_bytes);
    }

    char *out = tokenizer->byte_arena;
    for (size_t id = 0; id < count; id++) {
        const gguf_string *text = &tokenizer->texts[id];
        const int32_t type = gguf_int32_at(types, id);
        tokenizer->is_control[id] = type == TOKEN_TYPE_CONTROL;
        tokenizer->bytes[id] = *text;
        if (type == TOKEN_TYPE_CONTROL || type == TOKEN_TYPE_USER_DEFINED) {
            if (text->length_bytes == 0) continue;
            tokenizer->specials[tokenizer->special_count++] = (int32_t)id;
            tokenizer->starts_special[(unsigned char)text->bytes[0]] = true;
            continue;
        }
        const size_t decoded_bytes = decode_token(text, byte_of_codepoint, out);
        if (decoded_bytes == SIZE_MAX) {
            return host_fail(error, "token %zu is not written in the byte alphabet", id);
        }
        tokenizer->bytes[id] = (gguf_string){out, decoded_bytes};
        out += decoded_bytes;
    }
    return true;
}

/* Insertion sort: there are a few dozen special tokens, and the longest must be tried first. */
static void sort_specials(bpe_tokenizer *tokenizer) {
    for (size_t i = 1; i < tokenizer->special_count; i++) {
        const int32_t id = tokenizer->specials[i];
        size_t at = i;
        for (; at > 0 && tokenizer->texts[tokenizer->specials[at - 1]].length_bytes <
                             tokenizer->texts[id].length_bytes;
             at--) {
            tokenizer->specials[at] = tokenizer->specials[at - 1];
        }
        tokenizer->specials[at] = id;
    }
}

static bool load_merges(bpe_tokenizer *tokenizer, const gguf_file *file, host_error *error) {
    gguf_string *lines = NULL;
    size_t count = 0;
    if (!gguf_read_strings(file, "tokenizer.ggml.merges", &lines, &count, error)) return false;
    bool done = count <= INT32_MAX && merge_table_create(&tokenizer->merges, count);
    if (!done) host_fail(error, "out of memory for %zu merges", count);
    for (size_t rank = 0; done && rank < count; rank++) {
        const char *line = lines[rank].bytes;
        const size_t length = lines[rank].length_bytes;
        const char *space = length ? memchr(line, ' ', length) : NULL;
        char joined[512];
        if (!space || length > sizeof joined) {
            done = host_fail(error, "merge %zu is no pair of tokens, or longer than %zu bytes",
                             rank, sizeof joined);
            break;
        }
        const size_t left_bytes = (size_t)(space - line), right_bytes = length - left_bytes - 1;
        memcpy(joined, line, left_bytes);
        memcpy(joined + left_bytes, space + 1, right_bytes);
        const int32_t left = text_table_find(&tokenizer->by_text, line, left_bytes);
        const int32_t right = text_table_find(&tokenizer->by_text, space + 1, right_bytes);
        const int32_t merged =
            text_table_find(&tokenizer->by_text, joined, left_bytes + right_bytes);
        if (left < 0 || right < 0 || merged < 0) {
            done =
                host_fail(error, "merge %zu, '%.*s', names a token that is not in the vocabulary",
                          rank, length > 80 ? 80 : (int)length, line);
            break;
        }
        merge_table_add(&tokenizer->merges, left, right, (int32_t)rank, merged);
    }
    free(lines);
    return done;
}

static bool equals(gguf_string text, const char *wanted) {
    return text.length_bytes == strlen(wanted) &&
           memcmp(text.bytes, wanted, text.length_bytes) == 0;
}

static bool load_rules(bpe_tokenizer *tokenizer, const gguf_file *file, host_error *error) {
    gguf_string model, splitter;
    int64_t end_token;
    if (!gguf_read_string(file, "tokenizer.ggml.model", &model, error) ||
        !gguf_read_string(file, "tokenizer.ggml.pre", &splitter, error) ||
        !gguf_read_integer(file, "tokenizer.ggml.eos_token_id", 0,
                           (int64_t)tokenizer->token_count - 1, &end_token, error)) {
        return false;
    }
    tokenizer->end_token = (int32_t)end_token;
    if (!equals(model, "gpt2")) {
        return host_fail(error, "tokenizer model '%.*s' is not supported, only 'gpt2'",
                         model.length_bytes > 40 ? 40 : (int)model.length_bytes, model.bytes);
    }
    tokenizer->single_digits = equals(splitter, "smollm");
    if (!tokenizer->single_digits && !equals(splitter, "gpt-2")) {
        return host_fail(error, "pre-tokenizer '%.*s' is not supported, only 'smollm' and 'gpt-2'",
                         splitter.length_bytes > 40 ? 40 : (int)splitter.length_bytes,
                         splitter.bytes);
    }
    return true;
}

bpe_tokenizer *bpe_tokenizer_create(const gguf_file *file, host_error *error) {
    bpe_tokenizer *tokenizer = calloc(1, sizeof *tokenizer);
    if (!tokenizer) {
        host_fail(error, "out of memory for the tokenizer");
        return NULL;
    }
    if (load_tokens(tokenizer, file, error) && load_rules(tokenizer, file, error) &&
        load_merges(tokenizer, file, error)) {
        sort_specials(tokenizer);
        return tokenizer;
    }
    bpe_tokenizer_destroy(tokenizer);
    return NULL;
}

void bpe_tokenizer_destroy(bpe_tokenizer *tokenizer) {
    if (!tokenizer) return;
    free(tokenizer->texts);
    free(tokenizer->bytes);
    free(tokenizer->byte_arena);
    free(tokenizer->is_control);
    free(tokenizer->specials);
    free(tokenizer->by_text.slots);
    free(tokenizer->merges.slots);
    free(tokenizer);
}

gguf_string bpe_token_bytes(const bpe_tokenizer *tokenizer, int32_t id) {
    return tokenizer->bytes[id];
}

bool bpe_token_is_control(const bpe_tokenizer *tokenizer, int32_t id) {
    return tokenizer->is_control[id];
}

int32_t bpe_vocabulary_size(const bpe_tokenizer *tokenizer) {
    return (int32_t)tokenizer->token_count;
}

int32_t bpe_find_token(const bpe_tokenizer *tokenizer, const char *name) {
    return text_table_find(&tokenizer->by_text, name, strlen(name));
}

int32_t bpe_end_token(const bpe_tokenizer *tokenizer) {
    return tokenizer->end_token;
}
