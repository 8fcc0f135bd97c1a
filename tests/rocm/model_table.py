# SPDX-License-Identifier: Apache-2.0
"""What published machines would need for each kernel of the ROCm backend: a Markdown table. Modelled from the interpreter's counts, never measured.

    python3 tests/rocm/model_table.py build [batch file, default tests/bench/inputs/modelled_rocm]"""
import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGETS = {"gfx942": "MI300X", "gfx950": "MI355X"}
DETAIL = re.compile(r"modelled (?P<machine>\S+): (?P<us>[\d.]+) us, (?P<share>[\d.]+)% of the roofline \((?P<roof>\w+)\), bound by (?P<bound>\w+); us:(?P<terms>.*?);"
                    r" (?P<bytes>[\d.]+) of the least bytes, \d+ workgroups, LDS conflicts (?P<conflicts>[\d.]+), (?P<waves>\d+) waves")


def results(build, batch, target):
    environment = {**os.environ, "TENON_BACKEND": "rocm", "TENON_STAGED_LIBRARY": str(build / "libtenon.so"), "TENON_FAKE_HIP_ARCH": target,
                   "LD_LIBRARY_PATH": str(build / "tests/rocm/fake_hip")}
    command = [str(build / "tenonbench"), f"--lib={build / 'tests/gpu_staged/libtenon_staged.so'}", "--mode=M", "--report=json", f"--batch={batch}"]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return json.loads(done.stdout)["results"]


def cell(result):
    found = DETAIL.match(result["detail"])
    if not found:
        return None
    terms = dict(zip(*[iter(found["terms"].split())] * 2))
    second = sorted((float(us), name) for name, us in terms.items() if name != found["bound"])[-1]
    return f"{found['us']} | {float(found['share']):.0f} % of {found['roof']} | {found['bound']}, then {second[1]} {second[0]:.1f}"


def main():
    build = Path(sys.argv[1]).resolve()
    batch = sys.argv[2] if len(sys.argv) > 2 else str(ROOT / "tests/bench/inputs/modelled_rocm")
    columns = {target: results(build, batch, target) for target in TARGETS}
    print("| problem | " + " | ".join(f"{name}, us | share of the roofline | bound by" for name in TARGETS.values()) + " |")
    print("|---" * (1 + 3 * len(TARGETS)) + "|")
    shown = declined = 0
    for row in zip(*columns.values()):
        cells = [cell(result) for result in row]
        declined += not any(cells)
        shown += any(cells)
        if any(cells):
            print(f"| {row[0]['label']} | " + " | ".join(c or "no kernel | |" for c in cells) + " |")
    print(f"\nModelled, never measured. {shown} problems; {declined} have no kernel yet.")


main()
