/* SPDX-License-Identifier: Apache-2.0 */
#include "utf8_text.h"

#include <string.h>

static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */

int32_t utf8_decode(const char *bytes, size_t length, size_t *length_bytes) {
    const unsigned char *in = (const unsigned char *)bytes;
    *length_bytes = 1;
    if (in[0] < 0x80) return in[0];
    if (in[0] < 0xc2 || in[0] > 0xf4) return UTF8_INVALID;
    const size_t needed = in[0] < 0xe0 ? 2 : in[0] < 0xf0 ? 3 : 4;
    /* The second byte's range keeps out overlong forms, surrogates and all beyond U+10FFFF. */
    unsigned low = 0x80, high = 0xbf;
    if (in[0] == 0xe0) low = 0xa0;
    if (in[0] == 0xed) high = 0x9f;
    if (in[0] == 0xf0) low = 0x90;
    if (in[0] == 0xf4) high = 0x8f;
    int32_t codepoint = in[0] & (0x7f >> needed);
    for (size_t i = 1; i < needed; i++) {
        if (i == length) return UTF8_INCOMPLETE;
        if (in[i] < low || in[i] > high) return UTF8_INVALID;
        low = 0x80;
        high = 0xbf;
        codepoint = codepoint << 6 | (in[i] & 0x3f);
        *length_bytes = i + 1;
    }
    return codepoint;
}

size_t utf8_encode(uint32_t codepoint, char *out) {
    if (codepoint < 0x80) {
        out[0] = (char)codepoint;
        return 1;
    }
    const size_t count = codepoint < 0x800 ? 2 : codepoint < 0x10000 ? 3 : 4;
    for (size_t i = count - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (codepoint & 0x3f));
        codepoint >>= 6;
    }
    out[0] = (char)((0xf00u >> count & 0xff) | codepoint);
    return count;
}

void utf8_stream_push(utf8_stream *stream, const char *bytes, size_t length_bytes, utf8_sink sink,
                      void *user) {
    for (size_t i = 0; i < length_bytes; i++) {
        stream->held[stream->held_bytes++] = bytes[i];
        /* One new byte can settle two things: that the bytes before it are broken, and itself. */
        while (stream->held_bytes > 0) {
            size_t settled;
            const int32_t codepoint = utf8_decode(stream->held, stream->held_bytes, &settled);
            if (codepoint == UTF8_INCOMPLETE) break;
            if (codepoint == UTF8_INVALID) {
                sink(user, replacement, sizeof replacement - 1);
            } else {
                sink(user, stream->held, settled);
            }
            stream->held_bytes -= settled;
            memmove(stream->held, stream->held + settled, stream->held_bytes);
        }
    }
}

void utf8_stream_finish(utf8_stream *stream, utf8_sink sink, void *user) {
    if (stream->held_bytes > 0) sink(user, replacement, sizeof replacement - 1);
    stream->held_bytes = 0;
}
