# SPDX-License-Identifier: Apache-2.0
"""transformers' attention interface on Tenon's attention.

The host's cache is [batch, heads, positions, d] in one of its layouts. It is read where it lies, as pages: without padding a sequence
is one page. With padding on the left a page may begin at any position (the page stride is the distance of two positions), so that a
sequence is again one page, which begins at its first real key; where that would run over the end of the memory, a page is one position.
"""

import numpy as np
import torch

from .. import _arguments
from .._dlpack import TensorSpec
from ..context import default_context
from ..errors import Unsupported
from .torch_calls import DTYPE_NAMES, CallCache, prepare
from .transformers_cache import row_step
from .transformers_mask import Visible

_calls = CallCache(limit=256)
KERNELS = {}  # kernel name: number of plans that chose it


def _room(t):
    """Positions of a sequence that the memory has a place for. Where heads lie outside of positions, their distance tells."""
    step = t.stride(2)
    if t.shape[1] > 1 and t.stride(1) > step > 0:
        return max(t.stride(1) // step, t.shape[2])
    return t.shape[2]


def _positions_per_sequence(t):
    """Distance of two sequences, counted in positions; -1 if it is not a whole number."""
    if t.shape[0] == 1:
        return 0
    return t.stride(0) // t.stride(2) if t.stride(2) and t.stride(0) % t.stride(2) == 0 else -1


def _paging(visible, room):
    """Page size, and pages of a sequence: see the head of this file."""
    if visible.segments is None:
        return room, 1
    page = room - int(visible.starts.max())
    return (page, 1) if page >= max(visible.longest, 1) else (1, max(visible.longest, 1))


class _Call:
    """attention, prepared for one geometry. Layers that have it in common share it, and its lists of lengths."""

    def __init__(self, q, k, v, visible, paging, window, scaling, softcap, causal, sinks):
        batch, heads_q, rows, d_qk = q.shape
        name = DTYPE_NAMES[q.dtype]
        self.page, self.entries = paging
        if visible.segments is None:
            self.first = np.arange(batch)
            cu_seqlens = np.arange(0, (batch + 1) * rows, rows)
        else:
            cu_seqlens = visible.cu_seqlens
            owner = np.searchsorted(np.arange(1, batch + 1) * rows, cu_seqlens[:-1], side="right")
            self.first = owner * _positions_per_sequence(k) + visible.starts
        self.cu_seqlens = np.ascontiguousarray(cu_seqlens, np.int32)
        self.seq_lens = np.zeros(len(self.first), np.int32)
        self.table = np.zeros((len(self.first), self.entries), np.int32)
        self.visible = None
        self._show(visible)
        arguments = _arguments.Arguments("attention")
        arguments.set_tensor("q", TensorSpec((batch * rows, heads_q, d_qk), name, (row_step(q), q.stride(1), 1)))
        for field, t in (("k", k), ("v", v)):
            step = t.stride(2)
            whole = visible.segments is None
            pages = batch if whole else int(self.first.max()) + max(visible.longest, 1) if self.page == 1 else int(self.first.max()) + 1
            arguments.set_tensor(field, TensorSpec((pages, self.page, t.shape[1], t.shape[3]), name,
                                                   (t.stride(0) if whole else step, step, t.stride(1), 1)))
        arguments.set_tensor("out", TensorSpec((batch * rows, heads_q, v.shape[3]), name))
        arguments.set_tensor("cu_seqlens_q", self.cu_seqlens)
        arguments.set_tensor("seq_lens", self.seq_lens)
        arguments.set_tensor("block_table", self.table)
        if sinks is not None:
            arguments.set_tensor("sinks", TensorSpec(sinks.shape, DTYPE_NAMES[sinks.dtype]))
        for field, value in (("softmax_scale", scaling), ("softcap", softcap), ("window_left", window), ("max_q_len", rows),
                             ("max_kv_len", self.page * self.entries), ("causal", causal)):
            arguments.set(field, value)
        self.call = prepare(default_context(), arguments)
        kernel = self.call.plan.kernel
        KERNELS[kernel] = KERNELS.get(kernel, 0) + 1
        self.places = [self.call.pointer_place(field) for field in ("q", "k", "v", "out")]
        self.sinks_place = self.call.pointer_place("sinks") if sinks is not None else None

    def _show(self, visible):
        """The lengths of this step, into the lists that the call reads."""
        self.seq_lens[:] = visible.kv_length if visible.segments is None else visible.seq_lens
        if self.entries == 1:
            self.table[:, 0] = self.first
        else:
            # Every position a page. Entries past a sequence's end are not read; they repeat its first one.
            steps = np.arange(self.entries)[None, :]
            self.table[:] = self.first[:, None] + np.where(steps < self.seq_lens[:, None], steps, 0)
        self.visible = visible

    def __call__(self, q, k, v, out, visible, sinks):
        if visible is not self.visible:
            self._show(visible)
        words, (a, b, c, d) = self.call.words, self.places
        words[a], words[b], words[c], words[d] = q.data_ptr(), k.data_ptr(), v.data_ptr(), out.data_ptr()
        if self.sinks_place is not None:
            words[self.sinks_place] = sinks.data_ptr()
        self.call()


def _refuse(module, dropout, kwargs):
    if dropout and module.training:
        raise Unsupported("attention: dropout is not supported; call model.eval()")
    if kwargs.get("output_attentions"):
        raise Unsupported("attention: attention weights are never formed; output_attentions needs attn_implementation='eager'")
    for name in ("position_bias", "head_mask"):
        if kwargs.get(name) is not None:
            raise Unsupported(f"attention: {name} is not supported")


def _layout(t, rows_at_one_distance):
    """t itself where a view [tokens, heads, d] or of pages can be made of it, else a copy that allows it."""
    if t.stride(3) == 1 and (not rows_at_one_distance or row_step(t)):
        return t
    return t.transpose(1, 2).contiguous().transpose(1, 2)


def tenon_attention(module, query, key, value, attention_mask, scaling=None, dropout=0.0, sliding_window=None, softcap=None, s_aux=None,
                    is_causal=None, **kwargs):
    """The function that AttentionInterface calls: query [B, Hq, S, D], key and value [B, Hkv, L, D] to [B, S, Hq, Dv]."""
    if dropout or kwargs:
        _refuse(module, dropout, kwargs)
    if query.requires_grad:
        raise Unsupported("attention: has no gradient; use torch.no_grad()")
    if query.dtype not in DTYPE_NAMES or key.dtype != query.dtype:
        raise Unsupported(f"attention: queries of {query.dtype} and keys of {key.dtype}; expected both float32, bfloat16 or float16")
    batch, heads_q, rows, _ = query.shape
    visible, causal = attention_mask, True
    if visible is None:
        causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
        visible = Visible(-1, key.shape[2])
    elif not isinstance(visible, Visible):
        raise Unsupported(f"attention: a mask of type {type(visible).__name__} that was not made by Tenon's mask function")
    window = visible.window if sliding_window is None else sliding_window - 1
    if window == 0:
        raise Unsupported("a sliding window of one token leaves a row nothing but itself; use another attn_implementation")
    query, key, value = _layout(query, True), _layout(key, False), _layout(value, False)
    if visible.segments is not None and len({_positions_per_sequence(key), _positions_per_sequence(value), -1}) > 2:
        key, value = key.contiguous(), value.contiguous()
    paging = _paging(visible, min(_room(key), _room(value)))
    # The number of keys is not in here: it changes with every step.
    shape = (query.shape, query.stride(), key.shape[1], key.stride(), value.shape[3], value.stride(), query.dtype, window, scaling, softcap,
             causal, None if s_aux is None else s_aux.dtype, visible.shape, paging)
    call = _calls.table().get(shape)
    if call is None:
        with torch.no_grad():
            call = _calls.put(shape, _Call(query, key, value, visible, paging, window, scaling or 0.0, softcap or 0.0, causal, s_aux))
    out = torch.empty((batch, rows, heads_q, value.shape[3]), dtype=query.dtype)
    call(query, key, value, out, visible, s_aux)
    return out, None
