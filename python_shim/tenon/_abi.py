# SPDX-License-Identifier: Apache-2.0
"""The C side as ctypes sees it: the few fixed structs of tenon.h, and argument structs made from the library's own schema."""

import ctypes
from ctypes import (CFUNCTYPE, POINTER, Structure, c_char, c_char_p, c_float, c_int32, c_int64, c_size_t, c_uint8, c_uint16,
                    c_uint32, c_uint64, c_void_p)

from . import _library, errors

VERSION = 1 << 16  # the ABI that this package was written against


class DLTensor(Structure):
    _fields_ = [("data", c_void_p), ("device_type", c_int32), ("device_id", c_int32), ("ndim", c_int32),
                ("code", c_uint8), ("bits", c_uint8), ("lanes", c_uint16), ("shape", c_void_p), ("strides", c_void_p),
                ("byte_offset", c_uint64)]


class Error(Structure):
    _fields_ = [("struct_size", c_uint32), ("status", c_int32), ("op", c_int32), ("field", c_int32), ("text", c_char * 496)]


class Fault(Structure):
    """The slot where a kernel reports an index out of range; pass it as fault=, read code after the call."""
    _fields_ = [("code", c_int32), ("op", c_int32), ("position", c_int64), ("value", c_int64), ("limit", c_int64),
                ("reserved", c_int64 * 4)]


LOG_FN = CFUNCTYPE(None, c_void_p, c_int32, c_char_p)
ALLOCATE_FN = CFUNCTYPE(c_void_p, c_void_p, c_size_t, c_size_t)
RELEASE_FN = CFUNCTYPE(None, c_void_p, c_void_p, c_size_t, c_size_t)
PROGRESS_FN = CFUNCTYPE(None, c_void_p, c_char_p, c_uint64, c_uint64)


class Host(Structure):
    _fields_ = [("struct_size", c_uint32), ("min_version", c_uint32), ("user", c_void_p), ("allocate", ALLOCATE_FN),
                ("release", RELEASE_FN), ("log", LOG_FN), ("parallel_for", c_void_p), ("n_threads", c_int64),
                ("progress", PROGRESS_FN)]


class ChoiceInfo(Structure):
    _fields_ = [("name", c_char_p), ("value", c_int32), ("doc", c_char_p)]


class FieldInfo(Structure):
    _fields_ = [("name", c_char_p), ("kind", c_char_p), ("offset_bytes", c_uint32), ("size_bytes", c_uint32), ("types", c_char_p),
                ("shape", c_char_p), ("doc", c_char_p), ("choices", POINTER(ChoiceInfo)), ("n_choices", c_uint32),
                ("reserved", c_uint32)]


class FlagInfo(Structure):
    _fields_ = [("name", c_char_p), ("value", c_uint32), ("reserved", c_uint32), ("doc", c_char_p)]


class OpInfo(Structure):
    _fields_ = [("struct_size", c_uint32), ("op", c_int32), ("name", c_char_p), ("doc", c_char_p), ("args_size_bytes", c_uint32),
                ("n_fields", c_uint32), ("fields", POINTER(FieldInfo)), ("flags", POINTER(FlagInfo)), ("n_flags", c_uint32),
                ("reserved", c_uint32)]


class Query(Structure):
    _fields_ = [("struct_size", c_uint32), ("status", c_int32), ("traits", c_uint32), ("backend", c_int32),
                ("workspace_bytes", c_uint64), ("workspace_bytes_max", c_uint64), ("output_bytes", c_uint64),
                ("kernel", c_char * 96), ("reason", c_char * 496)]


class PlanOptions(Structure):
    _fields_ = [("struct_size", c_uint32), ("backend", c_int32), ("kernel", c_char_p)]


class ContextOptions(Structure):
    _fields_ = [("struct_size", c_uint32), ("backend", c_int32), ("host", POINTER(Host)), ("n_threads", c_int32),
                ("log_level", c_int32), ("trace_path", c_char_p), ("cpu_features", c_uint64)]


class DeviceInfo(Structure):
    _fields_ = [("struct_size", c_uint32), ("backend", c_int32), ("available", c_int32), ("device_id", c_int32),
                ("memory_bytes", c_uint64), ("features", c_uint64), ("n_units", c_int32), ("reserved", c_int32),
                ("name", c_char * 96), ("feature_text", c_char * 256), ("reason", c_char * 256)]


