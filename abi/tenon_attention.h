/* SPDX-License-Identifier: Apache-2.0 */
/* Attention over a paged KV cache, the writers and readers of that cache, and the merge of partial results.
 *
 * Words: tokens = query tokens of all sequences, one after the other; batch = sequences; heads_q, heads_kv = query and KV heads,
 * heads_q a multiple of heads_kv (query head h reads KV head h / (heads_q / heads_kv)); d_qk, d_v = head dims.
 * kv position j of sequence b lies in page  table[b][j / page_size],  slot  j % page_size.
 * The last query token of a sequence stands at its last kv position (causal masks are aligned bottom right).
 *
 * A cache tensor is logically [pages, page_size, heads_kv, d]; its strides say the physical order, so every layout in use fits,
 * K beside V included. Rank 5, [pages, page_size, heads_kv, d/x, x], expresses layouts that split the head dim. With
 * TENON_*_NATIVE_CACHE it is u8 [bytes] in the backend's private layout, of the size that query answers for kv_append.
 */
#ifndef TENON_ATTENTION_H
#define TENON_ATTENTION_H

#include "tenon_base.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TENON_SHAPE_CACHE(d) \
    "[pages, page_size, heads_kv, " d "]s | [pages, page_size, heads_kv, *, *]s | [native_bytes]"
#define TENON_SHAPE_KV_SCALE "[1] | [heads_kv] | [pages, page_size, heads_kv]s"

/* out[t, h] = sum_j p[j] v[j],  p = softmax over the visible j of  softcap(softmax_scale * q . k[j]) + alibi_slope * (j - i)
 * where i is the kv position of token t. A sink adds exp(sink) to the denominator only. A row that sees nothing: out 0, lse -inf.
 * The result of a sequence does not depend on what else is in the batch. Only positions that a row may see are read.
 * cu_seqlens_q may end before the tokens do (padding): those rows are empty, too, and so is a sequence of kv length 0.
 * What contradicts itself is a fault, and its rows are empty: cu_seqlens_q that does not start at 0, falls, or passes the tokens (all
 * rows); a length beyond max_q_len, max_kv_len or the page list; with CAUSAL or tree_mask, more query tokens than kv positions. */
#define TENON_ATTENTION_FIELDS(X)                                                                   \
    X(in, q, "bf16 f16 f32 e4m3fn e4m3fnuz e5m2", "[~tokens, heads_q, d_qk]", "queries")            \
    X(in, k, TENON_T_CACHE, TENON_SHAPE_CACHE("d_qk"), "key cache")                                 \
    X(in, v, TENON_T_CACHE, TENON_SHAPE_CACHE("d_v"), "value cache")                                \
    X(out, out, "bf16 f16 f32", "[~tokens, heads_q, d_v]", "result")                                \
    X(opt_out, lse, "f32", "[~tokens, heads_q]s", "log of the sum of exponentials, natural unless LSE_BASE2; sinks do not count") \
    X(in, cu_seqlens_q, "i32", "[~batch+1]", "first query token of each sequence; ends with the number of tokens") \
    X(in, seq_lens, "i32", "[~batch]", "kv length of each sequence, its new tokens included")       \
    X(opt_in, block_table, "i32", "[~batch, ~max_pages]", "page ids of each sequence; or page_indptr and page_indices") \
    X(opt_in, page_indptr, "i32", "[~batch+1]", "first entry of each sequence in page_indices")     \
    X(opt_in, page_indices, "i32", "[~page_entries]", "page ids, sequence after sequence")          \
    X(opt_in, sinks, "f32 bf16 f16", "[heads_q]", "logit of the sink of each head")                 \
    X(opt_in, alibi_slopes, "f32", "[heads_q] | [~batch, heads_q]", "slope of each head")           \
    X(opt_in, tree_mask, "u8", "[~tokens, mask_bytes]", "bit j of row t (LSB first): t sees the j-th new token of its sequence; replaces causal there") \
    X(opt_in, q_scale, "f32", "[1] | [heads_kv] | [~batch, heads_kv]", "multiplies fp8 queries")    \
    X(opt_in, k_scale, "f32", TENON_SHAPE_KV_SCALE, "multiplies stored keys")                       \
    X(opt_in, v_scale, "f32", TENON_SHAPE_KV_SCALE, "multiplies stored values")                     \
    X(choice, kv_element, "element", "", "meaning of a u8 cache")                                   \
    X(f32, softmax_scale, "", "", "multiplies q . k; 0: 1 / sqrt(d_qk)")                            \
    X(f32, softcap, "", "", "c > 0: logits become c * tanh(logit / c); 0: off")                     \
    X(i32, window_left, "", "", "n > 0: a token at i sees j >= i - n; 0 or -1: all")              \
    X(i32, window_right, "", "", "n > 0: and j <= i + n; 0 or -1: all; not read with CAUSAL")      \
    X(i32, max_q_len, "", "", "no sequence has more query tokens in one run; 0: tokens")            \
    X(i32, max_kv_len, "", "", "no sequence has more kv positions; 0: max_pages * page_size")       \
    X(i32, page_size, "", "", "tokens in a page; needed for a native cache, else 0 or equal to the cache's") \
    X(i32, n_kv_heads, "", "", "needed for a native cache, else 0 or equal to the cache's")         \
    X(i32, reserved, "", "", "must be 0")

