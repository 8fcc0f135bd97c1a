# SPDX-License-Identifier: Apache-2.0
"""pip makes a wheel with the library inside, and a Python that has nothing else can use it."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
import sys, tenon
from array import array
assert "site-packages" in tenon.__file__, tenon.__file__
from tenon import _library
assert _library.path().parent.name == "tenon", _library.path()
plan = tenon.plan("merge_states", partial_out=tenon.TensorSpec((2, 1, 1, 4), "f32"), partial_lse=tenon.TensorSpec((2, 1, 1), "f32"),
                  out=tenon.TensorSpec((1, 1, 4), "f32"))
partial, lse, out = array("f", [1, 2, 3, 4, 3, 4, 5, 6]), array("f", [0, 0]), array("f", bytes(16))
call = plan.prepare()
for name, memory in (("partial_out", partial), ("partial_lse", lse), ("out", out)):
    call.words[call.pointer_place(name)] = memory.buffer_info()[0]
call()
assert list(out) == [2, 3, 4, 5], list(out)
assert not {"numpy", "torch"} & set(sys.modules)
print("fine")
"""


@pytest.mark.slow
def test_wheel_builds_and_works_alone(tmp_path):
    from tenon import _library
    env = dict(os.environ, TENON_LIBRARY=str(_library.path()))
    made = subprocess.run([sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", str(tmp_path), str(ROOT / "python_shim")],
                          env=env, capture_output=True, text=True)
    if made.returncode and "bdist_wheel" in made.stderr and "No module named" in made.stderr:
        pytest.skip("setuptools >= 70.1 is not installed here")
    assert made.returncode == 0, made.stdout + made.stderr
    wheel, = tmp_path.glob("libtenon-*.whl")
    assert "-py3-none-linux_" in wheel.name
    names = zipfile.ZipFile(wheel).namelist()
    assert "tenon/libtenon.so" in names and "tenon/integrations/transformers.py" in names
    assert wheel.stat().st_size < 64 << 20
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    subprocess.run([str(venv / "bin" / "pip"), "install", "-q", "--no-index", str(wheel)], check=True)
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "TENON_LIBRARY")}
    said = subprocess.run([str(venv / "bin" / "python"), "-c", PROGRAM], cwd=tmp_path, env=clean, capture_output=True, text=True)
    assert said.stdout.strip() == "fine", said.stdout + said.stderr
    assert not (ROOT / "python_shim" / "build").exists() and not list((ROOT / "python_shim").glob("*.egg-info"))
