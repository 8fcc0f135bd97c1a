# SPDX-License-Identifier: Apache-2.0
"""One function for each operation, made from the library's schema at first need: tenon.ops.matmul, tenon.ops.attention, ..."""

import inspect

from . import _arguments, schema
from .context import default_context

_NO_DEFAULT = inspect.Parameter.empty


def _signature(op):
    """Required tensors first, then what may be left out, then flags, by keyword."""
    Parameter = inspect.Parameter
    required = [Parameter(f.name, Parameter.POSITIONAL_OR_KEYWORD) for f in op.fields if f.is_tensor and f.is_required]
    optional = []
    for field in op.fields:
        if field.is_reserved or (field.is_tensor and field.is_required):
            continue
        default = None if field.size_bytes == 8 and field.kind != "i64" else 0.0 if field.kind == "f32" else field.default
        if field.kind == "choice":
            default = next(name for name, value in field.choices.items() if value == 0)
        optional.append(Parameter(field.name, Parameter.KEYWORD_ONLY, default=default))
    flags = [Parameter(name.lower(), Parameter.KEYWORD_ONLY, default=False) for name in op.flags]
    extra = [Parameter(name, Parameter.KEYWORD_ONLY, default=None) for name in ("fault", "stream", "workspace", "context")]
    return inspect.Signature(required + optional + flags + extra)


def _doc(op):
    lines = [op.doc[0].upper() + op.doc[1:] + ".", ""]
    for field in op.fields:
        if field.is_reserved:
            continue
        detail = f"{field.types} {field.shape}".strip() if field.kind != "choice" else " | ".join(field.choices)
        lines.append(f"{field.name} ({field.kind}{', ' + detail if detail else ''}): {field.doc}")
    lines += [f"{name.lower()} (flag): {doc}" for name, doc in op.flag_docs.items()]
    lines.append("fault: a tenon.Fault that is filled when an index is out of range; stream, workspace=(pointer, bytes); context")
    return "\n".join(lines)


def _make(op):
    signature = _signature(op)
    outputs = [f.name for f in op.fields if f.is_tensor and f.is_written]

    def call(*args, **kwargs):
        values = signature.bind(*args, **kwargs).arguments
        context = values.pop("context", None) or default_context()
        fault, stream, workspace = values.pop("fault", None), values.pop("stream", None), values.pop("workspace", None)
        written = tuple(values[name] for name in outputs if values.get(name) is not None)
        context.call_arguments(_arguments.from_keywords(op.name, values), fault, stream, workspace)
        return written[0] if len(written) == 1 else written

    call.__name__ = call.__qualname__ = op.name
    call.__module__ = __name__
    call.__signature__ = signature
    call.__doc__ = _doc(op)
    return call


def __getattr__(name):
    if name.startswith("_") or name not in schema.ops():
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    function = _make(schema.op(name))
    globals()[name] = function
    return function


def __dir__():
    return sorted(set(globals()) | set(schema.ops()))
