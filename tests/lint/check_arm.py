# SPDX-License-Identifier: Apache-2.0
"""What exists for AVX2 exists for NEON: every file, and every row of every table."""
import re

from tree import files, report, text

problems = []
names = {str(p) for p in files()}
for name in sorted(names):
    if name.startswith("backends/cpu/") and name.endswith("_x86_avx2.c"):
        twin = name.replace("_x86_avx2.c", "_arm_neon.c")
        if twin not in names:
            problems.append(f"{name}: no {twin} beside it")
rows = 0
for path in files():
    if path.suffix != ".def" or path.parts[:2] != ("backends", "cpu"):
        continue
    body = text(path)
    arm = set(re.findall(r"^TENON_KERNEL_ARM\((\w+)\)", body, flags=re.M))
    for row in re.findall(r"^TENON_KERNEL_X86\((\w+)_x86_avx2\)", body, flags=re.M):
        rows += 1
        if f"{row}_arm_neon" not in arm:
            problems.append(f"{path}: {row}_x86_avx2 has no {row}_arm_neon")
report(problems, f"{rows} rows")
