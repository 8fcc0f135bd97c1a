# SPDX-License-Identifier: Apache-2.0
"""The contract against its frozen versions in abi/snapshot: layouts, numbers, export list, and libabigail's view of the library.

The version that the headers name must be as it was frozen; every older one must be a strict prefix of what there is now."""
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SNAPSHOT = ROOT / "abi/snapshot"
LIBRARY = Path(os.environ.get("TENON_LIBRARY", ROOT / "build/libtenon.so"))
HEADER = (ROOT / "abi/tenon_base.h").read_text()
CURRENT = tuple(int(re.search(rf"#define TENON_VERSION_{part} +(\d+)", HEADER).group(1)) for part in ("MAJOR", "MINOR"))
FROZEN = sorted(tuple(map(int, path.stem.removeprefix("tenon-").split("."))) for path in SNAPSHOT.glob("tenon-*.layout"))
UPDATE = "run abi/snapshot/update.sh and say in abi/CHANGELOG.md what changed"


def frozen(version, suffix):
    return SNAPSHOT / f"tenon-{version[0]}.{version[1]}{suffix}"


def parse_layout(text):
    """Name of each struct or list, to its size (None for a list) and its members in order."""
    groups = {}
    for line in text.splitlines():
        if size := re.fullmatch(r"(\w+) size (\d+)", line):
            members = groups.setdefault(size[1], [int(size[2]), []])[1]
        elif title := re.fullmatch(r"enum (.+)", line):
            members = groups.setdefault(f"enum {title[1]}", [None, []])[1]
        else:
            members.append(line)
    return groups


def prefix_violations(old, new):
    """What of the old layout the new one does not keep."""
    found = []
    for name, (size, members) in old.items():
        if name not in new:
            found.append(f"{name} is gone")
            continue
        now_size, now_members = new[name]
        if size is not None and now_size < size:
            found.append(f"{name} shrank from {size} to {now_size} bytes")
        if now_members[:len(members)] != members:
            found.append(f"{name}: {[m for m in members if m not in now_members] or 'another order'}")
    return found


@pytest.fixture(scope="module")
def layout():
    program = LIBRARY.parent / "abi_layout"
    done = subprocess.run([program], env=dict(os.environ, TENON_LIBRARY=str(LIBRARY)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def exports():
    text = subprocess.run(["nm", "-D", "--defined-only", LIBRARY], check=True, stdout=subprocess.PIPE, text=True).stdout
    rows = [line.split() for line in text.splitlines()]
    return sorted(row[2].split("@")[0] for row in rows if row[1] != "A")


def test_current_version_is_frozen():
    assert CURRENT in FROZEN, f"version {CURRENT} has no snapshot: {UPDATE}"


def test_frozen_headers_are_whole():
    """Hosts are built against them by tests/abi/CMakeLists.txt; here only that none is missing."""
    for version in FROZEN:
        assert {"tenon.h", "tenon_base.h", "tenon_dlpack.h"} <= {path.name for path in frozen(version, "").glob("*.h")}


@pytest.mark.parametrize("version", FROZEN)
def test_layout(layout, version):
    old = frozen(version, ".layout").read_text()
    assert not prefix_violations(parse_layout(old), parse_layout(layout))
    if version == CURRENT:
        assert layout == old, UPDATE


def test_prefix_rule_finds_what_breaks_a_host():
    old = parse_layout("s size 16\ns.a 0 4\ns.b 8 8\nenum e\nX 0\nY 1\n")
    assert not prefix_violations(old, parse_layout("s size 24\ns.a 0 4\ns.b 8 8\ns.c 16 8\nenum e\nX 0\nY 1\nZ 2\n"))
    for text in ("enum e\nX 0\nY 1\n", "s size 16\ns.b 0 8\ns.a 8 4\nenum e\nX 0\nY 1\n", "s size 16\ns.a 0 4\ns.n 4 4\ns.b 8 8\nenum e\nX 0\nY 1\n",
                 "s size 8\ns.a 0 4\ns.b 4 4\nenum e\nX 0\nY 1\n", "s size 16\ns.a 0 4\ns.b 8 8\nenum e\nY 0\nX 1\n"):
        assert prefix_violations(old, parse_layout(text)), text


@pytest.mark.parametrize("version", FROZEN)
def test_exports(exports, version):
    old = frozen(version, ".symbols").read_text().split()
    assert set(old) <= set(exports)
    if version == CURRENT:
        assert exports == old, UPDATE


def test_exports_are_the_entry_and_the_adapters(exports, layout):
    operations = [line.split()[0] for line in layout.split("enum op\n")[1].splitlines()]
    assert len(operations) >= 16
    assert sorted(["tenon_get_api", *(f"__tvm_ffi_{kind}{op}" for op in operations for kind in ("", "_doc_", "_metadata_"))]) == exports


def test_dependencies():
    text = subprocess.run(["readelf", "-d", LIBRARY], check=True, stdout=subprocess.PIPE, text=True).stdout
    needed = set(re.findall(r"NEEDED.*\[(.+)\]", text))
    if any(re.match(r"lib(asan|ubsan|tsan)", name) for name in needed):
        pytest.skip("an instrumented library needs its runtime")
    assert needed <= {"libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}
    assert "NODELETE" in text and "NOW" in text and "RPATH" not in text and "RUNPATH" not in text


def test_abidiff(tmp_path):
    baseline = frozen(CURRENT, ".abi")
    if not shutil.which("abidiff"):
        pytest.skip("abidiff (package abigail-tools) is not installed")
    machine = re.search(r"architecture='([^']+)'", baseline.read_text())[1]
    if machine != "elf-amd-x86_64" or os.uname().machine != "x86_64":
        pytest.skip(f"the baseline was taken on {machine}")
    # Without debug information abidiff finds no difference between anything.
    assert ".debug_info" in subprocess.run(["readelf", "-S", LIBRARY], check=True, stdout=subprocess.PIPE, text=True).stdout

    def differences(path):
        # With --headers-dir and --drop-private-types it filters real changes of the table, too; handles are suppressed by name instead.
        command = ["abidiff", "--harmless", "--suppressions", SNAPSHOT / "private_types.suppr", path, LIBRARY]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return done.returncode, done.stdout[:4000]

    status, text = differences(baseline)
    assert status == 0, text + UPDATE
    # And it does look: a member of another name behind the table's function pointers is a difference.
    other = tmp_path / "other.abi"
    other.write_text(baseline.read_text().replace("name='min_version'", "name='another'"))
    assert differences(other)[0] != 0


def test_changelog_names_the_version():
    assert f"## {CURRENT[0]}.{CURRENT[1]}" in (ROOT / "abi/CHANGELOG.md").read_text()
