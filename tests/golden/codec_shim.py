# SPDX-License-Identifier: Apache-2.0
"""The C codecs of backends/common as NumPy functions, through ctypes.

The shared object comes from TENON_CODEC_SHIM, or is compiled here with the C compiler.
"""

import ctypes
import os
import pathlib
import subprocess
import tempfile

import numpy as np

from dltensor import (ELEMENT, FORMAT, INVALID_ARGUMENT, OK, RECIPROCAL_GLOBAL_SCALE, ROUNDING, SWIZZLE_128X4,
                      UNSUPPORTED, quant, tensor)

ROOT = pathlib.Path(__file__).resolve().parents[2]

NUMBER = {name: value for value, name in enumerate(
    "unknown f32 f16 bf16 e4m3fn e4m3fnuz e5m2 e5m2fnuz e8m0 i8 u8 i32 i64 e2m3 e3m2 e2m1 u4".split())}
def _load():
    path = os.environ.get("TENON_CODEC_SHIM")
    if not path:
        path = os.path.join(tempfile.mkdtemp(prefix="tenon-codec-"), "codec_shim.so")
        common = ROOT / "backends" / "common"
        sources = [ROOT / "tests" / "golden" / "codec_shim.c", common / "gguf_encode.c",
                   common / "weight_view.c", common / "weight_decode.c"]
        subprocess.run(
            [os.environ.get("CC", "cc"), "-std=c11", "-O2", "-shared", "-fPIC", f"-I{ROOT / 'abi'}",
             f"-I{ROOT / 'backends'}", f"-I{common}", *map(str, sources), "-o", path, "-lm"], check=True)
    return ctypes.CDLL(path)


lib = _load()


def view(array, q):
    """(status, shape or sentence)"""
    shape, why = (ctypes.c_int64 * 3)(), ctypes.create_string_buffer(256)
    status = lib.shim_view(ctypes.byref(tensor(array)), ctypes.byref(q) if q else None, shape, why)
    return status, tuple(shape) if status == OK else why.value.decode()


def dequantize(array, q, expert=0):
    status, shape = view(array, q)
    assert status == OK, shape
    values = np.full(shape[1:], np.nan, np.float32)
    lib.shim_view_decode(ctypes.byref(tensor(array)), ctypes.byref(q) if q else None, ctypes.c_int64(expert),
                         values.ctypes.data_as(ctypes.c_void_p))
    return values


def decode(number, codes):
    values = np.empty(codes.size, np.float32)
    codes = np.ascontiguousarray(codes)
    lib.shim_decode(NUMBER[number], codes.ctypes.data_as(ctypes.c_void_p), ctypes.c_int64(codes.size),
                    values.ctypes.data_as(ctypes.c_void_p))
    return values


def encode(number, values):
    values = np.ascontiguousarray(values)
    wide = values.dtype == np.float64
    codes = np.empty(values.size, np.uint16 if number in ("f16", "bf16") else np.uint8)
    (lib.shim_encode_f64 if wide else lib.shim_encode)(
        NUMBER[number], values.ctypes.data_as(ctypes.c_void_p), ctypes.c_int64(values.size),
        codes.ctypes.data_as(ctypes.c_void_p))
    return codes


def e8m0_from_amax(amax, number, rule):
    return lib.shim_e8m0_from_amax(ctypes.c_float(amax), NUMBER[number], ROUNDING[rule])


def gguf_encode(format, values, block, block_bytes):
    values = np.ascontiguousarray(values, np.float32)
    blocks = np.zeros(values.size // block * block_bytes, np.uint8)
    lib.shim_gguf_encode(FORMAT[format], values.ctypes.data_as(ctypes.c_void_p), ctypes.c_int64(values.size),
                         blocks.ctypes.data_as(ctypes.c_void_p))
    return blocks
