# SPDX-License-Identifier: Apache-2.0
"""kv_append and kv_gather against torch's own conversions, through every kernel row that takes them: what is stored, bit by bit, what
comes back, and that nothing beside the named slots changes."""

import pytest
import torch

import tenon_library as tenon
from paged_problem import ELEMENT, FP8, LARGEST, LAYOUTS, as_rows, empty_like_layout, i32

BF16, F16, F32, I8 = torch.bfloat16, torch.float16, torch.float32, torch.int8
PAGES, PAGE_SIZE, HEADS, TOKENS = 5, 4, 3, 11
SLOTS = torch.tensor([7, 0, -1, 19, 3, 12, 13, -1, 4, 18, 9])
SCALE_SHAPES = {"one": (1,), "head": (HEADS,), "token": (PAGES, PAGE_SIZE, HEADS)}


def raw(t):
    """The bits of a tensor, as integers."""
    return t.contiguous().view({1: torch.uint8, 2: torch.int16, 4: torch.int32}[t.dtype.itemsize])


def stored(x, dtype, scale):
    """x / scale in float32, rounded to nearest even and saturated. scale broadcasts against x."""
    if dtype in (BF16, F16, F32):
        return x.to(dtype)
    quotient = x.float() / scale
    if dtype == I8:
        return quotient.round().clamp(-128, 127).to(I8)
    code = quotient.clamp(-LARGEST[dtype], LARGEST[dtype]).to(dtype)
    if dtype in (torch.float8_e4m3fnuz, torch.float8_e5m2fnuz):  # a small negative number must not become the code of NaN
        assert not torch.isnan(code.float()).any()
    return code


def scale_rows(scale, page, slot):
    """The scale of each head of one slot, [heads, 1]."""
    if scale is None:
        return torch.ones(HEADS, 1)
    return (scale[page, slot] if scale.dim() == 3 else scale.expand(HEADS))[:, None]


def make(layout, cache, d_qk, d_v, x_dtype, scale, seed=0):
    g = torch.Generator().manual_seed(seed)
    key, value = (torch.randn(TOKENS, HEADS, d, generator=g).to(x_dtype) for d in (d_qk, d_v))
    if cache == I8:
        key, value = key * 60, value * 60
    elif cache.itemsize == 1:  # up to saturation, down to subnormal codes
        grow = torch.exp2(torch.randint(-12, 10, (TOKENS, HEADS, 1), generator=g).float())
        key, value = (key.float() * grow).to(x_dtype), (value.float() * grow).to(x_dtype)
    k, v = empty_like_layout(layout, PAGES, PAGE_SIZE, HEADS, d_qk, d_v, cache)
    scales = [torch.rand(SCALE_SHAPES[scale], generator=g) + 0.3 if scale else None for _ in "kv"]
    return key, value, k, v, scales


def as_given(cache, as_bytes):
    return cache.view(torch.uint8) if as_bytes else cache


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("cache, scale", [(BF16, None), (F16, None), (F32, None), (torch.float8_e4m3fn, "one"), (I8, "head")])
@pytest.mark.parametrize("d_qk, d_v", [(64, 64), (48, 48), (48, 16)])
def test_layouts(layout, cache, scale, d_qk, d_v):
    if d_qk != d_v and layout in ("pair_nhd", "pair_hnd", "kv_first"):
        d_v = d_qk  # K and V share one tensor
    round_trip(layout, cache, d_qk, d_v, BF16, scale, False)


FORMS = ([(cache, None, False) for cache in (BF16, F16, F32)] + [(cache, scale, False) for cache in FP8 + [I8] for scale in SCALE_SHAPES] +
         [(cache, scale, True) for cache in FP8 for scale in (None, "one", "token")] + [(cache, None, False) for cache in FP8])


@pytest.mark.parametrize("cache, scale, as_bytes", FORMS)
@pytest.mark.parametrize("x_dtype", [BF16, F16, F32])
def test_types(cache, scale, as_bytes, x_dtype):
    round_trip("nhd", cache, 80, 33, x_dtype, scale, as_bytes, seed=1)


def round_trip(layout, cache, d_qk, d_v, x_dtype, scale, as_bytes, seed=0):
    key, value, k, v, (k_scale, v_scale) = make(layout, cache, d_qk, d_v, x_dtype, scale, seed)
    fields = dict(key=key, value=value, k=as_given(k, as_bytes), v=as_given(v, as_bytes), slot_mapping=i32(SLOTS.tolist()), k_scale=k_scale,
                  v_scale=v_scale, kv_element=ELEMENT[cache] if as_bytes else 0)
    before = [raw(as_rows(t)).clone() for t in (k, v)]
    want = [b.clone() for b in before]
    for t, place in enumerate(SLOTS.tolist()):
        if place < 0:
            continue
        page, slot = place // PAGE_SIZE, place % PAGE_SIZE
        for rows, x, s in ((want[0], key, k_scale), (want[1], value, v_scale)):
            rows[page, slot] = raw(stored(x[t], cache, scale_rows(s, page, slot)))
    names = tenon.kernels_for("kv_append", **fields)
    assert "ref_kv_append" in names
    for name in names:
        for t, b in zip((k, v), before):
            t.copy_(b.view(cache).reshape(t.shape))
        assert tenon.call("kv_append", (), name, **fields).code == 0
        for t, w in zip((k, v), want):
            assert (raw(as_rows(t)) == w).all(), name
    for out_dtype in (BF16, F16, F32):
        gather(k, v, k_scale, v_scale, as_bytes, out_dtype)


