# SPDX-License-Identifier: Apache-2.0
"""libtenon.so by ctypes, for the tests that compare it with independent sources: tensors are torch tensors, and the argument
structs are laid out as the library itself describes them (op_info). Nothing here but the plumbing of a call."""

import ctypes
import os
import pathlib

import torch

OK, INVALID_ARGUMENT, UNSUPPORTED = 0, 1, 2
_ROOT = pathlib.Path(__file__).resolve().parents[2]


class DLTensor(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("device_type", ctypes.c_int32), ("device_id", ctypes.c_int32),
                ("ndim", ctypes.c_int32), ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16),
                ("shape", ctypes.POINTER(ctypes.c_int64)), ("strides", ctypes.POINTER(ctypes.c_int64)),
                ("byte_offset", ctypes.c_uint64)]


class Error(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_uint32), ("status", ctypes.c_int32), ("op", ctypes.c_int32),
                ("field", ctypes.c_int32), ("text", ctypes.c_char * 496)]


class Fault(ctypes.Structure):
    _fields_ = [("code", ctypes.c_int32), ("op", ctypes.c_int32), ("position", ctypes.c_int64), ("value", ctypes.c_int64),
                ("limit", ctypes.c_int64), ("reserved", ctypes.c_int64 * 4)]


class Choice(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("value", ctypes.c_int32), ("doc", ctypes.c_char_p)]


class Field(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("kind", ctypes.c_char_p), ("offset_bytes", ctypes.c_uint32),
                ("size_bytes", ctypes.c_uint32), ("types", ctypes.c_char_p), ("shape", ctypes.c_char_p),
                ("doc", ctypes.c_char_p), ("choices", ctypes.POINTER(Choice)), ("n_choices", ctypes.c_uint32),
                ("reserved", ctypes.c_uint32)]


class Flag(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("value", ctypes.c_uint32), ("reserved", ctypes.c_uint32), ("doc", ctypes.c_char_p)]


class OpInfo(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_uint32), ("op", ctypes.c_int32), ("name", ctypes.c_char_p), ("doc", ctypes.c_char_p),
                ("args_size_bytes", ctypes.c_uint32), ("n_fields", ctypes.c_uint32), ("fields", ctypes.POINTER(Field)),
                ("flags", ctypes.POINTER(Flag)), ("n_flags", ctypes.c_uint32), ("reserved", ctypes.c_uint32)]


class Head(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_uint32), ("flags", ctypes.c_uint32), ("ext", ctypes.c_void_p),
                ("stream", ctypes.c_void_p), ("workspace", ctypes.c_void_p), ("workspace_bytes", ctypes.c_uint64),
                ("fault", ctypes.POINTER(Fault))]


class PlanOptions(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_uint32), ("backend", ctypes.c_int32), ("kernel", ctypes.c_char_p)]


class Query(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_uint32), ("status", ctypes.c_int32), ("traits", ctypes.c_uint32),
                ("backend", ctypes.c_int32), ("workspace_bytes", ctypes.c_uint64), ("workspace_bytes_max", ctypes.c_uint64),
                ("output_bytes", ctypes.c_uint64), ("kernel", ctypes.c_char * 96), ("reason", ctypes.c_char * 496)]


_V = ctypes.c_void_p
_SLOTS = [("status_text", ctypes.CFUNCTYPE(ctypes.c_char_p, ctypes.c_int32)), ("op_count", ctypes.CFUNCTYPE(ctypes.c_uint32)),
          ("op_info", ctypes.CFUNCTYPE(ctypes.POINTER(OpInfo), ctypes.c_uint32)), ("quant_info", _V),
          ("context_create", ctypes.CFUNCTYPE(ctypes.c_int32, _V, ctypes.POINTER(_V), ctypes.POINTER(Error))),
          ("context_destroy", ctypes.CFUNCTYPE(None, _V)), ("probe", _V), ("kernel_info", _V),
          ("query", ctypes.CFUNCTYPE(ctypes.c_int32, _V, ctypes.c_int32, _V, ctypes.POINTER(PlanOptions), ctypes.POINTER(Query),
                                     ctypes.POINTER(Error))),
          ("plan_create", ctypes.CFUNCTYPE(ctypes.c_int32, _V, ctypes.c_int32, _V, ctypes.POINTER(PlanOptions),
                                           ctypes.POINTER(_V), ctypes.POINTER(Error))),
          ("plan_query", ctypes.CFUNCTYPE(ctypes.c_int32, _V, ctypes.POINTER(Query), ctypes.POINTER(Error))),
          ("plan_update", _V), ("plan_destroy", ctypes.CFUNCTYPE(None, _V)),
          ("run", ctypes.CFUNCTYPE(ctypes.c_int32, _V, _V, ctypes.POINTER(Error)))]


class Api(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_uint32), ("version", ctypes.c_uint32)] + _SLOTS


class TenonError(Exception):
    def __init__(self, status, text):
        super().__init__(text)
        self.status = status


def _load():
    path = os.environ.get("TENON_LIBRARY", str(_ROOT / "build" / "libtenon.so"))
    get_api = ctypes.CDLL(path).tenon_get_api
    version, api, error = ctypes.c_uint32(1 << 16), ctypes.POINTER(Api)(), Error(struct_size=ctypes.sizeof(Error))
    status = get_api(None, ctypes.byref(version), ctypes.byref(api), ctypes.byref(error))
    if status:
        raise TenonError(status, error.text.decode())
    return api.contents


