# SPDX-License-Identifier: Apache-2.0
"""A plan, and its prepared form: everything that can be done before a call, done before it."""

import ctypes
import threading
import weakref
from ctypes import byref

from . import _abi, errors

WORKSPACE_ALIGNMENT_BYTES = 64


class Workspace:
    """Scratch memory on the host, aligned as the library asks."""

    def __init__(self, n_bytes):
        self.n_bytes = n_bytes
        self._memory = ctypes.create_string_buffer(n_bytes + WORKSPACE_ALIGNMENT_BYTES)
        address = ctypes.addressof(self._memory)
        self.pointer = address + -address % WORKSPACE_ALIGNMENT_BYTES


def _device_workspace(plan):
    raise errors.WorkspaceTooSmall(f"{plan.op}: the plan needs a workspace of {plan.workspace_bytes} bytes on the tensors' device; "
                                   "give it as workspace=(pointer, bytes)", plan.op)


class Plan:
    """Made by tenon.plan or Context.plan. A plan may be run from several threads at once; each has its own workspace."""

    def __init__(self, context, handle, arguments, query):
        self.context, self.handle, self.query = context, handle, query
        self.op = arguments.layout.op.name
        self.kernel = query.kernel
        self.workspace_bytes = query.workspace_bytes
        self._api, self._arguments = context._api, arguments
        self._local = threading.local()
        # The finalizer names the context too: it must be destroyed after its plans.
        self._finalizer = weakref.finalize(self, _destroy, self._api, handle, context)

    def __repr__(self):
        return f"<tenon.Plan {self.op}: {self.kernel}>"

    def workspace(self):
        """This thread's workspace, or None."""
        if not self.workspace_bytes:
            return None
        if self._arguments.device_type != 1:
            _device_workspace(self)
        if not hasattr(self._local, "workspace"):
            self._local.workspace = Workspace(self.workspace_bytes)
        return self._local.workspace

    def run(self, *, workspace=None, stream=None, fault=None, **tensors):
        """Runs with these tensors; those that are not named are the ones of the plan. workspace: (pointer, bytes)."""
        self.prepare(workspace=workspace or self.workspace(), stream=stream, fault=fault, **tensors)()

    def prepare(self, *, workspace=None, stream=None, fault=None, **tensors):
        """The call with these tensors as an object; calling it again costs one C call. Two that run at once need two workspaces."""
        arguments = self._arguments.copy()
        for name, value in tensors.items():
            if "." in name:
                arguments.set_tensor(name, value)
            else:
                arguments.set(name, value)
        if workspace is None and self.workspace_bytes:
            workspace = Workspace(self.workspace_bytes) if arguments.device_type == 1 else _device_workspace(self)
        arguments.struct.stream = stream
        if fault is not None:
            arguments.set_fault(fault)
        return Prepared(self, arguments, workspace)

    def update(self, **tensors):
        """For plans with the NEEDS_UPDATE trait: call when lengths have changed."""
        arguments, error = self._arguments.copy(), _abi.new(_abi.Error)
        for name, value in tensors.items():
            arguments.set(name, value)
        status = self._api.plan_update(self.handle, arguments.address, error)
        if status:
            raise errors.from_error(status, error, arguments.layout.op)


class Prepared:
    """A call with everything in place. `words[pointer_place("a")] = address` gives it another tensor of the same shape;
    `words[extent_place("a", 0)] = m` another extent, where the field list has "~". Not for two threads at once."""

    def __init__(self, plan, arguments, workspace):
        if workspace is not None:
            if isinstance(workspace, tuple):
                arguments.set_workspace(*workspace)
            else:
                arguments.set_workspace(workspace.pointer, workspace.n_bytes)
        self.plan, self.arguments, self.words = plan, arguments, arguments.words
        self._workspace = workspace
        self._error = _abi.new(_abi.Error)
        # byref() made once: ctypes hands such an object on as it is, without a conversion.
        self.raw = (plan._api.run, byref(ctypes.c_char.from_address(plan.handle)), byref(arguments.buffer), byref(self._error))

    def __call__(self):
        run, plan, arguments, error = self.raw
        status = run(plan, arguments, error)
        if status:
            self.fail(status)

    def fail(self, status):
        """Raises the exception for a status that raw gave: function, plan, arguments, error, for callers that count every step."""
        raise errors.from_error(status, self._error, self.arguments.layout.op)

    def bind(self, **tensors):
        """Other tensors in place of those that were given."""
        for name, value in tensors.items():
            self.arguments.set(name, value)
        return self

    def pointer_place(self, name):
        return self.arguments.layout.slots[name][0]

    def extent_place(self, name, dim):
        return self.arguments.layout.slots[name][0] + 6 + dim

    def stride_place(self, name, dim):
        return self.arguments.layout.slots[name][0] + 14 + dim


def _destroy(api, handle, context):
    api.plan_destroy(handle)
