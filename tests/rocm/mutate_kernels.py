# SPDX-License-Identifier: Apache-2.0
"""Faults planted into the kernels that ship: each must be caught by the problem that runs them.

    python3 tests/rocm/mutate_kernels.py build [target] [all]

A mutant is a copy of libtenon.so with one instruction of an embedded code object replaced; tenonbench compares it with the reference, in the
interpreter, with several orders of waves. Removed barriers must all be caught (but for ALIVE_BARRIERS). A removed wait or a moved bound may
change nothing (another wait covers it, no data lies at the bound): of those at least LEAST_CAUGHT must be caught. An instruction that the
problem never reaches (a trap in its place is not met) does not count. Without "all" a sample of each kind is taken."""
import os
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SEEDS = 3
SAMPLE = {"barrier": 4, "wait": 5, "bound": 3}
LEAST_CAUGHT = {"barrier": 1.0, "wait": 0.5, "bound": 0.1}
S_NOP = 0xBF800000
S_TRAP = 0xBF920002

# Barriers that change nothing: behind its last chunk a tile goes through LDS twice, each lane in places of its own.
ALIVE_BARRIERS = {"matmul_bf16_tile": 1, "matmul_fp8_tile": 1}

# Code object, and a problem that runs one of its kernels: sizes off every block, so that no bound is idle.
BF16 = "matmul a=bf16[{m},{k}] w=bf16[{n},{k}] out=bf16[{m},{n}] bias=bf16[{n}]"
FP8 = ("matmul a={t}[{m},384] a_quant.format=FP8 a_quant.group_cols=128 a_quant.scale=f32[{m},3] w={t}[{n},384] w_quant.format=FP8 w_quant.group_cols=128 "
       "w_quant.group_rows=128 w_quant.scale=f32[{r},3] out=bf16[{m},{n}]")
SUBJECTS = [
    ("matmul_bf16", BF16.format(m=5, n=20, k=4416), "gfx90a gfx942 gfx950"),
    ("matmul_bf16", BF16.format(m=27, n=20, k=4416), "gfx90a gfx942 gfx950"),
    ("matmul_bf16", BF16.format(m=75, n=140, k=320), "gfx90a gfx942 gfx950"),
    ("matmul_fp8", FP8.format(t="e4m3fnuz", m=75, n=140, r=2), "gfx942"),
    ("matmul_fp8", FP8.format(t="e4m3fn", m=75, n=140, r=2), "gfx950"),
    ("merge_states", "merge_states partial_out=f32[3,5,2,72] partial_lse=f32[3,5,2] out=bf16[5,2,72] lse=f32[5,2]", "gfx90a gfx942 gfx950"),
    ("quantize", "quantize x=bf16[4,2880] q=e4m3fn[4,2880] q_quant.format=FP8 q_quant.scale=f32[4]", "gfx90a gfx942 gfx950"),
]


def tool(name):
    found = shutil.which(f"{name}-22") or shutil.which(name)
    if not found:
        print(f"no {name}")
        sys.exit(77)
    return found


