/* SPDX-License-Identifier: Apache-2.0 */
#include "moe_dispatch_arguments.h"
#include "moe_dispatch_launch.h"
#include "moe_layout.h"
#include "number.h"
#include "gpu_launch.h"

enum {
    COUNT,
    OFFSETS,
    PLACE,
    COPY_16,
    COPY_4,
    COPY_2,
    COPY_1,
    PAD,
    LANES_BY_8,
    LANES_BY_4,
    LANES_BY_1,
    BLOCK_BY_8,
    BLOCK_BY_4,
    BLOCK_BY_1
};
static const char *const symbols[] = {"moe_dispatch_count",
                                      "moe_dispatch_offsets",
                                      "moe_dispatch_place",
                                      "moe_dispatch_copy_16",
                                      "moe_dispatch_copy_4",
                                      "moe_dispatch_copy_2",
                                      "moe_dispatch_copy_1",
                                      "moe_dispatch_pad",
                                      "moe_dispatch_quantize_lanes_by_8",
                                      "moe_dispatch_quantize_lanes_by_4",
                                      "moe_dispatch_quantize_lanes_by_1",
                                      "moe_dispatch_quantize_block_by_8",
                                      "moe_dispatch_quantize_block_by_4",
                                      "moe_dispatch_quantize_block_by_1",
                                      NULL};
/* Groups of more columns are the work of a whole workgroup. */
enum { LANES_GROUP_COLS = 512 };

const char *tenon_gpu_moe_dispatch_declines(const tenon_problem *problem, tenon_reason *reason) {
    const tenon_moe_dispatch_args *a = problem->args;
    if (a->x && a->x->shape[0] * a->x->shape[1] > INT32_MAX)
        return tenon_decline(reason, "x has %lld x %lld elements, beyond 32 bits",
                             (long long)a->x->shape[0], (long long)a->x->shape[1]);
    return NULL;
}

static uint32_t chunks_of(int64_t pairs) {
    return (uint32_t)((pairs + MOE_DISPATCH_CHUNK - 1) / MOE_DISPATCH_CHUNK);
}

int32_t tenon_gpu_moe_dispatch_plan(tenon_kernel_plan *p, tenon_error *error) {
    const tenon_moe_dispatch_args *a = p->problem.args;
    const int64_t pairs = a->topk_ids->shape[0] * a->topk_ids->shape[1],
                  local = a->expert_offsets->shape[0] - 1;
    p->workspace_bytes = 4 * (uint64_t)(chunks_of(pairs) * local + (local + 1) + local + pairs);
    return tenon_gpu_load(p, "moe_dispatch", symbols, error);
}

static void set_activations(const tenon_moe_dispatch_args *a, moe_dispatch_arguments *k) {
    const bool tables = a->x_out->ndim == 3;
    const tenon_quant *quant =
        a->x_out_quant && a->x_out_quant->format != TENON_FORMAT_NONE ? a->x_out_quant : NULL;
    const tenon_number number = tenon_number_of(a->x_out->dtype);
    const int64_t row_bytes = a->x->shape[1] * (a->x_out->dtype.bits / 8);
    k->x = tenon_data(a->x);
    k->x_out = tenon_data(a->x_out);
    k->x_token = a->x->strides[0];
    k->out_table = tables ? a->x_out->strides[0] : 0;
    k->out_row = a->x_out->strides[tables];
    k->hidden = (uint32_t)a->x->shape[1];
    k->element_bytes = a->x_out->dtype.bits / 8;
    k->clears_16 = row_bytes % 16 == 0 && tenon_gpu_rows_aligned(a->x_out);
    k->x_number = (uint32_t)tenon_number_of(a->x->dtype);
    k->number = (uint32_t)number;
    k->is_integer = number == TENON_NUMBER_I8;
    if (!quant) return;
    const DLTensor *scale = quant->scale;
    k->scale = tenon_data(scale);
    k->scale_table = tables ? scale->strides[0] : 0;
    k->scale_row = scale->strides[tables];
    k->n_groups = (uint32_t)scale->shape[scale->ndim - 1];
    k->group_cols = k->n_groups ? k->hidden / k->n_groups : 0;
    k->element_max = number == TENON_NUMBER_E4M3FN     ? TENON_E4M3FN_MAX
                     : number == TENON_NUMBER_E4M3FNUZ ? TENON_E4M3FNUZ_MAX
                     : number == TENON_NUMBER_E5M2     ? TENON_E5M2_MAX
                                                       : 127;
}

