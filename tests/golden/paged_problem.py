# SPDX-License-Identifier: Apache-2.0
"""Paged caches in every layout and element type, and attention over them in float64, written from its definition alone."""

import math

import torch

ELEMENT = {torch.float8_e4m3fn: "E4M3FN", torch.float8_e4m3fnuz: "E4M3FNUZ", torch.float8_e5m2: "E5M2", torch.float8_e5m2fnuz: "E5M2FNUZ"}
FP8 = list(ELEMENT)
LARGEST = {torch.float8_e4m3fn: 448.0, torch.float8_e4m3fnuz: 240.0, torch.float8_e5m2: 57344.0, torch.float8_e5m2fnuz: 57344.0,
           torch.int8: 127.0}
LAYOUTS = ["nhd", "hnd", "pair_nhd", "pair_hnd", "kv_first", "packed_nhc", "packed_hnc", "split_x", "flat_x1"]


def i32(values):
    return torch.tensor(values, dtype=torch.int32)


def empty_like_layout(layout, pages, page_size, heads, d_qk, d_v, dtype):
    """Logical K and V views, [pages, page_size, heads, d] (K of rank 5 in the split layouts), over memory of that physical order."""
    def new(*shape):
        memory = torch.empty(shape, dtype=torch.uint8 if dtype.itemsize == 1 else dtype)
        if dtype.itemsize == 1:
            memory.fill_(0x7f if dtype != torch.float8_e4m3fnuz and dtype != torch.float8_e5m2fnuz else 0x80)  # NaN
            return memory.view(dtype)
        return memory.fill_(math.nan)

    if layout == "nhd":
        return new(pages, page_size, heads, d_qk), new(pages, page_size, heads, d_v)
    if layout == "hnd":
        return new(pages, heads, page_size, d_qk).permute(0, 2, 1, 3), new(pages, heads, page_size, d_v).permute(0, 2, 1, 3)
    if layout == "pair_nhd":
        both = new(pages, 2, page_size, heads, d_qk)
        return both[:, 0], both[:, 1]
    if layout == "pair_hnd":
        both = new(pages, 2, heads, page_size, d_qk)
        return both[:, 0].permute(0, 2, 1, 3), both[:, 1].permute(0, 2, 1, 3)
    if layout == "kv_first":
        both = new(2, pages, page_size, heads, d_qk)
        return both[0], both[1]
    if layout == "packed_nhc":
        both = new(pages, page_size, heads, d_qk + d_v)
        return both[..., :d_qk], both[..., d_qk:]
    if layout == "packed_hnc":
        both = new(pages, heads, page_size, d_qk + d_v).permute(0, 2, 1, 3)
        return both[..., :d_qk], both[..., d_qk:]
    x = 16 // dtype.itemsize if layout == "split_x" else 1
    k = new(pages, heads, d_qk // x, page_size, x).permute(0, 3, 1, 2, 4)
    return k, new(pages, heads, d_v, page_size).permute(0, 3, 1, 2)


def as_rows(cache):
    """[pages, page_size, heads, d] of a view of rank 4 or 5."""
    return cache.reshape(*cache.shape[:3], -1)


def set_rows(cache, values):
    cache.copy_(values.reshape(cache.shape).to(cache.dtype) if cache.dtype not in FP8 else values.reshape(cache.shape).float().to(cache.dtype))


def make_scale(mode, pages, page_size, heads, generator, low=0.25):
    shape = {"one": (1,), "head": (heads,), "token": (pages, page_size, heads)}[mode]
    return torch.rand(shape, generator=generator) + low


def scaled(cache, scale):
    """Stored elements times their scales, in float64."""
    rows = as_rows(cache)
    values = (rows.float() if rows.dtype in FP8 else rows).double()
    if scale is None:
        return values
    return values * (scale.double()[..., None] if scale.dim() == 3 else scale.double().reshape(1, 1, -1, 1))


class Problem:
    """Sequences of (query rows, kv length), pages handed out in a shuffled order; slots that nobody uses hold NaN."""

    def __init__(self, sequences, heads_q=4, heads_kv=2, d_qk=64, d_v=None, page_size=16, cache=torch.bfloat16, q=torch.bfloat16,
                 out=torch.float32, layout="nhd", scale=None, lists="table", as_bytes=False, spare_pages=3, seed=0):
        g = torch.Generator().manual_seed(seed)
        d_v = d_v or d_qk
        self.sequences, self.page_size, self.cache_dtype, self.as_bytes = sequences, page_size, cache, as_bytes
        counts = [-(-n // page_size) for _, n in sequences]
        pages = sum(counts) + spare_pages
        order = torch.randperm(pages, generator=g).tolist()
        self.pages_of, at = [], 0
        for count in counts:
            self.pages_of.append(order[at:at + count])
            at += count
        tokens = sum(rows for rows, _ in sequences)
        self.rows = [0]
        for rows, _ in sequences:
            self.rows.append(self.rows[-1] + rows)
        self.q = torch.randn(tokens, heads_q, d_qk, generator=g).to(q)
        self.out = torch.full((tokens, heads_q, d_v), 7.0, dtype=out)
        self.lse = torch.full((tokens, heads_q), 7.0)
        self.k, self.v = empty_like_layout(layout, pages, page_size, heads_kv, d_qk, d_v, cache)
        self.used = torch.zeros(pages, page_size, dtype=torch.bool)
        for (_, n), pages_of in zip(sequences, self.pages_of):
            for j in range(n):
                self.used[pages_of[j // page_size], j % page_size] = True
        spread = 40.0 if cache == torch.int8 else 1.0
        for view in (self.k, self.v):
            values = torch.randn(as_rows(view).shape, generator=g) * spread
            if cache == torch.int8:
                values = values.round().clamp(-128, 127)
            else:
                values[~self.used] = math.nan
            set_rows(view, values)
        low = 0.25 if cache != torch.int8 else 0.02
        self.k_scale = make_scale(scale, pages, page_size, heads_kv, g, low) if scale else None
        self.v_scale = make_scale(scale, pages, page_size, heads_kv, g, low) if scale else None
        if cache == torch.int8 and scale:
            self.k_scale, self.v_scale = self.k_scale / 40, self.v_scale / 40
        if scale == "token":
            self.k_scale[~self.used] = math.nan
            self.v_scale[~self.used] = math.nan
        self.lists = lists

    def fields(self, **more):
        view = (lambda t: t.view(torch.uint8)) if self.as_bytes else (lambda t: t)
        fields = dict(q=self.q, k=view(self.k), v=view(self.v), out=self.out, lse=self.lse, cu_seqlens_q=i32(self.rows),
                      seq_lens=i32([n for _, n in self.sequences]), k_scale=self.k_scale, v_scale=self.v_scale, window_left=-1,
                      window_right=-1)
        if self.as_bytes:
            fields["kv_element"] = ELEMENT[self.cache_dtype]
        fields.update(self.page_list())
        fields.update(more)
        return fields

    def page_list(self):
        if self.lists == "table":
            widest = max([len(p) for p in self.pages_of] + [1])
            return dict(block_table=i32([p + [-1] * (widest - len(p)) for p in self.pages_of]))
        indptr = [0]
        for p in self.pages_of:
            indptr.append(indptr[-1] + len(p))
        return dict(page_indptr=i32(indptr), page_indices=i32(sum(self.pages_of, [])))

    def rows_of(self, b, values):
        """kv positions of sequence b, [n, heads, d], from values [pages, page_size, heads, d]."""
        n = self.sequences[b][1]
        return values[self.pages_of[b]].reshape(-1, *values.shape[2:])[:n]

    def expected(self, causal=False, softmax_scale=0.0, softcap=0.0, window_left=-1, window_right=-1, sinks=None, alibi=None,
                 tree=None, q_scale=None, base2=False):
        """out, lse, and sum_j p[j] |v[j]| as the yardstick of errors, all float64. tree: for each row the new tokens that it sees."""
        k_all, v_all = scaled(self.k, self.k_scale), scaled(self.v, self.v_scale)
        heads_q, d_qk, d_v = self.q.shape[1], self.q.shape[2], self.out.shape[2]
        group = heads_q // k_all.shape[2]
        out = torch.zeros(self.q.shape[0], heads_q, d_v, dtype=torch.float64)
        size = torch.zeros_like(out)
        lse = torch.full((self.q.shape[0], heads_q), -math.inf, dtype=torch.float64)
        for b, (rows, n) in enumerate(self.sequences):
            if rows == 0 or n == 0:
                continue
            span = slice(self.rows[b], self.rows[b] + rows)
            q = (self.q[span].float() if self.q.dtype in FP8 else self.q[span]).double()
            if q_scale is not None:
                per_head = q_scale[b] if q_scale.dim() == 2 else q_scale.expand(k_all.shape[2])
                q = q * per_head.double().repeat_interleave(group)[None, :, None]
            k = self.rows_of(b, k_all).repeat_interleave(group, 1)
            v = self.rows_of(b, v_all).repeat_interleave(group, 1)
            s = torch.einsum("ihd,jhd->hij", q, k) * (softmax_scale or d_qk ** -0.5)
            if softcap:
                s = softcap * torch.tanh(s / softcap)
            i, j = torch.arange(n - rows, n)[:, None], torch.arange(n)[None, :]
            if alibi is not None:
                slope = (alibi[b] if alibi.dim() == 2 else alibi).double()
                s = s + slope[:, None, None] * (j - i)
            seen = torch.ones(rows, n, dtype=torch.bool)
            if window_left > 0:
                seen &= j >= i - window_left
            right = torch.ones_like(seen)
            if causal:
                right = j <= i
            elif window_right > 0:
                right = j <= i + window_right
            if tree is not None:
                right = torch.cat([torch.ones(rows, n - rows, dtype=torch.bool), tree[span, :rows]], 1)
            seen &= right
            s = s.masked_fill(~seen, -math.inf)
            some = seen.any(1)
            top = s.masked_fill(~some[:, None], 0).amax(-1, keepdim=True)
            p = torch.exp(s - top).masked_fill(~seen, 0)
            total = p.sum(-1, keepdim=True)
            below = total + (torch.exp(sinks.double()[:, None, None] - top) if sinks is not None else 0)
            p = torch.where(some[None, :, None], p / below, torch.zeros((), dtype=torch.float64))
            out[span] = torch.einsum("hij,jhd->ihd", p, v)
            size[span] = torch.einsum("hij,jhd->ihd", p, v.abs())
            ln = torch.where(some[None, :], (top + torch.log(total)).squeeze(-1), torch.tensor(-math.inf, dtype=torch.float64))
            lse[span] = (ln / math.log(2) if base2 else ln).transpose(0, 1)
        return out, lse, size
