# SPDX-License-Identifier: Apache-2.0
"""A layer of the host's DynamicCache that grows in place: [batch, heads, capacity, head_dim], written by kv_append.

The host's own layer makes a new tensor at every step, the old one with a row added. This one has the same faces (keys, values, crop,
reorder, ..), and its keys and values keep their address and strides from step to step, so that the plans of attention stay good.
"""

import numpy as np
import torch
from transformers.cache_utils import DynamicCache, DynamicLayer

from .. import _arguments
from .._dlpack import TensorSpec
from ..context import default_context
from .torch_calls import DTYPE_NAMES, CallCache, prepare

MIN_CAPACITY = 256

_appends = CallCache(limit=64)


def _cache_spec(batch, heads, capacity, d, name):
    """Storage [batch, heads, capacity, d] as pages: a sequence is a page."""
    return TensorSpec((batch, capacity, heads, d), name, (heads * capacity * d, d, capacity * d, 1))


def row_step(t):
    """Distance of two rows of [batch, heads, rows, d] seen as [batch * rows, heads, d]; 0 if there is no single one. The stride of a
    dimension of one means nothing."""
    batch, _, rows, _ = t.shape
    if rows == 1:
        return t.stride(0) if batch > 1 else t.stride(1) * t.shape[1]
    return t.stride(2) if batch == 1 or t.stride(0) == rows * t.stride(2) else 0


class _Append:
    """kv_append for one geometry; layers that have it in common share it."""

    def __init__(self, keys, values, capacity):
        batch, heads, rows, d_qk = keys.shape
        name, d_v = DTYPE_NAMES[keys.dtype], values.shape[3]
        self.slots = np.zeros(batch * rows, np.int64)
        self.steps = (np.arange(batch)[:, None] * capacity + np.arange(rows)[None, :]).reshape(-1)
        self.length = -1
        arguments = _arguments.Arguments("kv_append")
        for field, t, d in (("key", keys, d_qk), ("value", values, d_v)):
            arguments.set_tensor(field, TensorSpec((batch * rows, heads, d), name, (row_step(t), t.stride(1), 1)))
        for field, d in (("k", d_qk), ("v", d_v)):
            arguments.set_tensor(field, _cache_spec(batch, heads, capacity, d, name))
        arguments.set_tensor("slot_mapping", self.slots)
        self.call = prepare(default_context(), arguments)
        self.places = [self.call.pointer_place(field) for field in ("key", "value", "k", "v")]

    def __call__(self, keys, values, k, v, length):
        if length != self.length:
            np.add(self.steps, length, out=self.slots)
            self.length = length
        words, (a, b, c, d) = self.call.words, self.places
        words[a], words[b], words[c], words[d] = keys.data_ptr(), values.data_ptr(), k.data_ptr(), v.data_ptr()
        self.call()


def _in_rows(t):
    """t, or a copy, as rows of all sequences at one distance, each head contiguous."""
    return t if t.stride(3) == 1 and row_step(t) else t.transpose(1, 2).contiguous().transpose(1, 2)


class GrowingLayer(DynamicLayer):
    """See above. Made by changing the class of an empty DynamicLayer."""

    _k = _v = _last = None

    def _make_room(self, keys, values, length, rows):
        """New storage of twice the size with the old contents, or with whatever the host has put into self.keys."""
        capacity = max(MIN_CAPACITY, 1 << (length + rows - 1).bit_length())
        old = (self.keys, self.values) if length else None
        self._k = keys.new_empty((*keys.shape[:2], capacity, keys.shape[3]))
        self._v = values.new_empty((*values.shape[:2], capacity, values.shape[3]))
        if old is not None:
            self._k[:, :, :length].copy_(old[0])
            self._v[:, :, :length].copy_(old[1])

    def _owns(self, tensor):
        return self._k is not None and tensor.data_ptr() == self._k.data_ptr() and tensor.stride() == self._k.stride()

    def update(self, key_states, value_states, *args, **kwargs):
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        length, rows = self.get_seq_length(), key_states.shape[2]
        # The host may have put other tensors in place of ours (reorder, repeat, select); a crop leaves a shorter view of ours.
        ours = length == 0 and self._k is not None and self._k.shape[0] == key_states.shape[0]
        if length:
            ours = self.keys is self._last or (self._owns(self.keys) and self.keys.shape[0] == key_states.shape[0])
        if not ours or length + rows > self._k.shape[2]:
            self._make_room(key_states, value_states, length, rows)
        k, v = self._k, self._v
        key_states, value_states = _in_rows(key_states), _in_rows(value_states)
        key = (key_states.shape, key_states.stride(), value_states.shape, value_states.stride(), k.shape[2], k.dtype)
        append = _appends.table().get(key) or _appends.put(key, _Append(key_states, value_states, k.shape[2]))
        append(key_states, value_states, k, v, length)
        self.keys = self._last = k.narrow(2, 0, length + rows)
        self.values = v.narrow(2, 0, length + rows)
        return self.keys, self.values

    def reset(self):
        self._k = self._v = self._last = None
        super().reset()


def adopt(cache):
    """Lets the empty plain layers of a DynamicCache grow in place. Sliding and offloaded layers stay what they are."""
    if not isinstance(cache, DynamicCache) or getattr(cache, "offloading", False):
        return
    if cache.layer_class_to_replicate is DynamicLayer:
        cache.layer_class_to_replicate = GrowingLayer
    for layer in cache.layers:
        if type(layer) is DynamicLayer and not layer.is_initialized:
            layer.__class__ = GrowingLayer


def usable(dtype, device):
    return dtype in DTYPE_NAMES and torch.device(device).type == "cpu"
