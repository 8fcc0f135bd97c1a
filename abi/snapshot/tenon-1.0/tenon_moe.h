/* SPDX-License-Identifier: Apache-2.0 */
/* Mixture of experts: route tokens, bring them to their experts, multiply, bring them back; step by step or in one call.
 *
 * Words: experts = all experts of the layer; local = experts whose weights are here (expert_map[e] is the local index of expert e, or -1);
 * pair = (token, slot) with slot < k, numbered token * k + slot; row = a place in the expert-sorted order.
 * An id of -1 is skipped in silence; any other id outside [0, experts) is skipped and reported in the fault slot.
 */
#ifndef TENON_MOE_H
#define TENON_MOE_H

#include "tenon_base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Chooses k experts for each token, the largest choice first. Ties go to the lower index. NaN scores count as -inf; a token whose logits
 * are all NaN or -inf has weights 0. At most 1,024 experts, k <= 32.
 * Choice is by score + bias (by the logit, which does not saturate, where bias is NULL), weights come from the score alone; grouped: keep
 * topk_groups of n_groups groups first. */
#define TENON_MOE_ROUTE_FIELDS(X)                                                                   \
    X(in, logits, TENON_T_FLOAT, "[~tokens, experts]", "router output")                             \
    X(opt_in, bias, "f32", "[experts]", "correction added for the choice only")                     \
    X(opt_in, token_mask, "u8 bool", "[~tokens]", "0: padding; its ids are -1, its weights 0")      \
    X(out, topk_weights, "f32", "[~tokens, k_total]", "weight of each pair, largest choice first")  \
    X(out, topk_ids, TENON_T_INDEX, "[~tokens, k_total]", "expert of each pair")                    \
    X(choice, scoring, "scoring", "", "TENON_SCORING_*")                                            \
    X(choice, group_score, "group_score", "", "TENON_GROUP_SCORE_*; read if n_groups > 1")          \
    X(i32, n_groups, "", "", "groups of equal size; 0 or 1: no groups")                             \
    X(i32, topk_groups, "", "", "groups kept; read if n_groups > 1")                                \
    X(i32, n_shared, "", "", "shared experts appended after the k = k_total - n_shared routed ones, ids experts, experts + 1, ..") \
    X(f32, shared_weight, "", "", "weight of a shared expert's pair")                               \
    X(f32, routed_scale, "", "", "multiplies routed weights last; 0: 1")                            \
    X(f32, renormalize_eps, "", "", "added to the sum that RENORMALIZE divides by")

#define TENON_MOE_ROUTE_FLAGS(X) X(RENORMALIZE, 0, "divide the k weights by their sum")

/* Sorts the pairs by local expert, stable, each expert's first row a multiple of block_rows.
 * expert_offsets[e] is the first row of local expert e and expert_offsets[local] the end of the last one, padding included.
 * A plan's rows must hold its worst case, (tokens * k + min(tokens * k, local) * (block_rows - 1)) rounded down to block_rows. Where a
 * run brings fewer rows, and in the masked layout, pairs that find no room get row -1 and are reported; offsets and counts say what was
 * placed. Padding rows of x_out are 0; rows past the last expert, and masked ones past an expert's count, are not written. Masked: row =
 * e * max_rows + i, expert_offsets[e] = e * max_rows, row_pairs has local * max_rows entries, no block_experts. */
