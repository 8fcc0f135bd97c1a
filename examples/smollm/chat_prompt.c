/* SPDX-License-Identifier: Apache-2.0 */
#include "chat_prompt.h"

#include <stdlib.h>
#include <string.h>

/* The template is a Jinja program. Instead of running it, this host knows the one form and checks
 * that the program mentions what the form is made of. */
static const char default_system[] =
    "You are a helpful AI assistant named SmolLM, trained by Hugging Face";

static bool mentions(gguf_string text, const char *wanted) {
    const size_t length = strlen(wanted);
    for (size_t at = 0; at + length <= text.length_bytes; at++) {
        if (memcmp(text.bytes + at, wanted, length) == 0) return true;
    }
    return false;
}

typedef struct turn_writer {
    const bpe_tokenizer *tokenizer;
    token_list *list;
    host_error *error;
} turn_writer;

static bool put_text(turn_writer *writer, const char *text) {
    return bpe_encode(writer->tokenizer, text, strlen(text), BPE_SPECIALS_AS_TEXT, writer->list,
                      writer->error);
}

static bool put_special(turn_writer *writer, const char *name) {
    return bpe_encode(writer->tokenizer, name, strlen(name), BPE_SPECIALS_PARSED, writer->list,
                      writer->error);
}

/* Role and content are one text to the tokenizer: a merge may cross the line break between them. */
static bool put_turn(turn_writer *writer, const char *role, const char *content) {
    const size_t size = strlen(role) + strlen(content) + 2;
    char *text = malloc(size);
    if (!text) return host_fail(writer->error, "out of memory for a prompt of %zu bytes", size);
    snprintf(text, size, "%s\n%s", role, content);
    const bool done = put_special(writer, "<|im_start|>") && put_text(writer, text) &&
                      put_special(writer, "<|im_end|>") && put_text(writer, "\n");
    free(text);
    return done;
}

bool chat_prompt_encode(const bpe_tokenizer *tokenizer, const gguf_file *file, const char *system,
                        const char *user, token_list *list, host_error *error) {
    gguf_string template_text;
    if (!gguf_read_string(file, "tokenizer.chat_template", &template_text, error)) return false;
    const int32_t start = bpe_find_token(tokenizer, "<|im_start|>");
    const int32_t end = bpe_find_token(tokenizer, "<|im_end|>");
    if (!mentions(template_text, "<|im_start|>") || !mentions(template_text, "<|im_end|>") ||
        start < 0 || end < 0 || !bpe_token_is_control(tokenizer, start) ||
        !bpe_token_is_control(tokenizer, end)) {
        return host_fail(error,
                         "the file's chat template is not ChatML; --raw takes a prompt as is");
    }
    if (!system && mentions(template_text, default_system)) system = default_system;
    turn_writer writer = {tokenizer, list, error};
    return (!system || put_turn(&writer, "system", system)) && put_turn(&writer, "user", user) &&
           put_special(&writer, "<|im_start|>") && put_text(&writer, "assistant\n");
}
