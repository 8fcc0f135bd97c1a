# SPDX-License-Identifier: Apache-2.0
"""The operations as the library describes them: names, kinds, types, shapes, choices, flags. Read once, at first need."""

from functools import lru_cache

from . import _abi

TENSOR_KINDS = ("in", "opt_in", "out", "opt_out", "inout", "opt_inout")


# Scalars of which 0 is not "leave it out": a window of 0 sees nothing but itself.
_DEFAULTS = {"window_left": -1, "window_right": -1}


class Field:
    """One row of a field list."""

    def __init__(self, info):
        self.name = info.name.decode()
        self.kind = info.kind.decode()
        self.offset_bytes = info.offset_bytes
        self.size_bytes = info.size_bytes
        self.types = info.types.decode()
        self.shape = info.shape.decode()
        self.doc = info.doc.decode()
        self.default = _DEFAULTS.get(self.name, 0)
        self.choices = {info.choices[i].name.decode(): info.choices[i].value for i in range(info.n_choices)}
        self.choice_docs = {info.choices[i].name.decode(): info.choices[i].doc.decode() for i in range(info.n_choices)}

    @property
    def is_tensor(self):
        return self.kind in TENSOR_KINDS

    @property
    def is_required(self):
        return self.kind in ("in", "out", "inout")

    @property
    def is_written(self):
        return "out" in self.kind

    @property
    def is_reserved(self):
        return self.name.startswith("reserved")


class Op:
    """One operation, or the quantization descriptor (number -1)."""

    def __init__(self, info):
        self.number = info.op
        self.name = info.name.decode()
        self.doc = info.doc.decode()
        self.args_size_bytes = info.args_size_bytes
        self.fields = [Field(info.fields[i]) for i in range(info.n_fields)]
        self.by_name = {field.name: field for field in self.fields}
        self.flags = {info.flags[i].name.decode(): info.flags[i].value for i in range(info.n_flags)}
        self.flag_docs = {info.flags[i].name.decode(): info.flags[i].doc.decode() for i in range(info.n_flags)}
        head = _abi.QUANT_HEAD if self.number < 0 else _abi.ARGS_HEAD
        self.struct = _abi.struct_from_fields(f"tenon_{self.name}_args", head, self.fields, self.args_size_bytes)


@lru_cache(maxsize=None)
def quant():
    return Op(_abi.table().quant_info().contents)


@lru_cache(maxsize=None)
def ops():
    """Every operation by name, in the order of their numbers."""
    table = _abi.table()
    listed = [Op(table.op_info(i).contents) for i in range(table.op_count())]
    return {op.name: op for op in listed}


def op(name):
    try:
        return ops()[name]
    except KeyError:
        raise ValueError(f"no operation has the name {name!r}; there are: {', '.join(ops())}") from None


def choice_value(field, value):
    """A choice by name (any case) or by number."""
    if value is None:
        return 0
    if isinstance(value, str):
        try:
            return field.choices[value.upper()]
        except KeyError:
            raise ValueError(f"{field.name}={value!r}, expected one of {', '.join(field.choices)}") from None
    return int(value)


def flag_value(op, flags):
    """Flags as a number, a name, or several names."""
    if not flags:
        return 0
    if isinstance(flags, int):
        return flags
    names = flags.replace("|", " ").split() if isinstance(flags, str) else flags
    value = 0
    for name in names:
        try:
            value |= op.flags[name.upper()]
        except KeyError:
            raise ValueError(f"{op.name} has no flag {name!r}; it has: {', '.join(op.flags) or 'none'}") from None
    return value


BACKENDS = {"auto": 0, "cpu": 1, "cuda": 2, "rocm": 3}
BACKEND_NAMES = {value: name for name, value in BACKENDS.items()}
LOG_LEVELS = {"silent": -1, "none": -1, "environment": 0, "error": 1, "warn": 2, "info": 3, "debug": 4}
TRAITS = ("CAPTURE_SAFE", "DETERMINISTIC", "BATCH_INVARIANT", "NEEDS_UPDATE", "REFERENCE", "FOREIGN", "INT8_ACTIVATIONS")


def trait_names(traits):
    return [name for bit, name in enumerate(TRAITS) if traits >> bit & 1]
