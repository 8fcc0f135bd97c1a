# SPDX-License-Identifier: Apache-2.0
"""DLTensor and tenon_quant over NumPy arrays, for the golden tests."""

import ctypes

import numpy as np

FORMAT = {name: value for value, name in enumerate(
    "NONE FP8 INT8 INT4 INT4_GPTQ INT4_GPTQ_V2 INT4_AWQ INT4_CT INT8_CT MXFP4 MXFP6_E2M3 MXFP6_E3M2 MXFP8 "
    "NVFP4 GGUF_Q4_0 GGUF_Q4_1 GGUF_Q8_0 GGUF_Q4_K GGUF_Q6_K PACKED".split())}
ELEMENT = {"e4m3fn": 1, "e4m3fnuz": 2, "e5m2": 3, "e5m2fnuz": 4}
ROUNDING = {"FLOOR": 0, "CEIL": 1, "EVEN": 2, "NEAREST": 3}
SWIZZLE_128X4 = 1
RECIPROCAL_GLOBAL_SCALE = 1
OK, INVALID_ARGUMENT, UNSUPPORTED = 0, 1, 2


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
