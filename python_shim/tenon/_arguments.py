# SPDX-License-Identifier: Apache-2.0
"""The arguments of one operation in one flat buffer: the args struct, its quant structs, all tensor views, extents and strides.

Each thing has a fixed place that depends on the operation alone, so a caller in a hurry writes a new data pointer with
`words[place] = pointer` and calls again: nothing is built per call.
"""

import ctypes
from functools import lru_cache

from . import _dlpack, schema

_VIEW_WORDS = 6
_SLOT_WORDS = _VIEW_WORDS + 2 * _dlpack.MAX_NDIM
_INT_LIMITS = {"i32": 31, "choice": 31, "i64": 63}


class Quant:
    """How to read the elements of a tensor: tenon.Quant("GGUF_Q4_0"), tenon.Quant("FP8", scale=scales, group_cols=128).

    Members are those of tenon_quant: format, element, scale_layout, group_cols, group_rows, scale_rounding, rows, cols, and the
    tensors scale, zero_point, global_scale, group_index; flags as keyword True, by their lower-case names.
    """

    def __init__(self, format="NONE", *, flags=(), **members):
        info = schema.quant()
        self.flags = schema.flag_value(info, flags)
        self.scalars = {"format": schema.choice_value(info.by_name["format"], format)}
        self.tensors = {}
        for name, value in members.items():
            field = info.by_name.get(name)
            if field is None and name.upper() in info.flags:
                self.flags |= info.flags[name.upper()] if value else 0
            elif field is None:
                raise TypeError(f"Quant has no member {name!r}; it has: {', '.join(info.by_name)}")
            elif field.is_tensor:
                if value is not None:
                    self.tensors[name] = value
            else:
                self.scalars[name] = schema.choice_value(field, value) if field.kind == "choice" else value

    def __repr__(self):
        named = {v: k for k, v in schema.quant().by_name["format"].choices.items()}
        return f"Quant({named.get(self.scalars['format'])!r}, {self.scalars}, tensors={list(self.tensors)})"


