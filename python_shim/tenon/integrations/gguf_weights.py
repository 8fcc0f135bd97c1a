# SPDX-License-Identifier: Apache-2.0
"""The quantized blocks of a GGUF file, under the names that transformers gives to the modules they belong to."""

import numpy as np
import torch

from ..errors import Unsupported
from .transformers_linear import Weight

_FORMATS = ("Q4_0", "Q4_1", "Q8_0", "Q4_K", "Q6_K", "MXFP4")
# Architectures whose q and k rows the converter has reordered, from two halves of a head to pairs.
_PAIRED = ("llama",)


class GgufWeights:
    """path: a GGUF file. Blocks are read from the file's mapping when a module asks for them."""

    def __init__(self, path, model):
        import gguf

        self._gguf = gguf
        reader = gguf.GGUFReader(str(path))
        self.tensors = {tensor.name: tensor for tensor in reader.tensors}
        field = reader.fields["general.architecture"]
        self.arch = bytes(field.parts[field.data[0]]).decode()
        number = next((n for n, name in gguf.MODEL_ARCH_NAMES.items() if name == self.arch), None)
        if number is None:
            raise Unsupported(f"{path}: the package gguf has no names for architecture {self.arch!r}")
        self.names = gguf.get_tensor_name_map(number, model.config.num_hidden_layers)
        config = model.config
        self.heads = {"q_proj": config.num_attention_heads, "k_proj": getattr(config, "num_key_value_heads", config.num_attention_heads)}
        self.used = {}

    def _tensor(self, name):
        mapped = self.names.get_name(name)
        tensor = self.tensors.get(f"{mapped}.weight") if mapped else None
        if tensor is None and mapped == "output":
            tensor = self.tensors.get("token_embd.weight")  # tied to the embedding: the file has it once
        return tensor

    def _halves(self, rows, attribute):
        """Rows of q and k in the order of transformers: first the first halves of the pairs of a head, then the second ones."""
        heads = self.heads.get(attribute)
        if heads is None or self.arch not in _PAIRED:
            return rows
        return np.ascontiguousarray(rows.reshape(heads, -1, 2, rows.shape[1]).swapaxes(1, 2).reshape(rows.shape))

    def __call__(self, name, linear):
        """The Weight of a module, or None if the file has it in a format that is not quantized."""
        tensor = self._tensor(name)
        if tensor is None:
            raise Unsupported(f"{name}: the GGUF file has no tensor for it")
        kind = tensor.tensor_type.name
        if kind in ("F32", "F16", "BF16"):
            return None
        if kind not in _FORMATS:
            raise Unsupported(f"{name}: {tensor.name} is {kind}; Tenon reads {', '.join(_FORMATS)}")
        n, k = linear.out_features, linear.in_features
        if (int(tensor.shape[1]), int(tensor.shape[0])) != (n, k):
            raise Unsupported(f"{name}: {tensor.name} is {int(tensor.shape[1])} x {int(tensor.shape[0])}, the module {n} x {k}")
        rows = self._halves(tensor.data.reshape(n, -1), name.rsplit(".", 1)[-1])
        self._compare(name, tensor, rows, linear)
        self.used[kind] = self.used.get(kind, 0) + 1
        return Weight(torch.from_numpy(np.array(rows)), n, k, f"GGUF_{kind}")

    def _compare(self, name, tensor, rows, linear):
        """A few rows against the model's own weight, which came from the same file: names or order that do not match are found here."""
        some = sorted({0, 1, len(rows) // 2 - 1, len(rows) - 1})
        blocks = self._gguf.dequantize(np.ascontiguousarray(rows[some]), tensor.tensor_type)
        own = linear.weight.detach()[some].float().numpy()
        worst = float(np.abs(blocks - own).max())
        # bfloat16 or float16 weights are the same values, rounded once.
        allowed = float(np.abs(blocks).max()) * (1e-6 if linear.weight.dtype == torch.float32 else 2.0 ** -8)
        if not worst <= allowed:
            raise Unsupported(f"{name}: rows of {tensor.name} differ from the model's own by up to {worst:g}: another file, or another order")
