# SPDX-License-Identifier: Apache-2.0
"""First lines, unfinished words, and text that speaks of a machine instead of the project."""
import re

from tree import CODE_SUFFIXES, files, report, text

UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")
# Written in halves, so that the pattern does not find itself.
PLACES = re.compile(r"(?<![\w.])/(wo" r"rk|ro" r"ot|ho" r"me|tmp/[a-z_]+)/|d" r"eb\.debian\.|py" r"pi\.o|pyth" r"onhosted|regis" r"try\.npm")
TOP_LEVEL = re.compile(r"^(\..*|CMakeLists\.txt|CMakePresets\.json|LICENSE|README\.md|CONTRIBUTING\.md|dev|abi|plugin|backends|python_shim|tests|examples)$")

problems = []
for path in files():
    if not TOP_LEVEL.match(path.parts[0]):
        problems.append(f"{path}: does not belong at the top level")
    if path.suffix not in CODE_SUFFIXES | {".md", ".txt", ".cmake", ".toml", ".json"} and path.name not in ("dev", "run"):
        continue
    body = text(path)
    if path.suffix in CODE_SUFFIXES and "snapshot" not in path.parts and "SPDX-License-Identifier: Apache-2.0" not in "\n".join(body.splitlines()[:2]):
        problems.append(f"{path}: no SPDX line at the top")
    for number, line in enumerate(body.splitlines(), 1):
        if path.name == "check_text.py":
            continue
        if UNFINISHED.search(line):
            problems.append(f"{path}:{number}: unfinished: {line.strip()[:80]}")
        if PLACES.search(line):
            problems.append(f"{path}:{number}: a place of some machine: {line.strip()[:80]}")
        if len(line) > 180 and path.suffix in CODE_SUFFIXES:
            problems.append(f"{path}:{number}: {len(line)} characters in a line")
report(problems, "clean")
