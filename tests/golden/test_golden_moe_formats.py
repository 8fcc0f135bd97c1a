# SPDX-License-Identifier: Apache-2.0
"""moe_matmul and moe over every weight format, and over activations that dispatch has quantized, against float64.

Weights come from weights.py, which unpacks them without Tenon; each expert is one of them, stacked. Rows that round activations to int8
have the bound of test_golden_matmul_rows.py."""

import ml_dtypes
import numpy as np
import pytest

from tenon_host import Fault, Host, aligned
from weights import MAKERS, make

HOST = Host()
EXPERTS, TOKENS, SLOTS, N, K = 3, 7, 2, 32, 512
NONE, SILU_GATED = 0, 1
COMPUTE_DEFAULT, COMPUTE_EXACT = 0, 1
# An act-order table belongs to one matrix, not to a stack of experts.
STACKED = [name for name in MAKERS if "group_index" not in (make(name, N, K, np.random.default_rng(0))[1] or {})]


def stack(name, n, k):
    """(stored, descriptor fields, values [experts, n, k])"""
    parts = [make(name, n, k, np.random.default_rng(e + len(name))) for e in range(EXPERTS)]
    stored, quant = np.stack([p[0] for p in parts]), None
    if parts[0][1] is not None:
        quant = {key: np.stack([p[1][key] for p in parts]) if isinstance(value, np.ndarray) else value for key, value in parts[0][1].items()}
    return stored, quant, np.stack([p[2] for p in parts])


def kernels(op, **values):
    names = [name for name, lacks in HOST.kernels(op) if not lacks]
    return [name for name in names if HOST.query(op, name, **values).status == 0]


def dispatch(ids, x=None, x_out=None, x_out_quant=None):
    rows = ids.size
    out = {"expert_offsets": np.zeros(EXPERTS + 1, np.int32), "row_pairs": np.zeros(rows, np.int32), "pair_rows": np.zeros(ids.shape, np.int32)}
    HOST.run("moe_dispatch", topk_ids=ids, x=x, x_out=x_out, x_out_quant=x_out_quant, **out)
    return out


