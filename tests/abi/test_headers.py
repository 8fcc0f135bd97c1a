# SPDX-License-Identifier: Apache-2.0
"""The public headers as hosts use them: alone and together, in every language version, without optimisation, by every compiler here."""
import itertools
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEADERS = sorted(path.name for path in (ROOT / "abi").glob("*.h"))
WARNINGS = ["-O0", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-Wshadow", "-Wundef"]
STANDARDS = ["c11", "c17", "c2x", "c++17"]


def newest(name):
    """The plain name, or Debian's with a number."""
    if shutil.which(name):
        return shutil.which(name)
    return next((path for n in range(30, 10, -1) if (path := shutil.which(f"{name}-{n}"))), None)


COMPILERS = [(family, standard, newest(command)) for family, c, cxx in (("gcc", "gcc", "g++"), ("clang", "clang", "clang++"))
             for standard in STANDARDS for command in [cxx if "+" in standard else c]]
CASES = pytest.mark.parametrize("family, standard, compiler", COMPILERS, ids=[f"{f}-{s}" for f, s, _ in COMPILERS])


def compile_source(compiler, standard, source, output, *extra):
    if not compiler:
        pytest.skip(f"no compiler for {standard} of this family is installed")
    language = "c++" if "+" in standard else "c"
    command = [compiler, f"-std={standard}", *WARNINGS, "-I", ROOT / "abi", "-x", language, *extra, "-o", output, *source]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout[:4000]


@CASES
def test_each_header_alone(family, standard, compiler, tmp_path):
    for header in HEADERS:
        source = tmp_path / f"only_{header}.source"
        source.write_text(f'#include "{header}"\n#include "{header}"\nint main(void) {{ return 0; }}\n')
        compile_source(compiler, standard, [source], tmp_path / "object", "-c")


HOST = """
#include "tenon.h"
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
int other(const tenon_api *api);
int main(int argc, char **argv) {
    void *library = dlopen(argc > 1 ? argv[1] : "libtenon.so", RTLD_NOW);
    void *symbol = library ? dlsym(library, "tenon_get_api") : 0;
    tenon_get_api_fn get_api;
    const tenon_api *api = 0;
    uint32_t version = TENON_VERSION;
    tenon_error error;
    if (!symbol) return 2;
    memcpy(&get_api, &symbol, sizeof get_api);
    memset(&error, 0, sizeof error);
    error.struct_size = sizeof error;
    if (get_api(0, &version, &api, &error)) return puts(error.text), 3;
    return other(api);
}
"""
OTHER = """
#include "tenon.h"
#include <string.h>
int other(const tenon_api *api);
int other(const tenon_api *api) {
    tenon_matmul_args args;
    tenon_context *context = 0;
    tenon_error error;
    memset(&args, 0, sizeof args);
    memset(&error, 0, sizeof error);
    args.struct_size = sizeof args;
    error.struct_size = sizeof error;
    if (api->context_create(0, &context, &error)) return 4;
    /* every required tensor is missing: the first one is named */
    int status = tenon_matmul_call(api, context, &args, &error);
    api->context_destroy(context);
    return status == TENON_STATUS_INVALID_ARGUMENT && strstr(error.text, "matmul: a:") ? 0 : 5;
}
"""


@CASES
def test_host_of_two_units(family, standard, compiler, tmp_path):
    """Nothing in a header is defined twice, and the program runs."""
    (tmp_path / "host").write_text(HOST)
    (tmp_path / "other").write_text(OTHER)
    compile_source(compiler, standard, [tmp_path / "host", tmp_path / "other"], tmp_path / "program", "-ldl")
    library = os.environ.get("TENON_LIBRARY", ROOT / "build/libtenon.so")
    if "asan" in str(library) or "tsan" in str(library):
        pytest.skip("a sanitizer's runtime must be in the program itself")
    done = subprocess.run([tmp_path / "program", library], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout


@CASES
def test_with_the_hosts_own_dlpack(family, standard, compiler, tmp_path):
    """Whichever header comes first, there is one DLTensor."""
    include = dlpack_include()
    for number, order in enumerate(itertools.permutations(["<dlpack/dlpack.h>", '"tenon.h"'])):
        if order[0] == '"tenon.h"':
            order = ("<stdint.h>", '"tenon.h"')
        source = tmp_path / f"mixed_{number}"
        source.write_text("".join(f"#include {name}\n" for name in order) + "int main(void) { DLTensor t; tenon_matmul_args a; a.a = &t; return a.a != &t; }\n")
        extra = ["-DTENON_USE_SYSTEM_DLPACK"] if order[0] == "<stdint.h>" else []
        compile_source(compiler, standard, [source], tmp_path / "object", "-c", "-isystem", str(include), *extra)


def dlpack_include():
    tvm_ffi = pytest.importorskip("tvm_ffi", reason="the package apache-tvm-ffi, which carries dlpack.h, is not installed")
    include = Path(tvm_ffi.libinfo.find_dlpack_include_path())
    if not (include / "dlpack/dlpack.h").is_file():
        pytest.skip(f"{include} has no dlpack/dlpack.h")
    return include


DLPACK_FACTS = """
#include HEADER
#include <stddef.h>
#include <stdio.h>
#define TYPE(name) printf(#name " %zu\\n", sizeof(name));
#define MEMBER(type, name) printf(#type "." #name " %zu %zu\\n", offsetof(type, name), sizeof(((type *)0)->name));
#define NUMBER(name) printf(#name " %d\\n", (int)name);
int main(void) {
    TYPE(DLDevice) MEMBER(DLDevice, device_type) MEMBER(DLDevice, device_id)
    TYPE(DLDataType) MEMBER(DLDataType, code) MEMBER(DLDataType, bits) MEMBER(DLDataType, lanes)
    TYPE(DLTensor) MEMBER(DLTensor, data) MEMBER(DLTensor, device) MEMBER(DLTensor, ndim) MEMBER(DLTensor, dtype)
    MEMBER(DLTensor, shape) MEMBER(DLTensor, strides) MEMBER(DLTensor, byte_offset)
    NUMBERS
    return 0;
}
"""


def test_own_dlpack_is_the_real_one(tmp_path):
    """Size and offset of every member, and every number that our header names."""
    include = dlpack_include()
    own = (ROOT / "abi/tenon_dlpack.h").read_text()
    names = sorted({word for word in own.replace(",", " ").split() if word.startswith("kDL") and word.isidentifier()})
    assert len(names) >= 20
    source = tmp_path / "facts"
    source.write_text(DLPACK_FACTS.replace("NUMBERS", " ".join(f"NUMBER({name})" for name in names)))
    facts = []
    for header in ('"tenon_dlpack.h"', "<dlpack/dlpack.h>"):
        compile_source(newest("gcc") or newest("clang"), "c11", [source], tmp_path / "facts_program", f"-DHEADER={header}", "-isystem", str(include))
        facts.append(subprocess.run([tmp_path / "facts_program"], check=True, stdout=subprocess.PIPE, text=True).stdout)
    assert facts[0] == facts[1]