#define TENON_MOE_DISPATCH_FIELDS(X)                                                                \
    X(in, topk_ids, TENON_T_INDEX, "[~tokens, k]", "expert of each pair")                           \
    X(opt_in, expert_map, "i32", "[experts]", "local index of each expert, or -1; NULL: local = experts") \
    X(opt_in, x, "bf16 f16 f32 e4m3fn e4m3fnuz e5m2 i8", "[~tokens, hidden]", "activations to permute") \
    X(out, expert_offsets, TENON_T_INDEX, "[local+1]", "first row of each local expert")            \
    X(opt_out, expert_counts, "i32", "[local]", "pairs of each local expert, padding not counted")  \
    X(opt_out, row_pairs, "i32", "[~rows]", "pair of each row; tokens * k where there is none")     \
    X(opt_out, pair_rows, "i32", "[~tokens, k]", "row of each pair; -1 where it was skipped")       \
    X(opt_out, block_experts, "i32", "[~blocks]", "local expert of each block of block_rows rows; -1 past the end") \
    X(opt_out, n_rows, "i32", "[1]", "expert_offsets[local]")                                       \
    X(opt_out, x_out, "bf16 f16 f32 e4m3fn e4m3fnuz e5m2 i8", "[~rows, hidden] | [local, max_rows, hidden]", \
      "permuted activations; padding rows are 0; rank 3: the masked layout, rows of expert e from 0") \
    X(quant, x_out_quant, "", "", "FP8 or INT8: quantize x_out, f32 scale [rows, hidden / group_cols] (masked: [local, max_rows, ..]) written") \
    X(i32, block_rows, "", "", "alignment of each expert's rows; 0: 1")                             \
    X(i32, reserved, "", "", "must be 0")

#define TENON_MOE_DISPATCH_FLAGS(X)

/* Rows [expert_offsets[e], expert_offsets[e+1]) of out = activation(x_row . w[e]^T + bias[e]); with expert_counts, that many of them.
 * Row r reads x[row_pairs[r] / pairs_per_token] if row_pairs is given, else x[r]. pairs_per_token -1: x is in row order, and row_pairs only
 * says which of row_weights is the row's. Rank-3 x and out: the masked layout, expert_counts rows each, x in row order.
 * Rows of no expert are not written. */
#define TENON_MOE_MATMUL_FIELDS(X)                                                                  \
    X(in, x, "bf16 f16 f32 e4m3fn e4m3fnuz e5m2 i8 u8", "[~x_rows, *] | [local, max_rows, *]", "activations") \
    X(quant, x_quant, "", "", "format of x")                                                        \
    X(in, w, "*", "*", "weights: [local, n, k] with any strides, or storage of w_quant's format")   \
    X(quant, w_quant, "", "", "format of w")                                                        \
    X(opt_in, bias, "f32 bf16 f16", "[local, n]", "added before the activation")                    \
    X(opt_in, expert_offsets, TENON_T_INDEX, "[local+1]", "first row of each expert; not read in the masked layout") \
    X(opt_in, expert_counts, "i32", "[local]", "rows that each expert really has; NULL: up to the next offset") \
    X(opt_in, row_pairs, "i32", "[~rows]", "pair of each row; out of range: the row is 0, and reported unless it is x_rows * pairs_per_token (no pair)")  \
    X(opt_in, row_weights, "f32", "[~pairs]", "multiplies row r by row_weights[row_pairs[r]], after the activation") \
    X(out, out, TENON_T_FLOAT, "[~rows, n_out] | [local, max_rows, n_out]", "result; n_out = n, or n / 2 for a gated activation") \
    X(choice, activation, "activation", "", "TENON_ACTIVATION_*")                                   \
    X(choice, gate_layout, "gate_layout", "", "TENON_GATE_LAYOUT_*")                                \
    X(f32, alpha, "", "", "SWIGLU_OAI: sigmoid slope; 0: 1.702")                                    \
    X(f32, limit, "", "", "clamp of g and u before the activation (SILU_GATED, SWIGLU_OAI; else an error); 0: none") \
    X(i32, pairs_per_token, "", "", "k of dispatch; 0: 1; -1: x is in row order")                                          \
    X(choice, compute, "compute", "", "TENON_COMPUTE_*")

#define TENON_MOE_MATMUL_FLAGS(X)

/* out[t] = scale * sum_slot topk_weights[t, slot] * y[pair_rows[t, slot]] (+ shared[t]); skipped pairs add nothing. Fixed order: slot 0 first. */
#define TENON_MOE_COMBINE_FIELDS(X)                                                                 \
    X(in, y, TENON_T_FLOAT, "[~rows, hidden] | [local, max_rows, hidden]", "rows of the experts")   \
    X(in, pair_rows, "i32", "[~tokens, k]", "row of each pair, or -1; rank-3 y: expert * max_rows + row") \
    X(opt_in, topk_weights, "f32", "[~tokens, k]", "weight of each pair; NULL: 1")                  \
    X(opt_in, shared, TENON_T_FLOAT, "[~tokens, hidden]", "added, unscaled")                        \
    X(out, out, TENON_T_FLOAT, "[~tokens, hidden]", "result")                                       \
    X(f32, scale, "", "", "multiplies the routed sum; 0: 1")                                        \
    X(i32, reserved, "", "", "must be 0")