#define TENON_ATTENTION_FLAGS(X)                                                                    \
    X(CAUSAL, 0, "a token sees its own position and earlier ones")                                  \
    X(LSE_BASE2, 1, "lse is a base-2 logarithm")                                                    \
    X(NATIVE_CACHE, 2, "k and v are in the backend's private layout")

/* DeepSeek latent attention with the up-projections absorbed: every head reads one shared latent row per kv position.
 * logits = softmax_scale * q . cache_row (d_latent + d_rope); out = p . cache_row[0:d_latent]. */
#define TENON_MLA_ATTENTION_FIELDS(X)                                                               \
    X(in, q, "bf16 f16 f32", "[~tokens, heads_q, d_qk]", "absorbed queries: d_latent, then d_rope") \
    X(in, cache, TENON_T_CACHE, "[pages, page_size, d_row]s | [pages, page_size, 1, d_row]s", "latent cache; FP8_DS: u8, d_row = 656") \
    X(out, out, "bf16 f16 f32", "[~tokens, heads_q, d_latent]", "result, in latent space")          \
    X(opt_out, lse, "f32", "[~tokens, heads_q]s", "as in attention")                                \
    X(in, cu_seqlens_q, "i32", "[~batch+1]", "as in attention")                                     \
    X(in, seq_lens, "i32", "[~batch]", "as in attention")                                           \
    X(opt_in, block_table, "i32", "[~batch, ~max_pages]", "as in attention")                        \
    X(opt_in, page_indptr, "i32", "[~batch+1]", "as in attention")                                  \
    X(opt_in, page_indices, "i32", "[~page_entries]", "as in attention")                            \
    X(opt_in, sinks, "f32 bf16 f16", "[heads_q]", "as in attention")                                \
    X(opt_in, kv_scale, "f32", "[1]", "multiplies a PLAIN fp8 or int8 cache")                       \
    X(choice, kv_element, "element", "", "meaning of a PLAIN u8 cache")                             \
    X(choice, cache_format, "mla_cache", "", "TENON_MLA_CACHE_*")                                   \
    X(f32, softmax_scale, "", "", "multiplies the logits; must be given (> 0): the absorbed d_qk is not the model's") \
    X(i32, max_q_len, "", "", "as in attention")                                                    \
    X(i32, max_kv_len, "", "", "as in attention")                                                   \
    X(i32, reserved, "", "", "must be 0")

#define TENON_MLA_ATTENTION_FLAGS(X)                                                                \
    X(CAUSAL, 0, "as in attention")                                                                 \
    X(LSE_BASE2, 1, "as in attention")

