/* SPDX-License-Identifier: Apache-2.0 */
/* Activations that come quantized: what is multiplied, and which scales wait for the sums.
 *
 *   for bf16 dot products      values                            scales of a row
 *   float8, FP8, INT8          elements                          those of the tensor, per group
 *   MXFP8, MXFP4               element * 2^(block - largest)     2^largest, of its blocks
 *   NVFP4                      element * scale of the block      global scale
 *
 *   for int8 dot products
 *   INT8                       elements                          those of the tensor, per group
 *
 * All of these values are exact in bf16, unless a block is 2^100 times smaller than another one of
 * its row. Everything else (zero points, groups that are not multiples of 32, kinds without bf16
 * tiles) becomes f32, scale included. */
#ifndef TENON_PANEL_ROWS_H
#define TENON_PANEL_ROWS_H

#include "panel_kernels.h"
#include "row_decode.h"

typedef struct tenon_panel_rows {
    tenon_weight_view view;
    tenon_row_decoder decoder;
    tenon_panel_type type;       /* of the values */
    int64_t groups, group_units; /* scales of a row, and units of 32 k that share one; 0: none */
} tenon_panel_rows;

/* How rows of this view meet weights of a kind. */
void tenon_panel_rows_plan(const tenon_panel_kernels *kernels, tenon_panel_kind kind,
                           const tenon_weight_view *view, tenon_panel_rows *out);

/* Row `row` of all, those of expert 0 first: k values of rows->type, and rows->groups scales. */
void tenon_panel_rows_load(const tenon_panel_rows *rows, int64_t row, void *values, float *scales);

#endif
