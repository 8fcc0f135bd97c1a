/* SPDX-License-Identifier: Apache-2.0 */
/* Many rows of a quantized cache to bf16 at once, exactly and without their scales: tables of 128
 * bytes in registers, a few instructions for 64 elements. */
#ifndef TENON_ROWS_TO_BF16_H
#define TENON_ROWS_TO_BF16_H

#include "row_convert.h"

enum { TENON_ROW_DECODE_STEP = 64 };

/* out[r * out_stride ..] = rows[r][0 .. n) for r in [0, n_rows), and zeros from n to the next
 * multiple of TENON_ROW_DECODE_STEP, for which there must be room. */
typedef void (*tenon_rows_decode_fn)(uint16_t *out, int64_t out_stride, const uint8_t *const *rows,
                                     int32_t n_rows, int32_t n);

/* The bf16 of codes by the low 7 bits of their magnitude: low bytes, then high bytes; bit 7 of the
 * code is the sign. int8 codes are made positive first; there -128 has no entry. */
typedef const uint8_t (*tenon_code_words)[128];

typedef struct tenon_row_decoders {
    tenon_rows_decode_fn from[TENON_ROW_TYPES]; /* by tenon_number; NULL: none */
    tenon_code_words words[TENON_ROW_TYPES];    /* NULL: none, or more than a table is needed */
    tenon_rows_decode_fn
        fp8_ds; /* the first n elements of FP8_DS rows, times their scales, rounded */
} tenon_row_decoders;

#if defined(__x86_64__)
extern const tenon_row_decoders tenon_row_decoders_x86_avx512vnni;
#endif

#endif /* TENON_ROWS_TO_BF16_H */
