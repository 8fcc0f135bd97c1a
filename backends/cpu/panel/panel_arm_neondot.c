/* SPDX-License-Identifier: Apache-2.0 */
/* As panel_arm_neon.c, with sdot. */
#include "simd/simd_arm_neondot.h"

#define PANEL_TABLE tenon_panel_arm_neondot
#define PANEL_NAME  "arm_neondot"

#define PANEL_INT8(X)  PANEL_QUANTIZED(PANEL_ROWS_3, X, 4, 2)
#define PANEL_FLOAT(X) PANEL_PLAIN(PANEL_ROWS_6, X, 4, 2) PANEL_QUANTIZED(PANEL_ROWS_4, X, 4, 2)
#define PANEL_BF16(X)

#define PANEL_INT8_ROWS  PANEL_QUANTIZED(PANEL_LARGEST, 3, 0, 0)
#define PANEL_FLOAT_ROWS PANEL_PLAIN(PANEL_LARGEST, 6, 0, 0) PANEL_QUANTIZED(PANEL_LARGEST, 4, 0, 0)
#define PANEL_BF16_ROWS  [0] = 0

#include "panel_table.h"
