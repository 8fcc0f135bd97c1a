/* SPDX-License-Identifier: Apache-2.0 */
/* 16 registers, 16 columns at a time: int8 3 x 2, float 6 x 2, with decoding 4 x 2. One row reads
 * all 32 columns in one pass. */
#include "simd/simd_x86_avx2.h"

#define PANEL_TABLE tenon_panel_x86_avx2
#define PANEL_NAME  "x86_avx2"

#define PANEL_INT8(X)                                                                              \
    PANEL_ROWS_3(X, Q4_0, 4, 2)                                                                    \
    PANEL_ROWS_3(X, Q4_1, 4, 2)                                                                    \
    PANEL_ROWS_3(X, Q8_0, 4, 2)                                                                    \
    PANEL_ROWS_3(X, Q4_K, 4, 2)                                                                    \
    PANEL_ROWS_3(X, Q6_K, 4, 2)
#define PANEL_FLOAT(X)                                                                             \
    PANEL_ROWS_6(X, BF16, 4, 2)                                                                    \
    PANEL_ROWS_6(X, F16, 4, 2)                                                                     \
    PANEL_ROWS_6(X, F32, 4, 2)                                                                     \
    PANEL_ROWS_4(X, Q4_0, 4, 2)                                                                    \
    PANEL_ROWS_4(X, Q4_1, 4, 2)                                                                    \
    PANEL_ROWS_4(X, Q8_0, 4, 2)                                                                    \
    PANEL_ROWS_4(X, Q4_K, 4, 2)                                                                    \
    PANEL_ROWS_4(X, Q6_K, 4, 2)
#define PANEL_BF16(X)

#define PANEL_INT8_ROWS                                                                            \
    PANEL_KIND_ROWS(Q4_0, 3)                                                                       \
    PANEL_KIND_ROWS(Q4_1, 3)                                                                       \
    PANEL_KIND_ROWS(Q8_0, 3) PANEL_KIND_ROWS(Q4_K, 3) PANEL_KIND_ROWS(Q6_K, 3)
#define PANEL_FLOAT_ROWS                                                                           \
    PANEL_KIND_ROWS(BF16, 6)                                                                       \
    PANEL_KIND_ROWS(F16, 6)                                                                        \
    PANEL_KIND_ROWS(F32, 6) PANEL_KIND_ROWS(Q4_0, 4) PANEL_KIND_ROWS(Q4_1, 4)                      \
        PANEL_KIND_ROWS(Q8_0, 4) PANEL_KIND_ROWS(Q4_K, 4) PANEL_KIND_ROWS(Q6_K, 4)
#define PANEL_BF16_ROWS [0] = 0

#include "panel_table.h"
