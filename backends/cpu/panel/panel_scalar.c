/* SPDX-License-Identifier: Apache-2.0 */
/* For any CPU; the compiler makes of it what it can. */
#include "simd/simd_scalar.h"

#define PANEL_TABLE tenon_panel_scalar
#define PANEL_NAME  "scalar"

#define PANEL_INT8(X)  PANEL_QUANTIZED(PANEL_ROWS_1, X, 4, 2)
#define PANEL_FLOAT(X) PANEL_PLAIN(PANEL_ROWS_1, X, 4, 2) PANEL_QUANTIZED(PANEL_ROWS_1, X, 4, 2)
#define PANEL_BF16(X)

#define PANEL_INT8_ROWS  PANEL_QUANTIZED(PANEL_LARGEST, 1, 0, 0)
#define PANEL_FLOAT_ROWS PANEL_PLAIN(PANEL_LARGEST, 1, 0, 0) PANEL_QUANTIZED(PANEL_LARGEST, 1, 0, 0)
#define PANEL_BF16_ROWS  [0] = 0

#include "panel_table.h"
