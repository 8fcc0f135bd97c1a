# SPDX-License-Identifier: Apache-2.0
"""Prepared calls on torch tensors, kept by shape: the second call of a shape writes pointers and calls, and builds nothing.

What is kept belongs to one thread (two runs at once need two workspaces), and is bounded: the least recently used goes first.
"""

import threading
from collections import OrderedDict

import torch

from .. import _arguments
from .._dlpack import TensorSpec
from ..context import default_context
from ..errors import Unsupported
from ..plan import Workspace

DTYPE_NAMES = {torch.float32: "f32", torch.bfloat16: "bf16", torch.float16: "f16"}

_local = threading.local()


def shared_workspace(n_bytes):
    """One scratch area for all calls of this thread; it only grows, by powers of two. A call that was prepared with a smaller one
    keeps that one alive."""
    if not n_bytes:
        return None
    held = getattr(_local, "workspace", None)
    if held is None or held.n_bytes < n_bytes:
        held = _local.workspace = Workspace(1 << max(12, (n_bytes - 1).bit_length()))
    return held


def prepare(context, arguments):
    """Plans these arguments and prepares the call. Tensors that were bound are let go: every call writes its own pointers."""
    plan = context.plan_arguments(arguments)
    call = plan.prepare(workspace=shared_workspace(plan.workspace_bytes))
    plan._arguments.owners.clear()
    call.arguments.owners.clear()
    return call


class CallCache:
    """Prepared calls of this thread by key."""

    def __init__(self, limit=512):
        self.limit = limit
        self._local = threading.local()

    def table(self):
        try:
            return self._local.calls
        except AttributeError:
            self._local.calls = OrderedDict()
            return self._local.calls

    def put(self, key, value):
        calls = self.table()
        calls[key] = value
        if len(calls) > self.limit:
            calls.popitem(last=False)
        return value


_operations = CallCache()


def _on_device(name, tensors, scalars, quants, context):
    """Tensors of a GPU: the current stream, and a workspace of the caching allocator, which keeps to that stream."""
    device = next(iter(tensors.values())).device
    arguments = _fill(name, tensors, scalars, quants)
    plan = context.plan_arguments(arguments)
    scratch = torch.empty(plan.workspace_bytes, dtype=torch.uint8, device=device)
    stream = torch.cuda.current_stream(device).cuda_stream
    plan.prepare(workspace=(scratch.data_ptr(), plan.workspace_bytes), stream=stream)()
    return plan.kernel


def _fill(name, tensors, scalars, quants):
    arguments = _arguments.Arguments(name)
    for key, (format_name, members) in quants.items():
        arguments.set_quant(key, _arguments.Quant(format_name, **members))
    for key, value in scalars.items():
        arguments.set(key, value)
    with torch.no_grad():
        for key, tensor in tensors.items():
            arguments.set_tensor(key, tensor)
    return arguments


def run(name, tensors, scalars=(), quants=(), context=None):
    """Runs an operation and returns the name of the kernel. tensors: name (or "quant.member") to tensor, without None; scalars: name to
    number, name or flag; quants: field to (format, scalar members). All three in a fixed order, since the order is part of the key."""
    scalars, quants = dict(scalars), dict(quants)
    first = next(iter(tensors.values()))
    context = context or default_context()
    if first.device.type != "cpu":
        return _on_device(name, tensors, scalars, quants, context)
    key = (name, context.handle, tuple(scalars.items()), tuple((k, f, tuple(m.items())) for k, (f, m) in quants.items()),
           tuple((k, t.shape, t.stride(), t.dtype, t.device.type) for k, t in tensors.items()))
    calls = _operations.table()
    call = calls.get(key)
    if call is None:
        call = prepare(context, _fill(name, tensors, scalars, quants))
        call.places = [call.pointer_place(k) for k in tensors]
        _operations.put(key, call)
    else:
        calls.move_to_end(key)
    words = call.words
    for place, tensor in zip(call.places, tensors.values()):
        words[place] = tensor.data_ptr()
    call()
    return call.plan.kernel


class Linear:
    """y = x . w^T + bias for one weight, called with any number of rows. A plan is made for each power of two of rows, a prepared
    call for each number of rows that is in use."""

    def __init__(self, weight, quant, bias, n, k, compute="DEFAULT", context=None):
        self.context = context or default_context()
        self.weight, self.quant, self.bias, self.n, self.k, self.compute = weight, quant, bias, n, k, compute
        self._plans = {}
        self._calls = CallCache(limit=24)
        self._kept = self._calls._local

    def plan(self, m, dtype):
        """The plan for m rows."""
        bound = 1 << (m - 1).bit_length() if m > 1 else 1
        plan = self._plans.get((bound, dtype))
        if plan is None:
            name = DTYPE_NAMES.get(dtype)
            if name is None:
                raise Unsupported(f"matmul: activations of {dtype}; expected float32, bfloat16 or float16")
            arguments = _arguments.Arguments("matmul")
            arguments.set_tensor("a", TensorSpec((bound, self.k), name))
            arguments.set_tensor("w", self.weight)
            if self.quant is not None:
                arguments.set_quant("w_quant", self.quant)
            arguments.set_tensor("bias", self.bias)
            arguments.set_tensor("out", TensorSpec((bound, self.n), name))
            arguments.set("compute", self.compute)
            plan = self._plans[bound, dtype] = self.context.plan_arguments(arguments)
        return plan

    def _prepare(self, shape, dtype):
        m = shape.numel() // self.k
        plan = self.plan(m, dtype)
        call = plan.prepare(workspace=shared_workspace(plan.workspace_bytes))
        call.words[call.extent_place("a", 0)] = m
        call.words[call.extent_place("out", 0)] = m
        call.places = (call.pointer_place("a"), call.pointer_place("out"))
        call.out_shape = shape[:-1] + (self.n,)
        return self._calls.put((shape, dtype), call)

    def __call__(self, x):
        """x: [..., k]; copied if it is not contiguous."""
        if not x.is_contiguous():
            x = x.contiguous()
        shape, dtype = x.shape, x.dtype
        try:
            call = self._kept.calls[shape, dtype]
        except (AttributeError, KeyError):
            if shape.numel() == 0:
                return x.new_empty(shape[:-1] + (self.n,))
            call = self._prepare(shape, dtype)
        out = torch.empty(call.out_shape, dtype=dtype)
        words, (a, o) = call.words, call.places
        words[a] = x.data_ptr()
        words[o] = out.data_ptr()
        run, plan, arguments, error = call.raw
        status = run(plan, arguments, error)
        if status:
            call.fail(status)
        return out


def pack_weights(weight, quant=None, compute="DEFAULT", context=None):
    """The packed blob of a weight in a checkpoint's layout, 64-byte aligned as the kernels need; None where nothing packs it."""
    context = context or default_context()
    values = {"w": weight, "w_quant": quant, "compute": compute}
    # The blob's size is not known yet: any view of bytes will do for the question.
    answer = context.query("pack_weights", blob=TensorSpec((1 << 40,), "u8"), **values)
    if answer.status:
        return None, answer.reason
    storage = torch.empty(answer.output_bytes + 64, dtype=torch.uint8)
    skip = -storage.data_ptr() % 64
    blob = storage[skip:skip + answer.output_bytes]
    context.call("pack_weights", blob=blob, **values)
    return blob, answer.kernel
