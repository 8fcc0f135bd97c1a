/* SPDX-License-Identifier: Apache-2.0 */
/* moe_dispatch as a definition: for each local expert in turn, its pairs in their own order take
 * the next rows (backends/common/moe_layout.h has the picture). Rows past the last expert's end are
 * not written, except that row_pairs says "none" there; nor are, in the masked layout, an expert's
 * rows past its count. */
#include <math.h>
#include <string.h>

#include "moe_layout.h"
#include "ref_tensor.h"

/* Local expert of a pair, or a negative TENON_MOE_*. */
static int64_t expert_of(const tenon_moe_dispatch_args *a, int64_t pair) {
    const int64_t k = a->topk_ids->shape[1], local = a->expert_offsets->shape[0] - 1;
    int64_t id = tenon_ref_index2(a->topk_ids, pair / k, pair % k);
    return tenon_moe_local_expert(id, a->expert_map ? a->expert_map->shape[0] : local,
                                  a->expert_map ? tenon_data(a->expert_map) : NULL, local);
}

/* Every pair starts without a row; the first id that is no expert's is reported. */
static void start_pairs(const tenon_moe_dispatch_args *a) {
    const int64_t k = a->topk_ids->shape[1], pairs = a->topk_ids->shape[0] * k,
                  local = a->expert_offsets->shape[0] - 1;
    for (int64_t p = 0; p < pairs; p++) {
        int64_t e = expert_of(a, p), id = tenon_ref_index2(a->topk_ids, p / k, p % k);
        if (e == TENON_MOE_BAD_ID)
            tenon_report_fault(a->fault, TENON_OP_MOE_DISPATCH, TENON_FAULT_EXPERT_OUT_OF_RANGE, p,
                               id, a->expert_map ? a->expert_map->shape[0] : local);
        if (e == TENON_MOE_BAD_MAP)
            tenon_report_fault(a->fault, TENON_OP_MOE_DISPATCH, TENON_FAULT_EXPERT_OUT_OF_RANGE, p,
                               ((const int32_t *)tenon_data(a->expert_map))[id], local);
        if (a->pair_rows)
            tenon_ref_store_index(a->pair_rows, tenon_ref_at2(a->pair_rows, p / k, p % k), -1);
    }
    for (int64_t r = 0; a->row_pairs && r < a->row_pairs->shape[0]; r++)
        tenon_ref_store_index(a->row_pairs, r, pairs);
}

/* Offset of a row of x_out or of its scales: rank 2, or the masked rank 3. */
static int64_t row_offset(const DLTensor *t, int64_t row) {
    return t->ndim == 2 ? row * t->strides[0]
                        : row / t->shape[1] * t->strides[0] + row % t->shape[1] * t->strides[1];
}

static double element_max(DLDataType type) {
    switch (type.code) {
    case kDLFloat8_e4m3fn:
        return (double)TENON_E4M3FN_MAX;
    case kDLFloat8_e4m3fnuz:
        return (double)TENON_E4M3FNUZ_MAX;
    case kDLFloat8_e5m2:
        return (double)TENON_E5M2_MAX;
    default:
        return 127;
    }
}

/* One group by the rules of quantize: scale = amax / element_max, 1 for a group of zeros; a scale
 * that underflowed makes every code 0. A float8 keeps a NaN to itself; int8 has none, so there the
 * scale says it. */
static void quantize_group(const tenon_moe_dispatch_args *a, int64_t from, int64_t to,
                           int64_t scale_at, int64_t count) {
    const bool has_nan = a->x_out->dtype.code != kDLInt;
    double amax = 0;
    for (int64_t i = 0; i < count; i++) {
        double x = fabs(tenon_ref_load(a->x, from + i));
        if (x > amax || (isnan(x) && !has_nan)) amax = x;
    }
    float scale = amax == 0 ? 1 : (float)(amax / element_max(a->x_out->dtype));
    tenon_ref_store(a->x_out_quant->scale, scale_at, (double)scale);
    for (int64_t i = 0; i < count; i++)
        tenon_ref_store(a->x_out, to + i,
                        scale == 0 ? 0 : tenon_ref_load(a->x, from + i) / (double)scale);
}