def output(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def text_section(path):
    for line in output(tool("llvm-readelf"), "-S", "--wide", str(path)).splitlines():
        found = re.search(r"\.text\s+PROGBITS\s+(\w+)\s+(\w+)", line)
        if found:
            return int(found.group(1), 16), int(found.group(2), 16)
    sys.exit(f"{path}: no code")


def instructions(path, kernels):
    """(file offset, text, first word) of every instruction of these kernels."""
    address, offset = text_section(path)
    wanted = False
    for line in output(tool("llvm-objdump"), "-d", str(path)).splitlines():
        label = re.match(r"[0-9a-f]+ <(.+)>:", line)
        if label:
            wanted = label.group(1) in kernels
        found = re.match(r"\t(.*?)\s*// ([0-9A-F]{12}): ([0-9A-F]{8})", line)
        if wanted and found:
            yield int(found.group(2), 16) - address + offset, found.group(1), int(found.group(3), 16)


def mutants(path, kernels):
    """(kind, file offset, new word, text) of what can be planted."""
    for offset, text, word in instructions(path, kernels):
        if text.startswith("s_barrier"):
            yield "barrier", offset, S_NOP, text
        elif text.startswith("s_waitcnt"):
            yield "wait", offset, S_NOP, text
        elif re.match(r"v_cmp_(lt|le|gt|ge)_[iu]32_e32", text):
            yield "bound", offset, word ^ 2 << 17, text  # strict to not strict and back


class Subject:
    def __init__(self, build, folder, library, target, object_name, problem):
        self.build, self.folder, self.library, self.target, self.problem = build, folder, library, target, problem
        self.path = build / f"backends/rocm/{object_name}.{target}.hsaco"
        self.object = self.path.read_bytes()
        self.place = library.find(self.object)
        if self.place < 0:
            sys.exit(f"{self.path.name} is not in libtenon.so")
        self.counts = folder / "counts"
        self.sound = self.passes("whole", 1)
        self.kernels = [line.split()[1] for line in self.counts.read_text().splitlines() if " launches=0 " not in line] if self.sound else []
        self.counts.unlink(missing_ok=True)
        self.counts = None

    def passes(self, name, seed, offset=None, word=None):
        path = self.folder / f"{name}.so"
        if not path.exists():
            image = bytearray(self.library)
            if offset is not None:
                at = self.place + offset
                struct.pack_into("<I", image, at, word)
            path.write_bytes(image)
        environment = {**os.environ, "TENON_BACKEND": "rocm", "TENON_STAGED_LIBRARY": str(path), "TENON_FAKE_HIP_ARCH": self.target, "TENON_FAKE_HIP_SEED": str(seed),
                       "LD_LIBRARY_PATH": str(self.build / "tests/rocm/fake_hip")}
        if self.counts:
            environment["TENON_FAKE_HIP_COUNTS"] = str(self.counts)
        command = [str(self.build / "tenonbench"), f"--lib={self.build / 'tests/gpu_staged/libtenon_staged.so'}", "--strict", "--mode=C", "--threads=1", self.problem]
        try:
            return subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=30).returncode == 0
        except subprocess.TimeoutExpired:
            return False


def survives(job):
    """None: the problem never reaches the instruction; else whether the mutant is alive."""
    subject, number, (kind, offset, word, text) = job
    name = f"mutant{number}"
    reached = not subject.passes(f"{name}.trap", 1, offset, S_TRAP)
    (subject.folder / f"{name}.trap.so").unlink()
    if not reached:
        return subject, kind, offset, text, None
    alive = all(subject.passes(name, seed, offset, word) for seed in range(1, SEEDS + 1))
    (subject.folder / f"{name}.so").unlink()
    return subject, kind, offset, text, alive


def main():
    build = Path(sys.argv[1]).resolve()
    targets = [sys.argv[2]] if len(sys.argv) > 2 and sys.argv[2] != "all" else ["gfx90a", "gfx942", "gfx950"]
    everything = "all" in sys.argv
    library, jobs, failed = (build / "libtenon.so").read_bytes(), [], 0
    choose = random.Random(int(os.environ.get("TEST_SEED", "1")))
    with tempfile.TemporaryDirectory() as folder:
        for object_name, problem, where in SUBJECTS:
            for target in targets:
                if target not in where.split():
                    continue
                subject = Subject(build, Path(folder), library, target, object_name, problem)
                if not subject.kernels:
                    print(f"{target}: does not pass as it was compiled: {problem}")
                    failed += 1
                    continue
                found = list(mutants(subject.path, subject.kernels))
                for kind, most in SAMPLE.items():
                    of_kind = [m for m in found if m[0] == kind]
                    for mutant in of_kind if everything else choose.sample(of_kind, min(most, len(of_kind))):
                        jobs.append((subject, len(jobs), mutant))
        with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
            results = list(pool.map(survives, jobs))
    print("| target | kernel | fault | planted | caught |\n|---|---|---|---|---|")
    totals = {}
    for subject, kind, offset, text, alive in results:
        if alive is None:
            continue
        row = totals.setdefault((subject.target, " ".join(subject.kernels), kind), [0, 0, []])
        row[0] += 1
        row[1] += not alive
        if alive:
            row[2].append(f"0x{offset:x} {text}")
    for (target, kernels, kind), (planted, caught, alive) in sorted(totals.items()):
        print(f"| {target} | `{kernels}` | {kind} | {planted} | {caught} |")
        for line in alive if everything or LEAST_CAUGHT[kind] == 1 else []:
            print(f"    not caught: {line}")
    for kind, least in LEAST_CAUGHT.items():
        planted = sum(row[0] for key, row in totals.items() if key[2] == kind)
        caught = sum(row[1] for key, row in totals.items() if key[2] == kind)
        print(f"{kind}: {caught} of {planted} caught")
        excused = sum(min(row[0] - row[1], ALIVE_BARRIERS.get(key[1], 0)) for key, row in totals.items() if key[2] == kind == "barrier")
        failed += bool(planted) and caught + excused < least * planted
    return 1 if failed or not totals else 0


sys.exit(main())
