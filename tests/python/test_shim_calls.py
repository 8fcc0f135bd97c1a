# SPDX-License-Identifier: Apache-2.0
"""The calls themselves: signatures from the schema, errors as exceptions, plans, prepared calls, contexts, the command line."""

import ctypes
import inspect
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]


def states(tokens=3, heads=4, d=8, n=2, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((n, tokens, heads, d), dtype=np.float32), rng.standard_normal((n, tokens, heads), dtype=np.float32),
            np.zeros((tokens, heads, d), np.float32))


def merged(partial, lse):
    w = np.exp(lse.astype(np.float64))
    return (w[..., None] * partial).sum(0) / w.sum(0)[..., None]


def test_signatures_come_from_the_schema(tenon):
    signature = inspect.signature(tenon.ops.attention)
    names = list(signature.parameters)
    assert names[:6] == ["q", "k", "v", "out", "cu_seqlens_q", "seq_lens"]
    assert signature.parameters["causal"].default is False
    assert signature.parameters["window_left"].default == -1
    assert signature.parameters["kv_element"].default == "AS_TENSOR"
    assert not [n for n in names if n.startswith("reserved")]
    assert "softmax_scale (f32)" in tenon.ops.attention.__doc__


def test_every_operation_of_the_library_is_a_function(tenon):
    from tenon import schema
    for name in schema.ops():
        assert callable(getattr(tenon, name))
    with pytest.raises(AttributeError):
        tenon.no_such_operation


def test_error_text_and_names(tenon):
    partial, lse, out = states()
    with pytest.raises(tenon.errors.InvalidArgument) as caught:
        tenon.merge_states(partial, lse[:, :2], out)
    assert isinstance(caught.value, ValueError) and caught.value.status == 1
    assert (caught.value.op, caught.value.field) == ("merge_states", "partial_lse")
    assert "[2, 2, 4]" in str(caught.value) and "tokens=3" in str(caught.value)
    assert not out.any()


def test_unsupported_is_another_class(tenon):
    partial, lse, out = states()
    with pytest.raises(tenon.errors.Unsupported) as caught:
        tenon.plan("merge_states", partial_out=partial, partial_lse=lse, out=out, kernel="no_such_row")
    assert isinstance(caught.value, NotImplementedError) and "no_such_row" in str(caught.value)


def test_wrong_names_and_values(tenon):
    partial, lse, out = states()
    with pytest.raises(TypeError, match="bogus"):
        tenon.merge_states(partial, lse, out, bogus=1)
    with pytest.raises(TypeError, match="missing a required argument: 'out'"):
        tenon.merge_states(partial, lse)
    with pytest.raises(ValueError, match="NO_SUCH_FORMAT.*GGUF_Q4_0"):
        tenon.Quant("NO_SUCH_FORMAT")
    with pytest.raises(TypeError, match="no member 'bogus'"):
        tenon.Quant("FP8", bogus=1)
    with pytest.raises(ValueError, match="does not fit 32 bits"):
        tenon.query("attention", window_left=1 << 40)


def test_choices_and_flags_by_name_or_number(tenon):
    from tenon import schema
    field = schema.op("moe")
    assert schema.choice_value(field.by_name["activation"], "silu_gated") == schema.choice_value(field.by_name["activation"], 1) == 1
    assert schema.flag_value(schema.op("attention"), "CAUSAL|LSE_BASE2") == schema.flag_value(schema.op("attention"), ["causal", "lse_base2"]) == 3