api = _load()
_ops = {}
for _i in range(api.op_count()):
    _info = api.op_info(_i).contents
    _ops[_info.name.decode()] = _info
_context = _V()
_error = Error(struct_size=ctypes.sizeof(Error))
if api.context_create(None, ctypes.byref(_context), ctypes.byref(_error)):
    raise TenonError(_error.status, _error.text.decode())

_CODES = {torch.float16: (2, 16), torch.float32: (2, 32), torch.bfloat16: (4, 16), torch.uint8: (1, 8), torch.int8: (0, 8),
          torch.int32: (0, 32), torch.int64: (0, 64), torch.float8_e4m3fn: (10, 8), torch.float8_e4m3fnuz: (11, 8),
          torch.float8_e5m2: (12, 8), torch.float8_e5m2fnuz: (13, 8)}


def dl_tensor(t):
    """A view of a torch tensor of any strides; the tensor must outlive it."""
    n = max(t.dim(), 1)
    code, bits = _CODES[t.dtype]
    return DLTensor(t.data_ptr(), 1, 0, t.dim(), code, bits, 1, (ctypes.c_int64 * n)(*t.shape), (ctypes.c_int64 * n)(*t.stride()), 0)


def _arguments(op, flags, fields):
    """The operation's struct, and what must stay alive beside it."""
    info = _ops[op]
    memory, keep = ctypes.create_string_buffer(info.args_size_bytes), []
    head = Head.from_buffer(memory)
    head.struct_size = info.args_size_bytes
    known = {info.flags[i].name.decode(): info.flags[i].value for i in range(info.n_flags)}
    head.flags = sum(known[name] for name in flags)
    by_name = {info.fields[i].name.decode(): info.fields[i] for i in range(info.n_fields)}
    for name, value in fields.items():
        field = by_name[name]
        kind = field.kind.decode()
        if value is None:
            continue
        if kind in ("i32", "i64", "f32", "choice"):
            if kind == "choice" and isinstance(value, str):
                value = next(field.choices[c].value for c in range(field.n_choices) if field.choices[c].name.decode() == value)
            kind_type = {"i32": ctypes.c_int32, "i64": ctypes.c_int64, "f32": ctypes.c_float, "choice": ctypes.c_int32}[kind]
            kind_type.from_buffer(memory, field.offset_bytes).value = value
        else:
            view = dl_tensor(value)
            keep.append((value, view))
            _V.from_buffer(memory, field.offset_bytes).value = ctypes.addressof(view)
    return memory, head, keep


def _raise(status, error):
    if status:
        raise TenonError(status, error.text.decode())


class Plan:
    """A plan made for the given arguments; run(...) takes all of them again."""

    def __init__(self, op, flags=(), kernel=None, **fields):
        self.op, self.flags, self.handle = op, flags, _V()
        memory, _, self._keep = _arguments(op, flags, fields)
        options = PlanOptions(ctypes.sizeof(PlanOptions), 0, kernel.encode() if kernel else None)
        error = Error(struct_size=ctypes.sizeof(Error))
        _raise(api.plan_create(_context, _ops[op].op, memory, ctypes.byref(options), ctypes.byref(self.handle),
                               ctypes.byref(error)), error)
        query = Query(struct_size=ctypes.sizeof(Query))
        _raise(api.plan_query(self.handle, ctypes.byref(query), ctypes.byref(error)), error)
        self.kernel, self.output_bytes = query.kernel.decode(), query.output_bytes
        self._workspace = torch.empty(query.workspace_bytes_max + 64, dtype=torch.uint8)
        self._workspace_bytes = query.workspace_bytes_max

    def run(self, **fields):
        """Returns the fault slot."""
        memory, head, keep = _arguments(self.op, self.flags, fields)
        fault, error = Fault(), Error(struct_size=ctypes.sizeof(Error))
        head.workspace = (self._workspace.data_ptr() + 63) // 64 * 64
        head.workspace_bytes = self._workspace_bytes
        head.fault = ctypes.pointer(fault)
        _raise(api.run(self.handle, memory, ctypes.byref(error)), error)
        del keep
        return fault

    def __del__(self):
        if self.handle:
            api.plan_destroy(self.handle)


def call(op, flags=(), kernel=None, **fields):
    return Plan(op, flags, kernel, **fields).run(**fields)


def kernels_for(op, flags=(), **fields):
    """Names of every kernel row that takes the problem, best first, each asked for by name."""
    return [name for name in _kernel_names(op) if _takes(op, flags, name, fields)]


class KernelInfo(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_uint32), ("op", ctypes.c_int32), ("backend", ctypes.c_int32), ("traits", ctypes.c_uint32),
                ("available", ctypes.c_int32), ("rank", ctypes.c_int32), ("name", ctypes.c_char * 96),
                ("checked_on", ctypes.c_char * 32), ("reason", ctypes.c_char * 256)]


def _kernel_names(op):
    call_info = ctypes.CFUNCTYPE(ctypes.c_int32, _V, ctypes.c_uint32, ctypes.POINTER(KernelInfo), ctypes.POINTER(Error))(api.kernel_info)
    names, index = [], 0
    while True:
        info = KernelInfo(struct_size=ctypes.sizeof(KernelInfo))
        if call_info(_context, index, ctypes.byref(info), None):
            return names
        if info.op == _ops[op].op and info.available:
            names.append(info.name.decode())
        index += 1


def _takes(op, flags, kernel, fields):
    try:
        Plan(op, flags, kernel, **fields)
        return True
    except TenonError as error:
        if error.status != UNSUPPORTED:
            raise
        return False
