/* SPDX-License-Identifier: Apache-2.0 */
/* Codes of weights to pairs of 16-bit numbers, exactly, in the order of their columns. `bf16` is a
 * constant of the kernel: else the numbers are f16. Pairs are made by moving bits into the place
 * that they have in a float and one packed multiplication or addition that is exact. */
#ifndef TENON_MULTIPLY_CODEC_H
#define TENON_MULTIPLY_CODEC_H

#include "device/device_matrix.h"
#include "device/device_pair.h"
#include "multiply_arguments.h"
#include "number_kind.h"

/* Eight nibbles q to q - z, z an integer. A nibble in the low mantissa bits of 128 (bf16) or 1024
 * (f16) adds its value to it; the addend -(128 + z) or -(1024 + z) brings the sum back. */
DEVICE void codec_u4(uint32_t word, uint32_t addend, const bool bf16, uint32_t pair[4]) {
    const uint32_t magic = bf16 ? 0x43004300u : 0x64006400u;
    const uint32_t high = word >> 4;
#pragma unroll
    for (uint32_t i = 0; i < 4; i++) {
        /* byte i of word for column 2i, of high for column 2i + 1 */
        const uint32_t apart = permute_bytes(word, high, 0x4400u + 0x1111u * i);
        pair[i] = add_pair((apart & 0x000f000fu) | magic, addend, bf16);
    }
}

/* Eight e2m1 codes. Their floats come from a table of eight bytes in two registers, four codes at a
 * time: the three low bits of a selector nibble choose the byte. With the fourth bit set the same
 * instruction spreads the byte's sign, which shows the sign of the code. */
DEVICE void codec_e2m1(uint32_t word, const bool bf16, uint32_t pair[4]) {
    const uint32_t magnitude = word & 0x77777777u;
#pragma unroll
    for (uint32_t half = 0; half < 2; half++) {
        const uint32_t codes = magnitude >> (16 * half);
        const uint32_t negative =
            permute_bytes(0x80808080u, 0x80808080u, word >> (16 * half)); /* 0xff, else 0x80 */
        const uint32_t top = (bf16 ? permute_bytes(0x3f3f3f00u, 0x40404040u, codes)
                                   : permute_bytes(0x3e3c3800u, 0x46444240u, codes)) |
                             (negative << 1 & 0x80808080u);
        if (bf16) {
            const uint32_t low = permute_bytes(0xc0800000u, 0xc0804000u, codes);
            pair[2 * half] = permute_bytes(low, top, 0x5140u);
            pair[2 * half + 1] = permute_bytes(low, top, 0x7362u);
        } else {
            pair[2 * half] = permute_bytes(top, 0, 0x1404u);
            pair[2 * half + 1] = permute_bytes(top, 0, 0x3424u);
        }
    }
}

/* Four float8 codes to two pairs. The bits of a code are those of a 16-bit float that is too small
 * by a power of two; what has no exponent of its own there, NaN and infinity, is mended. */
DEVICE void codec_fp8(uint32_t word, uint32_t number, const bool bf16, uint32_t pair[2]) {
    const uint32_t apart[2] = {permute_bytes(word, 0, 0x1404u), permute_bytes(word, 0, 0x3424u)};
    const bool e4m3 = number == TENON_NUMBER_E4M3FN;
    uint32_t special; /* top bit of each byte */
    if (e4m3)
        special = ((word & 0x7f7f7f7fu) + 0x01010101u) & 0x80808080u;
    else
        special = bf16 ? ((word & 0x7c7c7c7cu) + 0x04040404u) & 0x80808080u : 0;
#pragma unroll
    for (uint32_t i = 0; i < 2; i++) {
        const uint32_t sign = apart[i] & 0x80008000u;
        if (e4m3)
            pair[i] = bf16 ? multiply_pair(sign | (apart[i] >> 4 & 0x07f007f0u), 0x7b807b80u, bf16)
                           : multiply_pair(sign | (apart[i] >> 1 & 0x3f803f80u), 0x5c005c00u, bf16);
        else
            pair[i] = bf16 ? multiply_pair(sign | (apart[i] >> 3 & 0x0fe00fe0u), 0x77807780u, bf16)
                           : apart[i];
    }
    if (special) {
        const uint32_t all = e4m3 ? 0x7fffu : 0x7f80u;
        pair[0] |= (permute_bytes(special, 0, 0x1404u) >> 15 & 0x00010001u) * all;
        pair[1] |= (permute_bytes(special, 0, 0x3424u) >> 15 & 0x00010001u) * all;
    }
}

/* Eight words of AWQ, of eight neighbouring columns, to eight words of one row each: a
 * transposition of nibbles. Row j of a word is nibble (j / 2) + 4 (j % 2). */
DEVICE void codec_transpose_n_words(uint32_t word[8]) {
#pragma unroll
    for (int i = 0; i < 4; i++) { /* halves: columns i, i + 4 */
        const uint32_t a = word[i], b = word[i + 4];
        word[i] = permute_bytes(a, b, 0x5410u), word[i + 4] = permute_bytes(a, b, 0x7632u);
    }
#pragma unroll
    for (int i = 0; i < 8; i++) /* bytes: columns i, i + 2 */
        if (!(i & 2)) {
            const uint32_t a = word[i], b = word[i + 2];
            word[i] = permute_bytes(a, b, 0x6240u), word[i + 2] = permute_bytes(a, b, 0x7351u);
        }
#pragma unroll
    for (int i = 0; i < 8; i += 2) { /* nibbles: columns i, i + 1 */
        const uint32_t a = word[i], b = word[i + 1];
        word[i] = (a & 0x0f0f0f0fu) | (b << 4 & 0xf0f0f0f0u);
        word[i + 1] = (a >> 4 & 0x0f0f0f0fu) | (b & 0xf0f0f0f0u);
    }
}

#endif /* TENON_MULTIPLY_CODEC_H */
