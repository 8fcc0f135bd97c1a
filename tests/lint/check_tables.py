# SPDX-License-Identifier: Apache-2.0
"""One row registers a kernel: every row has its kernel, every kernel its row, and the name is the symbol."""
import re

from tree import files, report, text

rows, kernels, problems = {}, {}, []
for path in files():
    if path.parts[0] != "backends":
        continue
    if path.suffix == ".def":
        for name in re.findall(r"^TENON_KERNEL(?:_X86|_ARM)?\((\w+)\)", text(path), flags=re.M):
            if name in rows and "ref_" not in name:
                problems.append(f"{path}: {name} has a row in {rows[name]} too")
            rows[name] = path
    elif path.suffix in (".c", ".inl"):
        source = text(path)
        for name in re.findall(r"^const tenon_kernel tenon_(\w+)\s*=", source, flags=re.M):
            kernels[name] = path
            if f'"{name}"' not in source:
                problems.append(f"{path}: the kernel tenon_{name} does not carry its own name")
# A row without a kernel does not link; but its name must say where it belongs: ref_<op>, or <backend>_<op>_.. in <backend>/<op>/.
for name, path in sorted(rows.items()):
    backend, op = path.parts[1], path.parts[2]
    if name != f"ref_{op}" and not name.startswith(f"{backend}_{op}_"):
        problems.append(f"{path}: {name} should be called {backend}_{op}_..")
for name in sorted(set(kernels) - set(rows)):
    problems.append(f"{kernels[name]}: tenon_{name} has no row")
report(problems, f"{len(rows)} rows")
