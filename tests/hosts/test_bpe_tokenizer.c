/* SPDX-License-Identifier: Apache-2.0 */
/* test_bpe_tokenizer GOLDEN [MODEL.gguf]: the example host's tokenizer against the Python one.
 *
 * Each golden line holds a text, the words its pre-tokenizer cuts and the token ids. Words are
 * always compared; ids and the way back to text only when a model file is named, because the
 * vocabulary is in it. */
#include <stdlib.h>

#include "bpe_tokenizer.h"
#include "utf8_text.h"
#include "word_split.h"

#include <string.h>

enum { LINE_BYTES = 1 << 16, TEXT_BYTES = LINE_BYTES / 2 };

static int passed, failed;

static void check(bool right, const char *what, int line) {
    if (right) {
        passed++;
    } else {
        failed++;
        printf("FAIL line %d: %s\n", line, what);
    }
}

static int hex_digit(char digit) {
    if (digit >= '0' && digit <= '9') return digit - '0';
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

static size_t unhex(const char *hex, char *out) {
    size_t count = 0;
    for (; hex_digit(hex[0]) >= 0 && hex_digit(hex[1]) >= 0; hex += 2) {
        out[count++] = (char)(hex_digit(hex[0]) << 4 | hex_digit(hex[1]));
    }
    return count;
}

/* Reads the next number of a list that ends at a tab or the end of the line; -1 at the end. */
static long next_number(const char **list) {
    char *end;
    while (**list == ' ') ++*list;
    if (**list < '0' || **list > '9') return -1;
    const long value = strtol(*list, &end, 10);
    *list = end;
    return value;
}

static void check_words(const char *text, size_t length_bytes, const char *words, int line) {
    word_splitter splitter;
    size_t start = 0, end = 0, expected_start = 0;
    bool same = true;
    word_split_start(&splitter, text, length_bytes, true);
    while (word_split_next(&splitter, &start, &end)) {
        /* The Python side tells a word's length in characters of the byte alphabet: in bytes. */
        same = same && start == expected_start && next_number(&words) == (long)(end - start);
        expected_start = end;
    }
    check(same && expected_start == length_bytes && next_number(&words) == -1, "words", line);
}

typedef struct text_buffer {
    char bytes[TEXT_BYTES * 4];
    size_t length_bytes;
    bool whole; /* every piece so far was complete UTF-8 */
} text_buffer;

static void collect(void *user, const char *piece, size_t length_bytes) {
    text_buffer *buffer = user;
    size_t used;
    buffer->whole =
        buffer->whole && utf8_decode(piece, length_bytes, &used) >= 0 && used == length_bytes;
    memcpy(buffer->bytes + buffer->length_bytes, piece, length_bytes);
    buffer->length_bytes += length_bytes;
}

/* Drops the bytes that the vocabulary has no token for, a few control characters: the Python side
 * loses them too. */
static size_t keep_known_bytes(const bpe_tokenizer *tokenizer, char *text, size_t length_bytes) {
    size_t kept = 0;
    host_error error;
    for (size_t i = 0; i < length_bytes; i++) {
        token_list list = {0};
        bpe_encode(tokenizer, text + i, 1, BPE_SPECIALS_AS_TEXT, &list, &error);
        if (list.count > 0) text[kept++] = text[i];
        token_list_free(&list);
    }
    return kept;
}

static void check_ids(const bpe_tokenizer *tokenizer, char *text, size_t length_bytes,
                      const char *ids, int line) {
    static text_buffer back;
    token_list list = {0};
    host_error error;
    utf8_stream stream = {.held_bytes = 0};
    if (!bpe_encode(tokenizer, text, length_bytes, BPE_SPECIALS_PARSED, &list, &error)) {
        check(false, error.text, line);
        return;
    }
    bool same = true;
    back.length_bytes = 0;
    back.whole = true;
    for (size_t i = 0; i < list.count; i++) {
        same = same && next_number(&ids) == list.ids[i];
        const gguf_string bytes = bpe_token_bytes(tokenizer, list.ids[i]);
        utf8_stream_push(&stream, bytes.bytes, bytes.length_bytes, collect, &back);
    }
    utf8_stream_finish(&stream, collect, &back);
    token_list_free(&list);
    check(same && next_number(&ids) == -1, "token ids", line);
    check(back.whole, "a piece of streamed text is not whole UTF-8", line);
    length_bytes = keep_known_bytes(tokenizer, text, length_bytes);
    check(back.length_bytes == length_bytes && memcmp(back.bytes, text, length_bytes) == 0,
          "the text comes back", line);
}

int main(int argument_count, char **arguments) {
    static char line_text[LINE_BYTES], text[TEXT_BYTES];
    if (argument_count < 2) {
        fprintf(stderr, "usage: test_bpe_tokenizer GOLDEN [MODEL.gguf]\n");
        return 2;
    }
    FILE *golden = fopen(arguments[1], "r");
    if (!golden) {
        fprintf(stderr, "%s: cannot be read\n", arguments[1]);
        return 2;
    }
    gguf_file file = {0};
    bpe_tokenizer *tokenizer = NULL;
    host_error error;
    if (argument_count > 2) {
        if (!gguf_open(&file, arguments[2], &error) ||
            !(tokenizer = bpe_tokenizer_create(&file, &error))) {
            fprintf(stderr, "%s\n", error.text);
            return 1;
        }
    } else {
        printf("no model file named: token ids are not compared\n");
    }
    for (int line = 1; fgets(line_text, sizeof line_text, golden); line++) {
        const char *words = strchr(line_text, '\t');
        const char *ids = words ? strchr(words + 1, '\t') : NULL;
        if (!ids) {
            check(false, "three fields", line);
            continue;
        }
        const size_t length_bytes = unhex(line_text, text);
        text[length_bytes] = '\0';
        check_words(text, length_bytes, words + 1, line);
        if (tokenizer) check_ids(tokenizer, text, length_bytes, ids + 1, line);
    }
    fclose(golden);
    bpe_tokenizer_destroy(tokenizer);
    gguf_close(&file);
    printf("%d passed, %d failed\n", passed, failed);
    return failed == 0 ? 0 : 1;
}
