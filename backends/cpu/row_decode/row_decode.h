/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of a tensor in any format to floats. */
#ifndef TENON_ROW_DECODE_H
#define TENON_ROW_DECODE_H

#include "row_convert.h"
#include "span_decode.h"
#include "weight_view.h"

/* What an instruction set offers. */
typedef struct tenon_row_decoder {
    tenon_span_decode_fn span;
    const tenon_row_converters *convert;
} tenon_row_decoder;

tenon_row_decoder tenon_row_decoder_for(uint64_t features);

/* Columns [col, col + count) of a row of a view with one expert, rounded once to F32, F16 or BF16;
 * the bits that the reference gives. */
void tenon_row_decode(const tenon_weight_view *view, const tenon_row_decoder *decoder, int64_t row,
                      int64_t col, int64_t count, tenon_number type, void *out);

enum { TENON_ROW_CODES = 256 };

/* The codes of columns [col, col + count), a byte each: in the tensor itself, or unpacked to
 * buffer. count <= TENON_ROW_CODES; col even (packed nibbles), a multiple of 4 (6 bits) or of a
 * word. Not for GGUF nor plain floats. */
const uint8_t *tenon_row_codes(const tenon_weight_view *view, int64_t row, int64_t col,
                               int64_t count, uint8_t buffer[TENON_ROW_CODES]);

/* The scale of a group, as the tensor has it. */
double tenon_row_scale(const tenon_weight_view *view, int64_t row, int64_t group);

#endif
