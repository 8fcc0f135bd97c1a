/* SPDX-License-Identifier: Apache-2.0 */
/* Byte-level BPE in the manner of GPT-2, from the vocabulary and merges inside a GGUF file. */
#ifndef SMOLLM_BPE_TOKENIZER_H
#define SMOLLM_BPE_TOKENIZER_H

#include "gguf_file.h"

typedef struct bpe_tokenizer bpe_tokenizer;

/* Token ids that grow as text is encoded; starts as {0}, freed by token_list_free. */
typedef struct token_list {
    int32_t *ids;
    size_t count, capacity;
} token_list;

/* The file must stay open as long as the tokenizer lives. NULL on failure. */
bpe_tokenizer *bpe_tokenizer_create(const gguf_file *file, host_error *error);
void bpe_tokenizer_destroy(bpe_tokenizer *tokenizer);

typedef enum bpe_specials {
    BPE_SPECIALS_AS_TEXT, /* "<|im_end|>" in the text is ten characters like any other */
    BPE_SPECIALS_PARSED   /* it is the control token of that name */
} bpe_specials;

/* Appends the tokens of the text to the list. Bytes that the vocabulary lacks are left out. */
bool bpe_encode(const bpe_tokenizer *tokenizer, const char *text, size_t length_bytes,
                bpe_specials specials, token_list *list, host_error *error);
void token_list_free(token_list *list);

/* The bytes that a token stands for; a control token stands for its own name. The id must be below
 * bpe_vocabulary_size. */
gguf_string bpe_token_bytes(const bpe_tokenizer *tokenizer, int32_t id);
bool bpe_token_is_control(const bpe_tokenizer *tokenizer, int32_t id);
int32_t bpe_vocabulary_size(const bpe_tokenizer *tokenizer);
/* -1 when no token has that name. */
int32_t bpe_find_token(const bpe_tokenizer *tokenizer, const char *name);
int32_t bpe_end_token(const bpe_tokenizer *tokenizer);

#endif
