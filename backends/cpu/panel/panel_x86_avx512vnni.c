/* SPDX-License-Identifier: Apache-2.0 */
/* 32 registers: int8 6 x 2 (12 integer, 12 float sums), float 12 x 2, with decoding 8 x 2, bf16 12
 * x 2. */
#include "simd/simd_x86_avx512vnni.h"

#define PANEL_TABLE tenon_panel_x86_avx512vnni
#define PANEL_NAME  "x86_avx512vnni"

#define PANEL_INT8(X)                                                                              \
    PANEL_ROWS_6(X, Q4_0, 2, 2)                                                                    \
    PANEL_ROWS_6(X, Q4_1, 2, 2)                                                                    \
    PANEL_ROWS_6(X, Q8_0, 2, 2)                                                                    \
    PANEL_ROWS_6(X, Q4_K, 2, 2)                                                                    \
    PANEL_ROWS_6(X, Q6_K, 2, 2)
#define PANEL_FLOAT(X)                                                                             \
    PANEL_ROWS_12(X, BF16, 2, 2)                                                                   \
    PANEL_ROWS_12(X, F16, 2, 2)                                                                    \
    PANEL_ROWS_12(X, F32, 2, 2)                                                                    \
    PANEL_ROWS_8(X, Q4_0, 2, 2)                                                                    \
    PANEL_ROWS_8(X, Q4_1, 2, 2)                                                                    \
    PANEL_ROWS_8(X, Q8_0, 2, 2)                                                                    \
    PANEL_ROWS_8(X, Q4_K, 2, 2)                                                                    \
    PANEL_ROWS_8(X, Q6_K, 2, 2)
#define PANEL_BF16(X) PANEL_ROWS_12(X, BF16, 2, 2)

#define PANEL_INT8_ROWS                                                                            \
    PANEL_KIND_ROWS(Q4_0, 6)                                                                       \
    PANEL_KIND_ROWS(Q4_1, 6)                                                                       \
    PANEL_KIND_ROWS(Q8_0, 6) PANEL_KIND_ROWS(Q4_K, 6) PANEL_KIND_ROWS(Q6_K, 6)
#define PANEL_FLOAT_ROWS                                                                           \
    PANEL_KIND_ROWS(BF16, 12)                                                                      \
    PANEL_KIND_ROWS(F16, 12)                                                                       \
    PANEL_KIND_ROWS(F32, 12) PANEL_KIND_ROWS(Q4_0, 8) PANEL_KIND_ROWS(Q4_1, 8)                     \
        PANEL_KIND_ROWS(Q8_0, 8) PANEL_KIND_ROWS(Q4_K, 8) PANEL_KIND_ROWS(Q6_K, 8)
#define PANEL_BF16_ROWS PANEL_KIND_ROWS(BF16, 12)

#include "panel_table.h"
