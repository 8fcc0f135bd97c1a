/* SPDX-License-Identifier: Apache-2.0 */
/* The host side that matmul and moe_matmul share. */
#ifndef TENON_MULTIPLY_CUDA_H
#define TENON_MULTIPLY_CUDA_H

#include "cuda_launch.h"
#include "multiply_arguments.h"
#include "weight_view.h"

/* Why these kernels do not take weights w (of k columns) with activations x; NULL: they do. */
const char *tenon_multiply_declines(const DLTensor *x, const tenon_quant *x_quant,
                                    const tenon_weight_view *w, const DLTensor *bias,
                                    int32_t activation, int32_t gate_layout, tenon_reason *reason);
int32_t tenon_multiply_plan(tenon_kernel_plan *plan, tenon_error *error);
/* What follows from weights, x and bias; the caller adds rows and tables. */
void tenon_multiply_fill(multiply_arguments *m, const DLTensor *x, const tenon_weight_view *w,
                         const DLTensor *bias, const DLTensor *out, int32_t activation,
                         int32_t gate_layout);
/* few_rows: 8 rows of x in a tile, else 32. row_tiles: the most tiles that there can be. */
int32_t tenon_multiply_launch(const tenon_kernel_plan *plan, multiply_arguments *m, bool few_rows,
                              uint32_t row_tiles, void *stream, tenon_error *error);

#endif /* TENON_MULTIPLY_CUDA_H */
