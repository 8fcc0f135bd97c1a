/* SPDX-License-Identifier: Apache-2.0 */
#include "moe_layout.h"
#include "op_check.h"
#include "tensor.h"

/* x_out holds float8 or int8 with one f32 scale for each group of columns of each row. */
static int32_t check_quantized(const tenon_moe_dispatch_args *a, tenon_error *error) {
    const tenon_quant *q = a->x_out_quant;
    const int x_type = tenon_type_of(a->x->dtype), out_type = tenon_type_of(a->x_out->dtype);
    const long long hidden = a->x->shape[1];
    const bool float_in =
        x_type == TENON_TYPE_bf16 || x_type == TENON_TYPE_f16 || x_type == TENON_TYPE_f32;
    const bool fp8 = q->format == TENON_FORMAT_FP8;
    char text[120];

    TENON_REQUIRE(moe_dispatch, x_out_quant, fp8 || q->format == TENON_FORMAT_INT8,
                  "format=%d, expected FP8 (%d) or INT8 (%d)", q->format, TENON_FORMAT_FP8,
                  TENON_FORMAT_INT8);
    TENON_REQUIRE(moe_dispatch, x, float_in, "%s cannot be quantized again; give bf16, f16 or f32",
                  tenon_type_name(x_type));
    TENON_REQUIRE(moe_dispatch, x_out,
                  fp8 ? out_type == TENON_TYPE_e4m3fn || out_type == TENON_TYPE_e4m3fnuz ||
                            out_type == TENON_TYPE_e5m2
                      : out_type == TENON_TYPE_i8,
                  "%s does not hold %s elements", tenon_type_name(out_type), fp8 ? "FP8" : "INT8");
    TENON_REQUIRE(moe_dispatch, x_out_quant, q->element == TENON_ELEMENT_AS_TENSOR,
                  "element=%d, expected 0: the type of x_out says it", q->element);
    TENON_SUPPORT(moe_dispatch, x_out_quant, q->scale_layout == TENON_SCALE_LAYOUT_LINEAR,
                  "scale_layout=%d, only LINEAR is written", q->scale_layout);
    TENON_SUPPORT(moe_dispatch, x_out_quant,
                  !(q->flags & TENON_QUANT_STATIC_SCALE) && !q->zero_point,
                  "only dynamic scales without zero points are written");
    TENON_REQUIRE(moe_dispatch, x_out_quant, !q->global_scale && !q->group_index,
                  "global_scale and group_index must be NULL");
    TENON_REQUIRE(moe_dispatch, x_out_quant, q->group_rows == 0 || q->group_rows == 1,
                  "group_rows=%d, every row has its own scales", q->group_rows);
    const long long group = q->group_cols > 0 ? q->group_cols : hidden;
    TENON_REQUIRE(moe_dispatch, x_out_quant, group == 0 || hidden % group == 0,
                  "group_cols=%lld does not divide hidden=%lld", group, hidden);
    TENON_REQUIRE(moe_dispatch, x_out_quant, q->scale, "scale is NULL");

    const DLTensor *scale = q->scale;
    bool fits = scale->ndim == a->x_out->ndim && tenon_type_of(scale->dtype) == TENON_TYPE_f32;
    for (int i = 0; fits && i < scale->ndim - 1; i++) fits = scale->shape[i] == a->x_out->shape[i];
    fits = fits && (scale->shape[scale->ndim - 1] <= 1 || scale->strides[scale->ndim - 1] == 1);
    tenon_tensor_text(scale, text, sizeof text);
    TENON_REQUIRE(moe_dispatch, x_out_quant,
                  fits && scale->shape[scale->ndim - 1] == (group ? hidden / group : 0),
                  "scale: %s, expected f32 with the leading extents of x_out and %lld groups, the "
                  "last dimension contiguous",
                  text, group ? hidden / group : 0);
    return TENON_OK;
}