/* token -1: a padding row, all 0. */
static void write_row(const tenon_moe_dispatch_args *a, int64_t row, int64_t token) {
    if (!a->x_out) return;
    const int64_t hidden = a->x->shape[1], to = row_offset(a->x_out, row);
    const int64_t from = token < 0 ? 0 : token * a->x->strides[0], bytes = a->x->dtype.bits / 8;
    const DLTensor *scales = a->x_out_quant ? a->x_out_quant->scale : NULL;

    if (!scales) {
        char *out = (char *)tenon_data(a->x_out) + to * bytes;
        if (token < 0)
            memset(out, 0, (size_t)(hidden * bytes));
        else
            memcpy(out, (const char *)tenon_data(a->x) + from * bytes, (size_t)(hidden * bytes));
        return;
    }
    const int64_t groups = scales->shape[scales->ndim - 1], group = groups ? hidden / groups : 0,
                  scale_at = row_offset(scales, row);
    for (int64_t g = 0; g < groups; g++) {
        if (token >= 0) {
            quantize_group(a, from + g * group, to + g * group, scale_at + g, group);
            continue;
        }
        tenon_ref_store(scales, scale_at + g, 1);
        for (int64_t i = g * group; i < (g + 1) * group; i++) tenon_ref_store(a->x_out, to + i, 0);
    }
}

/* Gives the rows from first on to the pairs of expert e, at most `capacity`; returns how many there
 * are of them, placed or not. */
static int64_t place(const tenon_moe_dispatch_args *a, int64_t e, int64_t first, int64_t capacity) {
    const int64_t k = a->topk_ids->shape[1], pairs = a->topk_ids->shape[0] * k;
    int64_t count = 0;
    for (int64_t p = 0; p < pairs; p++) {
        if (expert_of(a, p) != e) continue;
        int64_t row = first + count++;
        if (row >= capacity) {
            tenon_report_fault(a->fault, TENON_OP_MOE_DISPATCH, TENON_FAULT_ROW_OUT_OF_RANGE, p,
                               row, capacity);
            continue;
        }
        if (a->pair_rows)
            tenon_ref_store_index(a->pair_rows, tenon_ref_at2(a->pair_rows, p / k, p % k), row);
        if (a->row_pairs) tenon_ref_store_index(a->row_pairs, row, p);
        write_row(a, row, p / k);
    }
    return count;
}

static void fill_blocks(const tenon_moe_dispatch_args *a, int64_t block_rows, int64_t n_rows) {
    const int64_t blocks = a->block_experts->shape[0];
    int64_t e = 0;
    if (n_rows > blocks * block_rows)
        tenon_report_fault(a->fault, TENON_OP_MOE_DISPATCH, TENON_FAULT_ROW_OUT_OF_RANGE, blocks,
                           n_rows, blocks * block_rows + 1);
    for (int64_t b = 0; b < blocks; b++) {
        while (b * block_rows < n_rows &&
               tenon_ref_index1(a->expert_offsets, e + 1) <= b * block_rows)
            e++;
        tenon_ref_store_index(a->block_experts, b, b * block_rows < n_rows ? e : -1);
    }
}

static int32_t run(const tenon_kernel_plan *plan, const void *args, tenon_error *error) {
    const tenon_moe_dispatch_args *a = args;
    const int64_t local = a->expert_offsets->shape[0] - 1,
                  block_rows = tenon_moe_block_rows(a->block_rows);
    const bool masked = a->x_out && a->x_out->ndim == 3;
    const int64_t max_rows = masked ? a->x_out->shape[1] : 0;
    const int64_t rows = a->row_pairs          ? a->row_pairs->shape[0]
                         : a->x_out && !masked ? a->x_out->shape[0]
                                               : INT32_MAX;
    int64_t first = 0;
    (void)plan, (void)error;

    start_pairs(a);
    for (int64_t e = 0; e < local; e++) {
        int64_t capacity = masked ? first + max_rows : rows, kept;
        int64_t count = place(a, e, first, capacity);
        int64_t next = tenon_moe_place(first, count, block_rows, capacity, &kept);
        if (masked) next = first + max_rows;
        for (int64_t r = first + kept; !masked && r < next; r++) write_row(a, r, -1);
        tenon_ref_store_index(a->expert_offsets, e, first);
        if (a->expert_counts) tenon_ref_store_index(a->expert_counts, e, kept);
        first = next;
    }
    tenon_ref_store_index(a->expert_offsets, local, first);
    if (a->n_rows) tenon_ref_store_index(a->n_rows, 0, first);
    if (a->block_experts) fill_blocks(a, block_rows, first);
    return TENON_OK;
}

extern const tenon_kernel tenon_ref_moe_dispatch;
const tenon_kernel tenon_ref_moe_dispatch = {
    .name = "ref_moe_dispatch",
    .op = TENON_OP_MOE_DISPATCH,
    .traits = TENON_TRAIT_REFERENCE | TENON_TRAIT_DETERMINISTIC,
    .checked_on = "hardware",
    .run = run,
};
