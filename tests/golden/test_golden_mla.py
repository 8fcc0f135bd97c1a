# SPDX-License-Identifier: Apache-2.0
"""mla_append and mla_attention against their definitions in torch float64, plain caches and the 656-byte rows, through every row."""

import math

import pytest
import torch

import tenon_library as tenon
from paged_problem import ELEMENT, FP8, LARGEST, i32

BF16, F16, F32, I8 = torch.bfloat16, torch.float16, torch.float32, torch.int8
MIXED = [(1, 37), (5, 21), (0, 9), (2, 0), (8, 8), (1, 1)]
ROUNDING = {F32: 2.0**-22, F16: 2.0**-11, BF16: 2.0**-8}


def raw(t):
    return t.contiguous().view({1: torch.uint8, 2: torch.int16, 4: torch.int32}[t.dtype.itemsize])


def saturated(x, dtype):
    return x.clamp(-LARGEST[dtype], LARGEST[dtype]).to(dtype)


def ds_row(latent, rope):
    """[n, 512] and [n, 64] float32 -> [n, 656] bytes."""
    groups = latent.reshape(-1, 4, 128)
    amax = groups.abs().amax(-1)
    scale = torch.where(amax > 0, amax / 448.0, torch.ones(()))
    codes = saturated(groups / scale[..., None], torch.float8_e4m3fn).reshape(-1, 512)
    return torch.cat([codes.view(torch.uint8), scale.contiguous().view(torch.uint8).reshape(-1, 16), rope.to(BF16).contiguous().view(torch.uint8).reshape(-1, 128)], 1)


def ds_values(rows):
    """[.., 656] bytes -> [.., 576] float64"""
    flat = rows.reshape(-1, 656)
    codes = flat[:, :512].contiguous().view(torch.float8_e4m3fn).float().double().reshape(-1, 4, 128)
    scale = flat[:, 512:528].contiguous().view(F32).double()
    rope = flat[:, 528:].contiguous().view(BF16).double()
    return torch.cat([(codes * scale[..., None]).reshape(-1, 512), rope], 1).reshape(*rows.shape[:-1], 576)


@pytest.mark.parametrize("x_dtype", [BF16, F16, F32])
@pytest.mark.parametrize("rank4", [False, True])
def test_append_fp8_ds(x_dtype, rank4):
    tokens, pages, page_size = 9, 3, 4
    latent = (torch.randn(tokens, 4, 128) * torch.exp2(torch.randint(-8, 8, (tokens, 4, 1)).float())).reshape(tokens, 512).to(x_dtype)
    latent[2, 128:256] = 0
    rope = torch.randn(tokens, 1, 64).to(x_dtype)
    cache = torch.full((pages, page_size, 1, 656) if rank4 else (pages, page_size, 656), 0x5a, dtype=torch.uint8)
    slots = [5, 0, 11, -1, 3, 7, -1, 2, 9]
    want = cache.clone().reshape(-1, 656)
    rows = ds_row(latent.float(), rope.float().reshape(-1, 64))
    for token, place in enumerate(slots):
        if place >= 0:
            want[place] = rows[token]
    fields = dict(kv_c=latent, k_pe=rope if rank4 else rope[:, 0], cache=cache, slot_mapping=i32(slots), cache_format="FP8_DS")
    for name in tenon.kernels_for("mla_append", **fields):
        cache.fill_(0x5a)
        assert tenon.call("mla_append", (), name, **fields).code == 0
        assert torch.equal(cache.reshape(-1, 656), want), name


@pytest.mark.parametrize("cache_type, scale, as_bytes", [(BF16, None, False), (F16, None, False), (F32, None, False)] +
                         [(t, s, b) for t in FP8 for s in (None, 0.37) for b in (False, True)] + [(I8, 0.02, False)])
