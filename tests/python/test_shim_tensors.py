# SPDX-License-Identifier: Apache-2.0
"""Tensors of NumPy, torch and bare DLPack reach the library as they are: types, strides, offsets, owners."""

import ctypes
import gc
import weakref

import numpy as np
import pytest

import tenon
from tenon import _arguments, _dlpack


def view(obj, written=False):
    """What the library would see of obj: (data, device, ndim and dtype, byte_offset, shape, strides), and the owner."""
    words = memoryview(bytearray(8 * 24)).cast("q")
    owner = _dlpack.read(obj, words, 0, 6, 14, written)
    ndim = words[2] & 0xffffffff
    return (words[0], words[1], ndim, words[2] >> 32, words[5], list(words[6:6 + ndim]), list(words[14:14 + ndim])), owner


def type_code(name):
    code, bits = _dlpack.TYPES[name]
    return code | bits << 8 | 1 << 16


@pytest.mark.parametrize("dtype,name", [("float32", "f32"), ("float16", "f16"), ("int8", "i8"), ("uint8", "u8"), ("int32", "i32"),
                                        ("int64", "i64"), ("bool", "bool")])
def test_numpy_types(dtype, name):
    a = np.zeros((3, 5), dtype)
    seen, _ = view(a)
    assert seen == (a.ctypes.data, 1, 2, type_code(name), 0, [3, 5], [5, 1])


@pytest.mark.parametrize("dtype,name", [("bfloat16", "bf16"), ("float8_e4m3fn", "e4m3fn"), ("float8_e4m3fnuz", "e4m3fnuz"),
                                        ("float8_e5m2", "e5m2"), ("float8_e5m2fnuz", "e5m2fnuz"), ("float8_e8m0fnu", "e8m0")])
def test_ml_dtypes_of_numpy(dtype, name):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    a = np.zeros((2, 6), getattr(ml_dtypes, dtype))[:, ::2]
    seen, _ = view(a)
    assert seen == (a.ctypes.data, 1, 2, type_code(name), 0, [2, 3], [6, 2])


@pytest.mark.parametrize("dtype,name", [("float32", "f32"), ("float16", "f16"), ("bfloat16", "bf16"), ("float8_e4m3fn", "e4m3fn"),
                                        ("float8_e4m3fnuz", "e4m3fnuz"), ("float8_e5m2", "e5m2"), ("float8_e5m2fnuz", "e5m2fnuz"),
                                        ("float8_e8m0fnu", "e8m0"), ("int8", "i8"), ("uint8", "u8"), ("int32", "i32"),
                                        ("int64", "i64"), ("bool", "bool")])
def test_torch_types(dtype, name):
    torch = pytest.importorskip("torch")
    t = torch.empty((4, 6), dtype=getattr(torch, dtype))[1:, ::2]
    seen, _ = view(t)
    assert seen == (t.data_ptr(), 1, 2, type_code(name), 0, [3, 3], [6, 2])


def test_torch_view_equals_its_own_dlpack():
    torch = pytest.importorskip("torch")
    t = torch.arange(24.0).view(2, 3, 4).transpose(0, 2)[1:]
    fast, _ = view(t)
    words = memoryview(bytearray(8 * 24)).cast("q")
    _dlpack._from_capsule(t, words, 0, 6, 14, False)
    assert fast[0] + fast[4] == words[0] + words[5]
    assert fast[1:4] == (words[1], words[2] & 0xffffffff, words[2] >> 32)
    assert fast[5:] == (list(words[6:9]), list(words[14:17]))


class Producer:
    """A tensor of another package: it has __dlpack__ and nothing else."""

    def __init__(self, array, versioned=True):
        self.array, self.versioned, self.asked = array, versioned, None

    def __dlpack_device__(self):
        return (1, 0)

    def __dlpack__(self, **keywords):
        self.asked = keywords
        if not self.versioned and keywords:
            raise TypeError("an old producer takes no keywords")
        return self.array.__dlpack__(**keywords)


@pytest.mark.parametrize("versioned", [True, False])
def test_foreign_producer(versioned):
    a = np.arange(12, dtype=np.float32).reshape(3, 4)
    producer = Producer(a, versioned)
    seen, owner = view(producer)
    assert seen[0] + seen[4] == a.ctypes.data and seen[5:] == ([3, 4], [4, 1])
    assert owner is not None and bool(producer.asked) is versioned


