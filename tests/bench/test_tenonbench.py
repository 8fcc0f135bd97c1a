# SPDX-License-Identifier: Apache-2.0
"""tenonbench itself: options end with their file, lengths come from a seed, samples are counted, reports can be read by machines."""
import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
LIBRARY = Path(os.environ.get("TENON_LIBRARY", ROOT / "build" / "libtenon.so")).resolve()
BENCH = LIBRARY.parent / "tenonbench"
MATMUL = "matmul a=bf16[2,64] w=bf16[32,64] out=bf16[2,32] # a small one"
RAGGED = ("attention q=bf16[48,4,64] k=bf16[64,16,2,64] v=bf16[64,16,2,64] out=bf16[48,4,64] cu_seqlens_q=i32[9] seq_lens=i32[8] "
          "block_table=i32[8,8] window_left=-1 window_right=-1 flags=CAUSAL # ragged")


def bench(*options, check=True, **environment):
    done = subprocess.run([str(BENCH), f"--lib={LIBRARY}", *options], env={**os.environ, **environment}, capture_output=True, text=True)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def records(*options):
    return json.loads(bench("--mode=P", "--seconds=0.01", "--report=json", *options).stdout)


def test_options_end_with_their_file(tmp_path):
    (tmp_path / "inner").write_text(f"--threads=1 --pack\n{MATMUL} inner\n")
    (tmp_path / "outer").write_text(f"{MATMUL} before\n--batch=inner\n--pages=small\n{MATMUL} after\n")
    run = records("--threads=2", f"--batch={tmp_path / 'outer'}", f"{MATMUL} last")
    found = [(r["label"].split()[-1], r["threads"], r["pack"], r["pages"]) for r in run["results"]]
    assert found == [("before", 2, False, "huge"), ("inner", 1, True, "huge"), ("after", 2, False, "small"), ("last", 2, False, "huge")]
    assert [limits["threads"] for limits in run["limits"]] == [2, 1]


@pytest.mark.parametrize("line", ["--mode=P", "--threads=two", "--seconds=", "--lengths=long", "--nonsense"])
def test_wrong_options_in_a_file_are_refused(tmp_path, line):
    (tmp_path / "file").write_text(f"{line}\n{MATMUL}\n")
    done = bench(f"--batch={tmp_path / 'file'}", check=False)
    assert done.returncode == 1 and line in done.stderr


def test_files_that_name_each_other_end(tmp_path):
    (tmp_path / "a").write_text("--batch=a\n")
    assert bench(f"--batch={tmp_path / 'a'}", check=False).returncode == 1


def traced_lengths(tmp_path, kind, seed):
    trace = tmp_path / f"{kind}-{seed}"
    bench("--mode=C", f"--lengths={kind}", f"--seed={seed}", RAGGED, TENON_TRACE=str(trace))
    line = trace.read_text().splitlines()[0]
    read = {name: [int(n) for n in line.split(f"{name}=i32[{size}]{{")[1].split("}")[0].split(",")] for name, size in
            (("cu_seqlens_q", 9), ("seq_lens", 8))}
    queries = [b - a for a, b in zip(read["cu_seqlens_q"], read["cu_seqlens_q"][1:])]
    return queries, read["seq_lens"]


def test_lengths(tmp_path):
    assert traced_lengths(tmp_path, "equal", 1) == ([6] * 8, [128] * 8)
    for kind in ("uniform", "lognormal", "mixed"):
        first = traced_lengths(tmp_path, kind, 1)
        (tmp_path / f"{kind}-1").unlink()
        assert traced_lengths(tmp_path, kind, 1) == first != traced_lengths(tmp_path, kind, 2)
        queries, lengths = first
        assert all(q <= length <= 128 for q, length in zip(queries, lengths)) and len(set(lengths)) > 3 and sum(queries) <= 48
        if kind == "mixed":
            assert queries.count(1) >= 6 and max(queries) > 6