@pytest.mark.parametrize("x_dtype", [BF16, F16, F32])
def test_append_plain(cache_type, scale, as_bytes, x_dtype):
    tokens, pages, page_size, d_latent, d_rope = 7, 2, 8, 96, 20
    latent, rope = torch.randn(tokens, d_latent).to(x_dtype), torch.randn(tokens, d_rope).to(x_dtype)
    slots = torch.tensor([5, -1, 15, 0, 3, 9, 8])
    cache = torch.full((pages, page_size, d_latent + d_rope), 0x11, dtype=torch.uint8).to(torch.uint8)
    cache = cache.view(cache_type) if cache_type.itemsize == 1 else torch.ones(pages, page_size, d_latent + d_rope, dtype=cache_type)
    x = torch.cat([latent, rope], 1)
    if cache_type.itemsize > 1:
        rows = x.to(cache_type)
    elif cache_type == I8:
        rows = (x.float() / torch.tensor(scale)).round().clamp(-128, 127).to(I8)
    else:
        rows = saturated(x.float() / torch.tensor(scale or 1.0), cache_type)
    before = raw(cache).clone()
    want = before.clone().reshape(-1, d_latent + d_rope)
    want[slots[slots >= 0]] = raw(rows)[slots >= 0]
    fields = dict(kv_c=latent, k_pe=rope, cache=cache.view(torch.uint8) if as_bytes else cache, slot_mapping=slots,
                  kv_scale=torch.tensor([scale]) if scale else None, kv_element=ELEMENT[cache_type] if as_bytes else 0)
    for name in tenon.kernels_for("mla_append", **fields):
        cache.copy_(before.view(cache_type).reshape(cache.shape))
        assert tenon.call("mla_append", (), name, **fields).code == 0
        assert torch.equal(raw(cache).reshape(want.shape), want), name


