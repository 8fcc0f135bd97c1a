/* SPDX-License-Identifier: Apache-2.0 */
/* For any CPU; the compiler makes of it what it can. */
#include "simd/simd_scalar.h"

#define PANEL_TABLE tenon_panel_scalar
#define PANEL_NAME  "scalar"

#define PANEL_INT8(X)                                                                              \
    PANEL_ROWS_1(X, Q4_0, 4, 2)                                                                    \
    PANEL_ROWS_1(X, Q4_1, 4, 2)                                                                    \
    PANEL_ROWS_1(X, Q8_0, 4, 2)                                                                    \
    PANEL_ROWS_1(X, Q4_K, 4, 2)                                                                    \
    PANEL_ROWS_1(X, Q6_K, 4, 2)
#define PANEL_FLOAT(X)                                                                             \
    PANEL_ROWS_1(X, BF16, 4, 2)                                                                    \
    PANEL_ROWS_1(X, F16, 4, 2)                                                                     \
    PANEL_ROWS_1(X, F32, 4, 2)                                                                     \
    PANEL_ROWS_1(X, Q4_0, 4, 2)                                                                    \
    PANEL_ROWS_1(X, Q4_1, 4, 2)                                                                    \
    PANEL_ROWS_1(X, Q8_0, 4, 2)                                                                    \
    PANEL_ROWS_1(X, Q4_K, 4, 2)                                                                    \
    PANEL_ROWS_1(X, Q6_K, 4, 2)
#define PANEL_BF16(X)

#define PANEL_INT8_ROWS                                                                            \
    PANEL_KIND_ROWS(Q4_0, 1)                                                                       \
    PANEL_KIND_ROWS(Q4_1, 1)                                                                       \
    PANEL_KIND_ROWS(Q8_0, 1) PANEL_KIND_ROWS(Q4_K, 1) PANEL_KIND_ROWS(Q6_K, 1)
#define PANEL_FLOAT_ROWS                                                                           \
    PANEL_KIND_ROWS(BF16, 1)                                                                       \
    PANEL_KIND_ROWS(F16, 1)                                                                        \
    PANEL_KIND_ROWS(F32, 1) PANEL_KIND_ROWS(Q4_0, 1) PANEL_KIND_ROWS(Q4_1, 1)                      \
        PANEL_KIND_ROWS(Q8_0, 1) PANEL_KIND_ROWS(Q4_K, 1) PANEL_KIND_ROWS(Q6_K, 1)
#define PANEL_BF16_ROWS [0] = 0

#include "panel_table.h"
