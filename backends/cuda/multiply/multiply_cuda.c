/* SPDX-License-Identifier: Apache-2.0 */
#include "multiply_cuda.h"

#include "moe_activation.h"

/* By type of the activations, tokens in a tile, code. */
static const char *const symbols[2][9] = {
    {"multiply_8_bf16_w16", "multiply_8_bf16_u4", "multiply_8_bf16_e2m1", "multiply_8_bf16_fp8",
     "multiply_32_bf16_w16", "multiply_32_bf16_u4", "multiply_32_bf16_e2m1", "multiply_32_bf16_fp8",
     NULL},
    {"multiply_8_f16_w16", "multiply_8_f16_u4", "multiply_8_f16_e2m1", "multiply_8_f16_fp8",
     "multiply_32_f16_w16", "multiply_32_f16_u4", "multiply_32_f16_e2m1", "multiply_32_f16_fp8",
     NULL}};
enum { FUNCTIONS = 8 };

/* As multiply_kernels.h says, by code. */
static const uint32_t code_bits[4] = {16, 4, 4, 8};
static const uint32_t slabs_of[2][4] = {{2, 4, 4, 4}, {1, 2, 2, 2}};
static const uint32_t stages_of[2][4] = {{4, 4, 4, 3}, {3, 3, 3, 2}};

static uint32_t shared_bytes(uint32_t function) {
    const uint32_t big = function / 4 % 2, code = function % 4, bits = code_bits[code],
                   places = big ? 64 : 32, tokens = big ? 32 : 8, slabs = slabs_of[big][code];
    const uint32_t w_slab =
                       bits == 4 ? (places + 8) * 16 : places * bits * 4 + (bits == 16 ? 64 : 32),
                   x_slab = tokens * 64 + 64;
    return MULTIPLY_ROWS_BYTES + 2 * MULTIPLY_PARTS * slabs * places * 8 +
           stages_of[big][code] * MULTIPLY_PARTS * slabs * (w_slab + x_slab) +
           (bits == 4 ? MULTIPLY_PARTS * slabs * w_slab : 0);
}

static int code_of(const tenon_weight_view *w) {
    switch (w->format) {
    case TENON_FORMAT_NONE:
        return w->number == TENON_NUMBER_BF16 || w->number == TENON_NUMBER_F16 ? MULTIPLY_CODE_16
                                                                               : -1;
    case TENON_FORMAT_INT4:
    case TENON_FORMAT_INT4_GPTQ:
    case TENON_FORMAT_INT4_GPTQ_V2:
    case TENON_FORMAT_INT4_AWQ:
    case TENON_FORMAT_INT4_CT:
        return MULTIPLY_CODE_U4;
    case TENON_FORMAT_MXFP4:
    case TENON_FORMAT_NVFP4:
        return MULTIPLY_CODE_E2M1;
    case TENON_FORMAT_FP8:
        return w->number == TENON_NUMBER_E4M3FN || w->number == TENON_NUMBER_E5M2
                   ? MULTIPLY_CODE_FP8
                   : -1;
    default:
        return -1;
    }
}

static bool is_power_of_two(int64_t x) {
    return x > 0 && !(x & (x - 1));
}
static uint32_t shift_of(int64_t x) {
    uint32_t shift = 0;
    while (((int64_t)1 << shift) < x) shift++;
    return shift;
}

