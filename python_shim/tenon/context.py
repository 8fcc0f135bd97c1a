# SPDX-License-Identifier: Apache-2.0
"""A context: the backends, threads and settings that plans are made in."""

import ctypes
import threading
import weakref
from types import SimpleNamespace

from . import _abi, _arguments, errors, schema
from .plan import Plan


def _query_record(query):
    return SimpleNamespace(status=query.status, kernel=query.kernel.decode(), reason=query.reason.decode(),
                           backend=schema.BACKEND_NAMES.get(query.backend), traits=schema.trait_names(query.traits),
                           workspace_bytes=query.workspace_bytes, workspace_bytes_max=query.workspace_bytes_max,
                           output_bytes=query.output_bytes)


def _options(backend, kernel):
    if backend == "auto" and kernel is None:
        return None
    options = _abi.new(_abi.PlanOptions)
    options.backend = schema.BACKENDS[backend]
    options.kernel = kernel.encode() if kernel else None
    return options


class Context:
    """backend: auto, cpu, cuda or rocm. n_threads: 0 is one for each CPU that the process may run on. log_level: silent, error,
    warn, info, debug; None reads TENON_LOG. log: a function (level, text) instead of stderr. allocator: an object with
    allocate(bytes, alignment) -> address and release(address, bytes, alignment), for the cold paths. trace: path of a TENON_TRACE file.
    progress: a function (operation, done_bytes, total_bytes) that long calls report to (pack_weights, unpack_weights)."""

    def __init__(self, backend="auto", n_threads=0, log_level=None, log=None, allocator=None, trace=None, cpu_features=0,
                 progress=None):
        self._api = _abi.table()
        options = _abi.new(_abi.ContextOptions)
        options.backend = schema.BACKENDS[backend]
        options.n_threads = n_threads
        options.log_level = schema.LOG_LEVELS[log_level or "environment"]
        options.trace_path = str(trace).encode() if trace else None
        options.cpu_features = cpu_features
        self._host = self._make_host(log, allocator, progress)
        if self._host is not None:
            options.host = ctypes.pointer(self._host)
        handle, error = ctypes.c_void_p(), _abi.new(_abi.Error)
        status = self._api.context_create(options, handle, error)
        if status:
            raise errors.from_error(status, error)
        self.handle = handle.value
        # Plans hold their context, so this runs after the last of them; the host table must outlive the call.
        self._finalizer = weakref.finalize(self, _destroy, self._api, self.handle, self._host)

    @staticmethod
    def _make_host(log, allocator, progress):
        if log is None and allocator is None and progress is None:
            return None
        host = _abi.new(_abi.Host)
        if log is not None:
            host.log = _abi.LOG_FN(lambda user, level, text: log(level, text.decode("utf-8", "replace")))
        if allocator is not None:
            host.allocate = _abi.ALLOCATE_FN(lambda user, size, alignment: allocator.allocate(size, alignment))
            host.release = _abi.RELEASE_FN(lambda user, pointer, size, alignment: allocator.release(pointer, size, alignment))
        if progress is not None:
            host.progress = _abi.PROGRESS_FN(lambda user, what, done, total: progress(what.decode(), done, total))
        return host

    def _listed(self, struct, call):
        found, error = [], _abi.new(_abi.Error)
        while True:
            entry = _abi.new(struct)
            if call(self.handle, len(found), entry, error):
                return found
            found.append(entry)

    def devices(self):
        """Every device, and for each backend without one the reason."""
        return [SimpleNamespace(backend=schema.BACKEND_NAMES.get(d.backend), available=bool(d.available), device_id=d.device_id,
                                name=d.name.decode(), memory_bytes=d.memory_bytes, features=d.features, n_units=d.n_units,
                                feature_text=d.feature_text.decode(), reason=d.reason.decode())
                for d in self._listed(_abi.DeviceInfo, self._api.probe)]

    def kernels(self, op=None):
        """Every kernel row, or those of one operation, in the order that selection reads them."""
        names = list(schema.ops())
        rows = [SimpleNamespace(op=names[k.op], backend=schema.BACKEND_NAMES.get(k.backend), name=k.name.decode(), rank=k.rank,
                                traits=schema.trait_names(k.traits), available=bool(k.available),
                                checked_on=k.checked_on.decode(), reason=k.reason.decode())
                for k in self._listed(_abi.KernelInfo, self._api.kernel_info)]
        return [row for row in rows if op is None or row.op == op]

    def query(self, op, *, flags=(), kernel=None, backend="auto", **values):
        """Would it work, with which kernel, and how much workspace: a record; status 0 is yes, else reason says why not."""
        arguments = _arguments.from_keywords(op, values, flags)
        answer, error = _abi.new(_abi.Query), _abi.new(_abi.Error)
        status = self._api.query(self.handle, arguments.layout.op.number, arguments.address, _options(backend, kernel), answer, error)
        if status:
            raise errors.from_error(status, error, arguments.layout.op)
        return _query_record(answer)

    def plan(self, op, *, flags=(), kernel=None, backend="auto", **values):
        """A plan for tensors of these shapes: real tensors or TensorSpec, the largest of any run. kernel: name of the row that must
        run, * matches any characters."""
        return self.plan_arguments(_arguments.from_keywords(op, values, flags), kernel=kernel, backend=backend)

    def plan_arguments(self, arguments, kernel=None, backend="auto"):
        handle, error = ctypes.c_void_p(), _abi.new(_abi.Error)
        info = arguments.layout.op
        status = self._api.plan_create(self.handle, info.number, arguments.address, _options(backend, kernel), handle, error)
        if status:
            raise errors.from_error(status, error, info)
        query = _abi.new(_abi.Query)
        status = self._api.plan_query(handle, query, error)
        if status:
            self._api.plan_destroy(handle)
            raise errors.from_error(status, error, info)
        return Plan(self, handle.value, arguments, _query_record(query))

    def call(self, op, *, flags=(), fault=None, stream=None, workspace=None, **values):
        """Plan, run and forget in one."""
        arguments = _arguments.from_keywords(op, values, flags)
        self.call_arguments(arguments, fault, stream, workspace)

    def call_arguments(self, arguments, fault=None, stream=None, workspace=None):
        error = _abi.new(_abi.Error)
        if fault is not None:
            arguments.set_fault(fault)
        arguments.struct.stream = stream
        if workspace is not None:
            arguments.set_workspace(*workspace)
        info = arguments.layout.op
        status = self._api.call(self.handle, info.number, arguments.address, error)
        if status:
            raise errors.from_error(status, error, info)


def _destroy(api, handle, host):
    api.context_destroy(handle)


_default = None
_lock = threading.Lock()


def default_context():
    """The context of calls that name none: made at first need, with the settings of the environment."""
    global _default
    with _lock:
        if _default is None:
            _default = Context()
        return _default


def set_default_context(context):
    """Replaces it; None: the next call makes a new one. Returns the old one."""
    global _default
    with _lock:
        old, _default = _default, context
        return old
