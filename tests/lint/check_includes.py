# SPDX-License-Identifier: Apache-2.0
"""Who may include whom: plugin -> backend.h and common <- backends; an operation's folder never includes another's; intrinsics in their place."""
import re

from tree import C_SUFFIXES, files, report, text

INTRINSICS = re.compile(r"^(immintrin|x86intrin|arm_neon|arm_sve|cpuid|[a-z]*mmintrin|avx\w*intrin)\.h$")
ARCH_FILE = re.compile(r"_(x86|arm)_[a-z0-9]+$")
VENDOR = re.compile(r"^(cuda|hip/|hip_|nv)")
BACKENDS = {"backends/cpu", "backends/cuda", "backends/rocm", "backends/ref"}
OPS = set("attention mla_attention kv_append mla_append kv_gather merge_states moe_route moe_dispatch moe_matmul moe_combine moe matmul "
          "pack_weights unpack_weights quantize dequantize".split())

tree = [p for p in files() if p.suffix in C_SUFFIXES and "snapshot" not in p.parts]
where = {}
for p in tree:
    where.setdefault(p.name, p)


def op_folder(path):
    return path.parts[2] if len(path.parts) > 3 and path.parts[0] == "backends" and path.parts[2] in OPS else None


def complaint(path, target, header):
    top = path.parts[0]
    area = "/".join(path.parts[:2])
    arch_file = "simd" in path.parts or ARCH_FILE.search(path.stem) or path.stem == "cpu_features"
    if INTRINSICS.match(header) and not arch_file:
        return "intrinsics belong into backends/cpu/simd and *_<arch>.c"
    if VENDOR.match(header) and area not in ("backends/cuda", "backends/rocm") and top != "tests":
        return "vendor headers belong into their backend"
    if target is None:
        return None
    target_area = "/".join(target.parts[:2])
    if top == "abi" and target.parts[0] != "abi":
        return "abi/ includes the C library and itself only"
    if top == "plugin" and target.parts[0] == "backends" and target_area not in ("backends/backend.h", "backends/common"):
        return "the plugin knows backends through backend.h, and the number formats through common"
    if top == "backends" and target.parts[0] == "plugin":
        return "arrows point down: a backend does not know the plugin"
    if area == "backends/common" and target.parts[0] == "backends" and target_area not in ("backends/common", "backends/backend.h"):
        return "common depends on nothing above it"
    if area in BACKENDS and target_area in BACKENDS and area != target_area and not (area == "backends/ref" and target_area == "backends/cpu"):
        return "a backend does not know another; the reference may read the CPU's native cache"
    mine, theirs = op_folder(path), op_folder(target)
    if mine and theirs and mine != theirs:
        return f"the folder of {mine} does not include that of {theirs}: move what is shared one level up"
    if top == "examples" and target.parts[0] not in ("abi", "examples"):
        return "examples see the public headers only"
    return None


problems = []
for path in tree:
    for header in re.findall(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', text(path), flags=re.M):
        target = where.get(header.split("/")[-1])
        problem = complaint(path, target, header)
        if problem:
            problems.append(f"{path}: includes {header}: {problem}")
for path in files():
    if path.suffix == ".py" and path.parts[0] == "python_shim" and "integrations" not in path.parts and re.search(r"^\s*(import|from)\s+torch\b", text(path), flags=re.M):
        problems.append(f"{path}: imports torch; only python_shim/tenon/integrations may")
report(problems, f"{len(tree)} files")
