# SPDX-License-Identifier: Apache-2.0
"""merge_states against torch float64, through every row: types, strides, bases, empty states, and the identity that it exists for:
attention over two halves of the keys, merged, is attention over all of them."""

import math

import pytest
import torch

import tenon_library as tenon
from paged_problem import Problem, i32

BF16, F16, F32 = torch.bfloat16, torch.float16, torch.float32
ROUNDING = {F32: 2.0**-22, F16: 2.0**-11, BF16: 2.0**-8}


@pytest.mark.parametrize("states, tokens, heads, d_v", [(1, 3, 2, 64), (2, 5, 4, 128), (7, 3, 3, 33), (3, 1, 1, 512), (2, 2, 2, 1000), (4, 300, 8, 128), (65, 2, 2, 5)])
@pytest.mark.parametrize("source", [BF16, F16, F32])
@pytest.mark.parametrize("base2", [False, True])
def test_definition(states, tokens, heads, d_v, source, base2):
    partial = torch.randn(states, heads, tokens, d_v).to(source).transpose(1, 2)  # heads outside
    lse = (torch.randn(heads, states, tokens) * 4).permute(1, 2, 0)
    lse[torch.rand(lse.shape) < 0.2] = -math.inf
    lse[torch.rand(lse.shape) < 0.1] = math.inf
    partial[torch.isinf(lse)] = math.nan  # an empty state is not read
    for out_type in (BF16, F16, F32):
        out, merged = torch.full((tokens, heads, d_v), 7.0).to(out_type), torch.full((heads, tokens), 7.0).transpose(0, 1)
        fields = dict(partial_out=partial, partial_lse=lse, out=out, lse=merged)
        weight = torch.where(torch.isinf(lse), -math.inf, lse).double() * (math.log(2) if base2 else 1)
        total = torch.logsumexp(weight, 0)
        p = torch.nan_to_num(torch.exp(weight - total), 0.0)[..., None]
        want = (p * torch.nan_to_num(partial.double(), 0.0)).sum(0)
        size = (p * torch.nan_to_num(partial.double(), 0.0).abs()).sum(0)
        flags = ("LSE_BASE2",) if base2 else ()
        names = tenon.kernels_for("merge_states", flags, **fields)
        assert "ref_merge_states" in names
        for name in names:
            out.fill_(7), merged.fill_(7)
            tenon.call("merge_states", flags, name, **fields)
            limit = ROUNDING[out_type] * want.abs() + 1e-6 * size + (2.0**-25 if out_type == F16 else 0)
            assert ((out.double() - want).abs() <= limit).all(), (name, (out.double() - want).abs().max())
            empty = torch.isinf(total)
            assert (merged[empty] == -math.inf).all(), name
            want_lse = total / (math.log(2) if base2 else 1)
            assert ((merged.double() - want_lse)[~empty].abs() <= 1e-6 * (1 + want_lse[~empty].abs())).all(), name


def test_halves_of_attention_merge_to_the_whole():
    whole = Problem([(6, 48)], q=F32, cache=F32, page_size=8, seed=1)
    tenon.call("attention", (), **whole.fields())
    outs, lses = [], []
    for pages, n in ((whole.pages_of[0][:4], 32), (whole.pages_of[0][4:], 16)):
        out, lse = torch.empty_like(whole.out), torch.empty_like(whole.lse)
        tenon.call("attention", (), **whole.fields(out=out, lse=lse, seq_lens=i32([n]), block_table=i32([pages])))
        outs.append(out), lses.append(lse)
    out, lse = torch.empty_like(whole.out), torch.empty_like(whole.lse)
    tenon.call("merge_states", (), partial_out=torch.stack(outs), partial_lse=torch.stack(lses), out=out, lse=lse)
    assert torch.allclose(out, whole.out, rtol=1e-5, atol=1e-6) and torch.allclose(lse, whole.lse, rtol=1e-6, atol=1e-6)