/* Writes token t of key and value to slot_mapping[t] = page * page_size + slot; -1 skips the token. Of two tokens with the same slot,
 * either may be the one that stays.
 * Quantizing caches (fp8, int8) store round(x / scale), saturated, the quotient taken in f32; only they have scales. With DYNAMIC_SCALE
 * the scale of each (token, head) is amax / max in f32, or 1 where that is 0, and is written. */
#define TENON_KV_APPEND_FIELDS(X)                                                                   \
    X(in, key, TENON_T_FLOAT, "[~tokens, heads_kv, d_qk]", "new keys")                              \
    X(in, value, TENON_T_FLOAT, "[~tokens, heads_kv, d_v]", "new values")                           \
    X(inout, k, TENON_T_CACHE, TENON_SHAPE_CACHE("d_qk"), "key cache")                              \
    X(inout, v, TENON_T_CACHE, TENON_SHAPE_CACHE("d_v"), "value cache")                             \
    X(in, slot_mapping, TENON_T_INDEX, "[~tokens]", "destination of each token")                    \
    X(opt_inout, k_scale, "f32", TENON_SHAPE_KV_SCALE, "divides keys; written with DYNAMIC_SCALE, then [pages, page_size, heads_kv]") \
    X(opt_inout, v_scale, "f32", TENON_SHAPE_KV_SCALE, "divides values; likewise")                  \
    X(choice, kv_element, "element", "", "meaning of a u8 cache")                                   \
    X(i32, page_size, "", "", "needed for a native cache, else 0 or equal to the cache's")          \
    X(i32, n_pages, "", "", "needed for a native cache, else 0 or equal to the cache's")            \
    X(i32, reserved, "", "", "must be 0")

#define TENON_KV_APPEND_FLAGS(X)                                                                    \
    X(NATIVE_CACHE, 0, "k and v are in the backend's private layout")                               \
    X(DYNAMIC_SCALE, 1, "compute and store a scale per (token, head)")

/* Writes the latent and rope parts of each token to slot_mapping[t]; -1 skips. FP8_DS takes a scale per 128 latents, as DYNAMIC_SCALE. */
#define TENON_MLA_APPEND_FIELDS(X)                                                                  \
    X(in, kv_c, TENON_T_FLOAT, "[~tokens, d_latent]", "latent part")                                \
    X(in, k_pe, TENON_T_FLOAT, "[~tokens, d_rope] | [~tokens, 1, d_rope]", "rope part")             \
    X(inout, cache, TENON_T_CACHE, "[pages, page_size, d_row]s | [pages, page_size, 1, d_row]s", "latent cache") \
    X(in, slot_mapping, TENON_T_INDEX, "[~tokens]", "destination of each token")                    \
    X(opt_in, kv_scale, "f32", "[1]", "divides, for a PLAIN fp8 or int8 cache")                     \
    X(choice, kv_element, "element", "", "meaning of a PLAIN u8 cache")                             \
    X(choice, cache_format, "mla_cache", "", "TENON_MLA_CACHE_*")

#define TENON_MLA_APPEND_FLAGS(X)

/* Copies kv positions [seq_starts[b], seq_starts[b] + cu_rows[b+1] - cu_rows[b]) of each sequence to rows cu_rows[b].., dequantizing
 * (times the scale, the product in f32).
 * Rows past the last sequence become 0, and so do those of a sequence whose lengths or pages are out of range (a fault). */
#define TENON_KV_GATHER_FIELDS(X)                                                                   \
    X(in, k, TENON_T_CACHE, TENON_SHAPE_CACHE("d_qk"), "key cache")                                 \
    X(in, v, TENON_T_CACHE, TENON_SHAPE_CACHE("d_v"), "value cache")                                \
    X(out, key, TENON_T_FLOAT, "[~rows, heads_kv, d_qk]", "keys")                                   \
    X(out, value, TENON_T_FLOAT, "[~rows, heads_kv, d_v]", "values")                                \
    X(in, cu_rows, "i32", "[~batch+1]", "first row of each sequence")                               \
    X(opt_in, seq_starts, "i32", "[~batch]", "first kv position of each sequence; NULL: 0")         \
    X(opt_in, block_table, "i32", "[~batch, ~max_pages]", "as in attention")                        \
    X(opt_in, page_indptr, "i32", "[~batch+1]", "as in attention")                                  \
    X(opt_in, page_indices, "i32", "[~page_entries]", "as in attention")                            \
    X(opt_in, k_scale, "f32", TENON_SHAPE_KV_SCALE, "multiplies stored keys")                       \
    X(opt_in, v_scale, "f32", TENON_SHAPE_KV_SCALE, "multiplies stored values")                     \
    X(choice, kv_element, "element", "", "meaning of a u8 cache")                                   \
    X(i32, page_size, "", "", "needed for a native cache, else 0 or equal to the cache's")          \
    X(i32, n_pages, "", "", "needed for a native cache, else 0 or equal to the cache's")            \
    X(i32, reserved, "", "", "must be 0")