def attention_problem(form, heads, page_size, q_type, out_type, lists, seed, sequences, d_latent, d_rope, rank4):
    g = torch.Generator().manual_seed(seed)
    counts = [-(-n // page_size) for _, n in sequences]
    pages = sum(counts) + 2
    order, at, pages_of = torch.randperm(pages, generator=g).tolist(), 0, []
    for count in counts:
        pages_of.append(order[at:at + count])
        at += count
    values = torch.randn(pages, page_size, d_latent + d_rope, generator=g)
    for b, (_, n) in enumerate(sequences):
        if counts[b]:
            values[pages_of[b][-1], (n - 1) % page_size + 1:] = math.nan  # slots that nobody uses
    for page in set(range(pages)) - set(sum(pages_of, [])):
        values[page] = math.nan
    fields = {}
    if form == "FP8_DS":
        cache = ds_row(torch.nan_to_num(values[..., :512].reshape(-1, 512), 1.0), values[..., 512:].reshape(-1, 64)).reshape(pages, page_size, 656)
        cache[torch.isnan(values[..., 0])] = 0x7f
        fields["cache_format"] = "FP8_DS"
        real = ds_values(cache)
    else:
        cache_type, scale = form
        if cache_type == I8:
            cache = (torch.nan_to_num(values, 1.0) * 40).round().clamp(-128, 127).to(I8)
        else:
            cache = values.to(cache_type)
        real = (cache.float() if cache_type.itemsize == 1 else cache).double() * (torch.tensor(scale).double() if scale else 1)
        fields["kv_scale"] = torch.tensor([scale]) if scale else None
    tokens = sum(rows for rows, _ in sequences)
    rows = [0]
    for n, _ in sequences:
        rows.append(rows[-1] + n)
    fields.update(q=torch.randn(tokens, heads, d_latent + d_rope, generator=g).to(q_type), cache=cache[:, :, None] if rank4 else cache,
                  out=torch.full((tokens, heads, d_latent), 7.0).to(out_type), lse=torch.full((tokens, heads), 7.0), cu_seqlens_q=i32(rows),
                  seq_lens=i32([n for _, n in sequences]), softmax_scale=(d_latent + d_rope) ** -0.5)
    if lists == "table":
        widest = max(counts)
        fields["block_table"] = i32([p + [-1] * (widest - len(p)) for p in pages_of])
    else:
        indptr = [0]
        for p in pages_of:
            indptr.append(indptr[-1] + len(p))
        fields.update(page_indptr=i32(indptr), page_indices=i32(sum(pages_of, [])))
    return fields, real, pages_of, rows


def check(form="FP8_DS", heads=4, page_size=16, q_type=BF16, out_type=F32, lists="table", flags=("CAUSAL",), sinks=None, seed=0,
          sequences=MIXED, d_latent=512, d_rope=64, rank4=False):
    fields, real, pages_of, rows = attention_problem(form, heads, page_size, q_type, out_type, lists, seed, sequences, d_latent, d_rope, rank4)
    q, out, lse = fields["q"], fields["out"], fields["lse"]
    want = torch.zeros(out.shape, dtype=torch.float64)
    size = torch.zeros_like(want)
    want_lse = torch.full(lse.shape, -math.inf, dtype=torch.float64)
    for b, (n_rows, n) in enumerate(sequences):
        if n_rows == 0 or n == 0:
            continue
        c = real[pages_of[b]].reshape(-1, d_latent + d_rope)[:n]
        s = torch.einsum("ihd,jd->hij", q[rows[b]:rows[b + 1]].double(), c) * torch.tensor(fields["softmax_scale"]).double()
        if "CAUSAL" in flags:
            i, j = torch.arange(n - n_rows, n)[:, None], torch.arange(n)[None]
            s = s.masked_fill(j > i, -math.inf)
        top = s.amax(-1, keepdim=True)
        p = torch.exp(s - top)
        total = p.sum(-1, keepdim=True)
        p = p / (total + (torch.exp(sinks.double()[:, None, None] - top) if sinks is not None else 0))
        want[rows[b]:rows[b + 1]] = torch.einsum("hij,jd->ihd", p, c[:, :d_latent])
        size[rows[b]:rows[b + 1]] = torch.einsum("hij,jd->ihd", p, c[:, :d_latent].abs())
        ln = (top + torch.log(total)).squeeze(-1).transpose(0, 1)
        want_lse[rows[b]:rows[b + 1]] = ln / math.log(2) if "LSE_BASE2" in flags else ln
    if sinks is not None:
        fields["sinks"] = sinks
    names = tenon.kernels_for("mla_attention", flags, **fields)
    assert "ref_mla_attention" in names
    for name in names:
        out.fill_(7), lse.fill_(7)
        assert tenon.call("mla_attention", flags, name, **fields).code == 0, name
        slack = 1e-7 if name == "ref_mla_attention" else 2.0**-6
        limit = ROUNDING[out_type] * want.abs() + slack * size + 1e-30 + (2.0**-25 if out_type == F16 else 0)
        assert ((out.double() - want).abs() <= limit).all(), (name, (out.double() - want).abs().max())
        empty = torch.isinf(want_lse)
        assert (lse[empty] == -math.inf).all(), name
        near = 1e-6 if name == "ref_mla_attention" else 1e-2
        assert ((lse.double() - want_lse)[~empty].abs() <= near * (1 + want_lse[~empty].abs())).all(), name


@pytest.mark.parametrize("form", ["FP8_DS", (BF16, None), (F16, None), (F32, None), (torch.float8_e4m3fn, 0.7), (torch.float8_e4m3fn, None),
                                  (torch.float8_e4m3fnuz, 1.3), (torch.float8_e5m2, 0.5), (torch.float8_e5m2fnuz, 0.5), (I8, 0.025)])
@pytest.mark.parametrize("lists", ["table", "csr"])
def test_attention_forms(form, lists):
    check(form, lists=lists, rank4=lists == "csr")


@pytest.mark.parametrize("heads", [1, 3, 16, 20])
@pytest.mark.parametrize("page_size", [1, 3, 64])
def test_attention_heads_and_pages(heads, page_size):
    check((BF16, None), heads=heads, page_size=page_size, seed=heads, sequences=MIXED + [(2, 150)])


@pytest.mark.parametrize("q_type", [BF16, F16, F32])
@pytest.mark.parametrize("out_type", [BF16, F16, F32])
def test_attention_types(q_type, out_type):
    check((BF16, None), q_type=q_type, out_type=out_type, seed=2)


@pytest.mark.parametrize("flags", [(), ("CAUSAL",), ("LSE_BASE2",), ("CAUSAL", "LSE_BASE2")])
@pytest.mark.parametrize("with_sinks", [False, True])
def test_attention_flags(flags, with_sinks):
    check((BF16, None), flags=flags, sinks=torch.tensor([0.5, -3.0, 2.25, 30.0]).to(BF16) if with_sinks else None, seed=3)


@pytest.mark.parametrize("d_latent, d_rope", [(256, 32), (64, 0), (40, 7), (1, 1)])
def test_attention_other_widths(d_latent, d_rope):
    check((BF16, None), d_latent=d_latent, d_rope=d_rope, seed=4)


def test_append_then_attend():
    """What mla_append writes is what mla_attention reads: against attention on the values that the cache holds."""
    tokens, heads, page_size = 20, 2, 8
    latent, rope, q = torch.randn(tokens, 512).to(BF16), torch.randn(tokens, 64).to(BF16), torch.randn(1, heads, 576).to(BF16)
    cache = torch.full((4, page_size, 656), 0x7f, dtype=torch.uint8)
    pages = torch.tensor([2, 0, 3])
    slots = pages[torch.arange(tokens) // page_size] * page_size + torch.arange(tokens) % page_size
    tenon.call("mla_append", (), kv_c=latent, k_pe=rope, cache=cache, slot_mapping=slots, cache_format="FP8_DS")
    out = torch.empty(1, heads, 512)
    tenon.call("mla_attention", ("CAUSAL",), q=q, cache=cache, out=out, cu_seqlens_q=i32([0, 1]), seq_lens=i32([tokens]),
               block_table=i32([pages.tolist()]), cache_format="FP8_DS", softmax_scale=0.1)
    c = ds_values(cache[pages].reshape(-1, 656)[:tokens])
    exact = torch.cat([latent, rope], 1).double()
    assert (c - exact).abs().max() <= 2.0**-4 * exact.abs().max()
    p = torch.softmax(torch.einsum("hd,jd->hj", q[0].double(), c) * torch.tensor(0.1).double(), -1)
    assert torch.allclose(out[0].double(), p @ c[:, :512], atol=2e-2, rtol=1e-2)


@pytest.mark.parametrize("form", ["FP8_DS", (BF16, None), (torch.float8_e4m3fn, 0.7)])
def test_faults(form):
    """A sequence that lies gives empty rows and a fault with this operation's number; the others keep their bits."""
    sequences = [(1, 37), (3, 21), (2, 30)]
    fields, _, _, rows = attention_problem(form, 4, 16, BF16, F32, "table", 5, sequences, 512, 64, False)
    good = {name: fields[name].clone() for name in ("seq_lens", "block_table", "cu_seqlens_q")}
    for name in tenon.kernels_for("mla_attention", ("CAUSAL",), **fields):
        for which in good:
            fields[which].copy_(good[which])
        plan = tenon.Plan("mla_attention", ("CAUSAL",), name, **fields)
        assert plan.run(**fields).code == 0
        want, want_lse = fields["out"].clone(), fields["lse"].clone()
        for which, index, value, code, emptied in (("seq_lens", 1, -4, 3, range(1, 4)), ("seq_lens", 1, 49, 3, range(1, 4)), ("seq_lens", 1, 2, 3, range(1, 4)),
                                                   ("block_table", (1, 0), 10**6, 1, range(1, 4)), ("block_table", (1, 1), -1, 1, range(1, 4)),
                                                   ("cu_seqlens_q", 1, -1, 3, range(0, 6)), ("cu_seqlens_q", 3, 7, 3, range(0, 6)),
                                                   ("seq_lens", 1, 0, 0, range(1, 4)), ("cu_seqlens_q", 3, 4, 0, range(4, 6))):
            for each in good:
                fields[each].copy_(good[each])
            fields[which][index] = value
            fields["out"].fill_(7), fields["lse"].fill_(7)
            fault = plan.run(**fields)
            assert (fault.code, fault.op if code else 1) == (code, 1), (name, which, value)
            kept = [row for row in range(6) if row not in emptied]
            assert torch.equal(fields["out"][kept], want[kept]) and torch.equal(fields["lse"][kept], want_lse[kept]), (name, which, value)
            assert (fields["out"][list(emptied)] == 0).all() and (fields["lse"][list(emptied)] == -math.inf).all(), (name, which, value)
