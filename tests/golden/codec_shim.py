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

ROOT = pathlib.Path(__file__).resolve().parents[2]

NUMBER = {name: value for value, name in enumerate(
    "unknown f32 f16 bf16 e4m3fn e4m3fnuz e5m2 e5m2fnuz e8m0 i8 u8 i32 i64 e2m3 e3m2 e2m1 u4".split())}
FORMAT = {name: value for value, name in enumerate(
    "NONE FP8 INT8 INT4 INT4_GPTQ INT4_GPTQ_V2 INT4_AWQ INT4_CT INT8_CT MXFP4 MXFP6_E2M3 MXFP6_E3M2 MXFP8 "
    "NVFP4 GGUF_Q4_0 GGUF_Q4_1 GGUF_Q8_0 GGUF_Q4_K GGUF_Q6_K PACKED".split())}
ELEMENT = {"e4m3fn": 1, "e4m3fnuz": 2, "e5m2": 3, "e5m2fnuz": 4}
ROUNDING = {"FLOOR": 0, "CEIL": 1, "EVEN": 2, "NEAREST": 3}
SWIZZLE_128X4 = 1
RECIPROCAL_GLOBAL_SCALE = 1
OK, INVALID_ARGUMENT, UNSUPPORTED = 0, 1, 2


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


class DLDevice(ctypes.Structure):
    _fields_ = [("device_type", ctypes.c_int32), ("device_id", ctypes.c_int32)]


class DLDataType(ctypes.Structure):
    _fields_ = [("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16)]


class DLTensor(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("device", DLDevice), ("ndim", ctypes.c_int32), ("dtype", DLDataType),
                ("shape", ctypes.POINTER(ctypes.c_int64)), ("strides", ctypes.POINTER(ctypes.c_int64)),
                ("byte_offset", ctypes.c_uint64)]


class Quant(ctypes.Structure):
    _fields_ = ([("struct_size", ctypes.c_uint32), ("flags", ctypes.c_uint32), ("ext", ctypes.c_void_p)] +
                [(name, ctypes.c_int32) for name in
                 "format element scale_layout group_cols group_rows scale_rounding".split()] +
                [("rows", ctypes.c_int64), ("cols", ctypes.c_int64)] +
                [(name, ctypes.POINTER(DLTensor)) for name in "scale zero_point global_scale group_index".split()])


_CODES = {"float32": (2, 32), "float16": (2, 16), "uint8": (1, 8), "int8": (0, 8), "int32": (0, 32),
          "int64": (0, 64), "bfloat16": (4, 16), "float8_e4m3fn": (10, 8), "float8_e4m3fnuz": (11, 8),
          "float8_e5m2": (12, 8), "float8_e5m2fnuz": (13, 8), "float8_e8m0fnu": (14, 8)}


def tensor(array):
    """A DLTensor over a NumPy array of any strides; the array must outlive it."""
    code, bits = _CODES[array.dtype.name]
    dims = array.ndim
    view = DLTensor()
    view.data = array.ctypes.data
    view.device = DLDevice(1, 0)
    view.ndim = dims
    view.dtype = DLDataType(code, bits, 1)
    view.shape = (ctypes.c_int64 * max(dims, 1))(*array.shape)
    view.strides = (ctypes.c_int64 * max(dims, 1))(*[s // array.itemsize for s in array.strides])
    view.keep = array
    return view


def quant(format, **fields):
    made = Quant(struct_size=ctypes.sizeof(Quant), format=FORMAT[format])
    made.keep = []
    for name, value in fields.items():
        if isinstance(value, np.ndarray):
            view = tensor(value)
            made.keep.append(view)
            value = ctypes.pointer(view)
        setattr(made, name, value)
    return made


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
