# SPDX-License-Identifier: Apache-2.0
"""A real TVM-FFI host: loads the library as any module, calls every exported operation on NumPy and torch tensors, and receives
errors as exceptions. Expected values are computed here, in float64, by the definitions in abi/."""
import ctypes
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

tvm_ffi = pytest.importorskip("tvm_ffi", reason="the package apache-tvm-ffi is not installed")
torch = pytest.importorskip("torch", reason="torch is not installed")

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = Path(os.environ.get("TENON_LIBRARY", ROOT / "build/libtenon.so"))
OPERATIONS = ["attention", "mla_attention", "kv_append", "mla_append", "kv_gather", "merge_states", "moe_route", "moe_dispatch", "moe_matmul",
              "moe_combine", "moe", "matmul", "pack_weights", "unpack_weights", "quantize", "dequantize"]
called = set()


@pytest.fixture(scope="module")
def library():
    return tvm_ffi.load_module(str(LIBRARY))


@pytest.fixture(params=["numpy", "torch"])
def tensor(request):
    """Makes the host's tensor of a NumPy array, over the same memory."""
    return (lambda array: array) if request.param == "numpy" else torch.from_numpy


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def f32(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def call(library, op, **fields):
    pairs = []
    for name, value in fields.items():
        pairs += [name.replace("__", "."), value]
    called.add(op)
    assert library[op](*pairs) is None


def close(actual, expected, tolerance=2e-5):
    assert np.isfinite(actual).all()
    np.testing.assert_allclose(np.asarray(actual, np.float64), expected, rtol=tolerance, atol=tolerance)


def softmax_attention(q, k, v, scale):
    """q [heads, d], k [n, d], v [n, dv]: one token that sees all."""
    logits = np.einsum("hd,nd->hn", q.astype(np.float64), k.astype(np.float64)) * scale
    p = np.exp(logits - logits.max(1, keepdims=True))
    return (p / p.sum(1, keepdims=True)) @ v.astype(np.float64)


def test_attention(library, tensor, rng):
    q, k, v = f32(rng, 1, 4, 32), f32(rng, 3, 8, 1, 32), f32(rng, 3, 8, 1, 32)
    out = np.full((1, 4, 32), np.nan, np.float32)
    table = np.array([[2, 0]], np.int32)
    call(library, "attention", q=tensor(q), k=tensor(k), v=tensor(v), out=tensor(out), cu_seqlens_q=tensor(np.array([0, 1], np.int32)),
         seq_lens=tensor(np.array([11], np.int32)), block_table=tensor(table), softmax_scale=0.25, window_left=-1, window_right=-1, flags="CAUSAL", lse=None)
    keys, values = (np.concatenate([x[2, :, 0], x[0, :, 0]])[:11] for x in (k, v))
    close(out[0], softmax_attention(q[0], keys, values, 0.25))


def test_mla(library, tensor, rng):
    latent, rope = f32(rng, 5, 512), f32(rng, 5, 64)
    cache = np.zeros((2, 4, 576), np.float32)
    slots = np.array([4, 5, 6, 7, 0], np.int64)
    call(library, "mla_append", kv_c=tensor(latent), k_pe=tensor(rope), cache=tensor(cache), slot_mapping=tensor(slots))
    rows = np.concatenate([latent, rope], 1)
    assert (cache.reshape(8, 576)[slots] == rows).all()
    q, out = f32(rng, 1, 3, 576), np.full((1, 3, 512), np.nan, np.float32)
    call(library, "mla_attention", q=tensor(q), cache=tensor(cache), out=tensor(out), cu_seqlens_q=tensor(np.array([0, 1], np.int32)),
         seq_lens=tensor(np.array([5], np.int32)), block_table=tensor(np.array([[1, 0]], np.int32)), softmax_scale=0.05, flags=1)
    close(out[0], softmax_attention(q[0], rows, latent, 0.05))


def test_append_and_gather(library, tensor, rng):
    key, value = f32(rng, 3, 2, 16), f32(rng, 3, 2, 16)
    k, v = np.zeros((2, 4, 2, 16), np.float32), np.zeros((2, 4, 2, 16), np.float32)
    call(library, "kv_append", key=tensor(key), value=tensor(value), k=tensor(k), v=tensor(v), slot_mapping=tensor(np.array([4, 5, 6], np.int64)))
    assert (k.reshape(8, 2, 16)[4:7] == key).all() and (v.reshape(8, 2, 16)[4:7] == value).all() and not k[0].any()
    out_k, out_v = np.full_like(key, np.nan), np.full_like(value, np.nan)
    call(library, "kv_gather", k=tensor(k), v=tensor(v), key=tensor(out_k), value=tensor(out_v), cu_rows=tensor(np.array([0, 3], np.int32)),
         block_table=tensor(np.array([[1]], np.int32)))
    assert (out_k == key).all() and (out_v == value).all()


def test_merge_states(library, tensor, rng):
    parts, lse = f32(rng, 2, 3, 2, 8), f32(rng, 2, 3, 2)
    out, out_lse = np.full((3, 2, 8), np.nan, np.float32), np.full((3, 2), np.nan, np.float32)
    call(library, "merge_states", partial_out=tensor(parts), partial_lse=tensor(lse), out=tensor(out), lse=tensor(out_lse))
    weight = np.exp(lse.astype(np.float64))
    close(out, (parts * weight[..., None]).sum(0) / weight.sum(0)[..., None])
    close(out_lse, np.log(weight.sum(0)))


def test_mixture_of_experts(library, tensor, rng):
    tokens, experts, k, hidden, inter = 5, 4, 2, 32, 16
    logits, x = f32(rng, tokens, experts), f32(rng, tokens, hidden)
    up, down = f32(rng, experts, 2 * inter, hidden), f32(rng, experts, hidden, inter)
    weights, ids = np.full((tokens, k), np.nan, np.float32), np.full((tokens, k), -9, np.int32)
    call(library, "moe_route", logits=tensor(logits), topk_weights=tensor(weights), topk_ids=tensor(ids), scoring="SOFTMAX", flags="RENORMALIZE")
    p = np.exp(logits.astype(np.float64))
    p /= p.sum(1, keepdims=True)
    order = np.argsort(-p, 1)[:, :k]
    assert (ids == order).all()
    chosen = np.take_along_axis(p, order, 1)
    close(weights, chosen / chosen.sum(1, keepdims=True))

    def activation(h):
        gate, linear = h[..., :inter], h[..., inter:]
        return gate / (1 + np.exp(-gate)) * linear
    expected = np.zeros((tokens, hidden))
    for t in range(tokens):
        for slot in range(k):
            e = ids[t, slot]
            expected[t] += weights[t, slot] * (down[e].astype(np.float64) @ activation(up[e].astype(np.float64) @ x[t]))

    out = np.full((tokens, hidden), np.nan, np.float32)
    call(library, "moe", x=tensor(x), topk_weights=tensor(weights), topk_ids=tensor(ids), gate_up=tensor(up), down=tensor(down), out=tensor(out),
         activation="SILU_GATED", compute="EXACT")
    close(out, expected, 1e-4)

    rows = tokens * k
    offsets, pair_rows = np.full(experts + 1, -9, np.int32), np.full((tokens, k), -9, np.int32)
    row_pairs, x_rows = np.full(rows, -9, np.int32), np.full((rows, hidden), np.nan, np.float32)
    call(library, "moe_dispatch", topk_ids=tensor(ids), x=tensor(x), expert_offsets=tensor(offsets), pair_rows=tensor(pair_rows), row_pairs=tensor(row_pairs),
         x_out=tensor(x_rows))
    assert (x_rows == x[row_pairs // k]).all() and offsets[-1] == rows
    middle, y = np.full((rows, inter), np.nan, np.float32), np.full((rows, hidden), np.nan, np.float32)
    call(library, "moe_matmul", x=tensor(x_rows), w=tensor(up), expert_offsets=tensor(offsets), out=tensor(middle), activation="SILU_GATED", compute="EXACT")
    call(library, "moe_matmul", x=tensor(middle), w=tensor(down), expert_offsets=tensor(offsets), out=tensor(y), compute="EXACT")
    out[:] = np.nan
    call(library, "moe_combine", y=tensor(y), pair_rows=tensor(pair_rows), topk_weights=tensor(weights), out=tensor(out))
    close(out, expected, 1e-4)


def q8_0(rng, rows, cols):
    """Blocks of 32: an f16 scale, then 32 signed bytes. The storage and the values that it stands for."""
    scale = (rng.random((rows, cols // 32)) / 64 + 2**-8).astype(np.float16)
    q = rng.integers(-127, 128, (rows, cols // 32, 32), dtype=np.int8)
    blocks = np.concatenate([scale[..., None].view(np.uint8), q.view(np.uint8)], 2)
    return np.ascontiguousarray(blocks.reshape(rows, -1)), (scale[..., None].astype(np.float64) * q).reshape(rows, cols)


def test_matmul_and_weights(library, tensor, rng):
    w, values = q8_0(rng, 16, 64)
    a, bias, out = f32(rng, 3, 64), f32(rng, 16), np.full((3, 16), np.nan, np.float32)
    call(library, "matmul", a=tensor(a), w=tensor(w), w_quant__format="GGUF_Q8_0", bias=tensor(bias), out=tensor(out), compute="EXACT")
    expected = a.astype(np.float64) @ values.T + bias
    close(out, expected, 1e-4)

    x = np.full((16, 64), np.nan, np.float32)
    call(library, "dequantize", q=tensor(w), q_quant__format="GGUF_Q8_0", x=tensor(x))
    close(x, values, 1e-6)

    blob = aligned_bytes(1 << 16)
    call(library, "pack_weights", w=tensor(w), w_quant__format="GGUF_Q8_0", blob=tensor(blob), compute="EXACT")
    out[:] = np.nan
    call(library, "matmul", a=tensor(a), w=tensor(blob), w_quant__format="PACKED", w_quant__rows=16, w_quant__cols=64, bias=tensor(bias), out=tensor(out), compute="EXACT")
    close(out, expected, 1e-4)
    back = np.zeros_like(w)
    call(library, "unpack_weights", blob=tensor(blob), w=tensor(back), w_quant__format="GGUF_Q8_0")
    assert (back == w).all()


def aligned_bytes(count):
    memory = np.zeros(count + 64, np.uint8)
    first = -memory.ctypes.data % 64
    return memory[first:first + count]


def test_quantize(library, tensor, rng):
    x = f32(rng, 3, 64)
    q, scale = np.zeros((3, 64), np.int8), np.full((3, 1), np.nan, np.float32)
    call(library, "quantize", x=tensor(x), q=tensor(q), q_quant__format="INT8", q_quant__group_cols=-1, q_quant__scale=tensor(scale), q_quant__flags="SYMMETRIC")
    close(scale, np.abs(x).max(1, keepdims=True) / 127, 1e-6)
    assert np.abs(q * scale.astype(np.float64) - x).max() <= 0.501 * scale.max()


def test_bfloat16(library):
    """A type that only torch has."""
    a, w = torch.randn(2, 64).bfloat16(), torch.randn(8, 64).bfloat16()
    out = torch.full((2, 8), float("nan"))
    call(library, "matmul", a=a, w=w, out=out)
    close(out.numpy(), a.double().numpy() @ w.double().numpy().T, 2e-2)


@pytest.mark.parametrize("arguments, kind, text", [
    (["q", "k", "v"], TypeError, "pairs"),
    ([1, 2], TypeError, "is not a name"),
    (["nonsense", 1], TypeError, "argument 0 (nonsense)"),
    (["a_quant.nonsense", 1], TypeError, "no field of that name"),
    (["a.scale", 1], TypeError, "no field of that name"),
    (["compute", "NONSENSE"], TypeError, "argument 1 (compute)"),
    (["flags", "NONSENSE"], TypeError, "flag"),
    (["a", "text"], TypeError, "takes no text"),
    (["a", [1, 2]], TypeError, "type that no field takes"),
    (["a", 3], ValueError, "matmul: a"),
    (["reserved", 1.5], ValueError, "reserved"),
    ([], ValueError, "matmul: a: is required"),
    (["a", np.zeros((2, 3), np.float32), "w", np.zeros((5, 4), np.float32), "out", np.zeros((2, 5), np.float32)], ValueError, "matmul"),
])
def test_errors_are_exceptions(library, arguments, kind, text):
    with pytest.raises(kind, match=".*") as info:
        library["matmul"](*arguments)
    assert text in str(info.value)


def test_documentation(library):
    for op in OPERATIONS:
        assert op in library.get_function_doc(op)
        assert library.get_function_metadata(op)["type_schema"]


def test_without_runtime():
    """The adapters work, and fail without a crash, in a process that has no TVM-FFI."""
    program = f"""
import ctypes
class Any(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int32), ("small", ctypes.c_uint32), ("value", ctypes.c_uint64)]
library = ctypes.CDLL({str(LIBRARY)!r})
result = Any()
for name in ({OPERATIONS!r}):
    assert getattr(library, "__tvm_ffi_" + name)(None, None, 0, ctypes.byref(result)) == -1
    assert getattr(library, "__tvm_ffi__doc_" + name)(None, None, 0, ctypes.byref(result)) == -1
assert not any("tvm_ffi" in line for line in open("/proc/self/maps"))
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_every_operation_was_called():
    """Runs last: the names come from the library's own list."""
    library = ctypes.CDLL(str(LIBRARY))
    for op in OPERATIONS:
        assert getattr(library, "__tvm_ffi_" + op)
    assert called == set(OPERATIONS)
