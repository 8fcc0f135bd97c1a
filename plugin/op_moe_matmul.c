/* SPDX-License-Identifier: Apache-2.0 */
#include "expert_weight.h"
#include "moe_activation.h"
#include "moe_layout.h"
#include "weight_view.h"

static int32_t check_rows(const tenon_moe_matmul_args *a, tenon_error *error) {
    const bool masked = a->out->ndim == 3;
    TENON_REQUIRE(
        moe_matmul, x, a->x->ndim == a->out->ndim,
        "%d dimensions, but out has %d: both are rank 2, or both rank 3 (the masked layout)",
        a->x->ndim, a->out->ndim);
    TENON_REQUIRE(moe_matmul, expert_offsets, masked || a->expert_offsets,
                  "is NULL; only the masked layout (rank-3 x and out) goes without");
    TENON_REQUIRE(moe_matmul, expert_counts, !masked || a->expert_counts,
                  "is NULL; the masked layout (rank-3 x and out) needs it");
    TENON_REQUIRE(moe_matmul, row_weights, !a->row_weights || a->row_pairs,
                  "given without row_pairs, which say the pair of each row");
    TENON_REQUIRE(moe_matmul, pairs_per_token, a->pairs_per_token >= -1, "%d, expected -1 or more",
                  a->pairs_per_token);
    if (a->row_pairs && masked) {
        const long long rows = a->out->shape[0] * a->out->shape[1];
        TENON_REQUIRE(moe_matmul, pairs_per_token, a->pairs_per_token == -1,
                      "%d, but in the masked layout x is in row order: -1", a->pairs_per_token);
        TENON_REQUIRE(moe_matmul, row_pairs, a->row_pairs->shape[0] == rows,
                      "%lld entries, the masked layout has %lld local experts x %lld rows",
                      (long long)a->row_pairs->shape[0], (long long)a->out->shape[0],
                      (long long)a->out->shape[1]);
    }
    return TENON_OK;
}

int32_t tenon_check_moe_matmul(const void *args, tenon_error *error) {
    const tenon_moe_matmul_args *a = args;
    const int last = a->out->ndim - 1;
    const int64_t n_out = a->out->shape[last],
                  n = tenon_activation_is_gated(a->activation) ? 2 * n_out : n_out;
    tenon_expert_weight weight;
    tenon_weight_view x;
    tenon_reason why;

    int32_t status = check_rows(a, error);
    if (!status)
        status = tenon_check_moe_limit("moe_matmul", TENON_FIELD(moe_matmul, limit), a->activation,
                                       a->limit, error);
    if (status) return status;

    const int32_t format = a->x_quant ? a->x_quant->format : TENON_FORMAT_NONE;
    TENON_REQUIRE(moe_matmul, x_quant,
                  format == TENON_FORMAT_NONE || format == TENON_FORMAT_FP8 ||
                      format == TENON_FORMAT_INT8 || format == TENON_FORMAT_MXFP8 ||
                      format == TENON_FORMAT_MXFP4 || format == TENON_FORMAT_NVFP4,
                  "format=%d, activations are FP8, INT8, MXFP8, MXFP4, NVFP4 or plain", format);
    TENON_REQUIRE(moe_matmul, x_quant, format != TENON_FORMAT_NONE || a->x->dtype.code != kDLUInt,
                  "is NULL, but x is u8: its format must be said");
    status = tenon_activation_view_from(a->x, a->x_quant, &x, &why);
    if (status)
        return tenon_fail_field(error, status, "moe_matmul", "x", TENON_FIELD(moe_matmul, x), "%s",
                                why.text);

    status = tenon_expert_weight_of("moe_matmul", "w", TENON_FIELD(moe_matmul, w), a->w, a->w_quant,
                                    &weight, error);
    if (status) return status;
    int64_t local =
        a->expert_offsets ? a->expert_offsets->shape[0] - 1 : a->expert_counts->shape[0];
    TENON_REQUIRE(moe_matmul, expert_offsets, local >= 1, "%lld local experts, expected at least 1",
                  (long long)local);
    TENON_SUPPORT(moe_matmul, expert_offsets, local <= TENON_MOE_MAX_LOCAL,
                  "%lld local experts, at most %d", (long long)local, TENON_MOE_MAX_LOCAL);
    TENON_REQUIRE(moe_matmul, bias, !a->bias || a->bias->shape[1] == n,
                  "n=%lld, expected %lld for %lld outputs", (long long)a->bias->shape[1],
                  (long long)n, (long long)n_out);
    return tenon_expert_weight_expect("moe_matmul", "w", TENON_FIELD(moe_matmul, w), &weight, local,
                                      n, x.k, error);
}
