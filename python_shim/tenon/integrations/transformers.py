# SPDX-License-Identifier: Apache-2.0
"""Tenon inside a Hugging Face transformers model, in one call:

    from tenon.integrations import transformers as tenon_host
    enabled = tenon_host.enable(model, gguf="model.gguf")   # gguf: the file that the model was loaded from, if it was one
    model.generate(...)
    print(enabled.report())
    tenon_host.disable(model)

Attention goes through the host's AttentionInterface and its mask companion, experts through its ExpertsInterface, and each nn.Linear
through matmul: on the checkpoint's own quantized blocks, or else on the model's own weights. Whatever Tenon cannot do raises
tenon.errors.Unsupported; nothing falls back in silence. For inference on the CPU, under torch.no_grad() or generate().
"""

import threading
import warnings

import torch
import transformers
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface

from ..errors import Unsupported
from . import transformers_attention, transformers_experts, transformers_linear
from .transformers_attention import tenon_attention
from .transformers_cache import adopt
from .transformers_experts import tenon_experts
from .transformers_mask import tenon_mask

NAME = "tenon"

AttentionInterface.register(NAME, tenon_attention)
AttentionMaskInterface.register(NAME, tenon_mask)
try:
    from transformers.integrations.moe import ExpertsInterface
    ExpertsInterface.register(NAME, tenon_experts)
except ImportError:
    ExpertsInterface = None


def _has_experts(model):
    return any(hasattr(module, "gate_up_proj") and hasattr(module, "is_transposed") for module in model.modules())


# Elements of the widest activation below which the host's own work between the calls (norms, rotary, gate) stays on one thread: there a
# second thread gains less than two pools of threads on the same CPUs lose by waiting for each other.
FEW_ELEMENTS = 1 << 18


class OneThread:
    """Lets the host compute on one thread while a model works on few tokens; hooks around its forward."""

    def __init__(self, model):
        self.width = max([module.out_features for module in model.modules() if isinstance(module, torch.nn.Linear)
                          and module is not model.get_output_embeddings()] or [1])
        self.lock, self.inside, self.before = threading.Lock(), 0, None
        # always_call: an error in between must not leave the process with one thread.
        self.hooks = [model.register_forward_pre_hook(self._begin, with_kwargs=True), model.register_forward_hook(self._end, always_call=True)]

    def _begin(self, module, args, kwargs):
        given = [t for t in (*args[:1], kwargs.get("input_ids"), kwargs.get("inputs_embeds")) if t is not None]
        tokens = given[0].shape[:2].numel() if given else FEW_ELEMENTS
        with self.lock:  # the setting belongs to the process: whoever comes first remembers it, whoever leaves last puts it back
            self.inside += 1
            if self.before is None:
                self.before = torch.get_num_threads()
            if self.before > 1 and tokens * self.width <= FEW_ELEMENTS:
                torch.set_num_threads(1)

    def _end(self, module, args, output):
        with self.lock:
            self.inside -= 1
            if self.inside == 0:
                if self.before != torch.get_num_threads():
                    torch.set_num_threads(self.before)
                self.before = None

    def remove(self):
        for hook in self.hooks:
            hook.remove()


