/* SPDX-License-Identifier: Apache-2.0 */
#include "panel_unpack.h"

#include <string.h>

/* Word t of code vectors at `vectors` back to where it came from. */
static void take_words(const uint8_t *vectors, int n_words, int32_t col, uint8_t flip,
                       uint8_t *dst) {
    for (int t = 0; t < n_words; t++)
        for (int b = 0; b < 4; b++)
            dst[4 * t + b] = (uint8_t)(vectors[t * 128 + 4 * col + b] ^ flip);
}

static void unpack_q4_k(const uint8_t *unit, int32_t col, uint8_t *row) {
    memcpy(row, unit + 2 * col, 2);
    memcpy(row + 2, unit + 64 + 2 * col, 2);
    uint8_t scale[8], min[8], *packed = row + 4;
    for (int p = 0; p < 4; p++) {
        const uint8_t *part = unit + 128 + 1152 * p;
        take_words(part, 8, col, 0, row + 16 + 32 * p);
        for (int g = 0; g < 2; g++) {
            scale[2 * p + g] = part[1024 + 32 * g + col];
            min[2 * p + g] = part[1088 + 32 * g + col];
        }
    }
    for (int i = 0; i < 4; i++) {
        packed[i] = (uint8_t)(scale[i] | scale[i + 4] >> 4 << 6);
        packed[i + 4] = (uint8_t)(min[i] | min[i + 4] >> 4 << 6);
        packed[i + 8] = (uint8_t)((scale[i + 4] & 15) | (min[i + 4] & 15) << 4);
    }
}

static void unpack_q6_k(const uint8_t *unit, int32_t col, uint8_t *row) {
    memcpy(row + 208, unit + 2 * col, 2);
    for (int p = 0; p < 2; p++) {
        const uint8_t *part = unit + 64 + 3328 * p;
        take_words(part, 16, col, 0, row + 64 * p);
        take_words(part + 2048, 8, col, 0, row + 128 + 32 * p);
        for (int i = 0; i < 8; i++) row[192 + 8 * p + i] = part[3072 + 32 * i + col];
    }
}

void tenon_panel_unpack_unit(tenon_panel_kind kind, const uint8_t *unit, int32_t col,
                             uint8_t *row) {
    switch (kind) {
    case TENON_PANEL_BF16:
        take_words(unit, 16, col, 0, row);
        return;
    case TENON_PANEL_F32:
        take_words(unit, 32, col, 0, row);
        return;
    case TENON_PANEL_E4M3FN:
    case TENON_PANEL_E4M3FNUZ:
    case TENON_PANEL_E5M2:
    case TENON_PANEL_E5M2FNUZ:
    case TENON_PANEL_MXFP8_E4M3:
    case TENON_PANEL_MXFP8_E5M2:
        take_words(unit, 8, col, 0, row);
        return;
    case TENON_PANEL_F16:
        for (int k = 0; k < 32; k++) memcpy(row + 2 * k, unit + 2 * (32 * k + col), 2);
        return;
    case TENON_PANEL_Q4_0:
        memcpy(row, unit + 512 + 2 * col, 2);
        take_words(unit, 4, col, 0, row + 2);
        return;
    case TENON_PANEL_Q4_1:
        memcpy(row, unit + 512 + 2 * col, 2);
        memcpy(row + 2, unit + 576 + 2 * col, 2);
        take_words(unit, 4, col, 0, row + 4);
        return;
    case TENON_PANEL_Q8_0:
        memcpy(row, unit + 1024 + 2 * col, 2);
        take_words(unit, 8, col, 0x80, row + 2);
        return;
    case TENON_PANEL_Q4_K:
        unpack_q4_k(unit, col, row);
        return;
    case TENON_PANEL_Q6_K:
        unpack_q6_k(unit, col, row);
        return;
    case TENON_PANEL_MXFP4:
    case TENON_PANEL_NVFP4:
    case TENON_PANEL_INT4_ZERO:
    case TENON_PANEL_INT4_AFFINE:
        take_words(unit, 4, col, 0, row);
        return;
    case TENON_PANEL_INT8_AFFINE:
        take_words(unit, 8, col, 0x80, row);
        return;
    case TENON_PANEL_INT4_128:
    case TENON_PANEL_INT4_ZERO_128:
    case TENON_PANEL_INT4_AFFINE_128:
        take_words(unit, 16, col, 0, row);
        return;
    case TENON_PANEL_INT8_128:
    case TENON_PANEL_INT8_AFFINE_128:
        take_words(unit, 32, col, 0x80, row);
        return;
    default:
        return;
    }
}

const uint8_t *tenon_panel_unit_scale(tenon_panel_kind kind, const uint8_t *unit, int32_t col,
                                      int32_t *bytes) {
    *bytes = 2;
    switch (kind) {
    case TENON_PANEL_Q4_0:
    case TENON_PANEL_INT4_ZERO:
        return unit + 512 + 2 * col;
    case TENON_PANEL_INT4_128:
    case TENON_PANEL_INT4_ZERO_128:
        return unit + 2048 + 2 * col;
    case TENON_PANEL_Q8_0:
        return unit + 1024 + 2 * col;
    case TENON_PANEL_MXFP4:
        *bytes = 1;
        return unit + 512 + col;
    case TENON_PANEL_MXFP8_E4M3:
    case TENON_PANEL_MXFP8_E5M2:
        *bytes = 1;
        return unit + 1024 + col;
    default:
        return NULL;
    }
}
