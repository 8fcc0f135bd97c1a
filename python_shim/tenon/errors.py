# SPDX-License-Identifier: Apache-2.0
"""One exception class for each status, so that a host can tell "you are wrong" from "we cannot"."""


class TenonError(Exception):
    """Base of all. status is the number of the C side; op and field are names, or None."""

    status = None

    def __init__(self, text, op=None, field=None):
        super().__init__(text)
        self.op = op
        self.field = field


class InvalidArgument(TenonError, ValueError):
    """An argument breaks its documented contract."""
    status = 1


class Unsupported(TenonError, NotImplementedError):
    """A valid request that no kernel of this build or machine takes."""
    status = 2


class NoMemory(TenonError, MemoryError):
    """The host's allocator returned NULL."""
    status = 3


class WorkspaceTooSmall(TenonError, ValueError):
    """The workspace is smaller than the plan needs."""
    status = 4


class VersionMismatch(TenonError, ImportError):
    """The library and this package have no ABI version in common."""
    status = 5


class NotAvailable(TenonError, RuntimeError):
    """The backend that was asked for is not usable on this machine."""
    status = 6


class DeviceError(TenonError, RuntimeError):
    """The device's driver reported a failure."""
    status = 7


class DeviceLost(TenonError, RuntimeError):
    """The device is gone; contexts on it cannot be used again."""
    status = 8


class Corrupt(TenonError, ValueError):
    """A packed weight blob is truncated, damaged or not one of ours."""
    status = 9


class Internal(TenonError, RuntimeError):
    """A defect of the library; please report the text."""
    status = 10


_BY_STATUS = {cls.status: cls for cls in TenonError.__subclasses__()}


def from_error(status, error, op=None):
    """The exception for a failed call: error is the filled C struct, op the schema of the operation, if there is one."""
    cls = _BY_STATUS.get(status, Internal)
    field = None
    if op is not None and 0 <= error.field < len(op.fields):
        field = op.fields[error.field].name
    text = error.text.decode("utf-8", "replace") or f"status {status} without a text"
    return cls(text, op.name if op is not None else None, field)
