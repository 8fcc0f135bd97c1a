/* SPDX-License-Identifier: Apache-2.0 */
/* 16 pairs of registers, 16 columns at a time: int8 3 x 2, float 6 x 2, with decoding 4 x 2. One
 * row reads all 32 columns in one pass. */
#include "simd/simd_arm_neon.h"

#define PANEL_TABLE tenon_panel_arm_neon
#define PANEL_NAME  "arm_neon"

#define PANEL_INT8(X)  PANEL_QUANTIZED(PANEL_ROWS_3, X, 4, 2)
#define PANEL_FLOAT(X) PANEL_PLAIN(PANEL_ROWS_6, X, 4, 2) PANEL_QUANTIZED(PANEL_ROWS_4, X, 4, 2)
#define PANEL_BF16(X)

#define PANEL_INT8_ROWS  PANEL_QUANTIZED(PANEL_LARGEST, 3, 0, 0)
#define PANEL_FLOAT_ROWS PANEL_PLAIN(PANEL_LARGEST, 6, 0, 0) PANEL_QUANTIZED(PANEL_LARGEST, 4, 0, 0)
#define PANEL_BF16_ROWS  [0] = 0

#include "panel_table.h"