class OffsetProducer:
    """Hands out a view that begins byte_offset behind data, which neither NumPy nor torch does; owned by this object."""

    def __init__(self, array, byte_offset):
        self.array = array
        self.extents, self.managed = (ctypes.c_int64 * 1)(array.size - byte_offset // array.itemsize), _dlpack._Managed()
        t = self.managed.tensor
        t.data, t.device_type, t.ndim, t.byte_offset = array.ctypes.data, 1, 1, byte_offset
        (t.code, t.bits), t.lanes, t.shape = _dlpack.TYPES["f32"], 1, ctypes.addressof(self.extents)

    def __dlpack__(self):
        new = ctypes.pythonapi.PyCapsule_New
        new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
        return new(ctypes.addressof(self.managed), b"dltensor", None)


def test_byte_offset_and_missing_strides():
    producer = OffsetProducer(np.arange(6, dtype=np.float32), 8)
    seen, _ = view(producer)
    assert seen == (producer.array.ctypes.data, 1, 1, type_code("f32"), 8, [4], [1])


def test_capsule_keeps_the_memory_alive():
    class Owner(np.ndarray):
        pass

    a = np.zeros((4,), np.float32).view(Owner)
    gone = weakref.ref(a)
    arguments = _arguments.Arguments("merge_states")
    arguments.set_tensor("out", a)
    del a
    gc.collect()
    assert gone() is not None, "the tensor went while its view was bound"
    arguments.set_tensor("out", None)
    gc.collect()
    assert gone() is None, "the tensor stayed after its view was let go"


def test_read_only_output_is_refused(tenon):
    a = np.zeros((2, 1, 2, 4), np.float32)
    lse = np.zeros((2, 1, 2), np.float32)
    out = np.zeros((1, 2, 4), np.float32)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="out: .*read-only"):
        tenon.merge_states(a, lse, out)
    a.flags.writeable = False
    assert tenon.merge_states(a, lse, np.empty_like(out)).sum() == 0


def test_gradient_is_refused():
    torch = pytest.importorskip("torch")
    t = torch.zeros(2, requires_grad=True)
    with pytest.raises(ValueError, match="no_grad"):
        view(t)
    with torch.no_grad():
        assert view(t)[0][0] == t.data_ptr()


def test_not_a_tensor(tenon):
    with pytest.raises(TypeError, match="partial_out: expected a tensor .* got list"):
        tenon.merge_states([1.0], np.zeros((1, 1, 1), np.float32), np.zeros((1, 1, 1), np.float32))


def test_views_with_offset_and_strides_are_not_copied(tenon):
    """merge_states reads a slice in the middle of a larger array and writes into a column of another."""
    torch = pytest.importorskip("torch")
    generator = torch.Generator().manual_seed(1)
    pool = torch.randn(2, 9, 4, 8, generator=generator)
    partial = pool[:, 3:6]                                          # storage offset, outer stride larger than compact
    lse = torch.randn(2, 4, 3, generator=generator).transpose(1, 2)  # strided
    wide = torch.full((3, 10, 8), 7.0)
    out = wide[:, 2:6]
    tenon.merge_states(partial, lse, out)
    weights = torch.softmax(lse.double(), 0)
    expected = (weights[..., None] * partial.double()).sum(0)
    torch.testing.assert_close(out.double(), expected, rtol=1e-6, atol=1e-6)
    assert (wide[:, :2] == 7).all() and (wide[:, 6:] == 7).all()


def test_empty_arrays_whose_strides_are_zero():
    """NumPy exports strides of 0 for an empty array; they mean nothing, in a plan and in a run."""
    w = np.ones((8, 64), np.float32)
    empty, out = np.empty((0, 64), np.float32), np.empty((0, 8), np.float32)
    tenon.matmul(a=empty, w=w, out=out)
    plan = tenon.plan("matmul", a=np.ones((4, 64), np.float32), w=w, out=np.empty((4, 8), np.float32))
    plan.run(a=empty, w=w, out=out)