def gather(k, v, k_scale, v_scale, as_bytes, out_dtype):
    """All that was written, and a sequence that starts within a page; rows past the last sequence are 0."""
    cache = k.dtype
    written = sorted(s for s in SLOTS.tolist() if s >= 0)
    page_lists, starts, counts = [[s // PAGE_SIZE] for s in written] + [[3, 4]], [s % PAGE_SIZE for s in written] + [0], [1] * len(written) + [2]
    rows = [0]
    for count in counts:
        rows.append(rows[-1] + count)
    key = torch.full((rows[-1] + 2, HEADS, as_rows(k).shape[-1]), 7.0).to(out_dtype)
    value = torch.full((rows[-1] + 2, HEADS, as_rows(v).shape[-1]), 7.0).to(out_dtype)
    fields = dict(k=as_given(k, as_bytes), v=as_given(v, as_bytes), key=key, value=value, cu_rows=i32(rows), seq_starts=i32(starts),
                  block_table=i32([p + [-1] * (2 - len(p)) for p in page_lists]), k_scale=k_scale, v_scale=v_scale,
                  kv_element=ELEMENT[cache] if as_bytes else 0)
    places = written + [3 * PAGE_SIZE, 3 * PAGE_SIZE + 1]
    for name in tenon.kernels_for("kv_gather", **fields):
        key.fill_(7), value.fill_(7)
        assert tenon.call("kv_gather", (), name, **fields).code == 0
        for out, t, s in ((key, k, k_scale), (value, v, v_scale)):
            for row, place in enumerate(places):
                page, slot = place // PAGE_SIZE, place % PAGE_SIZE
                x = as_rows(t)[page, slot].float()
                want = (x * scale_rows(s, page, slot) if cache.itemsize == 1 else x).to(out_dtype)
                assert torch.equal(torch.nan_to_num(out[row].float(), 9.0), torch.nan_to_num(want.float(), 9.0)), (name, place)
            assert (out[len(places):] == 0).all(), name


@pytest.mark.parametrize("cache", FP8 + [I8])
@pytest.mark.parametrize("x_dtype", [BF16, F32])
@pytest.mark.parametrize("layout", ["nhd", "packed_hnc", "split_x"])
def test_dynamic_scales(cache, x_dtype, layout):
    key, value, k, v, _ = make(layout, cache, 64, 64, x_dtype, None, 2)
    key[1, 2] = 0  # nothing to scale
    key[3, 0] *= 1e-30 if x_dtype == F32 else 1
    scales = [torch.full((PAGES, PAGE_SIZE, HEADS), 7.0) for _ in "kv"]
    fields = dict(key=key, value=value, k=k, v=v, slot_mapping=SLOTS, k_scale=scales[0], v_scale=scales[1])
    for name in tenon.kernels_for("kv_append", ("DYNAMIC_SCALE",), **fields):
        for s in scales:
            s.fill_(7)
        assert tenon.call("kv_append", ("DYNAMIC_SCALE",), name, **fields).code == 0
        for x, t, s in ((key, k, scales[0]), (value, v, scales[1])):
            untouched = torch.ones(PAGES * PAGE_SIZE, dtype=torch.bool)
            for token, place in enumerate(SLOTS.tolist()):
                if place < 0:
                    continue
                untouched[place] = False
                page, slot = place // PAGE_SIZE, place % PAGE_SIZE
                amax = x[token].float().abs().amax(-1)
                want = torch.where(amax > 0, amax / LARGEST[cache], torch.ones(()))
                assert torch.equal(s[page, slot], want), (name, place)
                assert (raw(as_rows(t)[page, slot]) == raw(stored(x[token], cache, want[:, None]))).all(), (name, place)
            assert (s.reshape(-1, HEADS)[untouched] == 7).all(), name


def test_many_tokens():
    """Enough for more than one task on more than one thread."""
    tokens, heads, d, pages, page_size = 1500, 4, 128, 200, 8
    key, value = torch.randn(tokens, heads, d).to(BF16), torch.randn(tokens, heads, d).to(BF16)
    k, v = torch.zeros(pages, page_size, heads, d, dtype=BF16), torch.zeros(pages, page_size, heads, d, dtype=BF16)
    slots = torch.randperm(pages * page_size)[:tokens]
    fields = dict(key=key, value=value, k=k, v=v, slot_mapping=slots)
    for name in tenon.kernels_for("kv_append", **fields):
        k.zero_(), v.zero_()
        tenon.call("kv_append", (), name, **fields)
        assert torch.equal(k.reshape(-1, heads, d)[slots], key) and torch.equal(v.reshape(-1, heads, d)[slots], value), name
    back_key, back_value = torch.empty(1600, heads, d), torch.empty(1600, heads, d)
    tables = torch.randperm(pages).to(torch.int32).reshape(4, 50)
    fields = dict(k=k, v=v, key=back_key, value=back_value, cu_rows=i32([0, 400, 800, 1200, 1600]), block_table=tables)
    for name in tenon.kernels_for("kv_gather", **fields):
        back_key.fill_(7), back_value.fill_(7)
        tenon.call("kv_gather", (), name, **fields)
        assert torch.equal(back_key, k[tables.reshape(-1).long()].reshape(1600, heads, d).float()), name
        assert torch.equal(back_value, v[tables.reshape(-1).long()].reshape(1600, heads, d).float()), name
