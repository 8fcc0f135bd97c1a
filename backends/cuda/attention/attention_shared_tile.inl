/* SPDX-License-Identifier: Apache-2.0 */
/* Tiles of K and V in shared memory: 64 rows of 16-bit elements, in pieces of 16 bytes; piece c of
 * row r lies at c ^ r % 8, so that the 8 rows of a matrix lie in different banks. 8-bit caches
 * arrive as they are beside the tile, and are widened into it. Warp w copies and widens rows
 * 16 w to 16 w + 15. */
#include "attention_sight.h"

DEVICE shared_address piece_at(shared_address tile, uint32_t row, uint32_t piece,
                               const uint32_t pieces) {
    return tile + (row * pieces + (piece ^ row % 8)) * 16;
}

/* Starts the copy of this warp's 16 rows of one cache. Lane l knows the place of row l % 16. */
DEVICE void copy_rows(const attention_cache *c, const attention_place *place, int32_t head,
                      shared_address tile, const uint32_t d_most, const bool is_fp8) {
    const uint32_t lane = lane_id(), first = wave_id() * 16;
    const uint32_t pieces = is_fp8 ? d_most / 16 : d_most / 8,
                   used = (uint32_t)c->d / (is_fp8 ? 16 : 8);
    const int64_t own =
        place->page < 0 ? -1 : place->page * c->page + place->slot * c->slot + head * c->head;
    UNROLL for (uint32_t i = 0; i < pieces / 2; i++) {
        const uint32_t n = i * 32 + lane, row = n / pieces, piece = n % pieces;
        const uint32_t low = wave_read_lane((uint32_t)(uint64_t)own, row),
                       high = wave_read_lane((uint32_t)((uint64_t)own >> 32), row);
        const int64_t from = (int64_t)((uint64_t)high << 32 | low);
        const bool present = from >= 0 && piece < used;
        const shared_address to = is_fp8 ? tile + ((first + row) * pieces + piece) * 16
                                         : piece_at(tile, first + row, piece, pieces);
        copy_16_part(to, c->data + (present ? from + piece * 16 : 0), present ? 16 : 0);
    }
}

DEVICE void widen_rows_of(const uint32_t number, shared_address raw, shared_address tile,
                          const uint32_t d_most, const bool bf16) {
    const uint32_t first = wave_id() * 16, pieces = d_most / 16;
    for (uint32_t n = lane_id(); n < pieces * 16; n += WAVE_LANES) {
        const uint32_t row = first + n / pieces, piece = n % pieces;
        const u32x4 codes = load_shared_16(raw + (row * pieces + piece) * 16);
        UNROLL for (int half = 0; half < 2; half++) {
            u32x4 wide;
            UNROLL for (int j = 0; j < 4; j++) {
                const uint32_t pair = codes[half * 2 + j / 2] >> j % 2 * 16;
                wide[j] = pair_of_f32(fp8_to_f32(number, pair & 0xff),
                                      fp8_to_f32(number, pair >> 8 & 0xff), bf16);
            }
            store_shared_16(piece_at(tile, row, piece * 2 + (uint32_t)half, d_most / 8), wide);
        }
    }
}
/* The branch is outside of the loop. */
DEVICE void widen_rows(uint32_t number, shared_address raw, shared_address tile,
                       const uint32_t d_most, const bool bf16) {
    switch (number) {
    case TENON_NUMBER_E4M3FN:
        widen_rows_of(TENON_NUMBER_E4M3FN, raw, tile, d_most, bf16);
        break;
    case TENON_NUMBER_E4M3FNUZ:
        widen_rows_of(TENON_NUMBER_E4M3FNUZ, raw, tile, d_most, bf16);
        break;
    case TENON_NUMBER_E5M2:
        widen_rows_of(TENON_NUMBER_E5M2, raw, tile, d_most, bf16);
        break;
    default:
        widen_rows_of(TENON_NUMBER_E5M2FNUZ, raw, tile, d_most, bf16);
    }
}

/* Whether this warp's 16 rows hold an element that is no number; and these elements made 0. */
DEVICE bool has_no_number(shared_address tile, const uint32_t pieces, const uint32_t exponent) {
    bool bad = false;
    for (uint32_t n = lane_id(); n < 16 * pieces; n += WAVE_LANES) {
        const u32x4 x =
            load_shared_16(piece_at(tile, wave_id() * 16 + n / pieces, n % pieces, pieces));
        for (int j = 0; j < 4; j++)
            bad |= (x[j] & exponent) == exponent || (x[j] >> 16 & exponent) == exponent;
    }
    return wave_ballot(bad) != 0;
}
DEVICE void drop_no_numbers(shared_address tile, const uint32_t pieces, const uint32_t exponent) {
    for (uint32_t n = lane_id(); n < 16 * pieces; n += WAVE_LANES) {
        const shared_address p = piece_at(tile, wave_id() * 16 + n / pieces, n % pieces, pieces);
        u32x4 x = load_shared_16(p);
        for (int j = 0; j < 4; j++) {
            if ((x[j] & exponent) == exponent) x[j] &= 0xffff0000u;
            if ((x[j] >> 16 & exponent) == exponent) x[j] &= 0xffffu;
        }
        store_shared_16(p, x);
    }
}