#define TENON_MOE_COMBINE_FLAGS(X)

/* All of it: out[t] = sum_slot weight * down[e] . activation(gate_up[e] . x[t] + bias) + bias, and the shared experts. */
#define TENON_MOE_FIELDS(X)                                                                         \
    X(in, x, TENON_T_FLOAT, "[~tokens, hidden]", "activations")                                     \
    X(in, topk_weights, "f32", "[~tokens, k]", "weight of each pair")                               \
    X(in, topk_ids, TENON_T_INDEX, "[~tokens, k]", "expert of each pair")                           \
    X(opt_in, expert_map, "i32", "[experts]", "as in moe_dispatch")                                 \
    X(in, gate_up, "*", "*", "weights: [local, n, hidden], n = 2 * inter (gated) or inter")         \
    X(quant, gate_up_quant, "", "", "format of gate_up")                                            \
    X(opt_in, gate_up_bias, "f32 bf16 f16", "[local, n]", "added before the activation")            \
    X(in, down, "*", "*", "weights: [local, hidden, inter]")                                        \
    X(quant, down_quant, "", "", "format of down")                                                  \
    X(opt_in, down_bias, "f32 bf16 f16", "[local, hidden]", "added before the weight of the pair")  \
    X(opt_in, shared_gate_up, "*", "*", "weights of the shared expert: [shared_n, hidden]")         \
    X(quant, shared_gate_up_quant, "", "", "format of shared_gate_up")                              \
    X(opt_in, shared_down, "*", "*", "weights of the shared expert: [hidden, shared_inter]")        \
    X(quant, shared_down_quant, "", "", "format of shared_down")                                    \
    X(out, out, TENON_T_FLOAT, "[~tokens, hidden]", "result")                                       \
    X(choice, activation, "activation", "", "TENON_ACTIVATION_*")                                   \
    X(choice, gate_layout, "gate_layout", "", "TENON_GATE_LAYOUT_*")                                \
    X(f32, alpha, "", "", "as in moe_matmul")                                                       \
    X(f32, limit, "", "", "as in moe_matmul")                                                       \
    X(f32, routed_scale, "", "", "multiplies the routed sum; 0: 1")                                 \
    X(choice, compute, "compute", "", "TENON_COMPUTE_*")

#define TENON_MOE_FLAGS(X) X(WEIGHT_ON_INPUT, 0, "the pair's weight multiplies x instead of the expert's result; k must be 1")

TENON_DECLARE_ARGS(moe_route, TENON_MOE_ROUTE_FIELDS)
TENON_DECLARE_ARGS(moe_dispatch, TENON_MOE_DISPATCH_FIELDS)
TENON_DECLARE_ARGS(moe_matmul, TENON_MOE_MATMUL_FIELDS)
TENON_DECLARE_ARGS(moe_combine, TENON_MOE_COMBINE_FIELDS)
TENON_DECLARE_ARGS(moe, TENON_MOE_FIELDS)

#define TENON_E_MOE_ROUTE_FLAG(name, bit, doc) TENON_MOE_ROUTE_##name = 1u << bit,
#define TENON_E_MOE_FLAG(name, bit, doc)       TENON_MOE_##name = 1u << bit,
enum { TENON_MOE_ROUTE_FLAGS(TENON_E_MOE_ROUTE_FLAG) TENON_MOE_ROUTE_FLAGS_END };
enum { TENON_MOE_FLAGS(TENON_E_MOE_FLAG) TENON_MOE_FLAGS_END };

#ifdef __cplusplus
}
#endif
#endif /* TENON_MOE_H */