class Enabled:
    """What enable has done; disable undoes it."""

    def __init__(self, model):
        self.model = model
        self.one_thread = None
        self.attention_before = self.experts_before = None
        self.linears_before, self.linears = [], []
        self._hook = None

    def _adopt_cache(self, module, args, kwargs):
        cache = kwargs.get("past_key_values")
        if cache is not None:
            adopt(cache)

    def report(self):
        """What was replaced, and which kernels have been planned so far: a dictionary. Plans of attention and experts are shared by all
        models of the process, and so is the count of their kernels."""
        linears = {}
        for names, what, matmul in self.linears:
            entry = linears.setdefault(what, {"modules": 0, "matmuls": 0, "kernels": {}})
            entry["modules"] += len(names)
            entry["matmuls"] += 1
            for (rows, _), plan in matmul._plans.items():
                kernels = entry["kernels"].setdefault(plan.kernel, [])
                if rows not in kernels:
                    kernels.append(rows)
        found = {"transformers": transformers.__version__, "torch": torch.__version__, "linear": linears}
        if self.attention_before is not None:
            found["attention"] = {"instead_of": self.attention_before, "kernels": dict(transformers_attention.KERNELS), "counted_in": "process"}
        if self.experts_before is not None:
            found["experts"] = {"instead_of": self.experts_before, "kernels": dict(transformers_experts.KERNELS), "counted_in": "process"}
        return found

    def __str__(self):
        found = self.report()
        lines = [f"tenon in {type(self.model).__name__}, transformers {found['transformers']}, torch {found['torch']}"]
        for part in ("attention", "experts"):
            if part in found:
                lines.append(f"  {part} instead of {found[part]['instead_of']}: {', '.join(found[part]['kernels']) or 'no call yet'}")
        for what, entry in found["linear"].items():
            kernels = "; ".join(f"{name} (up to {', '.join(map(str, sorted(rows)))} rows)" for name, rows in entry["kernels"].items())
            lines.append(f"  {entry['modules']} linear modules in {entry['matmuls']} matmuls, {what}: {kernels}")
        return "\n".join(lines)


def enable(model, *, gguf=None, attention=True, experts=True, linear=True, compute="DEFAULT", fuse=True, pack=True, skip=(),
           one_thread=True):
    """Puts Tenon into a model and returns what was done; model.tenon_report() is the same report.

    gguf: path of the file that the model was loaded from: matmul then works on its blocks. attention, experts, linear: which parts.
    compute: DEFAULT lets kernels quantize activations to 8 bits where weights have 8 bits or fewer; EXACT does not. fuse: q, k, v and
    gate, up as one matmul each. pack: weights repacked for this machine (a copy of them). skip: words in names of linear modules to leave.
    one_thread: while the model works on few tokens, what stays torch's own is computed on one thread (torch.set_num_threads, put back after
    each forward).
    """
    if getattr(model, "_tenon", None) is not None:
        raise ValueError("this model has Tenon in it already; call disable first")
    if model.device.type != "cpu":
        raise Unsupported(f"the model is on {model.device}: this integration is for the CPU so far")
    enabled = Enabled(model)
    try:
        if one_thread:
            enabled.one_thread = OneThread(model)
        if attention:
            before = model.config._attn_implementation
            model.set_attn_implementation(NAME)
            enabled.attention_before = before
            enabled._hook = model.register_forward_pre_hook(enabled._adopt_cache, with_kwargs=True)
        if experts and ExpertsInterface is not None and _has_experts(model):
            before = model.config._experts_implementation
            model.set_experts_implementation(NAME)
            enabled.experts_before = before or "eager"
        if linear:
            weight_of = lambda name, module: None  # noqa: E731
            if gguf is not None:
                from .gguf_weights import GgufWeights
                weight_of = GgufWeights(gguf, model)
            with torch.no_grad():
                transformers_linear.replace(model, weight_of, skip, compute, fuse, pack, enabled.linears_before, enabled.linears)
    except BaseException:
        _undo(enabled)
        raise
    model._tenon = enabled
    model.tenon_report = enabled.report
    if model.training:
        warnings.warn("the model is in training mode; Tenon has no gradients, call model.eval()", stacklevel=2)
    return enabled


def _undo(enabled):
    model = enabled.model
    if enabled.one_thread is not None:
        enabled.one_thread.remove()
    for parent, attribute, original in enabled.linears_before:
        setattr(parent, attribute, original)
    if enabled.experts_before is not None:
        model.set_experts_implementation(enabled.experts_before)
    if enabled.attention_before is not None:
        model.set_attn_implementation(enabled.attention_before)
        enabled._hook.remove()


def disable(model):
    """Takes Tenon out again: the model is what it was before enable."""
    enabled = getattr(model, "_tenon", None)
    if enabled is None:
        raise ValueError("this model has no Tenon in it")
    _undo(enabled)
    del model._tenon, model.tenon_report
