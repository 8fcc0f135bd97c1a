# SPDX-License-Identifier: Apache-2.0
"""Gates for the code objects of the ROCm backend: one line for each kernel and target, and what is wrong with it.

    python3 tests/rocm/check_code_objects.py build/backends/rocm [pattern of kernel names]

No undefined symbol, no spill, no scratch, no flat access, no indexed register; registers and LDS within the budget of
code_object_budgets.txt; matrix instructions where that file expects them. Printed as a table that fits into a README."""
import fnmatch
import re
import shutil
import subprocess
import sys
from pathlib import Path

BUDGETS = Path(__file__).resolve().parent / "code_object_budgets.txt"
FORBIDDEN = {
    "flat access": re.compile(r"^flat_(load|store|atomic)"),
    "scratch access": re.compile(r"^scratch_|^buffer_(load|store)\w*.* s\[0:3\]"),
    "indexed register": re.compile(r"^s_set_gpr_idx|^v_movrel"),
    "call": re.compile(r"^s_swappc"),
}


def tool(name):
    found = shutil.which(f"{name}-22") or shutil.which(name)
    if not found:
        print(f"no {name}")
        sys.exit(77)
    return found


def output(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def budgets():
    """Rows: kernel pattern, targets pattern, VGPRs, LDS bytes, matrix mnemonic (or -). The first that fits counts."""
    for line in BUDGETS.read_text().splitlines():
        line = line.split("#")[0].split()
        if line:
            yield line[0], line[1], int(line[2]), int(line[3]), line[4]


def kernels_of(path):
    """Name and numbers of each kernel, from the metadata note."""
    kernels, current = [], None
    for line in output(tool("llvm-readelf"), "--notes", str(path)).splitlines():
        if re.match(r"  - \.", line):
            current = {}
            kernels.append(current)
        found = re.match(r"(?:  - |    )\.(\w+):\s+(\S+)$", line)
        if found and current is not None:
            current[found.group(1)] = found.group(2)
    return kernels


def code_of(path):
    """Instructions of each function, by the addresses of the kernels' entries: the objects carry no local symbols."""
    code, name = {}, None
    for line in output(tool("llvm-objdump"), "-d", "--no-show-raw-insn", str(path)).splitlines():
        label = re.match(r"[0-9a-f]+ <(.+)>:", line)
        if label:
            name = label.group(1)
            code[name] = []
        elif name and line.startswith("\t"):
            code[name].append(line.split("//")[0].strip())
    return code


def check(path, rows):
    name, target = path.stem, path.suffixes[-2][1:] if len(path.suffixes) > 1 else path.stem.split(".")[-1]
    undefined = [s for s in output(tool("llvm-readelf"), "--dyn-syms", str(path)).splitlines() if " UND " in s and not s.rstrip().endswith("UND")]
    code = code_of(path)
    for k in kernels_of(path):
        kernel = k[".name" if ".name" in k else "name"]
        number = {key: int(k.get(key, 0)) for key in ("vgpr_count", "agpr_count", "sgpr_count", "vgpr_spill_count", "sgpr_spill_count",
                                                      "group_segment_fixed_size", "private_segment_fixed_size")}
        text = code.get(kernel, [])
        _, _, vgprs, lds, matrix = next(b for b in budgets() if fnmatch.fnmatchcase(kernel, b[0]) and fnmatch.fnmatchcase(target, b[1]))
        n_matrix = sum(1 for i in text if re.match(r"v_(mfma|smfmac|wmma)", i))
        wrong = [f"undefined {s.split()[-1]}" for s in undefined]
        wrong += [f"{key}={number[key]}" for key in ("vgpr_spill_count", "sgpr_spill_count", "private_segment_fixed_size") if number[key]]
        if not text:
            wrong.append("no code found")
        for what, pattern in FORBIDDEN.items():
            hit = next((i for i in text if pattern.match(i)), None)
            if hit:
                wrong.append(f"{what}: {hit}")
        if number["vgpr_count"] > vgprs:
            wrong.append(f"{number['vgpr_count']} VGPRs, budget {vgprs}")
        if number["group_segment_fixed_size"] > lds:
            wrong.append(f"{number['group_segment_fixed_size']} bytes of LDS, budget {lds}")
        if matrix != "-" and not any(re.match(matrix, i) for i in text):
            wrong.append(f"no {matrix}")
        if matrix == "-" and n_matrix:
            wrong.append(f"{n_matrix} matrix instructions, none expected: give them a row in {BUDGETS.name}")
        rows.append((name, target, kernel, number["vgpr_count"], number["agpr_count"], number["sgpr_count"], number["group_segment_fixed_size"],
                     len(text), n_matrix, "; ".join(wrong) or "ok"))


def main():
    folder, pattern = Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "*"
    objects = sorted(p for p in folder.glob("*.hsaco") if not p.name.startswith("probe."))
    rows = []
    for path in objects:
        check(path, rows)
    print("| kernel | target | VGPRs | AGPRs | SGPRs | LDS bytes | instructions | matrix | gates |\n|---|---|---|---|---|---|---|---|---|")
    bad = 0
    for _, target, kernel, vgprs, agprs, sgprs, lds, instructions, matrix, verdict in sorted(rows, key=lambda r: (r[2], r[1])):
        bad += verdict != "ok"
        if fnmatch.fnmatchcase(kernel, pattern):
            print(f"| `{kernel}` | {target} | {vgprs} | {agprs} | {sgprs} | {lds} | {instructions} | {matrix} | {verdict} |")
    print(f"\n{len(rows)} kernels in {len(objects)} objects, {bad} with faults")
    return 1 if bad or not rows else 0


sys.exit(main())
