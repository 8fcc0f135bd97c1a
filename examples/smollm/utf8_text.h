/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8, read one code point at a time, and written so that a reader never sees half of one. */
#ifndef SMOLLM_UTF8_TEXT_H
#define SMOLLM_UTF8_TEXT_H

#include <stddef.h>
#include <stdint.h>

enum { UTF8_INVALID = -1, UTF8_INCOMPLETE = -2 };

/* The code point that starts at bytes[0] and its length. Otherwise UTF8_INCOMPLETE when the bytes
 * end inside a sequence that was right so far, UTF8_INVALID when it is wrong; *length_bytes then
 * counts the bytes that belong to the broken sequence (at least one). length must not be 0. */
int32_t utf8_decode(const char *bytes, size_t length, size_t *length_bytes);

/* Writes 1 to 4 bytes and answers how many. */
size_t utf8_encode(uint32_t codepoint, char *out);

/* Bytes go in as tokens bring them, whole characters come out. What can never become a character
 * comes out as U+FFFD, once per broken sequence. */
typedef struct utf8_stream {
    char held[4];
    size_t held_bytes; /* at most 3 between calls */
} utf8_stream;

typedef void (*utf8_sink)(void *user, const char *text, size_t length_bytes);

void utf8_stream_push(utf8_stream *stream, const char *bytes, size_t length_bytes, utf8_sink sink,
                      void *user);
/* The end of the text: what is still held can no longer be completed. */
void utf8_stream_finish(utf8_stream *stream, utf8_sink sink, void *user);

#endif
