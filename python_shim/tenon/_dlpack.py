# SPDX-License-Identifier: Apache-2.0
"""Anything that holds a tensor, as the words of a DLTensor: no copy, no import of the package that made it.

A view is written as 64-bit words into a caller's buffer, at `at`:
    data | device_type, device_id | ndim, dtype | shape pointer | strides pointer | byte_offset
with up to eight extents at words[extents:] and eight strides at words[strides:]. The pointer words are the caller's.
"""

import ctypes
import sys
from ctypes import POINTER, Structure, c_int64, c_uint32, c_uint64, c_void_p

from ._abi import DLTensor

MAX_NDIM = 8
MAX_VERSION = (1, 3)
_READ_ONLY = 1  # DLPACK_FLAG_BITMASK_READ_ONLY

# name: code, bits
TYPES = {"f16": (2, 16), "bf16": (4, 16), "f32": (2, 32), "f64": (2, 64), "e4m3fn": (10, 8), "e4m3fnuz": (11, 8),
         "e5m2": (12, 8), "e5m2fnuz": (13, 8), "e8m0": (14, 8), "e2m3": (15, 6), "e3m2": (16, 6), "e2m1": (17, 4),
         "i8": (0, 8), "u8": (1, 8), "i16": (0, 16), "u16": (1, 16), "i32": (0, 32), "u32": (1, 32), "i64": (0, 64),
         "u64": (1, 64), "bool": (6, 8)}
_TORCH_NAMES = {"float16": "f16", "bfloat16": "bf16", "float32": "f32", "float64": "f64", "float8_e4m3fn": "e4m3fn",
                "float8_e4m3fnuz": "e4m3fnuz", "float8_e5m2": "e5m2", "float8_e5m2fnuz": "e5m2fnuz",
                "float8_e8m0fnu": "e8m0", "int8": "i8", "uint8": "u8", "int16": "i16", "uint16": "u16", "int32": "i32",
                "uint32": "u32", "int64": "i64", "uint64": "u64", "bool": "bool"}
# NumPy's own export refuses the types of ml_dtypes; their names are the same as torch's.
_NUMPY_NAMES = {name: _TORCH_NAMES[name] for name in ("bfloat16", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2",
                                                      "float8_e5m2fnuz", "float8_e8m0fnu")}
_DEVICE_TYPES = {"cpu": 1, "cuda": 2, "rocm": 10}


def type_word(name, lanes=1):
    """The dtype of a DLTensor, in the upper half of its third word."""
    code, bits = TYPES[name]
    return (code | bits << 8 | lanes << 16) << 32


class TensorSpec:
    """A tensor without data: the shape that a plan is made for. strides in elements; None is compact row-major."""

    def __init__(self, shape, dtype, strides=None, device="cpu", device_id=0):
        if dtype not in TYPES:
            raise ValueError(f"dtype={dtype!r}, expected one of {', '.join(TYPES)}")
        self.shape, self.dtype, self.strides = tuple(shape), dtype, strides and tuple(strides)
        self.device, self.device_id = device, device_id

    def __repr__(self):
        return f"TensorSpec({self.shape}, {self.dtype!r}" + (f", strides={self.strides})" if self.strides else ")")


class _Managed(Structure):
    _fields_ = [("tensor", DLTensor), ("manager", c_void_p), ("deleter", c_void_p)]


class _ManagedVersioned(Structure):
    _fields_ = [("major", c_uint32), ("minor", c_uint32), ("manager", c_void_p), ("deleter", c_void_p), ("flags", c_uint64),
                ("tensor", DLTensor)]


_python = ctypes.pythonapi
_capsule_is_valid = _python.PyCapsule_IsValid
_capsule_is_valid.argtypes, _capsule_is_valid.restype = [ctypes.py_object, ctypes.c_char_p], ctypes.c_int
_capsule_pointer = _python.PyCapsule_GetPointer
_capsule_pointer.argtypes, _capsule_pointer.restype = [ctypes.py_object, ctypes.c_char_p], c_void_p


def _fill_shape(words, extents, strides, shape, steps):
    if len(shape) > MAX_NDIM:
        raise ValueError(f"a tensor of {len(shape)} dimensions; at most {MAX_NDIM}")
    for i, extent in enumerate(shape):
        words[extents + i] = extent
        words[strides + i] = steps[i]


def _compact(shape):
    steps, step = [0] * len(shape), 1
    for i in range(len(shape) - 1, -1, -1):
        steps[i] = step
        step *= max(shape[i], 1)
    return steps


def _from_spec(spec, words, at, extents, strides, written):
    steps = spec.strides if spec.strides is not None else _compact(spec.shape)
    words[at], words[at + 5] = 0, 0
    words[at + 1] = _DEVICE_TYPES[spec.device] | spec.device_id << 32
    words[at + 2] = len(spec.shape) | type_word(spec.dtype)
    _fill_shape(words, extents, strides, spec.shape, steps)
    return None


