/* SPDX-License-Identifier: Apache-2.0 */
#include "word_split.h"

#include <string.h>

#include "char_class.h"
#include "utf8_text.h"

/* Class of the character at `at`, and where it ends. A byte that is no UTF-8 counts as one
 * character that is neither letter, number nor space: it reaches the vocabulary as the byte it is.
 */
static char_class class_at(const word_splitter *splitter, size_t at, size_t *end) {
    size_t length_bytes;
    const int32_t codepoint =
        utf8_decode(splitter->text + at, splitter->length_bytes - at, &length_bytes);
    *end = at + length_bytes;
    return codepoint < 0 ? CHAR_OTHER : char_class_of((uint32_t)codepoint);
}

static size_t run_end(const word_splitter *splitter, size_t at, char_class wanted) {
    size_t next;
    while (at < splitter->stretch_end && class_at(splitter, at, &next) == wanted) at = next;
    return at;
}

/* Length of the English contraction at `at`, or 0. */
static size_t contraction_bytes(const word_splitter *splitter, size_t at) {
    static const char *const endings[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        const size_t length = strlen(endings[i]);
        if (length <= splitter->stretch_end - at &&
            memcmp(splitter->text + at, endings[i], length) == 0) {
            return length;
        }
    }
    return 0;
}

static size_t pattern_end(const word_splitter *splitter, size_t at) {
    const size_t contraction = contraction_bytes(splitter, at);
    if (contraction) return at + contraction;

    size_t next;
    char_class first = class_at(splitter, at, &next);
    if (splitter->text[at] == ' ' && next < splitter->stretch_end) {
        size_t after_next;
        const char_class second = class_at(splitter, next, &after_next);
        if (second != CHAR_SPACE) return run_end(splitter, next, second);
    }
    if (first != CHAR_SPACE) return run_end(splitter, at, first);

    /* White space before a word leaves its last character to the word, unless that is all of it. */
    size_t last = at, end = at;
    while (end < splitter->stretch_end && class_at(splitter, end, &next) == CHAR_SPACE) {
        last = end;
        end = next;
    }
    return end == splitter->stretch_end || last == at ? end : last;
}

void word_split_start(word_splitter *splitter, const char *text, size_t length_bytes,
                      bool single_digits) {
    *splitter = (word_splitter){.text = text,
                                .length_bytes = length_bytes,
                                .single_digits = single_digits,
                                .stretch_end = single_digits ? 0 : length_bytes};
}

bool word_split_next(word_splitter *splitter, size_t *start, size_t *end) {
    if (splitter->at == splitter->length_bytes) return false;
    *start = splitter->at;
    if (splitter->at == splitter->stretch_end) {
        size_t next;
        if (class_at(splitter, splitter->at, &next) == CHAR_NUMBER) {
            splitter->at = splitter->stretch_end = *end = next;
            return true;
        }
        while (next < splitter->length_bytes) {
            size_t after_next;
            if (class_at(splitter, next, &after_next) == CHAR_NUMBER) break;
            next = after_next;
        }
        splitter->stretch_end = next;
    }
    splitter->at = *end = pattern_end(splitter, splitter->at);
    return true;
}
