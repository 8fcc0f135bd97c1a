# SPDX-License-Identifier: Apache-2.0
"""Small files: half under 200 lines, nine in ten under 500, none over 1,000."""
from tree import CODE_SUFFIXES, files, report, text

sizes = sorted((text(p).count("\n"), str(p)) for p in files() if p.suffix in CODE_SUFFIXES and not str(p).startswith("abi/snapshot/"))
problems = [f"{p}: {n} lines, at most 1000" for n, p in sizes if n > 1000]
p50, p90 = (sizes[int(len(sizes) * q)][0] for q in (0.5, 0.9))
if p50 > 200:
    problems.append(f"half of the files must be under 200 lines; the median is {p50}")
if p90 > 500:
    problems.append(f"nine in ten files must be under 500 lines; that one has {p90}")
report(problems, f"{len(sizes)} files: p50 {p50}, p90 {p90}, max {sizes[-1][0]} lines ({sizes[-1][1]})")
