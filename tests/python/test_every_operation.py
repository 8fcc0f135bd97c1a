# SPDX-License-Identifier: Apache-2.0
"""Each operation of the library, called once through the shim on NumPy arrays and checked against its formula."""

import numpy as np
import pytest

RNG = np.random.default_rng(7)
CHECKED = set()


def normal(*shape):
    return RNG.standard_normal(shape, dtype=np.float32)


def operation(function):
    CHECKED.add(function.__name__.removeprefix("test_"))
    return function


def close(given, expected, tolerance=1e-4):
    np.testing.assert_allclose(np.asarray(given, np.float64), np.asarray(expected, np.float64), rtol=tolerance, atol=tolerance)


def silu(x):
    return x / (1 + np.exp(-x))


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


TABLE = np.array([[5, 1, 3]], np.int32)


@operation
def test_attention(tenon):
    k, v, q, out, lse = normal(7, 4, 2, 8), normal(7, 4, 2, 6), normal(2, 4, 8), np.empty((2, 4, 6), np.float32), np.empty((2, 4), np.float32)
    tenon.attention(q, k, v, out, np.array([0, 2], np.int32), np.array([10], np.int32), block_table=TABLE, lse=lse, causal=True, softcap=5.0)
    dense_k, dense_v = k[TABLE[0]].reshape(12, 2, 8), v[TABLE[0]].reshape(12, 2, 6)
    for t in range(2):
        for h in range(4):
            s = 5 * np.tanh(dense_k[:9 + t, h // 2] @ q[t, h] / np.sqrt(8) / 5)
            close(out[t, h], softmax(s) @ dense_v[:9 + t, h // 2])
            close(lse[t, h], np.log(np.exp(s).sum()))


@operation
def test_mla_attention(tenon):
    cache, q, out = normal(7, 4, 24), normal(1, 3, 24), np.empty((1, 3, 16), np.float32)
    tenon.mla_attention(q, cache, out, np.array([0, 1], np.int32), np.array([6], np.int32), block_table=TABLE, softmax_scale=0.25)
    rows = cache[TABLE[0]].reshape(12, 24)[:6]
    close(out[0], softmax(q[0] @ rows.T * 0.25) @ rows[:, :16])


@operation
def test_kv_append(tenon):
    k, v, key, value = np.zeros((3, 2, 2, 4), np.float32), np.zeros((3, 2, 2, 4), np.float32), normal(3, 2, 4), normal(3, 2, 4)
    tenon.kv_append(key, value, k, v, np.array([5, -1, 0]))
    assert (k[2, 1] == key[0]).all() and (v[0, 0] == value[2]).all() and np.count_nonzero(k) == 16


@operation
def test_mla_append(tenon):
    cache, latent, rope = np.zeros((2, 2, 6), np.float32), normal(1, 4), normal(1, 2)
    tenon.mla_append(latent, rope, cache, np.array([3]))
    assert (cache[1, 1] == np.concatenate([latent[0], rope[0]])).all() and np.count_nonzero(cache) == 6


@operation
def test_kv_gather(tenon):
    k, v, key, value = normal(7, 4, 2, 8), normal(7, 4, 2, 8), np.empty((5, 2, 8), np.float32), np.empty((5, 2, 8), np.float32)
    tenon.kv_gather(k, v, key, value, np.array([0, 5], np.int32), seq_starts=np.array([2], np.int32), block_table=TABLE)
    assert (key == k[TABLE[0]].reshape(12, 2, 8)[2:7]).all() and (value == v[TABLE[0]].reshape(12, 2, 8)[2:7]).all()


@operation
def test_merge_states(tenon):
    partial, lse, out = normal(2, 3, 4, 8), normal(2, 3, 4), np.empty((3, 4, 8), np.float32)
    tenon.merge_states(partial, lse, out)
    close(out, (np.exp(lse)[..., None] * partial).sum(0) / np.exp(lse).sum(0)[..., None])


@operation
def test_moe_route(tenon):
    logits, weights, ids = normal(5, 8), np.empty((5, 2), np.float32), np.empty((5, 2), np.int32)
    tenon.moe_route(logits, weights, ids, scoring="TOPK_SOFTMAX")
    order = np.argsort(-logits, -1)[:, :2]
    assert (ids == order).all()
    close(weights, softmax(np.take_along_axis(logits, order, -1)))


def dispatched(tenon, x, ids, experts):
    tokens, k = ids.shape
    offsets, pairs, rows = np.empty(experts + 1, np.int32), np.empty(tokens * k, np.int32), np.empty((tokens, k), np.int32)
    x_out = np.empty((tokens * k, x.shape[1]), np.float32)
    tenon.moe_dispatch(ids, offsets, x=x, x_out=x_out, row_pairs=pairs, pair_rows=rows)
    return offsets, pairs, rows, x_out


def moe_problem():
    ids = np.array([[2, 0], [1, 2], [2, 3], [0, 1]], np.int32)
    return normal(4, 16), ids, softmax(normal(4, 2)).astype(np.float32), normal(4, 24, 16), normal(4, 16, 12)


@operation
def test_moe_dispatch(tenon):
    x, ids, *_ = moe_problem()
    offsets, pairs, rows, x_out = dispatched(tenon, x, ids, 4)
    order = np.argsort(ids.reshape(-1), kind="stable")
    assert (pairs == order).all() and (x_out == x[order // 2]).all()
    assert (offsets == np.concatenate([[0], np.cumsum(np.bincount(ids.reshape(-1), minlength=4))])).all()
    assert (rows.reshape(-1)[order] == np.arange(8)).all()


@operation
def test_moe_matmul(tenon):
    x, ids, _, gate_up, _ = moe_problem()
    offsets, pairs, _, x_out = dispatched(tenon, x, ids, 4)
    out = np.empty((8, 12), np.float32)
    tenon.moe_matmul(x_out, gate_up, out, expert_offsets=offsets, activation="SILU_GATED")
    for row, pair in enumerate(pairs):
        gate, up = np.split(gate_up[ids.reshape(-1)[pair]] @ x[pair // 2], 2)
        close(out[row], silu(gate) * up)


@operation
def test_moe_combine(tenon):
    y, rows, weights, out = normal(8, 16), np.array([[3, 1], [-1, 7]], np.int32), normal(2, 2), np.empty((2, 16), np.float32)
    tenon.moe_combine(y, rows, out, topk_weights=weights, scale=2.0)
    close(out[0], 2 * (weights[0, 0] * y[3] + weights[0, 1] * y[1]))
    close(out[1], 2 * weights[1, 1] * y[7])


@operation
def test_moe(tenon):
    x, ids, weights, gate_up, down = moe_problem()
    out = np.empty((4, 16), np.float32)
    tenon.moe(x, weights, ids, gate_up, down, out, activation="SILU_GATED")
    for t in range(4):
        expected = 0
        for e, w in zip(ids[t], weights[t]):
            gate, up = np.split(gate_up[e] @ x[t], 2)
            expected = expected + w * (down[e] @ (silu(gate) * up))
        close(out[t], expected)


@operation
def test_matmul(tenon):
    a, w, bias, out = normal(3, 64), normal(32, 64), normal(32), np.empty((3, 32), np.float32)
    assert tenon.matmul(a, w, out, bias=bias) is out
    close(out, a @ w.T + bias)


def q8_0(values):
    """GGUF Q8_0 by its definition: a float16 scale and 32 int8."""
    blocks = values.reshape(values.shape[0], -1, 32)
    scale = (np.abs(blocks).max(-1) / 127).astype(np.float16)
    q = np.rint(blocks / scale.astype(np.float32)[..., None]).astype(np.int8)
    stored = np.concatenate([scale[..., None].view(np.uint8), q.view(np.uint8)], -1).reshape(values.shape[0], -1)
    return np.ascontiguousarray(stored), (q * scale.astype(np.float32)[..., None]).reshape(values.shape)


@operation
def test_dequantize(tenon):
    stored, values = q8_0(normal(5, 64))
    out = np.empty((5, 64), np.float32)
    tenon.dequantize(stored, out, q_quant="GGUF_Q8_0")
    assert (out == values).all()


@operation
def test_quantize(tenon):
    x, q, scale = normal(4, 64), np.empty((4, 64), np.int8), np.empty((4, 2), np.float32)
    tenon.quantize(x, q, q_quant=tenon.Quant("INT8", group_cols=32, scale=scale, symmetric=True))
    groups = x.reshape(4, 2, 32)
    close(scale, np.abs(groups).max(-1) / 127, 1e-6)
    assert np.abs(q.reshape(4, 2, 32) * scale[..., None] - groups).max() <= scale.max() * 0.501


def packed(tenon, stored, quant):
    size = tenon.query("pack_weights", w=stored, w_quant=quant, blob=tenon.TensorSpec((1 << 40,), "u8")).output_bytes
    memory = np.zeros(size + 64, np.uint8)
    blob = memory[-memory.ctypes.data % 64:][:size]
    tenon.pack_weights(stored, blob, w_quant=quant)
    return blob


@operation
def test_pack_weights(tenon):
    stored, values = q8_0(normal(16, 64))
    a, out = normal(3, 64), np.empty((3, 16), np.float32)
    tenon.matmul(a, packed(tenon, stored, "GGUF_Q8_0"), out, w_quant="PACKED")
    exact = a @ values.T
    assert ((out - exact) ** 2).sum() < 1e-3 * (exact ** 2).sum()  # activations may have 8 bits inside: about 5e-5


@operation
def test_unpack_weights(tenon):
    stored, _ = q8_0(normal(16, 64))
    blob, back = packed(tenon, stored, "GGUF_Q8_0"), np.zeros_like(stored)
    tenon.unpack_weights(blob, back, w_quant="GGUF_Q8_0")
    assert (back == stored).all()
    blob[blob.size // 2] ^= 1
    with pytest.raises(tenon.errors.Corrupt) as caught:
        tenon.unpack_weights(blob, back, w_quant="GGUF_Q8_0")
    assert caught.value.status == 9


def test_nothing_is_left_out(tenon):
    from tenon import schema
    assert CHECKED == set(schema.ops())


def test_faults_are_reported(tenon):
    k, v, key, value = (np.zeros(s, np.float32) for s in ((3, 2, 2, 4), (3, 2, 2, 4), (1, 2, 4), (1, 2, 4)))
    fault = tenon.Fault()
    tenon.kv_append(key, value, k, v, np.array([99]), fault=fault)
    assert (fault.code, fault.value, fault.limit) == (1, 99, 6)
