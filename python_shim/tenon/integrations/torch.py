# SPDX-License-Identifier: Apache-2.0
"""Tenon's operations as torch operators: torch.ops.tenon.matmul and its sisters, which torch.compile goes through.

Every operator has a fake implementation, says in its schema what it mutates, and returns tensors that alias none of its inputs.
None has a gradient. Importing this module registers them, once.
"""

import torch

from .torch_calls import run

_library = torch.library.Library("tenon", "DEF")


def _operator(signature):
    """Defines the operator that `signature` names, with the decorated function behind it."""
    name = signature.split("(", 1)[0]

    def wrap(function):
        _library.define(signature)
        for key in ("CPU", "CUDA"):
            _library.impl(name, function, key)
        return function

    return wrap


def _fake(name):
    return torch.library.register_fake(f"tenon::{name}")


def _given(**tensors):
    return {name: tensor for name, tensor in tensors.items() if tensor is not None}


def _rows(x):
    """[..., cols] as [rows, cols], without a copy where that is possible."""
    x = x.reshape(-1, x.shape[-1])
    return x if x.stride(1) == 1 or x.shape[1] == 1 else x.contiguous()


# ---- quantized matmul ----

@_operator("matmul(Tensor a, Tensor w, Tensor? bias=None, *, str w_format='NONE', Tensor? w_scale=None, Tensor? w_zero_point=None, "
           "Tensor? w_global_scale=None, Tensor? w_group_index=None, int group_cols=0, int group_rows=0, int n=0, "
           "str compute='DEFAULT', ScalarType? out_dtype=None) -> Tensor")
def matmul(a, w, bias=None, *, w_format="NONE", w_scale=None, w_zero_point=None, w_global_scale=None, w_group_index=None,
           group_cols=0, group_rows=0, n=0, compute="DEFAULT", out_dtype=None):
    """a . w^T + bias. n: rows of the weight, needed where the shape of w does not tell (PACKED, GPTQ, AWQ)."""
    out = _matmul_fake(a, w, bias, w_format=w_format, n=n, out_dtype=out_dtype)
    quants = ()
    if w_format != "NONE":
        quants = {"w_quant": (w_format, {"group_cols": group_cols, "group_rows": group_rows})}
    tensors = _given(a=_rows(a), w=w, **{"w_quant.scale": w_scale, "w_quant.zero_point": w_zero_point,
                                         "w_quant.global_scale": w_global_scale, "w_quant.group_index": w_group_index},
                     bias=bias, out=out.view(-1, out.shape[-1]))
    run("matmul", tensors, {"compute": compute}, quants)
    return out


@_fake("matmul")
def _matmul_fake(a, w, bias=None, *, w_format="NONE", w_scale=None, w_zero_point=None, w_global_scale=None, w_group_index=None,
                 group_cols=0, group_rows=0, n=0, compute="DEFAULT", out_dtype=None):
    return a.new_empty((*a.shape[:-1], n or w.shape[0]), dtype=out_dtype or a.dtype)


@_operator("dequantize(Tensor q, int cols, *, str format, Tensor? scale=None, Tensor? row_index=None, ScalarType dtype) -> Tensor")
def dequantize(q, cols, *, format, scale=None, row_index=None, dtype):
    """Rows of a quantized matrix as values; with row_index an embedding look-up that reads only those rows."""
    out = _dequantize_fake(q, cols, format=format, row_index=row_index, dtype=dtype)
    index = None if row_index is None else row_index.reshape(-1)
    run("dequantize", _given(q=q, **{"q_quant.scale": scale}, row_index=index, x=out.view(-1, cols)), (), {"q_quant": (format, {})})
    return out


@_fake("dequantize")
def _dequantize_fake(q, cols, *, format, scale=None, row_index=None, dtype):
    rows = (q.shape[0],) if row_index is None else tuple(row_index.shape)
    return q.new_empty((*rows, cols), dtype=dtype)


# ---- attention ----

@_operator("attention(Tensor q, Tensor k, Tensor v, Tensor cu_seqlens_q, Tensor seq_lens, Tensor block_table, *, Tensor? sinks=None, "
           "Tensor? k_scale=None, Tensor? v_scale=None, float softmax_scale=0., float softcap=0., bool causal=True, "
           "int window_left=-1, int max_q_len=0, int max_kv_len=0) -> Tensor")
def attention(q, k, v, cu_seqlens_q, seq_lens, block_table, *, sinks=None, k_scale=None, v_scale=None, softmax_scale=0.0,
              softcap=0.0, causal=True, window_left=-1, max_q_len=0, max_kv_len=0):
    """Ragged queries [tokens, heads, d] over a paged cache [pages, page_size, heads_kv, d]."""
    out = _attention_fake(q, k, v, cu_seqlens_q, seq_lens, block_table)
    run("attention", _given(q=q, k=k, v=v, out=out, cu_seqlens_q=cu_seqlens_q, seq_lens=seq_lens, block_table=block_table,
                            sinks=sinks, k_scale=k_scale, v_scale=v_scale),
        {"softmax_scale": softmax_scale, "softcap": softcap, "window_left": window_left, "max_q_len": max_q_len,
         "max_kv_len": max_kv_len, "causal": causal})
    return out


@_fake("attention")
def _attention_fake(q, k, v, cu_seqlens_q, seq_lens, block_table, *, sinks=None, k_scale=None, v_scale=None, softmax_scale=0.0,
                    softcap=0.0, causal=True, window_left=-1, max_q_len=0, max_kv_len=0):
    dtype = q.dtype if q.dtype.itemsize > 1 else torch.bfloat16
    return q.new_empty((q.shape[0], q.shape[1], v.shape[3]), dtype=dtype)