class KernelInfo(Structure):
    _fields_ = [("struct_size", c_uint32), ("op", c_int32), ("backend", c_int32), ("traits", c_uint32), ("available", c_int32),
                ("rank", c_int32), ("name", c_char * 96), ("checked_on", c_char * 32), ("reason", c_char * 256)]


def _fn(*arguments):
    return CFUNCTYPE(c_int32, *arguments)


_P, _E = c_void_p, POINTER(Error)
# The table of tenon.h, slot by slot. run has no argument types: a prebuilt byref() then passes without a conversion.
_API_SLOTS = [
    ("status_text", CFUNCTYPE(c_char_p, c_int32)), ("op_count", CFUNCTYPE(c_uint32)),
    ("op_info", CFUNCTYPE(POINTER(OpInfo), c_uint32)), ("quant_info", CFUNCTYPE(POINTER(OpInfo))),
    ("context_create", _fn(POINTER(ContextOptions), POINTER(_P), _E)), ("context_destroy", CFUNCTYPE(None, _P)),
    ("probe", _fn(_P, c_uint32, POINTER(DeviceInfo), _E)), ("kernel_info", _fn(_P, c_uint32, POINTER(KernelInfo), _E)),
    ("query", _fn(_P, c_int32, _P, POINTER(PlanOptions), POINTER(Query), _E)),
    ("plan_create", _fn(_P, c_int32, _P, POINTER(PlanOptions), POINTER(_P), _E)),
    ("plan_query", _fn(_P, POINTER(Query), _E)), ("plan_update", _fn(_P, _P, _E)), ("plan_destroy", CFUNCTYPE(None, _P)),
    ("run", CFUNCTYPE(c_int32)), ("run_packed", _P), ("call", _fn(_P, c_int32, _P, _E)), ("call_packed", _P),
    ("register_kernel", _P), ("closure_create", _P), ("closure_destroy", _P),
]


class Api(Structure):
    _fields_ = [("struct_size", c_uint32), ("version", c_uint32)] + _API_SLOTS


class Table:
    """The functions of the negotiated API as attributes: reading them from the struct would make a new object each time."""

    def __init__(self, api):
        self.version = api.version
        for name, _ in _API_SLOTS:
            setattr(self, name, getattr(api, name))


_table = None


def new(struct):
    """A zeroed struct that knows its own size."""
    return struct(struct_size=ctypes.sizeof(struct))


def table():
    """The negotiated function table; loads the library at the first call."""
    global _table
    if _table is None:
        library = _library.load()
        get_api = library.tenon_get_api
        get_api.restype = c_int32
        get_api.argtypes = [POINTER(Host), POINTER(c_uint32), POINTER(POINTER(Api)), _E]
        version, out, error = c_uint32(VERSION), POINTER(Api)(), new(Error)
        status = get_api(None, version, out, error)
        if status:
            raise errors.from_error(status, error)
        if out.contents.struct_size < ctypes.sizeof(Api):
            raise errors.VersionMismatch(f"the table of {_library.path()} has {out.contents.struct_size} bytes, "
                                         f"this package needs {ctypes.sizeof(Api)}")
        _table = Table(out.contents)
    return _table


_HEAD = [("struct_size", c_uint32), ("flags", c_uint32), ("ext", c_void_p)]
ARGS_HEAD = _HEAD + [("stream", c_void_p), ("workspace", c_void_p), ("workspace_bytes", c_uint64), ("fault", c_void_p)]
QUANT_HEAD = _HEAD
_SCALARS = {"i32": c_int32, "choice": c_int32, "i64": c_int64, "f32": c_float}


def struct_from_fields(name, head, fields, size_bytes):
    """A ctypes class for a field list of the library. Its layout must be the one that the C compiler made."""
    members = head + [(field.name, _SCALARS.get(field.kind, c_void_p)) for field in fields]
    cls = type(name, (Structure,), {"_fields_": members})
    for field in fields:
        at = getattr(cls, field.name)
        if (at.offset, at.size) != (field.offset_bytes, field.size_bytes):
            raise errors.VersionMismatch(f"{name}.{field.name}: offset {at.offset}, size {at.size} here; "
                                         f"{field.offset_bytes}, {field.size_bytes} in the library")
    if ctypes.sizeof(cls) != size_bytes:
        raise errors.VersionMismatch(f"{name}: {ctypes.sizeof(cls)} bytes here, {size_bytes} in the library")
    return cls
