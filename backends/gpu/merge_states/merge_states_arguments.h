/* SPDX-License-Identifier: Apache-2.0 */
/* What the launcher of merge_states hands to its kernels. Strides in elements. */
#ifndef TENON_MERGE_STATES_ARGUMENTS_H
#define TENON_MERGE_STATES_ARGUMENTS_H

#include "device/device_arguments.h"

enum { MERGE_STATES_BLOCK_LANES = 256, MERGE_STATES_ROW_LANES = 32 };

typedef struct merge_states_arguments {
    tenon_device_const_bytes partial_out, partial_lse;
    tenon_device_bytes out, lse; /* lse: or NULL */
    int64_t in_state, in_token, in_head;
    int64_t in_lse_state, in_lse_token, in_lse_head;
    int64_t out_token, out_head, lse_token, lse_head;
    int32_t n_states, n_heads, d_v;
    uint32_t rows;      /* tokens * heads */
    uint32_t row_lanes; /* lanes that share a row: a power of two, at most a wave */
    uint32_t in_number, out_number;
    float log2_of_base; /* of the base of both lse */
} merge_states_arguments;

#endif /* TENON_MERGE_STATES_ARGUMENTS_H */