const char *tenon_multiply_declines(const DLTensor *x, const tenon_quant *x_quant,
                                    const tenon_weight_view *w, const DLTensor *bias,
                                    int32_t activation, int32_t gate_layout, tenon_reason *reason) {
    const tenon_number number = tenon_number_of(x->dtype);
    const int code = code_of(w);
    if ((x_quant && x_quant->format) || (number != TENON_NUMBER_BF16 && number != TENON_NUMBER_F16))
        return tenon_decline(reason, "activations are %s%s, these kernels take plain bf16 and f16",
                             x_quant && x_quant->format ? "quantized " : "",
                             tenon_number_name(number));
    if (code < 0)
        return tenon_decline(reason,
                             "weights of format %d with elements of %s; taken are bf16, f16, int4, "
                             "MXFP4, NVFP4 and OCP fp8",
                             w->format, tenon_number_name(w->number));
    if (code == MULTIPLY_CODE_16 && w->number != number)
        return tenon_decline(reason, "weights of %s with activations of %s",
                             tenon_number_name(w->number), tenon_number_name(number));
    if ((code == MULTIPLY_CODE_16 && w->k_stride != 2 && w->k > 1) ||
        (code == MULTIPLY_CODE_FP8 && w->k_stride != 1 && w->k > 1))
        return tenon_decline(reason, "columns of w are %lld bytes apart", (long long)w->k_stride);
    if (w->group_index.present) return tenon_decline(reason, "w_quant.group_index is given");
    if (code != MULTIPLY_CODE_16 && w->col_groups > 1 &&
        (!is_power_of_two(w->group_cols) ||
         w->group_cols < (w->format == TENON_FORMAT_NVFP4 ? 16 : 32)))
        return tenon_decline(reason, "groups of %lld columns, taken are powers of two from 32 on",
                             (long long)w->group_cols);
    if (w->row_groups > 1 && !is_power_of_two(w->group_rows))
        return tenon_decline(reason, "groups of %lld rows, taken are powers of two",
                             (long long)w->group_rows);
    if (w->zero_point.present && w->format == TENON_FORMAT_INT4 &&
        w->zero_point.number != TENON_NUMBER_I8)
        return tenon_decline(reason, "zero points of %s, taken are i8",
                             tenon_number_name(w->zero_point.number));
    const bool gated = tenon_activation_is_gated(activation);
    if (w->format == TENON_FORMAT_INT4_AWQ && gated &&
        (gate_layout == TENON_GATE_LAYOUT_INTERLEAVED || w->n % 16))
        return tenon_decline(reason, "gate and up rows share the words of AWQ");
    if (w->k < 1 || w->k > 1 << 24 || w->n > 1 << 24)
        return tenon_decline(reason, "n=%lld, k=%lld, at most 2^24 and k at least 1",
                             (long long)w->n, (long long)w->k);
    if (bias && bias->strides[bias->ndim - 1] != 1 && w->n > 1)
        return tenon_decline(reason, "entries of bias are apart");
    return NULL;
}

static bool x_is_f16(const tenon_problem *problem) {
    const DLTensor *x = problem->op == TENON_OP_MATMUL
                            ? ((const tenon_matmul_args *)problem->args)->a
                            : ((const tenon_moe_matmul_args *)problem->args)->x;
    return tenon_number_of(x->dtype) == TENON_NUMBER_F16;
}

int32_t tenon_multiply_plan(tenon_kernel_plan *plan, tenon_error *error) {
    const bool f16 = x_is_f16(&plan->problem);
    int32_t status =
        tenon_cuda_load(plan, f16 ? "multiply_f16" : "multiply_bf16", symbols[f16], error);
    for (uint32_t i = 0; i < FUNCTIONS && !status; i++)
        status = tenon_cuda_allow_shared(plan, i, shared_bytes(i), error);
    return status;
}

/* Largest of 16, 4 and 1 that divides all. */
static uint32_t unit_of(uint64_t a, uint64_t b, uint64_t c, uint64_t d) {
    const uint64_t all = a | b | c | d;
    return all % 16 == 0 ? 16 : all % 4 == 0 ? 4 : 1;
}

static void fill_scales(multiply_arguments *m, const tenon_weight_view *w) {
    m->scale = w->scale.data, m->zero = w->zero_point.data, m->global_scale = w->global_scale.data;
    m->global_divides = (uint32_t)w->global_divides;
    m->scale_number = (uint32_t)w->scale.number;
    m->scale_expert = w->scale.expert_stride;
    m->scale_row = w->scale.row_stride, m->scale_col = w->scale.col_stride;
    m->scale_swizzled = w->scale_swizzled != 0;
    m->scale_groups = (uint32_t)w->col_groups;
    m->scale_col_shift =
        w->col_groups > 1 || w->format == TENON_FORMAT_NVFP4 ? shift_of(w->group_cols) : 31;
    m->scale_row_shift = w->row_groups > 1 ? shift_of(w->group_rows) : w->n > 1 ? 31 : 0;
    if (w->group_rows == 1) m->scale_row_shift = 0;
    if (!w->zero_point.present) return;
    m->zero_expert = w->zero_point.expert_stride;
    m->zero_row = w->zero_point.row_stride, m->zero_col = w->zero_point.col_stride;
    m->zero_kind = w->format == TENON_FORMAT_INT4 ? MULTIPLY_ZERO_I8 : MULTIPLY_ZERO_PACKED;
    m->zero_is_awq = w->format == TENON_FORMAT_INT4_AWQ;
    m->zero_add = w->format == TENON_FORMAT_INT4_GPTQ;
}

