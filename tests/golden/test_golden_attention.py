# SPDX-License-Identifier: Apache-2.0
"""attention against its definition in torch float64: every option of the contract, through every kernel row that takes it.

The scalar reference must be right to the rounding of its output. A fast row may round p and q to the cache's precision, so its
error is measured against sum_j p[j] |v[j]|."""

import math

import pytest
import torch

import tenon_library as tenon
from paged_problem import FP8, LAYOUTS, Problem

BF16, F16, F32, I8 = torch.bfloat16, torch.float16, torch.float32, torch.int8
# Decode, chunk, a sequence without rows, one without kv positions, a whole prefill, a decode of length 1.
MIXED = [(1, 37), (5, 21), (0, 9), (2, 0), (8, 8), (1, 1)]
ROUNDING = {F32: 2.0**-23, F16: 2.0**-11, BF16: 2.0**-8}


def check(problem, flags=(), rows=None, expect=None, **fields):
    known = dict(expect or {})
    for name in ("softmax_scale", "softcap", "window_left", "window_right", "q_scale", "sinks"):
        if name in fields:
            known[name] = fields[name]
    out, lse, size = problem.expected(causal="CAUSAL" in flags, base2="LSE_BASE2" in flags, **known)
    given = problem.fields(**fields)
    names = tenon.kernels_for("attention", flags, **given)
    assert "ref_attention" in names
    for name in rows or names:
        problem.out.fill_(7)
        problem.lse.fill_(7)
        fault = tenon.call("attention", flags, name, **given)
        assert fault.code == 0, (name, fault.code, fault.position, fault.value, fault.limit)
        step = ROUNDING[problem.out.dtype]
        slack = 1e-7 if name == "ref_attention" else 2.0**-6
        error = (problem.out.double() - out).abs()
        limit = step * out.abs() + slack * size + 1e-30 + (2.0**-25 if problem.out.dtype == F16 else 0)
        assert (error <= limit).all(), (name, "out", (error - limit).max(), error.max())
        empty = torch.isinf(lse)
        assert (problem.lse[empty] == -math.inf).all(), (name, "lse of empty rows")
        error = (problem.lse.double() - lse)[~empty].abs()
        limit = (1e-6 if name == "ref_attention" else 2e-2) * (1 + lse[~empty].abs())
        assert (error <= limit).all(), (name, "lse", error.max())


@pytest.mark.parametrize("d_qk, d_v", [(32, 32), (64, 64), (80, 80), (96, 96), (112, 112), (128, 128), (160, 160), (192, 128), (192, 192),
                                       (256, 256), (512, 512), (72, 40), (7, 5), (1, 1)])
@pytest.mark.parametrize("causal", [(), ("CAUSAL",)])
def test_head_dims(d_qk, d_v, causal):
    check(Problem(MIXED, d_qk=d_qk, d_v=d_v, seed=d_qk), causal)


@pytest.mark.parametrize("heads_q, heads_kv", [(1, 1), (4, 4), (8, 1), (8, 2), (6, 2), (7, 7), (5, 1), (14, 2), (32, 2), (24, 1)])
def test_head_ratios(heads_q, heads_kv):
    check(Problem(MIXED, heads_q=heads_q, heads_kv=heads_kv, seed=heads_q), ("CAUSAL",))


@pytest.mark.parametrize("page_size", [1, 2, 3, 5, 8, 16, 32, 64, 128, 256])
@pytest.mark.parametrize("lists", ["table", "csr"])
def test_page_sizes(page_size, lists):
    check(Problem(MIXED + [(3, 150)], page_size=page_size, lists=lists, seed=page_size), ("CAUSAL",))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("cache", [BF16, F16, F32, torch.float8_e4m3fn, I8])
def test_layouts(layout, cache):
    check(Problem(MIXED, layout=layout, cache=cache, scale="one" if cache.itemsize == 1 else None, page_size=4), ("CAUSAL",))


@pytest.mark.parametrize("cache", FP8 + [I8])
@pytest.mark.parametrize("scale", [None, "one", "head", "token"])
@pytest.mark.parametrize("as_bytes", [False, True])
def test_quantized_caches(cache, scale, as_bytes):
    if cache == I8 and (as_bytes or scale is None):
        with pytest.raises(tenon.TenonError):
            tenon.Plan("attention", **dict(Problem(MIXED, cache=cache, scale=scale).fields(), **({"kv_element": "E4M3FN"} if as_bytes else {})))
        return
    check(Problem(MIXED, cache=cache, scale=scale, as_bytes=as_bytes, seed=3), ("CAUSAL",))


