# SPDX-License-Identifier: Apache-2.0
"""What README.md shows must compile, run, and print what it says."""
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
LIBRARY = Path(os.environ.get("TENON_LIBRARY", ROOT / "build" / "libtenon.so")).resolve()


def block(language):
    return re.search(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.S).group(1)


def test_c_host(tmp_path):
    source, program = tmp_path / "host.c", tmp_path / "host"
    source.write_text(block("c"))
    subprocess.run(["cc", "-std=c11", "-Wall", "-Werror", f"-I{ROOT / 'abi'}", str(source), "-o", str(program), "-ldl"], check=True)
    done = subprocess.run([str(program)], env={**os.environ, "LD_LIBRARY_PATH": str(LIBRARY.parent)}, stdout=subprocess.PIPE, text=True)
    assert done.returncode == 0 and done.stdout == "1 2 7\n", done.stdout


def test_python_host(tmp_path):
    source = tmp_path / "host.py"
    source.write_text(block("python") + "\nassert np.allclose(out, a @ w.T, atol=1e-6)\n")
    done = subprocess.run([sys.executable, str(source)], env={**os.environ, "PYTHONPATH": str(ROOT / "python_shim")}, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0 and done.stdout == "matmul: out: n=2, but w has n=3\n", done.stdout
