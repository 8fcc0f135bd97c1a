# SPDX-License-Identifier: Apache-2.0
"""nn.Linear on Tenon's matmul. Projections that read the same activations (q, k, v; gate, up) become one matmul of all their rows."""

import threading

import torch
from torch import nn

from .. import Quant
from ..errors import Unsupported
from .torch_calls import Linear, pack_weights

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

    def __call__(self, x):
        # The way of nn.Module costs as much as the matmul's own call; it is taken where there is something on it.
        if self._forward_hooks or self._forward_pre_hooks or x.requires_grad:
            return super().__call__(x)
        return self.matmul(x)

    def forward(self, x):
        if x.requires_grad:
            raise Unsupported("matmul: has no gradient; use torch.no_grad()")
        return self.matmul(x)

    def extra_repr(self):
        return f"in_features={self.in_features}, out_features={self.out_features}"


class Group:
    """One matmul for several projections. The first one that is asked for an input multiplies for all; the others take their columns."""

    def __init__(self, matmul, sizes):
        self.matmul, self.sizes = matmul, sizes
        self._local = threading.local()

    def part(self, index, x):
        held = self._local.__dict__
        parts = held.pop(index, None) if held.get("x") is x and held["version"] == x._version else None
        if parts is None:
            found = self.matmul(x).split(self.sizes, -1)
            held.clear()
            held.update(enumerate(found))
            held["x"], held["version"] = x, x._version
            parts = held.pop(index)
        if len(held) == 2:  # all taken: neither the input nor the product is kept any longer
            held.clear()
        return parts


class Part:
    """One projection of a group."""

    def __init__(self, group, index):
        self.group, self.index = group, index

    def __call__(self, x):
        return self.group.part(self.index, x)


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
        product = Group(matmul, [linear.out_features for linear in linears])
        for index, (attribute, linear) in enumerate(zip(group, linears)):
            part = matmul if len(group) == 1 else Part(product, index)
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
