# SPDX-License-Identifier: Apache-2.0
"""nn.Linear on Tenon's matmul. Projections that read the same activations (q, k, v; gate, up) become one matmul of all their rows."""

import threading

import torch
from torch import nn

from .. import Quant
from ..errors import Unsupported
from .torch_calls import DTYPE_NAMES, Linear, pack_weights

FUSIBLE = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))


class Weight:
    """A weight in the layout that it was found in: storage, and the format if it is a quantized one."""

    def __init__(self, storage, n, k, format_name="NONE"):
        self.storage, self.n, self.k, self.format_name = storage, n, k, format_name

    def packed(self, compute):
        """(tensor, quant, what it is): packed for this machine's kernels if something faster than the reference packs it."""
        quant = None if self.format_name == "NONE" else Quant(self.format_name)
        blob, said = pack_weights(self.storage, quant, compute)
        if blob is not None and not said.startswith("ref_"):
            return blob, Quant("PACKED"), f"{self.format_name} packed by {said}"
        return self.storage, quant, f"{self.format_name} as it is"


def stacked(weights):
    """One weight with the rows of all; None if their formats differ."""
    first = weights[0]
    if any((w.format_name, w.k, w.storage.dtype) != (first.format_name, first.k, first.storage.dtype) for w in weights):
        return None
    return Weight(torch.cat([w.storage for w in weights]), sum(w.n for w in weights), first.k, first.format_name)


class TenonLinear(nn.Module):
    """Stands where an nn.Linear stood; the original is kept for disable, and answers for weight and bias."""

    def __init__(self, original, matmul):
        super().__init__()
        self.in_features, self.out_features = original.in_features, original.out_features
        self._kept = [original]  # in a list: its parameters are not this module's, so that nothing moves or saves them twice
        self.matmul = matmul

    @property
    def original(self):
        return self._kept[0]

    @property
    def weight(self):
        return self._kept[0].weight

    @property
    def bias(self):
        return self._kept[0].bias

    def forward(self, x):
        if x.requires_grad:
            raise Unsupported("matmul: has no gradient; use torch.no_grad()")
        if x.dtype not in DTYPE_NAMES:
            raise Unsupported(f"matmul: activations of {x.dtype}; expected float32, bfloat16 or float16")
        return self.matmul(x)

    def extra_repr(self):
        return f"in_features={self.in_features}, out_features={self.out_features}"


class _Shared(threading.local):
    """The product that the first of the group has made and the others still have to take."""

    x = out = None
    version = left = 0


class Part:
    """One projection of a group. The first one that is asked for an input multiplies for all; the others take their columns."""

    def __init__(self, matmul, shared, first, n, size):
        self.matmul, self.shared, self.first, self.n, self.size = matmul, shared, first, n, size

    def __call__(self, x):
        shared = self.shared
        if shared.x is not x or shared.version != x._version or shared.left == 0:
            shared.out, shared.x, shared.version, shared.left = self.matmul(x), x, x._version, self.size
        part = shared.out.narrow(-1, self.first, self.n)
        shared.left -= 1
        if shared.left == 0:
            shared.x = shared.out = None
        return part


def _bias_of(linears):
    if all(linear.bias is None for linear in linears):
        return None
    return torch.cat([linear.bias.detach() if linear.bias is not None else linear.weight.new_zeros(linear.out_features) for linear in linears])


def _weight_of(linear):
    return Weight(linear.weight.detach(), linear.out_features, linear.in_features)


def replace(model, weight_of, skip, compute, fuse, pack, undo, done):
    """Replaces the nn.Linear modules of a model. weight_of(name, linear): a Weight, or None for the module's own.
    Appends (parent, attribute, original) to undo as it goes, and (names, what the weight is, Linear) to done."""
    names = {module: name for name, module in model.named_modules()}

    def make(group, parent):
        linears = [getattr(parent, attribute) for attribute in group]
        weights = [weight_of(names[linear], linear) or _weight_of(linear) for linear in linears]
        whole = weights[0] if len(weights) == 1 else stacked(weights)
        if whole is None:
            return False
        tensor, quant, what = whole.packed(compute) if pack else (whole.storage, Quant(whole.format_name), f"{whole.format_name} as it is")
        matmul = Linear(tensor, quant, _bias_of(linears), whole.n, whole.k, compute)
        matmul.plan(1, linears[0].weight.dtype)  # refuses now what it would refuse at the first call
        done.append(([names[linear] for linear in linears], what, matmul))
        shared, first = _Shared(), 0
        for attribute, linear in zip(group, linears):
            part = matmul if len(group) == 1 else Part(matmul, shared, first, linear.out_features, len(group))
            first += linear.out_features
            undo.append((parent, attribute, linear))
            setattr(parent, attribute, TenonLinear(linear, part))
        return True

    for parent in list(model.modules()):
        mine = [attribute for attribute, child in parent.named_children()
                if type(child) is nn.Linear and not any(word in names[child] for word in skip)]
        for group in FUSIBLE if fuse else ():
            if all(attribute in mine for attribute in group) and make(group, parent):
                mine = [attribute for attribute in mine if attribute not in group]
        for attribute in mine:
            make((attribute,), parent)