#define TENON_KV_GATHER_FLAGS(X) X(NATIVE_CACHE, 0, "k and v are in the backend's private layout")

/* out[t, h] = sum_s w[s] partial_out[s, t, h] / sum_s w[s],  w[s] = exp(partial_lse[s, t, h]);  lse = log sum_s w[s].
 * A state with lse -inf or +inf is empty; where all are empty: out 0, lse -inf. */
#define TENON_MERGE_STATES_FIELDS(X)                                                                \
    X(in, partial_out, TENON_T_FLOAT, "[states, ~tokens, heads_q, d_v]", "partial results")         \
    X(in, partial_lse, "f32", "[states, ~tokens, heads_q]s", "their log-sum-exp")                   \
    X(out, out, TENON_T_FLOAT, "[~tokens, heads_q, d_v]", "merged result")                          \
    X(opt_out, lse, "f32", "[~tokens, heads_q]s", "merged log-sum-exp")

#define TENON_MERGE_STATES_FLAGS(X) X(LSE_BASE2, 0, "partial_lse and lse are base-2 logarithms")

TENON_DECLARE_ARGS(attention, TENON_ATTENTION_FIELDS)
TENON_DECLARE_ARGS(mla_attention, TENON_MLA_ATTENTION_FIELDS)
TENON_DECLARE_ARGS(kv_append, TENON_KV_APPEND_FIELDS)
TENON_DECLARE_ARGS(mla_append, TENON_MLA_APPEND_FIELDS)
TENON_DECLARE_ARGS(kv_gather, TENON_KV_GATHER_FIELDS)
TENON_DECLARE_ARGS(merge_states, TENON_MERGE_STATES_FIELDS)

#define TENON_E_ATTENTION_FLAG(name, bit, doc)     TENON_ATTENTION_##name = 1u << bit,
#define TENON_E_MLA_ATTENTION_FLAG(name, bit, doc) TENON_MLA_ATTENTION_##name = 1u << bit,
#define TENON_E_KV_APPEND_FLAG(name, bit, doc)     TENON_KV_APPEND_##name = 1u << bit,
#define TENON_E_KV_GATHER_FLAG(name, bit, doc)     TENON_KV_GATHER_##name = 1u << bit,
#define TENON_E_MERGE_STATES_FLAG(name, bit, doc)  TENON_MERGE_STATES_##name = 1u << bit,
enum { TENON_ATTENTION_FLAGS(TENON_E_ATTENTION_FLAG) TENON_ATTENTION_FLAGS_END };
enum { TENON_MLA_ATTENTION_FLAGS(TENON_E_MLA_ATTENTION_FLAG) TENON_MLA_ATTENTION_FLAGS_END };
enum { TENON_KV_APPEND_FLAGS(TENON_E_KV_APPEND_FLAG) TENON_KV_APPEND_FLAGS_END };
enum { TENON_KV_GATHER_FLAGS(TENON_E_KV_GATHER_FLAG) TENON_KV_GATHER_FLAGS_END };
enum { TENON_MERGE_STATES_FLAGS(TENON_E_MERGE_STATES_FLAG) TENON_MERGE_STATES_FLAGS_END };

#ifdef __cplusplus
}
#endif
#endif /* TENON_ATTENTION_H */
