# SPDX-License-Identifier: Apache-2.0
"""libtenon.so as a host in Python calls it, with structs laid out by the library's own schema.

TENON_LIBRARY names the file; build/libtenon.so is the default.
"""

import ctypes
import os
import pathlib

import numpy as np

from dltensor import DLTensor, quant, tensor

P = ctypes.c_void_p
SLOTS = ("status_text op_count op_info quant_info context_create context_destroy probe kernel_info query plan_create plan_query "
         "plan_update plan_destroy run run_packed call call_packed register_kernel closure_create closure_destroy").split()


class FieldInfo(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("kind", ctypes.c_char_p), ("offset_bytes", ctypes.c_uint32),
                ("size_bytes", ctypes.c_uint32), ("types", ctypes.c_char_p), ("shape", ctypes.c_char_p),
                ("doc", ctypes.c_char_p), ("choices", P), ("n_choices", ctypes.c_uint32), ("reserved", ctypes.c_uint32)]


class OpInfo(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_uint32), ("op", ctypes.c_int32), ("name", ctypes.c_char_p), ("doc", ctypes.c_char_p),
                ("args_size_bytes", ctypes.c_uint32), ("n_fields", ctypes.c_uint32), ("fields", ctypes.POINTER(FieldInfo)),
                ("flags", P), ("n_flags", ctypes.c_uint32), ("reserved", ctypes.c_uint32)]


class Error(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_uint32), ("status", ctypes.c_int32), ("op", ctypes.c_int32), ("field", ctypes.c_int32),
                ("text", ctypes.c_char * 496)]


class Query(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_uint32), ("status", ctypes.c_int32), ("traits", ctypes.c_uint32), ("backend", ctypes.c_int32),
                ("workspace_bytes", ctypes.c_uint64), ("workspace_bytes_max", ctypes.c_uint64), ("output_bytes", ctypes.c_uint64),
                ("kernel", ctypes.c_char * 96), ("reason", ctypes.c_char * 496)]


class KernelInfo(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_uint32), ("op", ctypes.c_int32), ("backend", ctypes.c_int32), ("traits", ctypes.c_uint32),
                ("available", ctypes.c_int32), ("rank", ctypes.c_int32), ("name", ctypes.c_char * 96),
                ("checked_on", ctypes.c_char * 32), ("reason", ctypes.c_char * 256)]


class PlanOptions(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_uint32), ("backend", ctypes.c_int32), ("kernel", ctypes.c_char_p)]


class Fault(ctypes.Structure):
    _fields_ = [("code", ctypes.c_int32), ("op", ctypes.c_int32), ("position", ctypes.c_int64), ("value", ctypes.c_int64),
                ("limit", ctypes.c_int64), ("reserved", ctypes.c_int64 * 4)]


class TenonError(Exception):
    def __init__(self, status, text):
        super().__init__(text)
        self.status = status


def aligned(count, dtype=np.uint8):
    """An empty array on a 64-byte boundary."""
    size = count * np.dtype(dtype).itemsize
    raw = np.empty(size + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start:start + size].view(dtype)


