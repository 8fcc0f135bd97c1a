# SPDX-License-Identifier: Apache-2.0
"""Gates for the device code of the CUDA backend: one line for each kernel and target, from what ptxas said when it was compiled.

    python3 tests/cuda/check_device_objects.py build/backends/cuda [pattern of kernel names]

No spill, no local memory; registers and static shared memory within device_object_budgets.txt. Printed as a table that fits into a README."""
import fnmatch
import re
import sys
from pathlib import Path

BUDGETS = Path(__file__).resolve().parent / "device_object_budgets.txt"


def budgets():
    """Rows: kernel pattern, target pattern, registers, static shared bytes. The first that fits counts."""
    for line in BUDGETS.read_text().splitlines():
        line = line.split("#")[0].split()
        if line:
            yield line[0], line[1], int(line[2]), int(line[3])


def kernels_of(log):
    kernel = None
    for line in log.read_text().splitlines():
        entry = re.search(r"Compiling entry function '(\w+)' for '(\w+)'", line)
        if entry:
            kernel = {"name": entry[1], "target": entry[2]}
        local = re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", line)
        if local and kernel:
            kernel["local"] = sum(map(int, local.groups()))
        used = re.search(r"Used (\d+) registers", line)
        if used and kernel:
            shared = re.search(r"(\d+) bytes smem", line)
            yield {**kernel, "registers": int(used[1]), "shared": int(shared[1]) if shared else 0}
            kernel = None


def main():
    folder, pattern = Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "*"
    logs = sorted(folder.glob("*.fatbin.txt"))
    rows = [k for log in logs for k in kernels_of(log)]
    print("| kernel | target | registers | shared bytes | gates |\n|---|---|---|---|---|")
    bad = 0
    for k in sorted(rows, key=lambda k: (k["name"], k["target"])):
        _, _, registers, shared = next(b for b in budgets() if fnmatch.fnmatchcase(k["name"], b[0]) and fnmatch.fnmatchcase(k["target"], b[1]))
        wrong = []
        if k.get("local", 1):
            wrong.append(f"{k.get('local', 'unknown')} bytes of stack and spills")
        if k["registers"] > registers:
            wrong.append(f"{k['registers']} registers, budget {registers}")
        if k["shared"] > shared:
            wrong.append(f"{k['shared']} bytes of shared memory, budget {shared}")
        bad += bool(wrong)
        if wrong or fnmatch.fnmatchcase(k["name"], pattern):
            print(f"| `{k['name']}` | {k['target']} | {k['registers']} | {k['shared']} | {'; '.join(wrong) or 'ok'} |")
    print(f"\n{len(rows)} kernels in {len(logs)} logs, {bad} with faults")
    return 1 if bad or not rows else 0


sys.exit(main())
