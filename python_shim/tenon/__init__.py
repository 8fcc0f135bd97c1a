# SPDX-License-Identifier: Apache-2.0
"""Tenon from Python, through ctypes: attention over a paged KV cache, mixture-of-experts dispatch, quantized matmul.

    import numpy as np, tenon
    y = tenon.matmul(x, w, out)                      # any tensors with __dlpack__; nothing is copied
    plan = tenon.plan("matmul", a=x, w=w, out=out)   # validate, pick a kernel, once
    call = plan.prepare(a=x, w=w, out=out)           # then call() costs one C call

help(tenon.ops.matmul) lists the arguments of an operation; `python -m tenon info` what this machine has.
"""

from . import errors, ops
from ._abi import Fault
from ._arguments import Quant
from ._dlpack import TensorSpec
from .context import Context, default_context, set_default_context
from .errors import (Corrupt, DeviceError, DeviceLost, Internal, InvalidArgument, NoMemory, NotAvailable, TenonError, Unsupported,
                     VersionMismatch, WorkspaceTooSmall)
from .plan import Plan, Prepared, Workspace

__version__ = "1.0.0"


def plan(op, *, context=None, **values):
    """A plan of the default context, or of `context`: see Context.plan."""
    return (context or default_context()).plan(op, **values)


def query(op, *, context=None, **values):
    """What would run, or why nothing can: see Context.query."""
    return (context or default_context()).query(op, **values)


def __getattr__(name):
    # Operations are attributes of the package too; which there are, the library says when it is asked for one.
    if name.startswith("_") or name == "integrations":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(ops, name)


__all__ = ["Context", "Corrupt", "DeviceError", "DeviceLost", "Fault", "Internal", "InvalidArgument", "NoMemory", "NotAvailable", "Plan",
           "Prepared", "Quant", "TenonError", "TensorSpec", "Unsupported", "VersionMismatch", "Workspace", "WorkspaceTooSmall",
           "default_context", "errors", "ops", "plan", "query", "set_default_context"]
