/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TENON_SCALE_LAYOUT_H
#define TENON_SCALE_LAYOUT_H

/* Where the scale of (row, block) lies in the tiled "128x4" layout that block-scaled tensor cores
 * read: 512-byte atoms of 128 rows by 4 blocks, the atoms of one row band side by side along K.
 * Inside an atom the row is split into row % 32 (16 bytes apart) and row / 32 (4 bytes apart). Rows
 * are padded to 128 and blocks to 4. The linear and the MN-major layouts need no function: they are
 * strides (blocks, 1) and (1, rows padded). */

#include <stdint.h>

static inline int64_t tenon_scale_128x4_offset(int64_t row, int64_t block, int64_t blocks) {
    int64_t atoms_per_band = (blocks + 3) / 4;
    int64_t atom = row / 128 * atoms_per_band + block / 4;
    int64_t within = row % 32 * 16 + row % 128 / 32 * 4 + block % 4;
    return atom * 512 + within;
}

static inline int64_t tenon_scale_128x4_bytes(int64_t rows, int64_t blocks) {
    return (rows + 127) / 128 * ((blocks + 3) / 4) * 512;
}

#endif