@pytest.mark.parametrize("q", [BF16, F16, F32])
@pytest.mark.parametrize("cache", [BF16, F16, F32])
@pytest.mark.parametrize("out", [BF16, F16, F32])
def test_types(q, cache, out):
    check(Problem(MIXED, q=q, cache=cache, out=out, seed=4), ("CAUSAL",))


@pytest.mark.parametrize("q", [torch.float8_e4m3fn, torch.float8_e4m3fnuz, torch.float8_e5m2])
@pytest.mark.parametrize("mode", [None, "one", "head", "sequence"])
def test_fp8_queries(q, mode):
    problem = Problem(MIXED, q=q, cache=torch.float8_e4m3fn, scale="one", seed=5)
    shape = {None: None, "one": (1,), "head": (2,), "sequence": (len(MIXED), 2)}[mode]
    fields = {"q_scale": torch.rand(shape) + 0.5} if shape else {}
    check(problem, ("CAUSAL",), **fields)


@pytest.mark.parametrize("left, right, causal", [(0, -1, True), (3, -1, True), (16, 5, True), (0, 0, False), (4, 2, False), (-1, 3, False),
                                                 (7, -1, False), (2**31 - 1, 2**31 - 1, False)])
def test_windows(left, right, causal):
    check(Problem(MIXED + [(3, 100)], seed=6), ("CAUSAL",) if causal else (), window_left=left, window_right=right)


@pytest.mark.parametrize("dtype", [F32, BF16, F16])
@pytest.mark.parametrize("flags", [("CAUSAL",), ("CAUSAL", "LSE_BASE2")])
def test_sinks(dtype, flags):
    """In the denominator, not in lse; also where the window leaves little else, and where a sink is far above every logit."""
    sinks = torch.tensor([0.5, -3.0, 2.25, 30.0]).to(dtype)
    check(Problem(MIXED, seed=7), flags, sinks=sinks)
    check(Problem(MIXED, seed=8), flags, sinks=sinks, window_left=1)


@pytest.mark.parametrize("cap", [0.5, 5.0, 30.0])
def test_softcap(cap):
    check(Problem(MIXED, seed=9), ("CAUSAL",), softcap=cap)
    check(Problem(MIXED, seed=9), (), softcap=cap, softmax_scale=1.5, window_left=6)


@pytest.mark.parametrize("per_sequence", [False, True])
@pytest.mark.parametrize("flags", [(), ("CAUSAL",)])
def test_alibi(per_sequence, flags):
    slopes = torch.rand(len(MIXED), 4) if per_sequence else torch.tensor([0.5, 0.25, 0.125, 0.0625])
    check(Problem(MIXED, seed=10), flags, expect={"alibi": slopes}, alibi_slopes=slopes)
    check(Problem(MIXED, seed=10), flags, expect={"alibi": slopes}, alibi_slopes=slopes, softcap=4.0, window_left=9)


@pytest.mark.parametrize("flags", [(), ("CAUSAL",)])
@pytest.mark.parametrize("window", [-1, 4])
def test_tree_masks(flags, window):
    problem = Problem([(1, 30), (6, 20), (0, 4), (11, 11), (3, 40)], seed=11)
    tokens = problem.q.shape[0]
    seen = torch.rand(tokens, 16) < 0.5
    seen[2] = False  # sees the old positions only; in the sequence without old ones, a row that sees nothing
    seen[7] = False
    packed = (seen.reshape(tokens, 2, 8) * (1 << torch.arange(8))).sum(-1).to(torch.uint8)
    check(problem, flags, expect={"tree": seen}, tree_mask=packed, max_q_len=11, window_left=window)


@pytest.mark.parametrize("flags", [("LSE_BASE2",), ("CAUSAL", "LSE_BASE2")])
def test_lse_base(flags):
    check(Problem(MIXED, seed=12), flags)


@pytest.mark.parametrize("scale", [0.01, 0.3, 4.0])
def test_softmax_scale(scale):
    check(Problem(MIXED, seed=13), ("CAUSAL",), softmax_scale=scale)


def test_more_rows_than_kv_positions():
    """Without causality rows need not be kv positions: cross attention. The right window then counts from where they would stand."""
    check(Problem([(9, 4), (3, 7)], seed=14))
    check(Problem([(9, 4), (3, 7)], seed=14), window_right=1)
    check(Problem([(9, 4), (3, 7)], seed=14), window_left=1, window_right=1)


def test_large_logits():
    """Far beyond the range of exp; the largest decides."""
    problem = Problem(MIXED, q=F32, cache=F32, seed=15)
    problem.q.mul_(100)
    check(problem, ("CAUSAL",), rows=["ref_attention"])


