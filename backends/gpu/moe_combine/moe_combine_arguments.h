/* SPDX-License-Identifier: Apache-2.0 */
/* What the launcher of moe_combine hands to its kernels. Strides in elements. */
#ifndef TENON_MOE_COMBINE_ARGUMENTS_H
#define TENON_MOE_COMBINE_ARGUMENTS_H

#include "device/device_arguments.h"

enum { MOE_COMBINE_BLOCK_LANES = 256 };

typedef struct moe_combine_arguments {
    tenon_device_const_bytes y, pair_rows, weights, shared; /* weights, shared: or NULL */
    tenon_device_bytes out;
    tenon_device_fault fault;
    int64_t y_table, y_row; /* row r lies at r / table_rows * y_table + r % table_rows * y_row */
    int64_t pair_token, weight_token, shared_token, out_token;
    uint32_t n_rows, table_rows;
    uint32_t n_tokens, k, row_pieces; /* pieces of a row of out */
    uint32_t y_number, shared_number, out_number;
    float scale;
} moe_combine_arguments;

#endif /* TENON_MOE_COMBINE_ARGUMENTS_H */
