# SPDX-License-Identifier: Apache-2.0
"""Headers hold declarations and static inline functions only; each has its guard."""
import re

from tree import files, report, text

problems = []
# A header of a test program may hold that program's main.
headers = [p for p in files() if p.suffix == ".h" and "snapshot" not in p.parts and p.parts[0] != "tests"]
for path in headers:
    code = re.sub(r"/\*.*?\*/", " ", text(path), flags=re.S)
    code = re.sub(r"\\\n", " ", code)
    code = re.sub(r"^\s*#.*$", "", code, flags=re.M)
    # A function body at file level whose declarator does not begin with static.
    for match in re.finditer(r"^(?!static\b)([A-Za-z_][\w \t*]*?\b(\w+)\s*\([^;{}]*\))\s*\{", code, flags=re.M):
        if not re.match(r"(typedef|struct|union|enum|extern|return|if|for|while|switch|[A-Z][A-Z0-9_]+ |__attribute__)", match.group(1).strip()):
            problems.append(f"{path}: {match.group(2)} is defined here without static inline")
    if not re.search(r"^#ifndef (\w+)\n#define \1\b", text(path), flags=re.M):
        problems.append(f"{path}: no include guard")
report(problems, f"{len(headers)} headers")
