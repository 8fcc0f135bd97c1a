/* SPDX-License-Identifier: Apache-2.0 */
/* A code of 8 bits to bf16: its low 7 bits pick the two bytes of the magnitude out of tables of 128
 * bytes (vpermi2b), the sign goes on top, and an unpack makes words of the bytes: 6 instructions
 * for 64 elements. int8 is two's complement: negative codes pick from tables of their own. */
#include <immintrin.h>
#include <string.h>

#include "latent_row.h"
#include "rows_to_bf16.h"

#define INLINE static inline __attribute__((always_inline))

/* ---- bf16 of a code below 128, as constant expressions ---- */
#define E4M3_SUBNORMAL(i, bias)                                                                    \
    ((i) & 4   ? (127 - (bias)) << 7 | ((i) & 3) << 5                                              \
     : (i) & 2 ? (126 - (bias)) << 7 | ((i) & 1) << 6                                              \
     : (i) & 1 ? (125 - (bias)) << 7                                                               \
               : 0)
#define E4M3(i, bias)                                                                              \
    ((i) >> 3 ? (((i) >> 3) + 127 - (bias)) << 7 | ((i) & 7) << 4 : E4M3_SUBNORMAL(i, bias))
#define E5M2_SUBNORMAL(i, bias)                                                                    \
    ((i) & 2 ? (127 - (bias)) << 7 | ((i) & 1) << 6 : (i) & 1 ? (126 - (bias)) << 7 : 0)
#define E5M2(i, bias)                                                                              \
    ((i) >> 2 ? (((i) >> 2) + 127 - (bias)) << 7 | ((i) & 3) << 5 : E5M2_SUBNORMAL(i, bias))
#define LOG2(i)                                                                                    \
    ((i) >= 128  ? 7                                                                               \
     : (i) >= 64 ? 6                                                                               \
     : (i) >= 32 ? 5                                                                               \
     : (i) >= 16 ? 4                                                                               \
     : (i) >= 8  ? 3                                                                               \
     : (i) >= 4  ? 2                                                                               \
     : (i) >= 2  ? 1                                                                               \
                 : 0)
#define INTEGER(i) ((i) == 0 ? 0 : (127 + LOG2(i)) << 7 | ((i) << (7 - LOG2(i)) & 127))

#define WORD_E4M3FN(i)   ((i) == 127 ? 0x7fc0 : E4M3(i, 7))
#define WORD_E4M3FNUZ(i) E4M3(i, 8)
#define WORD_E5M2(i)     ((i) > 0x7c ? 0x7fc0 : (i) == 0x7c ? 0x7f80 : E5M2(i, 15))
#define WORD_E5M2FNUZ(i) E5M2(i, 16)
#define WORD_I8(i)       INTEGER(i)
#define WORD_I8_BELOW(i) (0x8000 | INTEGER(128 - (i))) /* code 128 + i stands for i - 128 */

#define BYTE_0(word) (uint8_t)((word) & 255)
#define BYTE_1(word) (uint8_t)((word) >> 8)
#define LINE(B, W, i)                                                                              \
    B(W(i)), B(W(i + 1)), B(W(i + 2)), B(W(i + 3)), B(W(i + 4)), B(W(i + 5)), B(W(i + 6)),         \
        B(W(i + 7))
#define LINES(B, W, i) LINE(B, W, i), LINE(B, W, i + 8), LINE(B, W, i + 16), LINE(B, W, i + 24)
#define COLUMN(B, W)   {LINES(B, W, 0), LINES(B, W, 32), LINES(B, W, 64), LINES(B, W, 96)}

/* [0]: low bytes, [1]: high bytes. */
#define TABLE(TYPE)                                                                                \
    static const uint8_t table_##TYPE[2][128] = {COLUMN(BYTE_0, WORD_##TYPE),                      \
                                                 COLUMN(BYTE_1, WORD_##TYPE)};
TABLE(E4M3FN)
TABLE(E4M3FNUZ)
TABLE(E5M2)
TABLE(E5M2FNUZ)
TABLE(I8)
TABLE(I8_BELOW)

typedef struct column {
    __m512i low[2], high[2];
} column;

INLINE column load_column(const uint8_t table[2][128]) {
    return (column){{_mm512_loadu_si512(table[0]), _mm512_loadu_si512(table[0] + 64)},
                    {_mm512_loadu_si512(table[1]), _mm512_loadu_si512(table[1] + 64)}};
}

/* 64 codes to 64 bf16, in the order of memory. */
INLINE void decode_64(const column *t, const column *below, bool nan_is_0x80, __m512i codes,
                      __m512i out[2]) {
    const __m512i sign = _mm512_set1_epi8((char)0x80);
    /* unpack works within 128 bits: with this order of 8-byte pieces its results are contiguous. */
    codes = _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7), codes);
    __m512i low = _mm512_permutex2var_epi8(t->low[0], codes, t->low[1]);
    __m512i high = _mm512_permutex2var_epi8(t->high[0], codes, t->high[1]);
    if (below) {
        const __mmask64 negative = _mm512_movepi8_mask(codes);
        low = _mm512_mask_mov_epi8(low, negative,
                                   _mm512_permutex2var_epi8(below->low[0], codes, below->low[1]));
        high = _mm512_mask_mov_epi8(
            high, negative, _mm512_permutex2var_epi8(below->high[0], codes, below->high[1]));
    } else {
        high = _mm512_ternarylogic_epi64(high, codes, sign, 0xf8); /* high | (codes & sign) */
        if (nan_is_0x80) {
            const __mmask64 nan = _mm512_cmpeq_epi8_mask(codes, sign);
            low = _mm512_mask_mov_epi8(low, nan, _mm512_set1_epi8((char)0xc0));
            high = _mm512_mask_mov_epi8(high, nan, _mm512_set1_epi8(0x7f));
        }
    }
    out[0] = _mm512_unpacklo_epi8(low, high);
    out[1] = _mm512_unpackhi_epi8(low, high);
}

