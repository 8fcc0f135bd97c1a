/* SPDX-License-Identifier: Apache-2.0 */
/* 32 registers: int8 8 x 2 (16 integer sums, and 16 float ones, of which some wait in L1), float 12
 * x 2, with decoding 8 x 2, bf16 12 x 2. */
#include "simd/simd_x86_avx512vnni.h"

#define PANEL_TABLE tenon_panel_x86_avx512vnni
#define PANEL_NAME  "x86_avx512vnni"

#define PANEL_INT8(X)  PANEL_QUANTIZED(PANEL_ROWS_8, X, 2, 2)
#define PANEL_FLOAT(X) PANEL_PLAIN(PANEL_ROWS_12, X, 2, 2) PANEL_QUANTIZED(PANEL_ROWS_8, X, 2, 2)
#define PANEL_BF16(X)  PANEL_ROWS_12(X, BF16, 2, 2) PANEL_FLOAT8(PANEL_ROWS_8, X, 2, 2)

#define PANEL_INT8_ROWS PANEL_QUANTIZED(PANEL_LARGEST, 8, 0, 0)
#define PANEL_FLOAT_ROWS                                                                           \
    PANEL_PLAIN(PANEL_LARGEST, 12, 0, 0) PANEL_QUANTIZED(PANEL_LARGEST, 8, 0, 0)
#define PANEL_BF16_ROWS PANEL_LARGEST(12, BF16, 0, 0) PANEL_FLOAT8(PANEL_LARGEST, 8, 0, 0)

#include "panel_table.h"
