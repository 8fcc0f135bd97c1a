/* SPDX-License-Identifier: Apache-2.0 */
/* Tiles from global to shared memory, in pieces of 16 bytes that land while the block works.
 *
 * A slab is 32 columns. In shared memory a slab's rows follow each other, so that the eight rows
 * and four column groups of a warp's read are 128 neighbouring bytes for each of them; a little
 * space between slabs does the same for writes.
 *
 *   16 bits   row 64 bytes     lane (row g, quarter t) reads 16 bytes: columns 8t .. 8t + 7
 *   8 bits    row 32 bytes     8 bytes: the same columns
 *   4 bits    row 16 bytes     4 bytes: the same columns
 *   K_FIRST   [word of 8 columns][row + 8 words of space]
 *   N_WORDS   [column][word of 8 rows]
 */
#ifndef TENON_MULTIPLY_LOAD_H
#define TENON_MULTIPLY_LOAD_H

#include "device/device_copy.h"
#include "multiply_rows.h"

/* Bytes of a slab of `rows` rows. */
#define SLAB_BYTES(rows, bits) ((rows) * (bits) * 4 + ((bits) == 16 ? 64 : 32))
/* Of a slab of words, whichever way they lie. */
#define WORD_SLAB_BYTES(rows) (((rows) + 8) * 16)

/* Copies 16 bytes of which the first `valid` are there; the others become 0. */
DEVICE void copy_piece(shared_address to, tenon_device_const_bytes from, int32_t valid,
                       uint32_t unit) {
    valid = valid < 0 ? 0 : valid > 16 ? 16 : valid;
    if (unit == 16) {
        copy_16_part(to, from, (uint32_t)valid);
        return;
    }
#pragma unroll 1
    for (int32_t i = 0; i < 16; i += 4) {
        const int32_t part = valid - i < 0 ? 0 : valid - i > 4 ? 4 : valid - i;
        if (unit == 4) {
            copy_4_part(to + (uint32_t)i, part ? from + i : from, (uint32_t)part);
        } else {
            uint32_t word = 0;
#pragma unroll 1
            for (int32_t b = 0; b < part; b++) word |= (uint32_t)from[i + b] << (8 * b);
            store_shared_4(to + (uint32_t)i, word);
        }
    }
}

/* Weights of `places` rows and `slabs` slabs from column k0 on. */
DEVICE void load_weights(const multiply_arguments *a, tenon_device_const_bytes w, shared_address to,
                         uint32_t tile, uint32_t base, uint32_t k0, const uint32_t places,
                         const uint32_t slabs, const uint32_t bits, uint32_t lane,
                         const uint32_t lanes) {
    if (bits != 4 || a->storage == MULTIPLY_K_LAST) {
        const uint32_t row_pieces = slabs * bits / 4, slab_pieces = bits / 4;
        for (uint32_t i = lane; i < places * row_pieces; i += lanes) {
            const uint32_t place = i / row_pieces, piece = i % row_pieces;
            const uint32_t at = k0 / 8 * bits + piece * 16;
            const bool there = is_weight_row(a, tile, places, place);
            copy_piece(to + piece / slab_pieces * SLAB_BYTES(places, bits) + place * (bits * 4) +
                           piece % slab_pieces * 16,
                       w + (there && at < a->row_bytes
                                ? weight_row(a, base, place) * a->w_n_bytes + at
                                : 0),
                       there ? (int32_t)a->row_bytes - (int32_t)at : 0, a->w_unit);
        }
        return;
    }
    /* Four words that are neighbours in the tile: rows, or eights of rows. */
    const bool n_words = a->storage == MULTIPLY_N_WORDS;
    const uint32_t line_words = n_words ? places / 8 : places, line_pieces = line_words / 4;
    const uint32_t lines = n_words ? slabs * 32 : slabs * 4;
    const uint32_t line_bytes = n_words ? line_words * 4 : (places + 8) * 4;
#pragma unroll 1
    for (uint32_t i = lane; i < lines * line_pieces; i += lanes) {
        const uint32_t line = i / line_pieces, word = i % line_pieces * 4;
        const uint32_t entry = (n_words ? k0 : k0 / 8) + line;
        const bool line_there = entry < (n_words ? a->k : (a->k + 7) / 8);
        const shared_address piece_to = to + line * line_bytes + word * 4;
        const tenon_device_const_bytes from = w + (line_there ? entry * a->w_k_bytes : 0);
        int64_t offset[4];
        int32_t there = 0;
#pragma unroll
        for (uint32_t j = 0; j < 4; j++) {
            const uint32_t place = n_words ? (word + j) * 8 : word + j;
            const bool good = line_there && is_weight_row(a, tile, places, place);
            const uint32_t row = weight_row(a, base, place);
            offset[j] = good ? (n_words ? row / 8 : row) * a->w_n_bytes : -1;
            there += good;
        }
        if (a->w_unit == 16) {
            copy_16_part(piece_to, there ? from + offset[0] : w, (uint32_t)there * 4);
        } else {
#pragma unroll
            for (uint32_t j = 0; j < 4; j++)
                copy_4_part(piece_to + 4 * j, offset[j] >= 0 ? from + offset[j] : w,
                            offset[j] >= 0 ? 4 : 0);
        }
    }
}

/* Rows of x. */
DEVICE void load_x(const multiply_arguments *a, const multiply_rows *rows, shared_address to,
                   uint32_t k0, const uint32_t tokens, const uint32_t slabs, const uint32_t bits,
                   uint32_t lane, const uint32_t lanes) {
    const uint32_t row_pieces = slabs * bits / 4, slab_pieces = bits / 4;
    for (uint32_t i = lane; i < tokens * row_pieces; i += lanes) {
        const uint32_t token = i / row_pieces, piece = i % row_pieces;
        const int32_t left = (int32_t)(a->k * (bits / 8)) - (int32_t)(k0 * (bits / 8) + piece * 16);
        const int64_t source = rows->source[token];
        const bool there = source >= 0 && left > 0;
        copy_piece(to + piece / slab_pieces * SLAB_BYTES(tokens, bits) + token * (bits * 4) +
                       piece % slab_pieces * 16,
                   a->x + (there ? source + k0 * (bits / 8) + piece * 16 : 0), there ? left : 0,
                   a->x_unit);
    }
}

#endif /* TENON_MULTIPLY_LOAD_H */