def test_reports():
    run = records("--threads=1", MATMUL)
    assert {"date", "cpu", "features", "command", "seed"} <= run["run"].keys() and "--report=json" in run["run"]["command"]
    record = run["results"][0]
    assert record["label"] == "a small one" and record["kernel"].startswith("cpu_matmul") and record["bound"] in ("read", "f32", "bf16", "int8")
    assert record["us_low"] <= record["us"] <= record["us_high"] and record["share_low"] <= record["share"] <= record["share_high"]
    assert record["samples"] >= 1 and record["dropped"] >= 0 and record["operations"] == 2 * 2 * 64 * 32
    lines = bench("--mode=P", "--seconds=0.01", "--report=csv", "--threads=1", MATMUL).stdout.splitlines()
    assert sum(line.startswith("# ") for line in lines) == 3
    row = next(csv.DictReader(line for line in lines if not line.startswith("#")))
    assert row["label"] == "a small one" and row["threads"] == "1" and float(row["us"]) > 0 and None not in row.values()
    text = bench("--mode=P", "--seconds=0.01", "--threads=1", MATMUL).stdout
    assert "limits, 1 thread:" in text and "a small one" in text and "--mode=P" in text


def test_two_libraries_alternate():
    run = json.loads(bench(f"--lib={LIBRARY}", "--mode=P", "--seconds=0.05", "--report=json", "--threads=1", MATMUL).stdout)
    first, second, ratio = run["results"]
    assert first["problem"] == second["problem"] and ratio["status"] == "RATIO" and ratio["pairs"] >= 1
    assert ratio["low"] <= ratio["ratio"] <= ratio["high"] and 0.2 < ratio["ratio"] < 5


def test_what_does_not_fit_is_skipped():
    record = records("matmul a=bf16[1,1048576] w=bf16[8388608,1048576] out=bf16[1,8388608]")["results"][0]
    assert record["status"] == "SKIPPED" and "needs 17592" in record["detail"]


def test_model_files_are_those_of_the_script():
    done = subprocess.run([sys.executable, str(Path(__file__).with_name("model_shapes.py")), "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_every_problem_of_the_models_is_taken():
    inputs = Path(__file__).parent / "inputs"
    files = sorted(inputs.glob("model_*")) + [inputs / "bars"]
    assert len(files) == 20
    for path in files:
        done = bench("--mode=L", "--strict", f"--batch={path}", check=False)
        assert done.returncode == 0, f"{path.name}:\n" + "\n".join(line for line in done.stdout.splitlines() if not line.startswith("LISTED"))


def test_work_of_an_expert_parallel_shard(tmp_path):
    # 2 of 8 experts are here; ids 0 and 5 are asked for, so one expert's weights are read, and one pair is multiplied.
    line = ("moe x=bf16[2,64] topk_weights=f32[2,1] topk_ids=i32[2,1]{0,5} expert_map=i32[8]{0,-1,-1,-1,1,-1,-1,-1} "
            "gate_up=bf16[2,64,64] down=bf16[2,64,32] out=bf16[2,64] activation=SILU_GATED")
    record = records("--threads=1", line)["results"][0]
    assert record["operations"] == 2 * 3 * 32 * 64
    small = 2 * 64 * 2 * 2 + 2 * 4 * 2 + 8 * 4  # x and out, weights and ids of pairs, the map
    assert record["bytes"] == small + (64 * 64 + 64 * 32) * 2


def test_summary_and_picture(tmp_path):
    pytest.importorskip("matplotlib")
    (tmp_path / "bars").write_text(f"{MATMUL.split('#')[0]} # m1 | small one\n{RAGGED.split('#')[0]} # decode_16 | small other\n")
    report, picture, here = tmp_path / "bench.json", tmp_path / "bench.svg", Path(__file__).parent
    done = subprocess.run([sys.executable, str(here / "bench_summary.py"), "--bench", str(BENCH), "--lib", str(LIBRARY), "--inputs",
                           str(tmp_path / "bars"), "--json", str(report), "--seconds", "0.01", "--threads", "1"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith(("matmul, one row", "decode attention, bf16"))]
    assert len(rows) == 2 and all("/1" in row for row in rows), done.stdout
    subprocess.run([sys.executable, str(here / "roofline.py"), str(report), str(picture)], check=True)
    text = picture.read_text()
    assert text.startswith("<?xml") and "svg" in text[:400] and len(text) > 10000


def test_decode_attention_is_held_against_its_pages():
    line = ("attention q=bf16[2,8,64] k=bf16[256,16,2,64] v=bf16[256,16,2,64] out=bf16[2,8,64] cu_seqlens_q=i32[3] seq_lens=i32[2] "
            "block_table=i32[2,128] window_left=-1 flags=CAUSAL")
    record = records("--threads=1", line)["results"][0]
    assert record["bound"] == "pages" and record["probe"] > 0 and record["share"] > 0