def _from_capsule(obj, words, at, extents, strides, written):
    """The unconsumed capsule is the owner: when it goes, its own destructor gives the tensor back."""
    try:
        capsule = obj.__dlpack__(max_version=MAX_VERSION)
    except TypeError:
        capsule = obj.__dlpack__()  # a producer older than DLPack 1.0
    if _capsule_is_valid(capsule, b"dltensor_versioned"):
        managed = _ManagedVersioned.from_address(_capsule_pointer(capsule, b"dltensor_versioned"))
        if managed.major != 1:
            raise BufferError(f"{type(obj).__name__}.__dlpack__ gave DLPack {managed.major}.{managed.minor}, expected 1.x")
        if written and managed.flags & _READ_ONLY:
            raise ValueError(f"a read-only {type(obj).__name__} cannot be written")
    elif _capsule_is_valid(capsule, b"dltensor"):
        managed = _Managed.from_address(_capsule_pointer(capsule, b"dltensor"))
    else:
        raise BufferError(f"{type(obj).__name__}.__dlpack__ gave a capsule that is not a DLPack tensor")
    t = managed.tensor
    shape = (c_int64 * t.ndim).from_address(t.shape)[:] if t.ndim else []
    steps = (c_int64 * t.ndim).from_address(t.strides)[:] if t.ndim and t.strides else _compact(shape)
    words[at] = t.data or 0
    words[at + 1] = t.device_type | t.device_id << 32
    words[at + 2] = t.ndim | (t.code | t.bits << 8 | t.lanes << 16) << 32
    words[at + 5] = t.byte_offset
    _fill_shape(words, extents, strides, shape, steps)
    return capsule


def _from_numpy(array, words, at, extents, strides, written):
    name = _NUMPY_NAMES.get(array.dtype.name)
    if name is None:
        return _from_capsule(array, words, at, extents, strides, written)
    if written and not array.flags.writeable:
        raise ValueError("a read-only ndarray cannot be written")
    size = array.dtype.itemsize
    if any(step % size for step in array.strides):
        raise BufferError(f"strides of {array.strides} bytes are not whole elements of {size} bytes")
    words[at] = array.__array_interface__["data"][0] if array.dtype.kind != "V" else array.ctypes.data
    words[at + 1] = 1
    words[at + 2] = array.ndim | type_word(name)
    words[at + 5] = 0
    _fill_shape(words, extents, strides, array.shape, [step // size for step in array.strides])
    return array


def _make_torch_reader(torch):
    types = {getattr(torch, name): type_word(ours) for name, ours in _TORCH_NAMES.items() if hasattr(torch, name)}
    if hasattr(torch, "float4_e2m1fn_x2"):
        types[torch.float4_e2m1fn_x2] = type_word("e2m1", lanes=2)
    gpu = 10 if torch.version.hip else 2
    devices = {}
    grad_enabled = torch.is_grad_enabled

    def device_word(device):
        kind = {"cpu": 1, "cuda": gpu}.get(device.type)
        if kind is None:
            raise ValueError(f"a tensor on device {device}; Tenon takes cpu and cuda (rocm) tensors")
        devices[device] = kind | (device.index or 0) << 32
        return devices[device]

    def from_torch(tensor, words, at, extents, strides, written):
        if tensor.requires_grad and grad_enabled():
            raise ValueError("the tensor requires a gradient, which Tenon does not compute: use torch.no_grad()")
        dtype, device, shape = types.get(tensor.dtype), tensor.device, tensor.shape
        if dtype is None:
            raise ValueError(f"torch dtype {tensor.dtype} has no DLPack type that Tenon knows")
        words[at] = tensor.data_ptr()
        words[at + 1] = devices.get(device) or device_word(device)
        words[at + 2] = len(shape) | dtype
        words[at + 5] = 0
        _fill_shape(words, extents, strides, shape, tensor.stride())
        return tensor

    return from_torch


_torch_reader = None
_readers = {TensorSpec: _from_spec}


def _find_reader(cls):
    """By type, once: torch and NumPy are recognised only if the caller has imported them already."""
    global _torch_reader
    torch, numpy = sys.modules.get("torch"), sys.modules.get("numpy")
    if torch is not None and issubclass(cls, torch.Tensor):
        if _torch_reader is None:
            _torch_reader = _make_torch_reader(torch)
        reader = _torch_reader
    elif numpy is not None and issubclass(cls, numpy.ndarray):
        reader = _from_numpy
    elif hasattr(cls, "__dlpack__"):
        reader = _from_capsule
    else:
        raise TypeError(f"expected a tensor with __dlpack__ or a tenon.TensorSpec, got {cls.__name__}")
    _readers[cls] = reader
    return reader


def read(obj, words, at, extents, strides, written=False):
    """Writes the view of obj; returns what must live as long as the view is used."""
    cls = type(obj)
    return (_readers.get(cls) or _find_reader(cls))(obj, words, at, extents, strides, written)