@_operator("kv_append(Tensor key, Tensor value, Tensor(a!) k, Tensor(b!) v, Tensor slot_mapping, *, Tensor? k_scale=None, "
           "Tensor? v_scale=None) -> ()")
def kv_append(key, value, k, v, slot_mapping, *, k_scale=None, v_scale=None):
    """Writes new keys and values into the pages of k and v; a slot of -1 skips its token."""
    run("kv_append", _given(key=key, value=value, k=k, v=v, slot_mapping=slot_mapping, k_scale=k_scale, v_scale=v_scale))


@_fake("kv_append")
def _kv_append_fake(key, value, k, v, slot_mapping, *, k_scale=None, v_scale=None):
    return None


@_operator("mla_attention(Tensor q, Tensor cache, Tensor cu_seqlens_q, Tensor seq_lens, Tensor block_table, int d_latent, *, "
           "float softmax_scale, bool causal=True) -> Tensor")
def mla_attention(q, cache, cu_seqlens_q, seq_lens, block_table, d_latent, *, softmax_scale, causal=True):
    """Absorbed latent attention: q [tokens, heads, d_latent + d_rope] over a latent cache [pages, page_size, d_latent + d_rope]."""
    out = _mla_attention_fake(q, cache, cu_seqlens_q, seq_lens, block_table, d_latent, softmax_scale=softmax_scale)
    run("mla_attention", _given(q=q, cache=cache, out=out, cu_seqlens_q=cu_seqlens_q, seq_lens=seq_lens, block_table=block_table),
        {"softmax_scale": softmax_scale, "causal": causal})
    return out


@_fake("mla_attention")
def _mla_attention_fake(q, cache, cu_seqlens_q, seq_lens, block_table, d_latent, *, softmax_scale, causal=True):
    return q.new_empty((q.shape[0], q.shape[1], d_latent))


@_operator("mla_append(Tensor kv_c, Tensor k_pe, Tensor(a!) cache, Tensor slot_mapping) -> ()")
def mla_append(kv_c, k_pe, cache, slot_mapping):
    """Writes the latent and rope parts of new tokens into the latent cache."""
    run("mla_append", _given(kv_c=kv_c, k_pe=k_pe, cache=cache, slot_mapping=slot_mapping))


@_fake("mla_append")
def _mla_append_fake(kv_c, k_pe, cache, slot_mapping):
    return None


# ---- mixture of experts ----

@_operator("moe_route(Tensor logits, int k, *, Tensor? bias=None, str scoring='SOFTMAX', str group_score='MAX', int n_groups=0, "
           "int topk_groups=0, bool renormalize=True, float routed_scale=1., float renormalize_eps=0.) -> (Tensor, Tensor)")
def moe_route(logits, k, *, bias=None, scoring="SOFTMAX", group_score="MAX", n_groups=0, topk_groups=0, renormalize=True,
              routed_scale=1.0, renormalize_eps=0.0):
    """Weights (f32) and ids (i32) of the k experts of each token."""
    weights, ids = _moe_route_fake(logits, k)
    run("moe_route", _given(logits=logits, bias=bias, topk_weights=weights, topk_ids=ids),
        {"scoring": scoring, "group_score": group_score, "n_groups": n_groups, "topk_groups": topk_groups,
         "routed_scale": routed_scale, "renormalize_eps": renormalize_eps, "renormalize": renormalize})
    return weights, ids


@_fake("moe_route")
def _moe_route_fake(logits, k, *, bias=None, scoring="SOFTMAX", group_score="MAX", n_groups=0, topk_groups=0, renormalize=True,
                    routed_scale=1.0, renormalize_eps=0.0):
    shape = (logits.shape[0], k)
    return logits.new_empty(shape, dtype=torch.float32), logits.new_empty(shape, dtype=torch.int32)


@_operator("moe(Tensor x, Tensor topk_weights, Tensor topk_ids, Tensor gate_up, Tensor down, *, Tensor? expert_map=None, "
           "Tensor? gate_up_bias=None, Tensor? down_bias=None, str activation='SILU_GATED', str gate_layout='GATE_UP', float alpha=0., "
           "float limit=0., float routed_scale=0., str w_format='NONE', str compute='DEFAULT') -> Tensor")
def moe(x, topk_weights, topk_ids, gate_up, down, *, expert_map=None, gate_up_bias=None, down_bias=None, activation="SILU_GATED",
        gate_layout="GATE_UP", alpha=0.0, limit=0.0, routed_scale=0.0, w_format="NONE", compute="DEFAULT"):
    """All of a mixture-of-experts layer behind its router. Weights: [experts, n, hidden] and [experts, hidden, inter], any strides,
    or the storage of w_format."""
    out = _moe_fake(x, topk_weights, topk_ids, gate_up, down)
    quants = {} if w_format == "NONE" else {"gate_up_quant": (w_format, {}), "down_quant": (w_format, {})}
    run("moe", _given(x=_rows(x), topk_weights=topk_weights, topk_ids=topk_ids, expert_map=expert_map, gate_up=gate_up,
                      gate_up_bias=gate_up_bias, down=down, down_bias=down_bias, out=out),
        {"activation": activation, "gate_layout": gate_layout, "alpha": alpha, "limit": limit, "routed_scale": routed_scale,
         "compute": compute}, quants)
    return out


@_fake("moe")
def _moe_fake(x, topk_weights, topk_ids, gate_up, down, *, expert_map=None, gate_up_bias=None, down_bias=None,
              activation="SILU_GATED", gate_layout="GATE_UP", alpha=0.0, limit=0.0, routed_scale=0.0, w_format="NONE",
              compute="DEFAULT"):
    return x.new_empty(x.shape)
