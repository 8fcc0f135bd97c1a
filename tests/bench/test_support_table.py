# SPDX-License-Identifier: Apache-2.0
"""backends/SUPPORT.md is what tenonbench --mode=S prints of this build."""
import os
import platform
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
LIBRARY = Path(os.environ.get("TENON_LIBRARY", ROOT / "build" / "libtenon.so")).resolve()


def test_support_table_is_current():
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip(f"the table in the tree is that of x86-64, this is {platform.machine()}")
    printed = subprocess.run([str(LIBRARY.parent / "tenonbench"), f"--lib={LIBRARY}", "--mode=S"], stdout=subprocess.PIPE, text=True, check=True).stdout
    assert printed == (ROOT / "backends" / "SUPPORT.md").read_text(), "run: build/tenonbench --lib=build/libtenon.so --mode=S > backends/SUPPORT.md"
