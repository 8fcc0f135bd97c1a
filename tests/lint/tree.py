# SPDX-License-Identifier: Apache-2.0
"""What the lint scripts share: the files of the tree, and one way to report."""
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
C_SUFFIXES = {".c", ".h", ".inl", ".cu", ".cuh", ".def"}
CODE_SUFFIXES = C_SUFFIXES | {".py", ".sh"}


def files():
    """Paths of the tree relative to its root: tracked ones, and new ones that git does not ignore."""
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    return sorted(Path(line) for line in set(out.splitlines()) if (ROOT / line).is_file())


def text(path):
    return (ROOT / path).read_text(encoding="utf-8", errors="replace")


def report(problems, passed):
    for problem in problems:
        print(problem)
    print(f"{len(problems)} problems" if problems else passed)
    sys.exit(1 if problems else 0)