def test_flag_reaches_the_kernel(tenon):
    partial, lse, out = states()
    tenon.merge_states(partial, lse, out)
    other = tenon.merge_states(partial, (lse / np.log(2)).astype(np.float32), np.empty_like(out), lse_base2=True)
    np.testing.assert_allclose(out, merged(partial, lse), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(other, out, rtol=1e-5, atol=1e-6)


def test_query_says_why_not(tenon):
    partial, lse, out = states()
    yes = tenon.query("merge_states", partial_out=partial, partial_lse=lse, out=out)
    assert yes.status == 0 and yes.kernel and yes.backend == "cpu"
    no = tenon.query("merge_states", partial_out=partial, partial_lse=lse.astype(np.float64), out=out)
    assert no.status == 1 and "f64" in no.reason and not no.kernel


def test_plan_runs_smaller_problems_and_other_tensors(tenon):
    plan = tenon.plan("merge_states", partial_out=tenon.TensorSpec((2, 8, 4, 8), "f32"), partial_lse=tenon.TensorSpec((2, 8, 4), "f32"),
                      out=tenon.TensorSpec((8, 4, 8), "f32"))
    for tokens in (8, 3, 1):
        partial, lse, out = states(tokens, seed=tokens)
        plan.run(partial_out=partial, partial_lse=lse, out=out)
        np.testing.assert_allclose(out, merged(partial, lse), rtol=1e-5, atol=1e-6)
    partial, lse, out = states(9)
    with pytest.raises(tenon.errors.InvalidArgument, match="the plan was made for"):
        plan.run(partial_out=partial, partial_lse=lse, out=out)


def test_prepared_call_takes_new_pointers(tenon):
    a, b = states(seed=1), states(seed=2)
    call = tenon.plan("merge_states", partial_out=a[0], partial_lse=a[1], out=a[2]).prepare()
    call()
    np.testing.assert_allclose(a[2], merged(*a[:2]), rtol=1e-5, atol=1e-6)
    for name, array in zip(("partial_out", "partial_lse", "out"), b):
        call.words[call.pointer_place(name)] = array.ctypes.data
    call()
    np.testing.assert_allclose(b[2], merged(*b[:2]), rtol=1e-5, atol=1e-6)
    b[2][:] = 0
    for name, dim in (("partial_out", 1), ("partial_lse", 1), ("out", 0)):
        call.words[call.extent_place(name, dim)] = 2
    call()
    np.testing.assert_allclose(b[2][:2], merged(b[0][:, :2], b[1][:, :2]), rtol=1e-5, atol=1e-6)
    assert not b[2][2].any(), "the third token was written, though the call was for two"
    call.bind(partial_lse=np.zeros((2, 2, 4), np.float64))
    with pytest.raises(tenon.errors.InvalidArgument):
        call()


def test_one_plan_in_many_threads(tenon):
    problems = [states(seed=s) for s in range(8)]
    plan = tenon.plan("merge_states", partial_out=problems[0][0], partial_lse=problems[0][1], out=problems[0][2])
    failures = []

    def work(problem):
        try:
            for _ in range(50):
                plan.run(partial_out=problem[0], partial_lse=problem[1], out=problem[2])
        except Exception as error:  # a thread cannot raise into the test
            failures.append(error)

    threads = [threading.Thread(target=work, args=(p,)) for p in problems]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert not failures
    for partial, lse, out in problems:
        np.testing.assert_allclose(out, merged(partial, lse), rtol=1e-5, atol=1e-6)


def test_context_with_log_and_allocator(tenon):
    lines, live = [], {}

    class Allocator:
        def allocate(self, size, alignment):
            memory = ctypes.create_string_buffer(size + alignment)
            address = ctypes.addressof(memory)
            address += -address % alignment
            live[address] = memory
            return address

        def release(self, pointer, size, alignment):
            del live[pointer]

    context = tenon.Context(log=lambda level, text: lines.append((level, text)), log_level="debug", allocator=Allocator(), n_threads=1)
    partial, lse, out = states()
    plan = context.plan("merge_states", partial_out=partial, partial_lse=lse, out=out)
    plan.run()
    np.testing.assert_allclose(out, merged(partial, lse), rtol=1e-5, atol=1e-6)
    assert any("merge_states" in text for _, text in lines)
    assert live
    del plan, context
    assert not live, "memory of the context or plan was not given back"


def test_context_refuses_bad_options(tenon):
    with pytest.raises(tenon.errors.InvalidArgument, match="n_threads=-1"):
        tenon.Context(n_threads=-1)


def test_nothing_is_imported_unasked():
    code = "import sys, tenon; tenon.default_context().kernels(); assert not {'torch', 'numpy', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env=dict(os.environ, PYTHONPATH=str(ROOT / "python_shim")))


def test_missing_library_is_named(tmp_path):
    code = "import tenon\ntry: tenon.default_context()\nexcept FileNotFoundError as e: print(e)"
    env = dict(os.environ, PYTHONPATH=str(ROOT / "python_shim"), TENON_LIBRARY=str(tmp_path / "nowhere.so"))
    said = subprocess.run([sys.executable, "-c", code], check=True, env=env, capture_output=True, text=True).stdout
    assert "nowhere.so" in said and "TENON_LIBRARY" in said


def test_command_line():
    env = dict(os.environ, PYTHONPATH=str(ROOT / "python_shim"))
    text = subprocess.run([sys.executable, "-m", "tenon", "info"], check=True, env=env, capture_output=True, text=True).stdout
    assert "cpu:0" in text and "merge_states" in text and "not available" in text
    facts = json.loads(subprocess.run([sys.executable, "-m", "tenon", "info", "--json"], check=True, env=env, capture_output=True, text=True).stdout)
    assert facts["abi"] == "1.0" and any(k["name"] == "ref_merge_states" for k in facts["kernels"])


def test_call_overhead(tenon, capsys):
    """A prepared call beyond the kernel itself: the same call on one token and one head, which is next to nothing."""
    partial, lse, out = states(1, 1, 1, 1)
    call = tenon.plan("merge_states", partial_out=partial, partial_lse=lse, out=out).prepare()

    def best(function, n=20000):
        times = []
        for _ in range(7):
            start = time.perf_counter()
            for _ in range(n):
                function()
            times.append((time.perf_counter() - start) / n)
        return min(times) * 1e6

    prepared, run = best(call), best(lambda: tenon.merge_states(partial, lse, out), 500)
    with capsys.disabled():
        print(f"\n  call of merge_states on one element, kernel included: prepared {prepared:.3f} us, planned and forgotten {run:.1f} us")
    assert prepared < 2.0, "far above the promise of 0.5 us beyond the kernel, even for a busy machine"


def test_packing_reports_progress(tenon):
    said = []
    context = tenon.Context(progress=lambda *report: said.append(report))
    w = np.random.default_rng(3).standard_normal((64, 96), np.float32)
    size = context.query("pack_weights", w=w, blob=tenon.TensorSpec((1 << 40,), "u8")).output_bytes
    blob = np.empty(size + 64, np.uint8)
    blob = blob[-blob.ctypes.data % 64:][:size]
    context.call("pack_weights", w=w, blob=blob)
    assert said[0] == ("pack_weights", 0, size) and said[-1] == ("pack_weights", size, size)
    assert [done for _, done, _ in said] == sorted(done for _, done, _ in said)
