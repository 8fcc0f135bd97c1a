/* SPDX-License-Identifier: Apache-2.0 */
/* The streaming detokenizer's UTF-8: whole characters only, and one U+FFFD for each broken
 * sequence, as Python's bytes.decode("utf-8", "replace") does. */
#include "test_host.h"
#include "utf8_text.h"

typedef struct collected {
    char bytes[64];
    size_t count;
    bool whole;
} collected;

static void collect(void *user, const char *text, size_t length_bytes) {
    collected *out = user;
    size_t used;
    out->whole = out->whole && utf8_decode(text, length_bytes, &used) >= 0 && used == length_bytes;
    memcpy(out->bytes + out->count, text, length_bytes);
    out->count += length_bytes;
}

/* Pushes in pieces of `step` bytes. */
static collected stream(const char *bytes, size_t count, size_t step) {
    collected out = {.whole = true};
    utf8_stream held = {.held_bytes = 0};
    for (size_t at = 0; at < count; at += step) {
        utf8_stream_push(&held, bytes + at, count - at < step ? count - at : step, collect, &out);
    }
    utf8_stream_finish(&held, collect, &out);
    return out;
}

static void test_every_code_point(void) {
    for (uint32_t codepoint = 0; codepoint < 0x110000; codepoint++) {
        char bytes[4];
        size_t used;
        const size_t count = utf8_encode(codepoint, bytes);
        const bool surrogate = codepoint >= 0xd800 && codepoint < 0xe000;
        const int32_t decoded = utf8_decode(bytes, count, &used);
        if (surrogate) {
            CHECK(decoded == UTF8_INVALID, "U+%04X decodes to %d", codepoint, decoded);
            continue;
        }
        CHECK(decoded == (int32_t)codepoint && used == count, "U+%04X decodes to %d", codepoint,
              decoded);
        for (size_t cut = 1; cut < count; cut++) {
            CHECK(utf8_decode(bytes, cut, &used) == UTF8_INCOMPLETE, "U+%04X, %zu of %zu bytes",
                  codepoint, cut, count);
        }
    }
}

#define R "\xef\xbf\xbd"

static void test_broken_sequences(void) {
    static const struct {
        const char *bytes, *expected;
    } cases[] = {
        {"\x80", R},
        {"a\xbf z", "a" R " z"},
        {"\xc3", R},
        {"\xc3(", R "("},
        {"\xc0\xaf", R R},
        {"\xe2\x82", R},
        {"\xe2\x82z", R "z"},
        {"\xe2\x28\xa1", R "(" R},
        {"\xe0\x80\x80", R R R},
        {"\xed\xa0\x80", R R R},
        {"\xf0\x9f\x98", R},
        {"\xf0\x9f\x98\xf0\x9f\x98\x80", R "\xf0\x9f\x98\x80"},
        {"\xf0\x80\x80\x80", R R R R},
        {"\xf4\x90\x80\x80", R R R R},
        {"\xf5\x80", R R},
        {"\xff\xfe", R R},
        {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80!", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80!"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (size_t step = 1; step <= 8; step++) {
            const collected out = stream(cases[i].bytes, strlen(cases[i].bytes), step);
            CHECK(out.whole, "case %zu, step %zu: a piece is not whole", i, step);
            CHECK(out.count == strlen(cases[i].expected) &&
                      memcmp(out.bytes, cases[i].expected, out.count) == 0,
                  "case %zu, step %zu: got '%.*s'", i, step, (int)out.count, out.bytes);
        }
    }
}

int main(void) {
    test_every_code_point();
    test_broken_sequences();
    return test_report();
}
