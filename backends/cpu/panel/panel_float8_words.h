/* SPDX-License-Identifier: Apache-2.0 */
/* The bf16 words of the 128 codes of each float8 without their sign: low bytes, high bytes. */
#ifndef TENON_PANEL_FLOAT8_WORDS_H
#define TENON_PANEL_FLOAT8_WORDS_H

#include <stdint.h>

typedef struct panel_float8_words {
    uint8_t low[128], high[128];
} panel_float8_words;

/* Code c with m bits of mantissa. Subnormal: c 2^(1 - bias - m), whose leading bit is bit `top`. */
#define PANEL_WORD_TOP(c)             ((c) >= 4 ? 2 : (c) >= 2 ? 1 : 0)
#define PANEL_WORD_NORMAL(c, m, bias) (((c) << (7 - (m))) + ((127 - (bias)) << 7))
#define PANEL_WORD_SUBNORMAL(c, m, bias)                                                           \
    (((128 - (bias) - (m) + PANEL_WORD_TOP(c)) << 7) | (((c) << (7 - PANEL_WORD_TOP(c))) & 0x7f))
#define PANEL_WORD(c, m, bias)                                                                     \
    ((c) == 0           ? 0                                                                        \
     : (c) < (1 << (m)) ? PANEL_WORD_SUBNORMAL(c, m, bias)                                         \
                        : PANEL_WORD_NORMAL(c, m, bias))
#define PANEL_WORD_E4M3FN(c)   ((c) == 127 ? 0x7fc0 : PANEL_WORD(c, 3, 7))
#define PANEL_WORD_E4M3FNUZ(c) PANEL_WORD(c, 3, 8)
#define PANEL_WORD_E5M2(c)     ((c) > 124 ? 0x7fc0 : (c) == 124 ? 0x7f80 : PANEL_WORD(c, 2, 15))
#define PANEL_WORD_E5M2FNUZ(c) PANEL_WORD(c, 2, 16)

#define PANEL_LOW(word)  ((uint8_t)((word) & 0xff))
#define PANEL_HIGH(word) ((uint8_t)((word) >> 8))
#define PANEL_CODES_8(byte, word, c)                                                               \
    byte(word((c) + 0)), byte(word((c) + 1)), byte(word((c) + 2)), byte(word((c) + 3)),            \
        byte(word((c) + 4)), byte(word((c) + 5)), byte(word((c) + 6)), byte(word((c) + 7))
#define PANEL_CODES_32(byte, word, c)                                                              \
    PANEL_CODES_8(byte, word, c), PANEL_CODES_8(byte, word, (c) + 8),                              \
        PANEL_CODES_8(byte, word, (c) + 16), PANEL_CODES_8(byte, word, (c) + 24)
#define PANEL_CODES_128(byte, word)                                                                \
    PANEL_CODES_32(byte, word, 0), PANEL_CODES_32(byte, word, 32), PANEL_CODES_32(byte, word, 64), \
        PANEL_CODES_32(byte, word, 96)
#define PANEL_WORDS(word)                                                                          \
    {                                                                                              \
        .low = {PANEL_CODES_128(PANEL_LOW, word)}, .high = { PANEL_CODES_128(PANEL_HIGH, word) }   \
    }

static const panel_float8_words panel_words_e4m3fn = PANEL_WORDS(PANEL_WORD_E4M3FN);
static const panel_float8_words panel_words_e4m3fnuz = PANEL_WORDS(PANEL_WORD_E4M3FNUZ);
static const panel_float8_words panel_words_e5m2 = PANEL_WORDS(PANEL_WORD_E5M2);
static const panel_float8_words panel_words_e5m2fnuz = PANEL_WORDS(PANEL_WORD_E5M2FNUZ);

#endif
