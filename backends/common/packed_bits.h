/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TENON_PACKED_BITS_H
#define TENON_PACKED_BITS_H

/* Elements narrower than a byte, in the orders that the formats use. Bit 0 is the lowest bit of the
 * byte (or of the little-endian word) at the lowest address. */

#include <stdint.h>
#include <string.h>

/* Row-major nibbles: byte i holds element 2i in its low and element 2i + 1 in its high half. */
static inline uint8_t tenon_nibble_get(const uint8_t *bytes, int64_t index) {
    return (uint8_t)(bytes[index >> 1] >> (4 * (index & 1)) & 0xf);
}

static inline void tenon_nibble_set(uint8_t *bytes, int64_t index, uint8_t code) {
    int shift = 4 * (int)(index & 1);
    uint8_t kept = (uint8_t)(bytes[index >> 1] & ~(0xf << shift));
    bytes[index >> 1] = (uint8_t)(kept | (code & 0xf) << shift);
}

/* Dense 6-bit codes: element i occupies bits 6i .. 6i + 5 of the stream, so that four elements fill
 * three bytes. */
static inline uint8_t tenon_sixbit_get(const uint8_t *bytes, int64_t index) {
    const uint8_t *triple = bytes + index / 4 * 3;
    uint32_t word = (uint32_t)triple[0] | (uint32_t)triple[1] << 8 | (uint32_t)triple[2] << 16;
    return (uint8_t)(word >> (6 * (index % 4)) & 0x3f);
}

static inline void tenon_sixbit_set(uint8_t *bytes, int64_t index, uint8_t code) {
    uint8_t *triple = bytes + index / 4 * 3;
    int shift = 6 * (int)(index % 4);
    uint32_t word = (uint32_t)triple[0] | (uint32_t)triple[1] << 8 | (uint32_t)triple[2] << 16;
    word = (word & ~(0x3fu << shift)) | (uint32_t)(code & 0x3f) << shift;
    triple[0] = (uint8_t)word;
    triple[1] = (uint8_t)(word >> 8);
    triple[2] = (uint8_t)(word >> 16);
}

/* A 32-bit little-endian word at any address. Checkpoint files do not promise alignment. */
static inline uint32_t tenon_word_get(const void *words, int64_t index) {
    const uint8_t *p = (const uint8_t *)words + 4 * index;
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* The slot of AWQ's order: column c of a word of eight columns sits in nibble slot
 * 0 4 1 5 2 6 3 7 [c]; read slot by slot, a word holds columns 0 2 4 6 1 3 5 7. */
static inline int tenon_awq_slot(int column) {
    return column >> 1 | (column & 1) << 2;
}

#endif
