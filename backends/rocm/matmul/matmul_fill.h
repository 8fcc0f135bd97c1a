/* SPDX-License-Identifier: Apache-2.0 */
/* From the ABI's tensors to the arguments of the kernels, for matmul and moe_matmul. */
#ifndef TENON_MATMUL_FILL_H
#define TENON_MATMUL_FILL_H

#include "backend.h"
#include "matmul_arguments.h"
#include "weight_view.h"

/* Both operations as one: moe is NULL for a matmul. */
typedef struct matmul_call {
    const DLTensor *x, *w, *bias, *out;
    const tenon_quant *x_quant, *w_quant;
    const tenon_moe_matmul_args *moe;
    int32_t compute;
    void *stream;
    tenon_fault *fault;
} matmul_call;

matmul_call tenon_rocm_matmul_call(int32_t op, const void *args);

/* The views of both operands; else why not. */
const char *tenon_rocm_matmul_views(const matmul_call *call, tenon_weight_view *x,
                                    tenon_weight_view *w, tenon_reason *reason);

/* What no kernel here takes: extents beyond 32 bits, packed weights. */
const char *tenon_rocm_matmul_declines(const matmul_call *call, tenon_weight_view *x,
                                       tenon_weight_view *w, tenon_reason *reason);

int32_t tenon_rocm_matmul_fill(const matmul_call *call, int32_t op, matmul_arguments *out,
                               tenon_error *error);

/* Blocks of block_rows rows that hold all rows, whatever the experts' tables say. */
uint32_t tenon_rocm_matmul_row_blocks(const matmul_arguments *a, uint32_t block_rows);

#endif /* TENON_MATMUL_FILL_H */