static int32_t check_activations(const tenon_moe_dispatch_args *a, tenon_error *error) {
    TENON_REQUIRE(moe_dispatch, x_out, !a->x == !a->x_out, "x is %s, but x_out is %s",
                  a->x ? "given" : "NULL", a->x_out ? "given" : "NULL");
    TENON_REQUIRE(moe_dispatch, x_out_quant, a->x_out || !a->x_out_quant,
                  "given, but x_out is NULL");
    if (!a->x) return TENON_OK;
    if (a->x_out_quant && a->x_out_quant->format != TENON_FORMAT_NONE)
        return check_quantized(a, error);
    TENON_REQUIRE(moe_dispatch, x_out, tenon_type_of(a->x->dtype) == tenon_type_of(a->x_out->dtype),
                  "%s, but x is %s; only x_out_quant changes the type",
                  tenon_type_name(tenon_type_of(a->x_out->dtype)),
                  tenon_type_name(tenon_type_of(a->x->dtype)));
    return TENON_OK;
}

int32_t tenon_check_moe_dispatch(const void *args, tenon_error *error) {
    const tenon_moe_dispatch_args *a = args;
    const long long local = a->expert_offsets->shape[0] - 1;
    const int64_t k = a->topk_ids->shape[1], block_rows = tenon_moe_block_rows(a->block_rows);
    int64_t pairs;

    TENON_REQUIRE(moe_dispatch, block_rows, a->block_rows >= 0, "%d is negative", a->block_rows);
    TENON_REQUIRE(moe_dispatch, topk_ids, k >= 1, "k=%lld, expected at least 1", (long long)k);
    TENON_REQUIRE(moe_dispatch, expert_offsets, local >= 1,
                  "room for %lld local experts, expected at least 1", local);
    TENON_SUPPORT(moe_dispatch, expert_offsets, local <= TENON_MOE_MAX_LOCAL,
                  "%lld local experts, at most %d", local, TENON_MOE_MAX_LOCAL);
    TENON_REQUIRE(moe_dispatch, expert_map, !a->expert_map || a->expert_map->shape[0] >= 1,
                  "no experts");
    bool fits = !__builtin_mul_overflow(a->topk_ids->shape[0], k, &pairs) &&
                pairs < INT32_MAX / 2 &&
                tenon_moe_rows_bound(pairs, local, block_rows) < INT32_MAX / 2;
    TENON_SUPPORT(moe_dispatch, topk_ids, fits,
                  "%lld tokens x %lld with block_rows=%lld: pairs and rows are numbered in 32 bits",
                  (long long)a->topk_ids->shape[0], (long long)k, (long long)block_rows);
    int32_t status = check_activations(a, error);
    if (status) return status;

    if (a->x_out && a->x_out->ndim == 3) {
        const long long max_rows = a->x_out->shape[1];
        TENON_REQUIRE(moe_dispatch, x_out, max_rows >= 1, "max_rows=%lld, expected at least 1",
                      max_rows);
        TENON_SUPPORT(moe_dispatch, x_out, max_rows < INT32_MAX / 2 / local,
                      "%lld local experts x max_rows=%lld: rows are numbered in 32 bits", local,
                      max_rows);
        TENON_REQUIRE(moe_dispatch, block_rows, max_rows % block_rows == 0,
                      "%lld does not divide max_rows=%lld of the masked layout",
                      (long long)block_rows, max_rows);
        TENON_REQUIRE(moe_dispatch, block_experts, !a->block_experts,
                      "must be NULL in the masked layout, whose blocks have fixed experts");
        TENON_REQUIRE(moe_dispatch, row_pairs,
                      !a->row_pairs || a->row_pairs->shape[0] == local * max_rows,
                      "%lld entries, the masked layout has %lld local experts x max_rows=%lld",
                      (long long)a->row_pairs->shape[0], local, max_rows);
        return TENON_OK;
    }
    const DLTensor *sized = a->row_pairs ? a->row_pairs : a->x_out;
    const long long bound = tenon_moe_rows_bound(pairs, local, block_rows);
    TENON_REQUIRE(
        moe_dispatch, row_pairs, !sized || sized->shape[0] >= bound,
        "%lld rows, but %lld pairs on %lld local experts with block_rows=%lld may need %lld",
        (long long)sized->shape[0], (long long)pairs, local, (long long)block_rows, bound);
    TENON_REQUIRE(moe_dispatch, block_experts,
                  !a->block_experts || a->block_experts->shape[0] >= bound / block_rows,
                  "%lld blocks of %lld rows, but up to %lld may be needed",
                  (long long)a->block_experts->shape[0], (long long)block_rows,
                  bound / (long long)block_rows);
    return TENON_OK;
}
