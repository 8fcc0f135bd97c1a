# SPDX-License-Identifier: Apache-2.0
"""`cmake --install` gives a tree that a stranger's build can use: by find_package, by pkg-config."""
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = Path(os.environ.get("TENON_LIBRARY", ROOT / "build" / "libtenon.so")).resolve().parent
HOST = '#include "tenon.h"\nint main(void) { return TENON_VERSION == 65536 ? 0 : 1; }\n'


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    path = tmp_path_factory.mktemp("prefix")
    subprocess.run(["cmake", "--install", str(BUILD), "--prefix", str(path)], check=True, stdout=subprocess.DEVNULL)
    return path


def one(prefix, name):
    found = list(prefix.rglob(name))
    assert len(found) == 1, (name, found)
    return found[0]


def test_find_package(prefix, tmp_path):
    (tmp_path / "host.c").write_text(HOST)
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.25)\nproject(host C)\nfind_package(tenon 1.0 REQUIRED)\nadd_executable(host host.c)\n"
        'target_link_libraries(host PRIVATE tenon::headers)\nif(NOT EXISTS "${TENON_LIBRARY}")\nmessage(FATAL_ERROR "${TENON_LIBRARY}")\nendif()\n')
    subprocess.run(["cmake", "-S", str(tmp_path), "-B", str(tmp_path / "b"), f"-DCMAKE_PREFIX_PATH={prefix}"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["cmake", "--build", str(tmp_path / "b")], check=True, stdout=subprocess.DEVNULL)
    assert subprocess.run([str(tmp_path / "b" / "host")]).returncode == 0


def test_pkg_config(prefix, tmp_path):
    if not shutil.which("pkg-config"):
        pytest.skip("pkg-config is not installed")
    env = {**os.environ, "PKG_CONFIG_PATH": str(one(prefix, "tenon.pc").parent)}

    def ask(*options):
        return subprocess.run(["pkg-config", f"--define-variable=prefix={prefix}", *options, "tenon"], env=env, check=True, stdout=subprocess.PIPE, text=True).stdout.split()

    (tmp_path / "host.c").write_text(HOST)
    subprocess.run(["cc", "-std=c11", *ask("--cflags"), str(tmp_path / "host.c"), "-o", str(tmp_path / "host")], check=True)
    assert Path(ask("--variable=plugin")[0]).exists()


def test_needs_only_libc(prefix):
    dynamic = subprocess.run(["readelf", "-d", str(one(prefix, "libtenon.so"))], check=True, stdout=subprocess.PIPE, text=True).stdout
    needed = {line.split("[")[1].split("]")[0].split(".so")[0] for line in dynamic.splitlines() if "(NEEDED)" in line}
    assert needed <= {"libc", "libm", "libpthread", "libdl", "ld-linux-x86-64", "ld-linux-aarch64"}, needed
    flags = "".join(line for line in dynamic.splitlines() if "FLAGS" in line)
    assert "NOW" in flags and "NODELETE" in flags, flags
