/* SPDX-License-Identifier: Apache-2.0 */
/* 32 registers: int8 6 x 2 (12 integer, 12 float sums), float 12 x 2, with decoding 8 x 2. */
#include "simd/simd_x86_avx512.h"

#define PANEL_TABLE tenon_panel_x86_avx512
#define PANEL_NAME  "x86_avx512"

#define PANEL_INT8(X)  PANEL_QUANTIZED(PANEL_ROWS_6, X, 2, 2)
#define PANEL_FLOAT(X) PANEL_PLAIN(PANEL_ROWS_12, X, 2, 2) PANEL_QUANTIZED(PANEL_ROWS_8, X, 2, 2)
#define PANEL_BF16(X)

#define PANEL_INT8_ROWS PANEL_QUANTIZED(PANEL_LARGEST, 6, 0, 0)
#define PANEL_FLOAT_ROWS                                                                           \
    PANEL_PLAIN(PANEL_LARGEST, 12, 0, 0) PANEL_QUANTIZED(PANEL_LARGEST, 8, 0, 0)
#define PANEL_BF16_ROWS [0] = 0

#include "panel_table.h"
