/* SPDX-License-Identifier: Apache-2.0 */
/* As panel_arm_neon.c, with usdot, and bf16 in pairs 6 x 2. */
#include "simd/simd_arm_neonbf16.h"

#define PANEL_TABLE tenon_panel_arm_neonbf16
#define PANEL_NAME  "arm_neonbf16"

#define PANEL_INT8(X)  PANEL_QUANTIZED(PANEL_ROWS_3, X, 4, 2)
#define PANEL_FLOAT(X) PANEL_PLAIN(PANEL_ROWS_6, X, 4, 2) PANEL_QUANTIZED(PANEL_ROWS_4, X, 4, 2)
#define PANEL_BF16(X)  PANEL_ROWS_6(X, BF16, 4, 2) PANEL_FLOAT8(PANEL_ROWS_4, X, 2, 2)

#define PANEL_INT8_ROWS  PANEL_QUANTIZED(PANEL_LARGEST, 3, 0, 0)
#define PANEL_FLOAT_ROWS PANEL_PLAIN(PANEL_LARGEST, 6, 0, 0) PANEL_QUANTIZED(PANEL_LARGEST, 4, 0, 0)
#define PANEL_BF16_ROWS  PANEL_LARGEST(6, BF16, 0, 0) PANEL_FLOAT8(PANEL_LARGEST, 4, 0, 0)

#include "panel_table.h"
