# SPDX-License-Identifier: Apache-2.0
"""transformers' experts interface on Tenon's moe: gate and up, activation, down and the weighted sum in one call."""

import weakref

import torch

from ..errors import Unsupported
from .torch_calls import DTYPE_NAMES, run

_rules = weakref.WeakKeyDictionary()  # experts module: the scalars of its calls
KERNELS = {}


def _formula(name, gate, up, alpha, limit):
    if name == "SILU_GATED":
        return torch.nn.functional.silu(gate) * up
    if name == "GELU_GATED":
        return torch.nn.functional.gelu(gate) * up
    if name == "GELU_TANH_GATED":
        return torch.nn.functional.gelu(gate, approximate="tanh") * up
    gate, up = gate.clamp(max=limit), up.clamp(-limit, limit)
    return gate * torch.sigmoid(alpha * gate) * (up + 1)


def _rule(module):
    """Which of Tenon's activations the module's own gate is: found by asking it, not by its name."""
    if not getattr(module, "has_gate", True) or getattr(module, "has_post_expert_norm", False):
        raise Unsupported(f"moe: {type(module).__name__} has no gate, or a norm behind its experts")
    generator = torch.Generator().manual_seed(0)
    n = module.down_proj.shape[1 if module.is_transposed else 2]
    probe = torch.randn(3, 2 * n, generator=generator) * 4
    given = module._apply_gate(probe.clone())
    alpha, limit = float(getattr(module, "alpha", 0) or 0), float(getattr(module, "limit", 0) or 0)
    halves = {"GATE_UP": probe.chunk(2, dim=-1), "INTERLEAVED": (probe[:, ::2], probe[:, 1::2])}
    for layout, (gate, up) in halves.items():
        for name in ("SILU_GATED", "GELU_GATED", "GELU_TANH_GATED", "SWIGLU_OAI"):
            if name == "SWIGLU_OAI" and not (alpha and limit):
                continue
            if torch.allclose(given, _formula(name, gate, up, alpha, limit), rtol=1e-5, atol=1e-6):
                oai = name == "SWIGLU_OAI"
                return {"activation": name, "gate_layout": layout, "alpha": alpha if oai else 0.0, "limit": limit if oai else 0.0}
    raise Unsupported(f"moe: the gate of {type(module).__name__} is none of Tenon's activations")


def tenon_experts(self, hidden_states, top_k_index, top_k_weights):
    """The function that ExpertsInterface calls: [T, H], [T, k], [T, k] to [T, H]."""
    if hidden_states.requires_grad:
        raise Unsupported("moe: has no gradient; use torch.no_grad()")
    if hidden_states.dtype not in DTYPE_NAMES:
        raise Unsupported(f"moe: activations of {hidden_states.dtype}; expected float32, bfloat16 or float16")
    rule = _rules.get(self)
    if rule is None:
        with torch.no_grad():
            rule = _rules[self] = _rule(self)
    gate_up, down = self.gate_up_proj.detach(), self.down_proj.detach()
    if self.is_transposed:  # [experts, hidden, n]: the same weights through other strides
        gate_up, down = gate_up.transpose(1, 2), down.transpose(1, 2)
    if getattr(self, "_is_expert_parallel", False):
        # The host marks the experts of other ranks with an id past the end; Tenon skips -1.
        top_k_index = torch.where(top_k_index >= self.num_experts, -1, top_k_index)
    x = hidden_states.reshape(-1, hidden_states.shape[-1]).contiguous()
    out = torch.empty_like(x)
    tensors = {"x": x, "topk_weights": top_k_weights.detach().to(torch.float32).contiguous(), "topk_ids": top_k_index.contiguous(),
               "gate_up": gate_up}
    if self.has_bias:
        tensors["gate_up_bias"] = self.gate_up_proj_bias.detach()
    tensors["down"] = down
    if self.has_bias:
        tensors["down_bias"] = self.down_proj_bias.detach()
    tensors["out"] = out
    kernel = run("moe", tensors, rule)
    KERNELS[kernel] = KERNELS.get(kernel, 0) + 1
    return out.view(hidden_states.shape)
