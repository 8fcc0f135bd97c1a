/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TENON_GGUF_BLOCKS_H
#define TENON_GGUF_BLOCKS_H

/* The blocks of GGUF files: 32 or 256 consecutive elements of a row with their scales, little
 * endian, without alignment. The byte pictures are in abi/FORMATS.md; here is what is not plain
 * indexing. */

#include "float16.h"

#define TENON_GGUF_Q4_0_BLOCK 32
#define TENON_GGUF_Q4_0_BYTES 18
#define TENON_GGUF_Q4_1_BLOCK 32
#define TENON_GGUF_Q4_1_BYTES 20
#define TENON_GGUF_Q8_0_BLOCK 32
#define TENON_GGUF_Q8_0_BYTES 34
#define TENON_GGUF_Q4_K_BLOCK 256
#define TENON_GGUF_Q4_K_BYTES 144
#define TENON_GGUF_Q6_K_BLOCK 256
#define TENON_GGUF_Q6_K_BYTES 210

static inline float tenon_gguf_f16_at(const uint8_t *bytes) {
    return tenon_f16_to_f32((uint16_t)(bytes[0] | bytes[1] << 8));
}

/* Sub-block i of Q4_K: its 6-bit scale and 6-bit minimum out of the 12 packed bytes. The first four
 * lie in the low six bits of bytes 0..3 and 4..7; the last four have their low nibbles in bytes
 * 8..11 and their upper two bits on top of the first eight bytes. */
static inline void tenon_gguf_q4_k_scale_min(const uint8_t *packed, int i, int *scale, int *min) {
    if (i < 4) {
        *scale = packed[i] & 63;
        *min = packed[i + 4] & 63;
    } else {
        *scale = (packed[i + 4] & 0xf) | packed[i - 4] >> 6 << 4;
        *min = packed[i + 4] >> 4 | packed[i] >> 6 << 4;
    }
}

/* The 6-bit code of element `index` (0..255) of a Q6_K block, before 32 is taken off. Two halves of
 * 128 elements; in a half, element 32 * part + j takes its low four bits from ql and its upper two
 * from bits 2 * part of qh[j]. */
static inline int tenon_gguf_q6_k_code(const uint8_t *block, int index) {
    int half = index / 128, part = index % 128 / 32, j = index % 32;
    uint8_t low = block[64 * half + 32 * (part % 2) + j];
    uint8_t high = block[128 + 32 * half + j];
    int low_bits = part < 2 ? low & 0xf : low >> 4;
    return low_bits | (high >> (2 * part) & 3) << 4;
}

#endif