static void fill_tile(multiply_arguments *m, int32_t gate_layout, int64_t n) {
    m->step_16 = 16, m->step_8 = 8, m->step_1 = 1;
    if (!m->gated) return;
    m->step_16 = 8;
    if (gate_layout == TENON_GATE_LAYOUT_INTERLEAVED) {
        m->step_16 = 16, m->step_8 = 1, m->step_1 = 2;
    } else if (gate_layout == TENON_GATE_LAYOUT_UP_GATE) {
        m->tile_base = (int32_t)(n / 2), m->step_8 = -(int32_t)(n / 2);
    } else {
        m->step_8 = (int32_t)(n / 2);
    }
}

void tenon_multiply_fill(multiply_arguments *m, const DLTensor *x, const tenon_weight_view *w,
                         const DLTensor *bias, const DLTensor *out, int32_t activation,
                         int32_t gate_layout) {
    const int last = out->ndim - 1;
    m->x = tenon_data(x), m->w = w->data, m->out = tenon_data(out);
    m->x_row_bytes = x->strides[last - 1] * 2;
    m->x_table_bytes = last == 2 ? x->strides[0] * 2 : 0;
    m->out_row = out->strides[last - 1], m->out_table = last == 2 ? out->strides[0] : 0;
    m->out_number = (uint32_t)tenon_number_of(out->dtype);
    m->w_expert_bytes = w->expert_stride;
    m->w_n_bytes = w->n_stride, m->w_k_bytes = w->k_stride;
    m->n = (uint32_t)w->n, m->n_out = (uint32_t)out->shape[last], m->k = (uint32_t)w->k;
    m->part_cols = (uint32_t)((w->k + MULTIPLY_PARTS * MULTIPLY_PART_COLS - 1) /
                              (MULTIPLY_PARTS * MULTIPLY_PART_COLS) * MULTIPLY_PART_COLS);
    m->code = (uint32_t)code_of(w), m->w_number = (uint32_t)w->number;
    m->row_bytes = (uint32_t)((w->k * code_bits[m->code] + 7) / 8);
    m->activation = (uint32_t)activation;
    m->gated = tenon_activation_is_gated(activation) != 0;
    m->x_unit = unit_of((uintptr_t)m->x, (uint64_t)m->x_row_bytes, (uint64_t)m->x_table_bytes, 0);
    fill_tile(m, gate_layout, w->n);
    fill_scales(m, w);
    if (bias) {
        m->bias = tenon_data(bias), m->bias_number = (uint32_t)tenon_number_of(bias->dtype);
        m->bias_expert = bias->ndim == 2 ? bias->strides[0] : 0;
    }
    const bool by_row = w->format != TENON_FORMAT_INT4_GPTQ &&
                        w->format != TENON_FORMAT_INT4_GPTQ_V2 &&
                        w->format != TENON_FORMAT_INT4_AWQ &&
                        !(w->format == TENON_FORMAT_INT4_CT && w->k_stride != 4 && w->k > 8);
    const bool n_words = w->format == TENON_FORMAT_INT4_AWQ;
    m->storage = by_row ? MULTIPLY_K_LAST : n_words ? MULTIPLY_N_WORDS : MULTIPLY_K_FIRST;
    if (by_row) {
        m->w_unit =
            unit_of((uintptr_t)m->w, (uint64_t)m->w_n_bytes, (uint64_t)m->w_expert_bytes, 0);
        return;
    }
    const bool neighbours = m->w_n_bytes == 4 && m->step_1 == 1 && !(n_words && m->gated) &&
                            (uint32_t)m->step_8 % 4 == 0 && m->tile_base % 4 == 0;
    m->w_unit = neighbours && unit_of((uintptr_t)m->w, (uint64_t)m->w_k_bytes,
                                      (uint64_t)m->w_expert_bytes, 0) == 16
                    ? 16
                    : 4;
}

int32_t tenon_multiply_launch(const tenon_kernel_plan *plan, multiply_arguments *m, bool few_rows,
                              uint32_t row_tiles, void *stream, tenon_error *error) {
    const uint32_t places = few_rows ? 32 : 64, outputs = m->gated ? places / 2 : places,
                   function = (few_rows ? 0u : 4u) + m->code;
    m->tile_step = (int32_t)(m->gated ? outputs * (m->step_1 == 2 ? 2 : 1) : places);
    m->n_tiles = (m->n_out + outputs - 1) / outputs;
    m->row_tiles = row_tiles < 65535 ? row_tiles : 65535;
    if (!m->n_out || !row_tiles) return TENON_OK;
    return tenon_cuda_launch(plan, function,
                             (tenon_gpu_grid){.blocks = m->n_tiles,
                                              .blocks_y = m->row_tiles,
                                              .block_lanes = MULTIPLY_BLOCK_LANES,
                                              .shared_bytes = shared_bytes(function)},
                             stream, m, error);
}
