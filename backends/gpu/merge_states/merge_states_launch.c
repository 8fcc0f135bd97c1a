/* SPDX-License-Identifier: Apache-2.0 */
#include "merge_states_arguments.h"
#include "merge_states_launch.h"
#include "number.h"
#include "gpu_launch.h"

enum { FUNCTION_F32, FUNCTION_F16, FUNCTION_BF16, FUNCTION_ELEMENTS };
static const char *const symbols[] = {"merge_states_f32", "merge_states_f16", "merge_states_bf16",
                                      "merge_states_elements", NULL};

const char *tenon_gpu_merge_states_declines(const tenon_problem *problem, tenon_reason *reason) {
    const tenon_merge_states_args *a = problem->args;
    const int64_t rows = a->out->shape[0] * a->out->shape[1];
    if (rows > INT32_MAX || a->out->shape[2] > INT32_MAX || a->partial_out->shape[0] > INT32_MAX)
        return tenon_decline(reason, "%lld rows of %lld, beyond 32 bits", (long long)rows,
                             (long long)a->out->shape[2]);
    return NULL;
}

int32_t tenon_gpu_merge_states_plan(tenon_kernel_plan *p, tenon_error *error) {
    return tenon_gpu_load(p, "merge_states", symbols, error);
}

int32_t tenon_gpu_merge_states_run(const tenon_kernel_plan *p, const void *args,
                                   tenon_error *error) {
    const tenon_merge_states_args *a = args;
    const int64_t *in = a->partial_out->strides, *in_lse = a->partial_lse->strides,
                  *out = a->out->strides;
    const int32_t d_v = (int32_t)a->out->shape[2];
    const tenon_number number = tenon_number_of(a->partial_out->dtype);
    const uint32_t wide = number == TENON_NUMBER_F32 ? 4 : 8;
    const bool aligned = tenon_gpu_rows_aligned(a->partial_out) && tenon_gpu_rows_aligned(a->out) &&
                         (uint32_t)d_v % wide == 0;
    const uint32_t piece = aligned ? wide : 1;
    merge_states_arguments k = {
        .partial_out = tenon_data(a->partial_out),
        .partial_lse = tenon_data(a->partial_lse),
        .out = tenon_data(a->out),
        .lse = a->lse ? tenon_data(a->lse) : NULL,
        .in_state = in[0],
        .in_token = in[1],
        .in_head = in[2],
        .in_lse_state = in_lse[0],
        .in_lse_token = in_lse[1],
        .in_lse_head = in_lse[2],
        .out_token = out[0],
        .out_head = out[1],
        .lse_token = a->lse ? a->lse->strides[0] : 0,
        .lse_head = a->lse ? a->lse->strides[1] : 0,
        .n_states = (int32_t)a->partial_out->shape[0],
        .n_heads = (int32_t)a->out->shape[1],
        .d_v = d_v,
        .rows = (uint32_t)(a->out->shape[0] * a->out->shape[1]),
        .row_lanes = tenon_gpu_group_lanes((uint32_t)d_v, piece, MERGE_STATES_ROW_LANES),
        .in_number = (uint32_t)number,
        .out_number = (uint32_t)tenon_number_of(a->out->dtype),
        .log2_of_base = a->flags & TENON_MERGE_STATES_LSE_BASE2 ? 1.0f : 1.4426950408889634f,
    };
    return tenon_gpu_launch(
        p,
        !aligned                     ? FUNCTION_ELEMENTS
        : number == TENON_NUMBER_F32 ? FUNCTION_F32
        : number == TENON_NUMBER_F16 ? FUNCTION_F16
                                     : FUNCTION_BF16,
        (tenon_gpu_grid){
            .blocks = tenon_gpu_blocks((uint64_t)k.rows * k.row_lanes, MERGE_STATES_BLOCK_LANES),
            .block_lanes = MERGE_STATES_BLOCK_LANES},
        a->stream, &k, error);
}
