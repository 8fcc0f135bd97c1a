/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TENON_GGUF_ENCODE_H
#define TENON_GGUF_ENCODE_H

/* Values to GGUF blocks. Q4_0, Q4_1 and Q8_0 follow the rounding that GGUF writers agree on, bit
 * for bit. Q4_K and Q6_K leave the choice of the scales to the writer; here each sub-block takes
 * the best of a small search by squared error. */

#include "gguf_blocks.h"
#include "tenon_base.h"

/* format: TENON_FORMAT_GGUF_*; count: a multiple of the format's block. */
void tenon_gguf_encode(int32_t format, const float *values, int64_t count, uint8_t *blocks);

#endif