class Layout:
    """Where everything stands in the buffer of an operation, in 64-bit words."""

    def __init__(self, op):
        self.op = op
        quant = schema.quant()
        at = (op.args_size_bytes + 7) // 8
        self.defaults = [(field.name, field.default) for field in op.fields if field.default]
        self.quants, self.slots = {}, {}  # name: word;  name or "name.member": (view word, pointer word, written)
        for field in op.fields:
            if field.kind == "quant":
                self.quants[field.name] = at
                at += (quant.args_size_bytes + 7) // 8
        for field in op.fields:
            if field.is_tensor:
                self.slots[field.name] = (at, field.offset_bytes // 8, field.is_written)
                at += _SLOT_WORDS
            elif field.kind == "quant":
                for member in quant.fields:
                    if member.is_tensor:
                        # Whether a member is written depends on the operation; the library checks, read-only memory is our part.
                        written = op.name in ("quantize", "unpack_weights") and member.name in ("scale", "zero_point")
                        self.slots[f"{field.name}.{member.name}"] = (at, self.quants[field.name] + member.offset_bytes // 8, written)
                        at += _SLOT_WORDS
        self.n_words = at


@lru_cache(maxsize=None)
def layout(name):
    return Layout(schema.op(name))


def _check_number(where, field, value):
    bits = _INT_LIMITS.get(field.kind)
    if bits is None:
        return float(value)
    value = value.__index__() if not isinstance(value, int) else value
    if not -(1 << bits) <= value < 1 << bits:
        raise ValueError(f"{where}={value} does not fit {bits + 1} bits")
    return value


class Arguments:
    """A buffer, filled field by field. `words` is its memory as 64-bit integers."""

    def __init__(self, name):
        self.layout = layout(name)
        self.buffer = (ctypes.c_uint64 * self.layout.n_words)()
        self.address = ctypes.addressof(self.buffer)
        self.words = memoryview(self.buffer).cast("B").cast("q")
        self.struct = self.layout.op.struct.from_buffer(self.buffer)
        self.struct.struct_size = self.layout.op.args_size_bytes
        for field, value in self.layout.defaults:
            setattr(self.struct, field, value)
        self.owners = {}
        self.device_type = 1

    def set_tensor(self, slot, value):
        """value: a tensor, a TensorSpec, or None."""
        at, pointer, written = self.layout.slots[slot]
        words = self.words
        if value is None:
            words[pointer] = 0
            self.owners.pop(slot, None)
            return
        extents = at + _VIEW_WORDS
        try:
            self.owners[slot] = _dlpack.read(value, words, at, extents, extents + _dlpack.MAX_NDIM, written)
        except (TypeError, ValueError, BufferError) as error:
            raise type(error)(f"{self.layout.op.name}: {slot}: {error}") from None
        words[at + 3] = self.address + extents * 8
        words[at + 4] = words[at + 3] + _dlpack.MAX_NDIM * 8
        words[pointer] = self.address + at * 8
        self.device_type = words[at + 1] & 0xffffffff

    def set_quant(self, name, value):
        """value: a Quant, the name of a format, or None."""
        place = self.layout.quants[name]
        pointer = self.layout.op.by_name[name].offset_bytes // 8
        if value is None:
            self.words[pointer] = 0
            return
        if not isinstance(value, Quant):
            value = Quant(value)
        info = schema.quant()
        struct = info.struct.from_buffer(self.buffer, place * 8)
        struct.struct_size = info.args_size_bytes
        struct.flags = value.flags
        for member, number in value.scalars.items():
            setattr(struct, member, _check_number(f"{name}.{member}", info.by_name[member], number))
        for member in info.fields:
            if member.is_tensor:
                self.set_tensor(f"{name}.{member.name}", value.tensors.get(member.name))
        self.words[pointer] = self.address + place * 8

    def set(self, name, value):
        """Any field by name; flags by their lower-case names."""
        op = self.layout.op
        field = op.by_name.get(name)
        if field is None:
            if name.upper() in op.flags:
                bit = op.flags[name.upper()]
                self.struct.flags = self.struct.flags | bit if value else self.struct.flags & ~bit
                return
            raise TypeError(f"{op.name} has no argument {name!r}; it has: {', '.join(op.by_name)}")
        if field.is_tensor:
            self.set_tensor(name, value)
        elif field.kind == "quant":
            self.set_quant(name, value)
        else:
            number = schema.choice_value(field, value) if field.kind == "choice" else value
            setattr(self.struct, name, 0 if number is None else _check_number(f"{op.name}: {name}", field, number))

    def set_workspace(self, pointer, n_bytes):
        self.struct.workspace = pointer
        self.struct.workspace_bytes = n_bytes

    def set_fault(self, fault):
        """fault: an _abi.Fault, or None."""
        self.owners["fault"] = fault
        self.struct.fault = None if fault is None else ctypes.addressof(fault)

    def copy(self):
        """The same arguments in memory of their own."""
        other = Arguments.__new__(Arguments)
        other.layout = self.layout
        other.buffer = (ctypes.c_uint64 * self.layout.n_words).from_buffer_copy(self.buffer)
        other.address = ctypes.addressof(other.buffer)
        other.words = memoryview(other.buffer).cast("B").cast("q")
        other.struct = self.layout.op.struct.from_buffer(other.buffer)
        other.owners = dict(self.owners)
        other.device_type = self.device_type
        moved, words = other.address - self.address, other.words
        for at, pointer, _ in self.layout.slots.values():
            if words[pointer]:
                words[pointer] += moved
                words[at + 3] += moved
                words[at + 4] += moved
        for name in self.layout.quants:
            pointer = self.layout.op.by_name[name].offset_bytes // 8
            if words[pointer]:
                words[pointer] += moved
        return other


def from_keywords(name, values, flags=()):
    """Arguments from the keywords of a call; names that are absent stay NULL, or have their default."""
    arguments = Arguments(name)
    arguments.struct.flags = schema.flag_value(arguments.layout.op, flags)
    for key, value in values.items():
        if value is not None:
            arguments.set(key, value)
    return arguments