@pytest.mark.parametrize("name", STACKED)
def test_weights(name):
    stored, quant, values = stack(name, N, K)
    rng = np.random.default_rng(1)
    ids = rng.integers(0, EXPERTS, (TOKENS, SLOTS), dtype=np.int32)
    x = rng.standard_normal((TOKENS, K)).astype(np.float32)
    lay = dispatch(ids)
    taken = []
    for compute in (COMPUTE_EXACT, COMPUTE_DEFAULT):
        fields = dict(x=x, w=stored, w_quant=quant, expert_offsets=lay["expert_offsets"], row_pairs=lay["row_pairs"], pairs_per_token=SLOTS, activation=NONE, compute=compute)
        for kernel in kernels("moe_matmul", out=np.empty((ids.size, N), np.float32), **fields):
            out = np.full((ids.size, N), np.nan, np.float32)
            HOST.run("moe_matmul", kernel, out=out, **fields)
            taken.append(kernel)
            for row, pair in enumerate(lay["row_pairs"]):
                source, w = x[pair // SLOTS].astype(np.float64), values[ids.flat[pair]]
                limit = 2 * (K + 4) * 2.0**-24 * (np.abs(source) @ np.abs(w.T))
                if "int8" in kernel:
                    half_step = np.repeat(np.abs(source).reshape(-1, 32).max(1) / 127 / 2, 32) * 1.001
                    limit += half_step @ np.abs(w.T)
                assert (np.abs(out[row] - w @ source) <= limit + 1e-6 * np.abs(w @ source)).all(), kernel
    assert "ref_moe_matmul" in taken


@pytest.mark.parametrize("name", STACKED)
def test_fused(name):
    """gate_up and down in this format, gated: every kernel against float64 on the unpacked values."""
    up, down = stack(name, 2 * 256, K), stack(name, K, 256)
    rng = np.random.default_rng(2)
    ids = rng.integers(0, EXPERTS, (TOKENS, SLOTS), dtype=np.int32)
    weights, x = rng.random((TOKENS, SLOTS)).astype(np.float32), rng.standard_normal((TOKENS, K)).astype(np.float32)
    want = np.zeros((TOKENS, K))
    for t in range(TOKENS):
        for s in range(SLOTS):
            gate, linear = np.split(up[2][ids[t, s]] @ x[t].astype(np.float64), 2)
            want[t] += weights[t, s] * (down[2][ids[t, s]] @ (gate * (0.5 + 0.5 * np.tanh(gate / 2)) * linear))
    taken = []
    for compute in (COMPUTE_EXACT, COMPUTE_DEFAULT):
        fields = dict(x=x, topk_weights=weights, topk_ids=ids, gate_up=up[0], gate_up_quant=up[1], down=down[0], down_quant=down[1], activation=SILU_GATED, compute=compute)
        for kernel in kernels("moe", out=np.empty_like(x), **fields):
            out = np.full_like(x, np.nan)
            HOST.run("moe", kernel, out=out, **fields)
            taken.append(kernel)
            # two matmuls with an activation between them: int8 steps of 1/254 of a group's largest, averaged over k random signs
            error = np.linalg.norm(out - want) / np.linalg.norm(want)
            assert error <= (2e-2 if "int8" in kernel else 2e-6), (kernel, error)
    assert "ref_moe" in taken


@pytest.mark.parametrize("group", [0, 128])
def test_float8_activations(group):
    """DeepSeek's road: dispatch quantizes to e4m3fn with a scale per 128, moe_matmul multiplies with weights scaled per 128 x 128."""
    rng = np.random.default_rng(3)
    ids = rng.integers(-1, EXPERTS, (TOKENS, SLOTS), dtype=np.int32)
    x = rng.standard_normal((TOKENS, K)).astype(ml_dtypes.bfloat16)
    rows, groups = ids.size, K // group if group else 1
    codes, scale = np.zeros((rows, K), ml_dtypes.float8_e4m3fn), np.zeros((rows, groups), np.float32)
    x_quant = {"format": "FP8", "group_cols": group, "scale": scale}
    lay = dispatch(ids, x, codes, x_quant)
    placed = int(lay["expert_offsets"][-1])
    assert placed == (ids >= 0).sum()
    width = K // groups
    source = x[lay["row_pairs"][:placed] // SLOTS].astype(np.float64).reshape(placed, groups, width)
    want_scale = (np.abs(source).max(2) / 448).astype(np.float32)
    assert np.array_equal(scale[:placed], want_scale)
    want_codes = (source / want_scale[..., None]).reshape(placed, K).astype(np.float32).astype(ml_dtypes.float8_e4m3fn)
    assert np.array_equal(codes[:placed].view(np.uint8), want_codes.view(np.uint8))
    values = want_codes.astype(np.float64) * np.repeat(want_scale, width, 1)

    w = (rng.standard_normal((EXPERTS, 256, K)) * 50).astype(ml_dtypes.float8_e4m3fn)
    w_scale = rng.random((EXPERTS, 2, K // 128)).astype(np.float32)
    w_values = w.astype(np.float64) * np.repeat(np.repeat(w_scale, 128, 1), 128, 2)
    w_quant = {"format": "FP8", "group_rows": 128, "group_cols": 128, "scale": w_scale}
    fields = dict(x=codes, x_quant=x_quant, w=w, w_quant=w_quant, expert_offsets=lay["expert_offsets"], compute=COMPUTE_EXACT)
    for kernel in kernels("moe_matmul", out=np.empty((rows, 256), np.float32), **fields):
        out = np.zeros((rows, 256), np.float32)
        HOST.run("moe_matmul", kernel, out=out, **fields)
        for r in range(placed):
            expert = ids.flat[lay["row_pairs"][r]]
            limit = 2 * (K + 4) * 2.0**-24 * (np.abs(values[r]) @ np.abs(w_values[expert].T))
            assert (np.abs(out[r] - w_values[expert] @ values[r]) <= limit).all(), kernel


def test_packed_experts():
    """Blobs of every packer that takes bf16 experts, through the fused call."""
    rng = np.random.default_rng(4)
    up, down = (rng.standard_normal(shape).astype(ml_dtypes.bfloat16) for shape in ((EXPERTS, 2 * N, K), (EXPERTS, K, N)))
    ids, weights = rng.integers(0, EXPERTS, (TOKENS, SLOTS), dtype=np.int32), rng.random((TOKENS, SLOTS)).astype(np.float32)
    x, fault = rng.standard_normal((TOKENS, K)).astype(np.float32), Fault()
    common = dict(x=x, topk_weights=weights, topk_ids=ids, activation=SILU_GATED, compute=COMPUTE_EXACT, fault=fault)
    plain = np.empty_like(x)
    HOST.run("moe", "ref_moe", gate_up=up, down=down, out=plain, **common)
    for packer in kernels("pack_weights", w=up, blob=aligned(0)):
        blobs = []
        for w in (up, down):
            blobs.append(aligned(HOST.query("pack_weights", packer, w=w, blob=aligned(0)).output_bytes))
            HOST.run("pack_weights", packer, w=w, blob=blobs[-1])
        packed = dict(gate_up=blobs[0], gate_up_quant={"format": "PACKED"}, down=blobs[1], down_quant={"format": "PACKED"}, **common)
        took = kernels("moe", out=np.empty_like(x), **packed)
        assert took, packer
        for kernel in took:
            out = np.empty_like(x)
            HOST.run("moe", kernel, out=out, **packed)
            assert np.abs(out - plain).max() <= 5e-6 * np.abs(plain).max(), (packer, kernel)
