/* SPDX-License-Identifier: Apache-2.0 */
#include "moe_combine_arguments.h"
#include "moe_combine_launch.h"
#include "number.h"
#include "gpu_launch.h"

enum { BY_8, BY_4, ELEMENTS };
static const char *const symbols[] = {"moe_combine_by_8", "moe_combine_by_4",
                                      "moe_combine_elements", NULL};

static int64_t rows_of(const DLTensor *y) {
    return y->ndim == 2 ? y->shape[0] : y->shape[0] * y->shape[1];
}

const char *tenon_gpu_moe_combine_declines(const tenon_problem *problem, tenon_reason *reason) {
    const tenon_moe_combine_args *a = problem->args;
    const int64_t elements = a->out->shape[0] * a->out->shape[1];
    if (elements > INT32_MAX || rows_of(a->y) > INT32_MAX || a->pair_rows->shape[1] > INT32_MAX)
        return tenon_decline(reason, "%lld elements from %lld rows, beyond 32 bits",
                             (long long)elements, (long long)rows_of(a->y));
    return NULL;
}

int32_t tenon_gpu_moe_combine_plan(tenon_kernel_plan *p, tenon_error *error) {
    return tenon_gpu_load(p, "moe_combine", symbols, error);
}

int32_t tenon_gpu_moe_combine_run(const tenon_kernel_plan *p, const void *args,
                                  tenon_error *error) {
    const tenon_moe_combine_args *a = args;
    const bool tables = a->y->ndim == 3;
    const int64_t hidden = a->out->shape[1];
    const tenon_number y_number = tenon_number_of(a->y->dtype);
    const uint32_t wide = y_number == TENON_NUMBER_F32 ? 4 : 8;
    const bool aligned = tenon_gpu_rows_aligned(a->y) && tenon_gpu_rows_aligned(a->out) &&
                         (!a->shared || tenon_gpu_rows_aligned(a->shared)) && hidden % wide == 0;
    const uint32_t piece = aligned ? wide : 1;
    const moe_combine_arguments k = {
        .y = tenon_data(a->y),
        .pair_rows = tenon_data(a->pair_rows),
        .weights = a->topk_weights ? tenon_data(a->topk_weights) : NULL,
        .shared = a->shared ? tenon_data(a->shared) : NULL,
        .out = tenon_data(a->out),
        .fault = (void *)a->fault,
        .y_table = tables ? a->y->strides[0] : 0,
        .y_row = a->y->strides[tables],
        .pair_token = a->pair_rows->strides[0],
        .weight_token = a->topk_weights ? a->topk_weights->strides[0] : 0,
        .shared_token = a->shared ? a->shared->strides[0] : 0,
        .out_token = a->out->strides[0],
        .n_rows = (uint32_t)rows_of(a->y),
        .table_rows = tables && a->y->shape[1] ? (uint32_t)a->y->shape[1] : UINT32_MAX,
        .n_tokens = (uint32_t)a->out->shape[0],
        .k = (uint32_t)a->pair_rows->shape[1],
        .row_pieces = (uint32_t)hidden / piece,
        .y_number = (uint32_t)y_number,
        .shared_number = a->shared ? (uint32_t)tenon_number_of(a->shared->dtype) : 0,
        .out_number = (uint32_t)tenon_number_of(a->out->dtype),
        .scale = a->scale == 0 ? 1 : a->scale,
    };
    return tenon_gpu_launch(
        p,
        piece == 8   ? BY_8
        : piece == 4 ? BY_4
                     : ELEMENTS,
        (tenon_gpu_grid){.blocks = tenon_gpu_blocks((uint64_t)k.n_tokens * k.row_pieces,
                                                    MOE_COMBINE_BLOCK_LANES),
                         .block_lanes = MOE_COMBINE_BLOCK_LANES},
        a->stream, &k, error);
}
