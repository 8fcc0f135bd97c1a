# SPDX-License-Identifier: Apache-2.0
"""Measures inputs/bars with one thread and with all, and prints for each kind of work the share of this machine's limit beside its bar.

    python tests/bench/bench_summary.py --bench build/tenonbench --lib build/libtenon.so --json build/bench.json
    python tests/bench/bench_summary.py --read build/bench.json      the table of an earlier run

The bars are goals, not a test: the exit code says only whether everything could be measured.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

INPUTS = Path(__file__).resolve().parent / "inputs"


def of_read(record):
    return record["share_of_read"]


def of_peak(record):
    return record["share_of_peak"]


def of_bf16_peak(record):
    """Whatever the kernel multiplies with."""
    limits = record["limits"]
    return record["share_of_peak"] * limits[f"{record['peak']}_gop_per_s"] / limits["bf16_gop_per_s"]


def of_roof(record):
    """Of the lower one of the read limit and 70 % of the peak."""
    return max(record["share_of_read"], record["share_of_peak"] / 0.7)


def of_bound(record):
    return record["share"]


# row: (what, of what, how, bar on one thread, bar on more); None: no bar, shown to know
ROWS = {
    "m1": ("matmul, one row", "read bandwidth", of_read, 0.95, 0.90),
    "m64": ("matmul, 2 to 64 rows, quantized weights", "min(read, 70% of peak)", of_roof, 0.85, 0.85),
    "m512_g32": ("matmul, 512 rows, groups of 32", "int8 peak", of_peak, 0.68, 0.68),
    "m512_g128": ("matmul, 512 rows, int4 groups of 128", "int8 peak", of_peak, 0.75, 0.75),
    "m512_i8": ("matmul, 512 rows, int8 by channel", "int8 peak", of_peak, 0.92, 0.92),
    "m512_bf16": ("matmul, 512 rows, bf16", "bf16 peak", of_peak, 0.90, 0.90),
    "m512_fp8": ("matmul, 512 rows, fp8 and NVFP4", "bf16 peak", of_bf16_peak, 0.75, 0.75),
    "m512_f16": ("matmul, 512 rows, f16", "f32 peak", of_peak, 0.92, 0.92),
    "decode_16": ("decode attention, bf16 and f16 cache", "read, same pages", of_bound, 0.80, 0.80),
    "decode_8": ("decode attention, int8 and fp8 cache", "read, same pages", of_bound, 0.70, 0.70),
    "prefill": ("prefill attention, causal", "bf16 peak", of_peak, 0.65, 0.65),
    "moe_few": ("experts, MXFP4, 1 and 32 tokens", "read bandwidth", of_read, 0.85, 0.85),
    "moe_512": ("experts, MXFP4, 512 tokens", "int8 peak", of_peak, 0.55, 0.55),
    "mla": ("latent attention, decode, 128 heads", "its bound", of_bound, 0.75, 0.75),
    "moe_fp8": ("experts, fp8, a shard of DeepSeek-R1", "its bound", of_bound, None, None),
    "small": ("SmolLM2, one token", "its bound", of_bound, None, None),
    "cache": ("cache, routing, merging, quantizing", "its bound", of_bound, None, None),
}


def measure(options, threads):
    """Runs tenonbench over the file once for each number of threads, in one call; the path of its JSON."""
    with tempfile.TemporaryDirectory() as folder:
        batch = Path(folder) / "bars"
        batch.write_text("".join(f"--threads={n} --batch={options.inputs}\n" for n in threads))
        command = [str(options.bench), f"--lib={options.lib}", "--mode=P", "--pack", f"--seconds={options.seconds}", "--report=json",
                   f"--output={options.json}", f"--batch={batch}"]
        total = sum(not line.startswith(("#", "-")) for line in Path(options.inputs).read_text().splitlines()) * len(threads)
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        while process.poll() is None:
            time.sleep(0.5)
            if sys.stderr.isatty() and options.json.exists():
                print(f"\r{options.json.read_text().count(chr(10) + chr(123))} of {total}", end="", file=sys.stderr)
        if sys.stderr.isatty():
            print("\r" + " " * 20 + "\r", end="", file=sys.stderr)
    run = json.loads(options.json.read_text())
    run["run"]["command"] = "./dev bench"
    options.json.write_text(json.dumps(run, indent=1) + "\n")


def row_and_case(record):
    row, _, case = record["label"].partition(" | ")
    return row, case


def percent(value):
    return f"{100 * value:.0f}%"


def table(run):
    """Lines of the summary."""
    head = run["run"]
    threads = sorted({limits["threads"] for limits in run["limits"]})
    lines = [f"{head['date']}, {head['cpu']}", f"{head['features']}"]
    for limits in run["limits"]:
        lines.append(f"{limits['threads']} thread{'s' if limits['threads'] > 1 else ''}: read {limits['read_gb_per_s']:.1f} GB/s, "
                     f"f32 {limits['f32_gop_per_s']:.0f}, bf16 {limits['bf16_gop_per_s']:.0f}, int8 {limits['int8_gop_per_s']:.0f} GOP/s")
    lines += ["", f"{'':<44}{'share of':<24}{'bar':>9}" + "".join(f"{f'{n} thread' + 's' * (n > 1):>20}" for n in threads)]
    below, failed = [], []
    limits_of = {limits["threads"]: limits for limits in run["limits"]}
    for record in run["results"]:
        record["limits"] = limits_of[record["threads"]]
    for row, (what, unit, share, one, more) in ROWS.items():
        cells, bars = "", [one if n == 1 else more for n in threads]
        for n, bar in zip(threads, bars):
            mine = [r for r in run["results"] if r["threads"] == n and row_and_case(r)[0] == row]
            found = [(share(r), r) for r in mine if r["status"] == "MEASURED"]
            failed += [r for r in mine if r["status"] != "MEASURED"]
            if not found:
                cells += f"{'-':>20}"
                continue
            shares = sorted(s for s, _ in found)
            span = percent(shares[0]) if len(shares) == 1 else f"{percent(shares[0])}..{percent(shares[-1])}"
            cells += f"{span:>12}"
            if bar is None:
                cells += " " * 8
                continue
            reached = sum(s >= bar for s in shares)
            cells += f"{f'{reached}/{len(shares)}':>7}" + (" " if reached == len(shares) else "*")
            below += [(row, n, bar, s, r) for s, r in found if s < bar]
        bar = "" if one is None else percent(one) if one == more else f"{percent(one)}/{percent(more)}"
        lines.append(f"{what:<44}{unit:<24}{bar:>9}{cells}")
    if below:
        lines += ["", "* below the bar:"]
        for row, n, bar, s, r in below:
            disturbed = "  disturbed" if r["disturbed"] else ""
            lines.append(f"  {percent(s):>5} of {percent(bar):<5}{n} thread{'s' * (n > 1):<2} {row_and_case(r)[1]:<46}{r['us']:>10.0f} us  {r['kernel']}{disturbed}")
    for r in failed:
        lines.append(f"  not measured, {r['status']}: {r['label']}: {r['detail']}")
    return lines, bool(failed)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", type=Path)
    parser.add_argument("--lib", type=Path)
    parser.add_argument("--inputs", type=Path, default=INPUTS / "bars")
    parser.add_argument("--threads", type=int, nargs="*", default=sorted({1, len(os.sched_getaffinity(0))}))
    parser.add_argument("--seconds", type=float, default=0.4)
    parser.add_argument("--json", type=Path, default=Path("bench.json"))
    parser.add_argument("--read", type=Path, help="print the table of this report and measure nothing")
    options = parser.parse_args()
    if not options.read:
        options.inputs = options.inputs.resolve()
        measure(options, options.threads)
    lines, failed = table(json.loads((options.read or options.json).read_text()))
    print("\n".join(lines))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
