# SPDX-License-Identifier: Apache-2.0
"""moe_dispatch against the layouts that serving engines build themselves, written from their definitions: the block-aligned list of
pairs (padding is tokens * k, one expert for each block), the permutation with its inverse and first-row offsets, the masked tables;
and expert parallelism: the shares of two ranks add up to the whole layer."""

import pytest
import torch

import tenon_library as tenon

I32, I64 = torch.int32, torch.int64


def dispatch(ids, local, rows, block_rows=0, index=I32, **fields):
    out = dict(expert_offsets=torch.empty(local + 1, dtype=index), expert_counts=torch.empty(local, dtype=I32), row_pairs=torch.empty(rows, dtype=I32),
               pair_rows=torch.empty(ids.shape, dtype=I32), n_rows=torch.empty(1, dtype=I32), **fields)
    if fields.get("x_out") is None or fields["x_out"].dim() == 2:
        out["block_experts"] = torch.empty(rows // max(block_rows, 1), dtype=I32)
    results = []
    names = tenon.kernels_for("moe_dispatch", topk_ids=ids, block_rows=block_rows, **out)
    assert "ref_moe_dispatch" in names
    for name in names:
        for key, value in out.items():
            if key not in ("x", "expert_map"):
                value.fill_(99)
        fault = tenon.call("moe_dispatch", (), name, topk_ids=ids, block_rows=block_rows, **out)
        results.append({key: value.clone() for key, value in out.items()} | {"fault": fault.code})
    for other in results[1:]:
        for key, value in results[0].items():
            assert torch.equal(value, other[key]) if isinstance(value, torch.Tensor) else value == other[key], key
    return results[0]


@pytest.mark.parametrize("tokens, k, experts, block", [(1, 1, 1, 16), (3, 2, 8, 4), (33, 4, 20, 16), (222, 6, 64, 128), (4097, 2, 11, 64)])
def test_block_aligned_list(tokens, k, experts, block):
    torch.manual_seed(tokens)
    ids = torch.rand(tokens, experts).topk(min(k, experts)).indices.to(I32)
    pairs = ids.numel()
    got = dispatch(ids, experts, pairs + experts * (block - 1), block)
    flat, at = ids.flatten().tolist(), 0
    for e in range(experts):
        mine = [p for p in range(pairs) if flat[p] == e]
        padded = -(-len(mine) // block) * block
        assert got["row_pairs"][at:at + padded].tolist() == mine + [pairs] * (padded - len(mine))  # stable, then "none"
        assert (got["block_experts"][at // block:(at + padded) // block] == e).all()
        assert got["expert_offsets"][e] == at and got["expert_counts"][e] == len(mine)
        at += padded
    assert got["n_rows"] == at == got["expert_offsets"][-1]
    assert (got["row_pairs"][at:] == pairs).all() and (got["block_experts"][at // block:] == -1).all() and got["fault"] == 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.int8, torch.float8_e4m3fn])
def test_permute_and_back(dtype):
    torch.manual_seed(3)
    tokens, k, experts, hidden = 37, 3, 9, 40
    expert_map = torch.tensor([-1, 3, 0, -1, 2, -1, 1, -1, -1], dtype=I32)
    ids = torch.rand(tokens, experts).topk(k).indices.to(I64)
    x = (torch.randn(tokens, hidden) * 20).to(dtype)
    got = dispatch(ids, 4, tokens * k, index=I64, expert_map=expert_map, x=x, x_out=torch.empty(tokens * k, hidden).to(dtype))
    local = expert_map.long()[ids].flatten()
    order = torch.argsort(torch.where(local < 0, 1 << 20, local), stable=True)[:int((local >= 0).sum())]
    assert torch.equal(got["row_pairs"][:len(order)].long(), order)
    assert torch.equal(got["expert_offsets"], torch.cat([torch.zeros(1, dtype=I64), torch.bincount(local[local >= 0], minlength=4).cumsum(0)]))
    assert torch.equal(got["x_out"][:len(order)].view(torch.uint8), x[order // k].view(torch.uint8))
    inverse = torch.full((tokens * k,), -1)
    inverse[order] = torch.arange(len(order))
    assert torch.equal(got["pair_rows"].flatten().long(), inverse)


def test_masked_tables():
    torch.manual_seed(5)
    tokens, k, experts, hidden, room = 21, 2, 6, 16, 12
    ids = torch.rand(tokens, experts).topk(k).indices.to(I32)
    x = torch.randn(tokens, hidden)
    got = dispatch(ids, experts, experts * room, x=x, x_out=torch.empty(experts, room, hidden))
    for e in range(experts):
        mine = [t for t in range(tokens) for s in range(k) if ids[t, s] == e]
        assert got["expert_counts"][e] == len(mine) <= room
        assert torch.equal(got["x_out"][e, :len(mine)], x[mine]) and (got["x_out"][e, len(mine):] == 99).all()
    weights = torch.rand(tokens, k)
    out = torch.empty(tokens, hidden)
    for name in tenon.kernels_for("moe_combine", y=got["x_out"], pair_rows=got["pair_rows"], topk_weights=weights, out=out):
        tenon.call("moe_combine", (), name, y=got["x_out"], pair_rows=got["pair_rows"], topk_weights=weights, out=out)
        want = weights.double().sum(1, keepdim=True) * x.double()
        assert (out - want).abs().max() < 1e-6, name


def test_masked_matmul_is_the_contiguous_one():
    torch.manual_seed(6)
    tokens, k, experts, hidden, inter, room = 21, 2, 5, 64, 32, 21
    ids = torch.rand(tokens, experts).topk(k).indices.to(I32)
    x, w = torch.randn(tokens, hidden), torch.randn(experts, 2 * inter, hidden)
    masked = dispatch(ids, experts, experts * room, x=x, x_out=torch.empty(experts, room, hidden))
    plain = dispatch(ids, experts, tokens * k)
    fields = dict(w=w, activation="SILU_GATED", compute="EXACT")
    out3 = torch.full((experts, room, inter), 7.0)
    common = dict(x=masked["x_out"], expert_counts=masked["expert_counts"], out=out3, **fields)
    for name in tenon.kernels_for("moe_matmul", **common):
        out3.fill_(7)
        out2 = torch.empty(tokens * k, inter)
        tenon.call("moe_matmul", (), name, **common)
        tenon.call("moe_matmul", (), name, x=x, expert_offsets=plain["expert_offsets"], row_pairs=plain["row_pairs"], pairs_per_token=k, out=out2, **fields)
        for e in range(experts):
            n, first = int(masked["expert_counts"][e]), int(plain["expert_offsets"][e])
            assert torch.equal(out3[e, :n], out2[first:first + n]) and (out3[e, n:] == 7).all(), name
            source = x.double()[plain["row_pairs"][first:first + n].long() // k]
            gate, up = (source @ w[e].double().T).chunk(2, 1)
            want = torch.nn.functional.silu(gate) * up
            size_gate, size_up = (source.abs() @ w[e].double().abs().T).chunk(2, 1)  # silu' < 1.1
            limit = 2 * (hidden + 4) * 2.0**-24 * 1.1 * (size_gate * (1 + up.abs()) + size_up * (1 + gate.abs()))
            assert ((out2[first:first + n] - want).abs() <= limit).all(), name


def test_ranks_add_up():
    torch.manual_seed(8)
    tokens, k, experts, hidden, inter = 19, 4, 12, 48, 24
    ids = torch.rand(tokens, experts).topk(k).indices.to(I32)
    ids[2] = -1
    ids[5, 1] = -1
    weights, x = torch.rand(tokens, k), torch.randn(tokens, hidden)
    gate_up, down = torch.randn(experts, 2 * inter, hidden), torch.randn(experts, hidden, inter)
    want = torch.zeros(tokens, hidden).double()
    for t in range(tokens):
        for s in range(k):
            if ids[t, s] >= 0:
                gate, up = (gate_up[ids[t, s]].double() @ x[t].double()).chunk(2)
                want[t] += weights[t, s].double() * (down[ids[t, s]].double() @ (torch.nn.functional.silu(gate) * up))
    fields = dict(x=x, topk_weights=weights, topk_ids=ids, activation="SILU_GATED", compute="EXACT")
    mine = [[0, 3, 4, 7, 11], [1, 2, 5, 6, 8, 9, 10]]
    for name in tenon.kernels_for("moe", gate_up=gate_up, down=down, out=torch.empty_like(x), **fields):
        whole, total = torch.empty_like(x), torch.zeros(tokens, hidden)
        assert tenon.call("moe", (), name, gate_up=gate_up, down=down, out=whole, **fields).code == 0
        for rank in mine:
            expert_map = torch.full((experts,), -1, dtype=I32)
            expert_map[rank] = torch.arange(len(rank), dtype=I32)
            share = torch.empty_like(x)
            assert tenon.call("moe", (), name, gate_up=gate_up[rank], down=down[rank], expert_map=expert_map, out=share, **fields).code == 0
            total += share
        size = want.abs().max()
        assert (whole - want).abs().max() <= 5e-6 * size and (total - want).abs().max() <= 5e-6 * size, name
        assert (whole[2] == 0).all(), name