static moe_dispatch_arguments arguments_of(const tenon_moe_dispatch_args *a) {
    const int64_t local = a->expert_offsets->shape[0] - 1,
                  pairs = a->topk_ids->shape[0] * a->topk_ids->shape[1];
    const bool tables = a->x_out && a->x_out->ndim == 3;
    moe_dispatch_arguments k = {
        .topk_ids = tenon_data(a->topk_ids),
        .expert_map = a->expert_map ? tenon_data(a->expert_map) : NULL,
        .expert_offsets = tenon_data(a->expert_offsets),
        .expert_counts = a->expert_counts ? tenon_data(a->expert_counts) : NULL,
        .row_pairs = a->row_pairs ? tenon_data(a->row_pairs) : NULL,
        .pair_rows = a->pair_rows ? tenon_data(a->pair_rows) : NULL,
        .block_experts = a->block_experts ? tenon_data(a->block_experts) : NULL,
        .n_rows = a->n_rows ? tenon_data(a->n_rows) : NULL,
        .fault = (void *)a->fault,
        .chunk_counts = a->workspace,
        .ids_token = a->topk_ids->strides[0],
        .pair_rows_token = a->pair_rows ? a->pair_rows->strides[0] : 0,
        .n_pairs = (uint32_t)pairs,
        .k = (uint32_t)a->topk_ids->shape[1],
        .n_chunks = chunks_of(pairs),
        .n_experts = (uint32_t)(a->expert_map ? a->expert_map->shape[0] : local),
        .n_local = (uint32_t)local,
        .rows = a->row_pairs          ? (uint32_t)a->row_pairs->shape[0]
                : a->x_out && !tables ? (uint32_t)a->x_out->shape[0]
                                      : INT32_MAX,
        .table_rows = tables ? (uint32_t)a->x_out->shape[1] : 0,
        .n_row_pairs = a->row_pairs ? (uint32_t)a->row_pairs->shape[0] : 0,
        .n_blocks = a->block_experts ? (uint32_t)a->block_experts->shape[0] : 0,
        .block_rows = (uint32_t)tenon_moe_block_rows(a->block_rows),
        .ids_are_64 = a->topk_ids->dtype.bits == 64,
        .offsets_are_64 = a->expert_offsets->dtype.bits == 64,
        .n_tokens = (uint32_t)a->topk_ids->shape[0],
    };
    k.first = k.chunk_counts + (uint64_t)k.n_chunks * k.n_local;
    k.kept = k.first + k.n_local + 1;
    k.row_of_pair = (int32_t *)(void *)(k.kept + k.n_local);
    if (a->x_out) set_activations(a, &k);
    return k;
}

static int32_t launch(const tenon_kernel_plan *p, const moe_dispatch_arguments *k,
                      uint32_t function, uint64_t blocks, uint32_t block_lanes, void *stream,
                      tenon_error *error) {
    return tenon_gpu_launch(
        p, function, (tenon_gpu_grid){.blocks = (uint32_t)blocks, .block_lanes = block_lanes},
        stream, k, error);
}

/* Rows as they are: in the widest unit that all of them allow. */
static int32_t copy_rows(const tenon_kernel_plan *p, const tenon_moe_dispatch_args *a,
                         moe_dispatch_arguments *k, tenon_error *error) {
    const uint32_t bytes = k->hidden * k->element_bytes;
    const bool wide = k->clears_16 && tenon_gpu_rows_aligned(a->x);
    k->row_units = wide ? bytes / 16 : k->hidden;
    return launch(p, k,
                  wide                    ? COPY_16
                  : k->element_bytes == 4 ? COPY_4
                  : k->element_bytes == 2 ? COPY_2
                                          : COPY_1,
                  tenon_gpu_blocks((uint64_t)k->n_tokens * k->row_units, MOE_DISPATCH_BLOCK_LANES),
                  MOE_DISPATCH_BLOCK_LANES, a->stream, error);
}

static int32_t quantize_rows(const tenon_kernel_plan *p, const tenon_moe_dispatch_args *a,
                             moe_dispatch_arguments *k, tenon_error *error) {
    const uint32_t wide = k->x_number == TENON_NUMBER_F32 ? 4 : 8;
    const bool aligned = k->clears_16 && tenon_gpu_rows_aligned(a->x) && k->group_cols % wide == 0;
    const uint32_t piece = aligned ? wide : 1;
    const bool by_block = k->group_cols > LANES_GROUP_COLS;
    const uint64_t spans = (uint64_t)k->n_tokens * k->n_groups;
    k->group_lanes = tenon_gpu_group_lanes(k->group_cols, piece, 32);
    return launch(p, k,
                  piece == 8   ? by_block ? BLOCK_BY_8 : LANES_BY_8
                  : piece == 4 ? by_block ? BLOCK_BY_4 : LANES_BY_4
                  : by_block   ? BLOCK_BY_1
                               : LANES_BY_1,
                  by_block ? spans
                           : tenon_gpu_blocks(spans * k->group_lanes, MOE_DISPATCH_BLOCK_LANES),
                  MOE_DISPATCH_BLOCK_LANES, a->stream, error);
}

int32_t tenon_gpu_moe_dispatch_run(const tenon_kernel_plan *p, const void *args,
                                   tenon_error *error) {
    const tenon_moe_dispatch_args *a = args;
    moe_dispatch_arguments k = arguments_of(a);
    const uint32_t wave = tenon_gpu_wave_lanes(p), row_chunks = chunks_of(k.n_row_pairs);
    int32_t status = launch(p, &k, COUNT, row_chunks > k.n_chunks ? row_chunks : k.n_chunks, wave,
                            a->stream, error);
    if (!status) status = launch(p, &k, OFFSETS, 1, MOE_DISPATCH_BLOCK_LANES, a->stream, error);
    if (!status) status = launch(p, &k, PLACE, k.n_chunks, wave, a->stream, error);
    if (status || !a->x_out || !k.hidden) return status;
    if (!k.scale)
        status = copy_rows(p, a, &k, error);
    else if (k.n_groups)
        status = quantize_rows(p, a, &k, error);
    if (!status && !k.table_rows)
        status = launch(p, &k, PAD, k.n_local, MOE_DISPATCH_BLOCK_LANES, a->stream, error);
    return status;
}
