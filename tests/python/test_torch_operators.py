# SPDX-License-Identifier: Apache-2.0
"""The torch operators: right numbers, honest schemas, and torch.compile(fullgraph=True) with the same result."""

import pytest

torch = pytest.importorskip("torch")

import tenon.integrations.torch  # noqa: E402,F401  (registers the operators)

ops = torch.ops.tenon


def rand(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def dense_attention(q, k, v, lengths_q, lengths_kv, scale, window=-1, sinks=None):
    """[tokens, H, D] over dense k, v [batch, L, Hkv, D], in float64."""
    out, at = [], 0
    for b, (n, length) in enumerate(zip(lengths_q, lengths_kv)):
        group = q.shape[1] // k.shape[2]
        kb = k[b, :length].double().repeat_interleave(group, 1)
        vb = v[b, :length].double().repeat_interleave(group, 1)
        s = torch.einsum("qhd,khd->hqk", q[at:at + n].double(), kb) * scale
        i, j = torch.arange(length - n, length)[:, None], torch.arange(length)[None]
        s = s.masked_fill((j > i) | ((j < i - window) if window >= 0 else torch.zeros_like(j > i)), float("-inf"))
        if sinks is not None:
            s = torch.cat([s, sinks.double()[:, None, None].expand(-1, n, 1)], -1)
        p = torch.softmax(s, -1)[..., :length]
        out.append(torch.einsum("hqk,khd->qhd", p, vb))
        at += n
    return torch.cat(out)


def paged(n_pages=7, page=4, heads=2, d=8, seed=3):
    """A cache, the page lists of two sequences, and the dense view of both."""
    k, v = rand(n_pages, page, heads, d, seed=seed), rand(n_pages, page, heads, d, seed=seed + 1)
    table = torch.tensor([[5, 1, 3], [0, 6, 2]], dtype=torch.int32)
    return k, v, table, k[table.long()].flatten(1, 2), v[table.long()].flatten(1, 2)


@pytest.mark.parametrize("dtype,tolerance", [(torch.float32, 1e-5), (torch.bfloat16, 2e-2), (torch.float16, 2e-3)])
def test_matmul(dtype, tolerance):
    a, w, bias = rand(2, 3, 64, dtype=dtype), rand(32, 64, seed=1, dtype=dtype), rand(32, seed=2)
    y = ops.matmul(a, w, bias)
    assert y.shape == (2, 3, 32) and y.dtype == dtype
    torch.testing.assert_close(y.double(), a.double() @ w.double().T + bias.double(), rtol=tolerance, atol=tolerance * 8)
    assert ops.matmul(a, w, out_dtype=torch.float32).dtype == torch.float32


def test_matmul_takes_transposed_weights_and_other_rows():
    w = rand(64, 32).T
    for rows in (1, 5, 1):
        a = rand(rows, 128)[:, ::2]
        torch.testing.assert_close(ops.matmul(a, w), a @ w.T, rtol=1e-4, atol=1e-4)


def test_matmul_of_gguf_blocks_equals_their_values():
    gguf = pytest.importorskip("gguf")
    import numpy as np
    kind = gguf.GGMLQuantizationType.Q8_0
    blocks = gguf.quantize(rand(16, 96, seed=4).numpy(), kind)
    values = torch.from_numpy(np.asarray(gguf.dequantize(blocks, kind)))
    w, a = torch.from_numpy(blocks), rand(3, 96, seed=5)
    torch.testing.assert_close(ops.matmul(a, w, w_format="GGUF_Q8_0", compute="EXACT"), a @ values.T, rtol=1e-4, atol=1e-4)
    rows = torch.tensor([[3, 0], [15, 3]])
    picked = ops.dequantize(w, 96, format="GGUF_Q8_0", row_index=rows, dtype=torch.float32)
    assert torch.equal(picked, values[rows])


@pytest.mark.parametrize("window,with_sinks", [(-1, False), (3, True)])
def test_attention_and_kv_append(window, with_sinks):
    k, v, table, dense_k, dense_v = paged()
    lengths_q, lengths_kv = [3, 1], [9, 6]
    q = rand(4, 4, 8, seed=9)
    sinks = rand(4, seed=11) if with_sinks else None
    cu, lens = torch.tensor([0, 3, 4], dtype=torch.int32), torch.tensor(lengths_kv, dtype=torch.int32)
    out = ops.attention(q, k, v, cu, lens, table, window_left=window, sinks=sinks)
    torch.testing.assert_close(out.double(), dense_attention(q, dense_k, dense_v, lengths_q, lengths_kv, 8 ** -0.5, window, sinks), rtol=1e-4, atol=1e-5)
    key, value = rand(3, 2, 8, seed=13), rand(3, 2, 8, seed=14)
    before = k.clone()
    ops.kv_append(key, value, k, v, torch.tensor([4, -1, 27]))
    assert torch.equal(k[1, 0], key[0]) and torch.equal(v[6, 3], value[2])
    changed = torch.zeros(7, 4, dtype=torch.bool)
    changed[1, 0] = changed[6, 3] = True
    assert torch.equal(k[~changed], before[~changed])


def test_mla():
    cache = rand(5, 4, 24, seed=1)
    kv_c, k_pe = rand(2, 16, seed=2), rand(2, 8, seed=3)
    ops.mla_append(kv_c, k_pe, cache, torch.tensor([17, 18]))
    assert torch.equal(cache[4, 1], torch.cat([kv_c[0], k_pe[0]]))
    q = rand(2, 3, 24, seed=4)
    table = torch.tensor([[4, 0]], dtype=torch.int32)
    out = ops.mla_attention(q, cache, torch.tensor([0, 2], dtype=torch.int32), torch.tensor([7], dtype=torch.int32), table, 16, softmax_scale=0.2)
    dense = cache[table.long()].flatten(1, 2)[:, :, None]
    torch.testing.assert_close(out.double(), dense_attention(q, dense, dense[..., :16], [2], [7], 0.2), rtol=1e-4, atol=1e-5)


def moe_problem():
    x, router = rand(6, 16, seed=1), rand(6, 4, seed=2)
    return x, router, rand(4, 24, 16, seed=3), rand(4, 16, 12, seed=4)


def test_moe_route_and_moe():
    x, logits, gate_up, down = moe_problem()
    weights, ids = ops.moe_route(logits, 2)
    p = torch.softmax(logits.double(), -1)
    top, index = p.topk(2, -1)
    assert torch.equal(ids.long(), index)
    torch.testing.assert_close(weights.double(), top / top.sum(-1, keepdim=True), rtol=1e-5, atol=1e-6)
    out = ops.moe(x, weights, ids, gate_up, down)
    expected = torch.zeros(6, 16, dtype=torch.float64)
    for t in range(6):
        for w, e in zip(weights[t].double(), ids[t].long()):
            gate, up = (gate_up[e].double() @ x[t].double()).chunk(2)
            expected[t] += w * (down[e].double() @ (torch.nn.functional.silu(gate) * up))
    torch.testing.assert_close(out.double(), expected, rtol=1e-4, atol=1e-4)


def cases():
    k, v, table, _, _ = paged()
    cu, lens = torch.tensor([0, 3, 4], dtype=torch.int32), torch.tensor([9, 6], dtype=torch.int32)
    x, logits, gate_up, down = moe_problem()
    weights, ids = torch.softmax(logits, -1)[:, :2].contiguous(), torch.tensor([[0, 1]] * 6, dtype=torch.int32)
    w8 = torch.zeros(16, 102, dtype=torch.uint8)
    return {
        "matmul": ((rand(3, 64), rand(32, 64), rand(32)), {}),
        "dequantize": ((w8, 96), {"format": "GGUF_Q8_0", "dtype": torch.float32}),
        "attention": ((rand(4, 4, 8), k, v, cu, lens, table), {}),
        "kv_append": ((rand(3, 2, 8), rand(3, 2, 8), k.clone(), v.clone(), torch.tensor([4, -1, 27])), {}),
        "mla_attention": ((rand(4, 3, 24), rand(5, 4, 24), cu, lens, table.clamp(max=4), 16), {"softmax_scale": 0.2}),
        "mla_append": ((rand(2, 16), rand(2, 8), rand(5, 4, 24), torch.tensor([17, 3])), {}),
        "moe_route": ((logits, 2), {}),
        "moe": ((x, weights, ids, gate_up, down), {}),
    }


@pytest.mark.parametrize("name", cases())
def test_schema_and_fake_tell_the_truth(name):
    """torch's own checker: undeclared mutation, outputs that alias inputs, a fake that promises other shapes or types."""
    args, kwargs = cases()[name]
    torch.library.opcheck(getattr(ops, name).default, args, kwargs, test_utils=("test_schema", "test_faketensor"))


@pytest.mark.slow
def test_compile_fullgraph():
    """A block of a model: append, attention, projection, experts, all in one graph."""
    k, v, table, _, _ = paged()
    cu, lens = torch.tensor([0, 3, 4], dtype=torch.int32), torch.tensor([9, 6], dtype=torch.int32)
    slots = torch.tensor([15, 12, 13, 9])
    x, _, gate_up, down = moe_problem()
    w_out, w_router = rand(16, 32, seed=21), rand(4, 16, seed=22)

    def block(q, key, value, k, v):
        ops.kv_append(key, value, k, v, slots)
        attended = ops.attention(q * 2, k, v, cu, lens, table)
        hidden = torch.relu(ops.matmul(attended.flatten(1), w_out)) + 1
        weights, ids = ops.moe_route(hidden @ w_router.T, 2)
        return ops.moe(hidden, weights, ids, gate_up, down) + hidden

    inputs = rand(4, 4, 8, seed=23), rand(4, 2, 8, seed=24), rand(4, 2, 8, seed=25)
    caches = [(k.clone(), v.clone()) for _ in range(2)]
    plain = block(*inputs, *caches[0])
    torch._dynamo.reset()
    compiled = torch.compile(block, fullgraph=True)(*inputs, *caches[1])
    torch.testing.assert_close(compiled, plain, rtol=1e-5, atol=1e-5)
    assert torch.equal(caches[0][0], caches[1][0]) and torch.equal(caches[0][1], caches[1][1])
    assert not torch.equal(caches[0][0], k), "kv_append wrote nothing"


def test_errors_pass_through():
    from tenon.errors import InvalidArgument
    with pytest.raises(InvalidArgument, match="k=64, but a has k=60"):
        ops.matmul(rand(3, 60), rand(32, 64))