INLINE __m512i load_codes(const uint8_t *row, int32_t n) {
    return n >= TENON_ROW_DECODE_STEP ? _mm512_loadu_si512(row)
                                      : _mm512_maskz_loadu_epi8((1ull << n) - 1, row);
}

#define DECODER(TYPE, BELOW, NAN_IS_0X80)                                                          \
    static void decode_##TYPE(uint16_t *out, int64_t out_stride, const uint8_t *const *rows,       \
                              int32_t n_rows, int32_t n) {                                         \
        const column t = load_column(table_##TYPE), below = load_column(table_I8_BELOW);           \
        for (int32_t r = 0; r < n_rows; r++, out += out_stride)                                    \
            for (int32_t i = 0; i < n; i += TENON_ROW_DECODE_STEP) {                               \
                __m512i words[2];                                                                  \
                decode_64(&t, (BELOW) ? &below : NULL, NAN_IS_0X80,                                \
                          load_codes(rows[r] + i, n - i), words);                                  \
                _mm512_storeu_si512(out + i, words[0]);                                            \
                _mm512_storeu_si512(out + i + 32, words[1]);                                       \
            }                                                                                      \
    }
DECODER(E4M3FN, false, false)
DECODER(E4M3FNUZ, false, true)
DECODER(E5M2, false, false)
DECODER(E5M2FNUZ, false, true)
DECODER(I8, true, false)

/* 32 bf16 times a scale, rounded to nearest even; subnormal results become 0, as in the products
 * that they are for. */
INLINE __m512i scale_32(__m512i words, __m512 scale) {
    const __m512i low = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(words)),
                  high = _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(words, 1));
    const __m512 a = _mm512_mul_ps(_mm512_castsi512_ps(_mm512_slli_epi32(low, 16)), scale),
                 b = _mm512_mul_ps(_mm512_castsi512_ps(_mm512_slli_epi32(high, 16)), scale);
    return (__m512i)_mm512_cvtne2ps_pbh(b, a);
}

static void decode_fp8_ds(uint16_t *out, int64_t out_stride, const uint8_t *const *rows,
                          int32_t n_rows, int32_t n) {
    const column t = load_column(table_E4M3FN);
    for (int32_t r = 0; r < n_rows; r++, out += out_stride) {
        for (int32_t i = 0; i < TENON_DS_LATENT; i += TENON_ROW_DECODE_STEP) {
            float scale;
            __m512i words[2];
            memcpy(&scale, rows[r] + TENON_DS_SCALES_AT + i / TENON_DS_GROUP * 4, sizeof scale);
            decode_64(&t, NULL, false, _mm512_loadu_si512(rows[r] + i), words);
            _mm512_storeu_si512(out + i, scale_32(words[0], _mm512_set1_ps(scale)));
            _mm512_storeu_si512(out + i + 32, scale_32(words[1], _mm512_set1_ps(scale)));
        }
        if (n > TENON_DS_LATENT) memcpy(out + TENON_DS_LATENT, rows[r] + TENON_DS_ROPE_AT, 128);
    }
}

const tenon_row_decoders tenon_row_decoders_x86_avx512vnni = {
    .from = {[TENON_NUMBER_E4M3FN] = decode_E4M3FN,
             [TENON_NUMBER_E4M3FNUZ] = decode_E4M3FNUZ,
             [TENON_NUMBER_E5M2] = decode_E5M2,
             [TENON_NUMBER_E5M2FNUZ] = decode_E5M2FNUZ,
             [TENON_NUMBER_I8] = decode_I8},
    .words = {[TENON_NUMBER_E4M3FN] = table_E4M3FN,
              [TENON_NUMBER_E5M2] = table_E5M2,
              [TENON_NUMBER_I8] = table_I8},
    .fp8_ds = decode_fp8_ds};
