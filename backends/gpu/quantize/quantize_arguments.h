/* SPDX-License-Identifier: Apache-2.0 */
/* What the launcher of quantize hands to its kernels. A span is the columns of one row that share a
 * scale. */
#ifndef TENON_QUANTIZE_ARGUMENTS_H
#define TENON_QUANTIZE_ARGUMENTS_H

#include "device/device_arguments.h"

enum { QUANTIZE_BLOCK_LANES = 256 };

typedef struct quantize_arguments {
    tenon_device_const_bytes x;
    tenon_device_bytes q, scale;
    int64_t x_row; /* elements */
    int64_t q_row_bytes;
    int64_t scale_row, scale_col; /* elements */
    uint32_t n_spans, row_spans, cols, span_cols;
    uint32_t span_lanes; /* lanes that share a span: a power of two, at most a wave */
    uint32_t x_number, number;
    float element_max, amax_floor, scale_limit; /* scale_limit: +inf where there is none */
    uint32_t static_scale, nan_in_elements, is_integer, clamp;
    /* Scales that are powers of two: amax = m * 2^e, 1 <= m < 2, gets 2^(e - e_max), one more where
     * m >= m_up, one less where m < m_down. even_bit is added to the bits of amax first. */
    uint32_t power_of_two, even_bit, code_limit;
    int32_t e_max;
    float m_up, m_down;
} quantize_arguments;

#endif /* TENON_QUANTIZE_ARGUMENTS_H */