class Host:
    def __init__(self):
        root = pathlib.Path(__file__).resolve().parents[2]
        self.lib = ctypes.CDLL(os.environ.get("TENON_LIBRARY", str(root / "build" / "libtenon.so")))
        self.error = Error(struct_size=ctypes.sizeof(Error))
        version, table = ctypes.c_uint32(1 << 16), P()
        self._check(self.lib.tenon_get_api(None, ctypes.byref(version), ctypes.byref(table), ctypes.byref(self.error)))
        pointers = ctypes.cast(table.value + 8, ctypes.POINTER(P))
        self._slot = {name: pointers[i] for i, name in enumerate(SLOTS)}
        op_info = ctypes.CFUNCTYPE(ctypes.POINTER(OpInfo), ctypes.c_uint32)(self._slot["op_info"])
        count = ctypes.CFUNCTYPE(ctypes.c_uint32)(self._slot["op_count"])()
        self.ops = {op_info(i).contents.name.decode(): op_info(i).contents for i in range(count)}
        self.context = P()
        self._call("context_create", None, ctypes.byref(self.context))

    def _check(self, status):
        if status:
            raise TenonError(status, self.error.text.decode())

    def _call(self, name, *args):
        function = ctypes.CFUNCTYPE(ctypes.c_int32, *[P] * (len(args) + 1))(self._slot[name])
        cast = [ctypes.cast(a, P) if not isinstance(a, (int, type(None), P)) else a for a in args]
        self._check(function(*cast, ctypes.cast(ctypes.byref(self.error), P)))

    def args(self, op, flags=0, workspace=None, fault=None, **values):
        """The args struct as a buffer. Arrays become tensors, dicts become tenon_quant."""
        info = self.ops[op]
        buffer = ctypes.create_string_buffer(info.args_size_bytes)
        keep = [buffer]
        head = ctypes.addressof(buffer)
        ctypes.c_uint32.from_address(head).value = info.args_size_bytes
        ctypes.c_uint32.from_address(head + 4).value = flags
        if workspace is not None:
            P.from_address(head + 24).value = workspace.ctypes.data
            ctypes.c_uint64.from_address(head + 32).value = workspace.nbytes
            keep.append(workspace)
        if fault is not None:
            P.from_address(head + 40).value = ctypes.addressof(fault)
        fields = {info.fields[i].name.decode(): info.fields[i] for i in range(info.n_fields)}
        for name, value in values.items():
            field = fields[name]
            at, kind = head + field.offset_bytes, field.kind.decode()
            if value is None:
                continue
            if isinstance(value, (np.ndarray, DLTensor)):
                value = value if isinstance(value, DLTensor) else tensor(value)
                P.from_address(at).value = ctypes.addressof(value)
            elif isinstance(value, dict):
                value = quant(**value)
                P.from_address(at).value = ctypes.addressof(value)
            elif kind == "f32":
                ctypes.c_float.from_address(at).value = value
            elif kind == "i64":
                ctypes.c_int64.from_address(at).value = value
            else:
                ctypes.c_int32.from_address(at).value = value
            keep.append(value)
        buffer.keep = keep
        return buffer

    def _options(self, kernel):
        return ctypes.byref(PlanOptions(ctypes.sizeof(PlanOptions), 0, kernel.encode())) if kernel else None

    def kernels(self, op):
        """(name, why this machine cannot run it or None) of every row of an operation, best first."""
        found = []
        while True:
            info = KernelInfo(struct_size=ctypes.sizeof(KernelInfo))
            try:
                self._call("kernel_info", self.context, len(found), ctypes.byref(info))
            except TenonError:
                return [(name, lacks) for number, name, lacks in found if number == self.ops[op].op]
            found.append((info.op, info.name.decode(), None if info.available else info.reason.decode()))

    def query(self, op, kernel=None, **values):
        out = Query(struct_size=ctypes.sizeof(Query))
        self._call("query", self.context, self.ops[op].op, self.args(op, **values), self._options(kernel), ctypes.byref(out))
        return out

    def plan(self, op, kernel=None, **values):
        plan = P()
        self._call("plan_create", self.context, self.ops[op].op, self.args(op, **values), self._options(kernel), ctypes.byref(plan))
        return plan

    def run_plan(self, plan, op, **values):
        query = Query(struct_size=ctypes.sizeof(Query))
        self._call("plan_query", plan, ctypes.byref(query))
        self._call("run", plan, self.args(op, workspace=aligned(query.workspace_bytes) if query.workspace_bytes else None, **values))

    def destroy(self, plan):
        ctypes.CFUNCTYPE(None, P)(self._slot["plan_destroy"])(plan)

    def run(self, op, kernel=None, **values):
        """Plan, run and destroy with one kernel."""
        plan = self.plan(op, kernel, **values)
        try:
            self.run_plan(plan, op, **values)
        finally:
            self.destroy(plan)
