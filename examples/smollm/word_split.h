/* SPDX-License-Identifier: Apache-2.0 */
/* Cuts text into the words that byte-level BPE merges within, by hand what GPT-2 does by
 *   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 * The "smollm" kind first cuts every \p{N} out as a word of its own; the pattern then sees each
 * stretch between numbers as if it were a whole text. */
#ifndef SMOLLM_WORD_SPLIT_H
#define SMOLLM_WORD_SPLIT_H

#include <stdbool.h>
#include <stddef.h>

typedef struct word_splitter {
    const char *text;
    size_t length_bytes;
    bool single_digits;
    size_t at;          /* start of the next word */
    size_t stretch_end; /* end of the stretch that the pattern may look at */
} word_splitter;

void word_split_start(word_splitter *splitter, const char *text, size_t length_bytes,
                      bool single_digits);
/* False at the end of the text. The words follow each other without a gap. */
bool word_split_next(word_splitter *splitter, size_t *start, size_t *end);

#endif
