# SPDX-License-Identifier: Apache-2.0
"""Names: unique base names, no words that say "another attempt", no identifiers that C reserves."""
import re
from collections import defaultdict

from tree import C_SUFFIXES, CODE_SUFFIXES, files, report, text

SAME_NAME_ALLOWED = {"CMakeLists.txt", "README.md", "__init__.py", "__main__.py", "conftest.py"}
ATTEMPT_WORDS = re.compile(r"(^|_)(v2|v3|fast|new|old|opt|tmp|misc|util|utils|final)(_|$)")
# Identifiers with two underscores that a compiler or a contract gives; all others are reserved.
GIVEN = re.compile(
    r"^(__builtin_|__atomic_|__ATOMIC_|__attribute__|__asm__|__volatile__|__extension__|__restrict|__func__|__VA_ARGS__|__FILE__|__LINE__|"
    r"__cplusplus|__STDC|__has_|__GNUC__|__clang|__OPTIMIZE__|__SANITIZE|__BYTE_ORDER__|__ORDER_|__linux__|__NR_|__libc_|"
    r"__AMDGCN__|__GFX\d+__|__gfx\w+__|__scoped_atomic_|__MEMORY_SCOPE_|__bf16|"
    r"__x86_64__|__i386__|__aarch64__|__AVX|__SSE|__BMI|__FMA|__F16C|__ARM|__get_cpuid|__m\d+|__mmask|__int128|__tvm_ffi_)")

# CUDA's own keywords and functions, in device code.
GIVEN_BY_CUDA = re.compile(r"^__(CUDACC__|CUDA_ARCH\w*|global__|device__|shared__|align__|forceinline__|launch_bounds__|grid_constant__|sync\w+|shfl_\w+|"
                           r"ballot_sync|popc|popcll|ffs|clz|\w+_as_\w+|threadfence\w*|activemask|any_sync|all_sync|reduce_\w+|cvta_\w+|nanosleep|ldg|ld\w\w|st\w\w)$")

problems = []
by_name = defaultdict(list)
for path in files():
    if path.parts[0] == "abi" and "snapshot" in path.parts:
        continue
    by_name[path.name].append(str(path))
    if path.suffix in CODE_SUFFIXES and ATTEMPT_WORDS.search(path.stem):
        problems.append(f"{path}: the name says it is another attempt; a better kernel replaces the old one")
    if path.suffix in C_SUFFIXES:
        code = re.sub(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\])*\"", " ", text(path), flags=re.S)
        for word in sorted(set(re.findall(r"\b__\w+", code))):
            on_cuda = path.parts[:2] in (("backends", "gpu"), ("backends", "cuda")) and GIVEN_BY_CUDA.match(word)
            if not GIVEN.match(word) and not on_cuda and not (path.parts[0] == "tests" and word.startswith("__")):
                problems.append(f"{path}: {word} is a reserved identifier")
for name, paths in by_name.items():
    if len(paths) > 1 and name not in SAME_NAME_ALLOWED and not name.startswith("."):
        problems.append(f"{name}: {len(paths)} files of this name: {', '.join(paths)}")
report(problems, f"{len(by_name)} names")
