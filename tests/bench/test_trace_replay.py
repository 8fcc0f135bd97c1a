# SPDX-License-Identifier: Apache-2.0
"""TENON_TRACE writes what a host ran; tenonbench --batch reads it back and agrees with the reference."""
import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
LIBRARY = Path(os.environ.get("TENON_LIBRARY", ROOT / "build" / "libtenon.so")).resolve()
BENCH = LIBRARY.parent / "tenonbench"
INPUTS = ROOT / "tests" / "bench" / "inputs"


def problems(path):
    lines = [re.sub(r"\s*#.*", "", line).strip() for line in path.read_text().splitlines()]
    return [line for line in lines if line]


def bench(*options, **environment):
    return subprocess.run([str(BENCH), f"--lib={LIBRARY}", *options], env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_replay(tmp_path):
    trace = tmp_path / "trace"
    batches = [f"--batch={INPUTS / name}" for name in ("test_matmul", "test_attention", "test_moe", "test_kv_append")]
    recorded = bench("--mode=C", "--strict", *batches, TENON_TRACE=str(trace))
    assert recorded.returncode == 0, recorded.stdout
    lines = problems(trace)
    assert {line.split()[0] for line in lines} == {"matmul", "attention", "moe", "kv_append"}
    replayed = bench("--mode=C", f"--batch={trace}")
    assert replayed.returncode == 0, replayed.stdout
    assert sum(line.startswith("PASSED") for line in replayed.stdout.splitlines()) == len(lines), replayed.stdout


def test_contents_of_lengths_survive(tmp_path):
    trace = tmp_path / "trace"
    text = ("attention q=f32[3,2,32] k=f32[4,4,1,32] v=f32[4,4,1,32] out=f32[3,2,32] cu_seqlens_q=i32[3]{0,1,3} seq_lens=i32[2]{5,7} "
            "block_table=i32[2,2]{3,0,1,2} window_left=-1 window_right=-1 flags=CAUSAL")
    assert bench("--mode=C", text, TENON_TRACE=str(trace)).returncode == 0
    listed = bench("--mode=L", problems(trace)[0])
    assert listed.returncode == 0 and "{0,1,3}" in listed.stdout and "{5,7}" in listed.stdout and "{3,0,1,2}" in listed.stdout, listed.stdout
