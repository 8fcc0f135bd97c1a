/* SPDX-License-Identifier: Apache-2.0 */
/* What the tokenizer knows: every token's text and bytes, and every merge. Private to bpe_*.c. */
#ifndef SMOLLM_BPE_VOCABULARY_H
#define SMOLLM_BPE_VOCABULARY_H

#include "bpe_tokenizer.h"
#include "merge_table.h"

struct bpe_tokenizer {
    size_t token_count;
    gguf_string *texts; /* as the file writes them */
    gguf_string *bytes; /* as they appear in text; into texts or into byte_arena */
    char *byte_arena;
    bool *is_control;
    int32_t *specials; /* ids of control tokens, longest name first */
    size_t special_count;
    bool starts_special[256]; /* by first byte, so that most of a text is not looked at twice */
    int32_t byte_token[256];  /* -1 where the vocabulary lacks the byte */
    text_table by_text;
    merge_table merges;
    bool single_digits;
    int32_t end_token;
};

#endif