@pytest.mark.parametrize("seed", range(24))
def test_random_mixtures(seed):
    g = torch.Generator().manual_seed(1000 + seed)
    pick = lambda options: options[int(torch.randint(len(options), (1,), generator=g))]
    heads_kv = pick([1, 2, 4])
    cache = pick([BF16, BF16, F16, F32, torch.float8_e4m3fn, torch.float8_e5m2, I8])
    sequences = [(2, 12)] + [(int(torch.randint(0, 9, (1,), generator=g)), int(torch.randint(9, 70, (1,), generator=g))) for _ in range(pick([1, 3, 6]))]
    problem = Problem(sequences, heads_q=heads_kv * pick([1, 2, 4, 7]), heads_kv=heads_kv, d_qk=pick([64, 128]), page_size=pick([1, 3, 16, 64]),
                      cache=cache, q=pick([BF16, F16, F32]), out=pick([BF16, F16, F32]), layout=pick(LAYOUTS),
                      scale=pick(["one", "head", "token"]) if cache.itemsize == 1 else None, lists=pick(["table", "csr"]), seed=seed)
    fields, expect = {}, {}
    if pick([0, 1]):
        fields["sinks"] = torch.randn(problem.q.shape[1], generator=g)
    if pick([0, 1]):
        fields["window_left"] = pick([0, 5, 31])
    if pick([0, 0, 1]):
        fields["softcap"] = 8.0
    if pick([0, 0, 1]):
        fields["alibi_slopes"] = expect["alibi"] = torch.rand(problem.q.shape[1], generator=g)
    check(problem, pick([(), ("CAUSAL",), ("CAUSAL",), ("CAUSAL", "LSE_BASE2")]), expect=expect, **fields)


@pytest.mark.parametrize("d_qk, d_v, page_size", [(64, 64, 16), (128, 128, 64), (192, 128, 32), (48, 80, 16)])
@pytest.mark.parametrize("lists", ["table", "csr"])
def test_native_cache(d_qk, d_v, page_size, lists):
    """The backend's own layout: what kv_append puts there is seen by every row that takes it, and kv_gather brings it back."""
    problem = Problem(MIXED, d_qk=d_qk, d_v=d_v, page_size=page_size, lists=lists, seed=16)
    pages, heads = problem.k.shape[0], problem.k.shape[2]
    slots = torch.nonzero(problem.used.reshape(-1)).squeeze(1)
    key, value = (t.reshape(-1, heads, t.shape[-1])[slots].contiguous() for t in (problem.k, problem.v))
    shape = dict(page_size=page_size, n_pages=pages)
    nothing = torch.empty(0, dtype=torch.uint8)
    size = tenon.Plan("kv_append", ("NATIVE_CACHE",), key=key, value=value, k=nothing, v=nothing, slot_mapping=slots, **shape).output_bytes
    assert size >= 2 * pages * page_size * heads * max(d_qk, d_v)
    caches = []
    for _ in "kv":
        memory = torch.full((size + 64,), 0xff, dtype=torch.uint8)  # NaN
        start = -memory.data_ptr() % 64
        caches.append(memory[start:start + size])
    assert tenon.call("kv_append", ("NATIVE_CACHE",), key=key, value=value, k=caches[0], v=caches[1], slot_mapping=slots, **shape).code == 0
    out, lse, amplitude = problem.expected(causal=True)
    given = problem.fields(k=caches[0], v=caches[1], page_size=page_size, n_kv_heads=heads)
    flags = ("CAUSAL", "NATIVE_CACHE")
    names = tenon.kernels_for("attention", flags, **given)
    assert "ref_attention" in names
    for name in names:
        problem.out.fill_(7)
        assert tenon.call("attention", flags, name, **given).code == 0
        slack = 1e-7 if name == "ref_attention" else 2.0**-6
        assert ((problem.out.double() - out).abs() <= ROUNDING[F32] * out.abs() + slack * amplitude).all(), name
    for b, (_, n) in enumerate(MIXED):
        if n == 0 or lists == "csr":
            continue
        back_key, back_value = torch.empty(n, heads, d_qk), torch.empty(n, heads, d_v)
        tenon.call("kv_gather", ("NATIVE_CACHE",), k=caches[0], v=caches[1], key=back_key, value=back_value,
                   cu_rows=torch.tensor([0, n], dtype=torch.int32), block_table=torch.tensor([problem.pages_of[b]], dtype=torch.int32), **shape)
        assert torch.equal(back_key, problem.rows_of(b, problem.k).float()) and torch.equal(back_value, problem.rows_of(b, problem.v).float())
