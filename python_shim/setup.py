# SPDX-License-Identifier: Apache-2.0
"""The wheel carries libtenon.so: the one that TENON_LIBRARY names, or one that is built here with CMake.

Everything but the metadata is in pyproject.toml. The library does not touch Python's C API, so the wheel is for any Python 3 of the
platform: py3-none-<platform>.
"""

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py
from setuptools.dist import Distribution

ROOT = Path(__file__).resolve().parent.parent


def library(scratch):
    """Path of the library to ship."""
    given = os.environ.get("TENON_LIBRARY")
    if given:
        if not Path(given).is_file():
            sys.exit(f"TENON_LIBRARY={given} is not a file")
        return Path(given)
    if not (ROOT / "CMakeLists.txt").is_file():
        sys.exit(f"{ROOT} is not a checkout of Tenon, and TENON_LIBRARY is not set: nothing to put into the wheel")
    subprocess.run(["cmake", "-S", str(ROOT), "-B", scratch, "-DTENON_TESTS=OFF", "-DTENON_EXAMPLES=OFF"], check=True)
    subprocess.run(["cmake", "--build", scratch, "--target", "tenon", "--parallel", str(min(os.cpu_count() or 1, 8))], check=True)
    return Path(scratch) / "libtenon.so"


class BuildWithLibrary(build_py):
    def run(self):
        super().run()
        with tempfile.TemporaryDirectory(prefix="libtenon-") as scratch:
            target = Path(self.build_lib) / "tenon" / "libtenon.so"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(library(scratch), target)
            strip = shutil.which("strip")
            if strip:
                subprocess.run([strip, "--strip-debug", str(target)], check=True)


class AnyPythonWheel(bdist_wheel):
    def get_tag(self):
        return "py3", "none", super().get_tag()[2]


class PlatformDistribution(Distribution):
    def has_ext_modules(self):
        return True


# Setuptools writes its by-products beside the sources unless it is told not to.
_by_products = tempfile.mkdtemp(prefix="libtenon-")
atexit.register(shutil.rmtree, _by_products, ignore_errors=True)
setup(distclass=PlatformDistribution, cmdclass={"build_py": BuildWithLibrary, "bdist_wheel": AnyPythonWheel},
      options={"build": {"build_base": _by_products}, "egg_info": {"egg_base": _by_products}})
