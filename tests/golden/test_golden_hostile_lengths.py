# SPDX-License-Identifier: Apache-2.0
"""Random corruption of every list that a run reads: each row must say what the reference says - the same rows empty, a fault or none -
and no row may read or write beyond its tensors, which a build with a sanitizer sees."""

import pytest
import torch

import tenon_library as tenon
from paged_problem import Problem, i32

BF16, F32 = torch.bfloat16, torch.float32
SEQUENCES = [(1, 37), (5, 21), (0, 9), (2, 0), (8, 8), (1, 1), (3, 64)]
WILD = [-2**31, -70000, -2, -1, 0, 1, 2, 7, 21, 64, 65, 1000, 70000, 2**31 - 1]
LISTS = ["cu_seqlens_q", "seq_lens", "block_table", "page_indptr", "page_indices"]


def corrupt(fields, names, g):
    """One to three entries of the lists become something else."""
    pick = lambda n: int(torch.randint(n, (1,), generator=g))
    for _ in range(1 + pick(3)):
        flat = fields[names[pick(len(names))]].view(-1)
        at = pick(flat.numel())
        flat[at] = WILD[pick(len(WILD))] if pick(2) else max(-2**31, min(2**31 - 1, int(flat[at]) + pick(7) - 3))


@pytest.mark.parametrize("lists", ["table", "csr"])
@pytest.mark.parametrize("causal", [(), ("CAUSAL",)])
@pytest.mark.parametrize("more", [{}, {"window_left": 5}, {"max_q_len": 8, "max_kv_len": 64}])
def test_attention(lists, causal, more):
    problem = Problem(SEQUENCES, lists=lists, page_size=4, seed=1)
    problem.k.nan_to_num_(0.5), problem.v.nan_to_num_(0.5)  # a corrupt list may name slots that nobody wrote
    fields = problem.fields(**more)
    names = [name for name in LISTS if name in fields]
    good = {name: fields[name].clone() for name in names}
    plans = {name: tenon.Plan("attention", causal, name, **fields) for name in tenon.kernels_for("attention", causal, **fields)}
    g = torch.Generator().manual_seed(len(lists) + len(more))
    faults = 0
    for _ in range(60):
        for name in names:
            fields[name].copy_(good[name])
        corrupt(fields, names, g)
        problem.out.fill_(7), problem.lse.fill_(7)
        fault = plans["ref_attention"].run(**fields).code
        faults += fault != 0
        out, lse = problem.out.clone(), problem.lse.clone()
        assert not (out == 7).all(-1).any()
        for name, plan in plans.items():
            problem.out.fill_(7), problem.lse.fill_(7)
            assert (plan.run(**fields).code != 0) == (fault != 0), (name, {n: fields[n].tolist() for n in names})
            assert torch.equal(torch.isinf(problem.lse), torch.isinf(lse)), (name, {n: fields[n].tolist() for n in names})
            assert torch.allclose(problem.out, out, atol=6e-2, rtol=0), (name, {n: fields[n].tolist() for n in names})
            assert (problem.out[torch.isinf(lse)] == 0).all(), name
    assert 10 < faults < 60  # corruption that is noticed, and corruption that is another valid problem


@pytest.mark.parametrize("lists", ["table", "csr"])
def test_gather(lists):
    problem = Problem([(0, n) for n in (9, 30, 1, 17)], cache=BF16, page_size=4, lists=lists, seed=2)
    problem.k.nan_to_num_(0.5), problem.v.nan_to_num_(0.5)
    rows = [0, 9, 20, 21, 30]
    key, value = torch.empty(33, 2, 64), torch.empty(33, 2, 64)
    fields = dict(k=problem.k, v=problem.v, key=key, value=value, cu_rows=i32(rows), seq_starts=i32([0, 19, 0, 8]), **problem.page_list())
    names = [name for name in ("cu_rows", "seq_starts", "block_table", "page_indptr", "page_indices") if name in fields]
    good = {name: fields[name].clone() for name in names}
    plans = {name: tenon.Plan("kv_gather", (), name, **fields) for name in tenon.kernels_for("kv_gather", **fields)}
    g = torch.Generator().manual_seed(3)
    for _ in range(200):
        for name in names:
            fields[name].copy_(good[name])
        corrupt(fields, names, g)
        key.fill_(7), value.fill_(7)
        fault = plans["ref_kv_gather"].run(**fields).code
        want_key, want_value = key.clone(), value.clone()
        for name, plan in plans.items():
            key.fill_(7), value.fill_(7)
            assert (plan.run(**fields).code != 0) == (fault != 0), (name, {n: fields[n].tolist() for n in names})
            assert torch.equal(key, want_key) and torch.equal(value, want_value), (name, {n: fields[n].tolist() for n in names})
