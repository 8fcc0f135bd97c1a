# SPDX-License-Identifier: Apache-2.0
"""Every storage layout: values through the C view against an independent unpacking in NumPy, or against
compressed-tensors. The expected value is computed in float64 and rounded to float32 once."""

import ml_dtypes
import numpy as np
import pytest

import codec_shim as c
from weights import AWQ_ORDER, MX_ELEMENT, expand, pack_nibbles, pack_sixbit, pack_words, swizzle_128x4

rng = np.random.default_rng(11)


def random_scale(*shape, dtype=np.float16):
    return rng.uniform(0.01, 0.2, shape).astype(dtype)


def same(got, want):
    want = np.asarray(want, np.float64).astype(np.float32)
    assert got.shape == want.shape
    assert (got.view(np.uint32) == want.view(np.uint32)).all(), np.argwhere(got != want)[:5]


# ---- integers ----

@pytest.mark.parametrize("version", ["INT4_GPTQ", "INT4_GPTQ_V2"])
@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("act_order", [False, True])
def test_gptq(version, zeros, act_order):
    n, k, g = 24, 96, 32
    q = rng.integers(0, 16, (n, k))
    z = rng.integers(1, 16, (n, k // g)) if zeros else np.full((n, k // g), 8)
    s = random_scale(k // g, n)
    group = rng.permutation(np.arange(k) // g).astype(np.int32) if act_order else np.arange(k) // g
    fields = {"scale": s, "group_cols": g}
    if zeros:
        stored = z - 1 if version == "INT4_GPTQ" else z
        fields["zero_point"] = pack_words(stored.T, 1, 4)
        assert fields["zero_point"].shape == (k // g, n // 8)
    if act_order:
        fields["group_index"] = group
    words = pack_words(q.T, 0, 4)
    assert words.shape == (k // 8, n)
    got = c.dequantize(words, c.quant(version, **fields))
    same(got, (q - z[:, group]) * s.astype(np.float64).T[:, group])


def test_gptq_shard_keeps_the_whole_table_and_bad_index_is_nan():
    n, k = 8, 16
    q = rng.integers(0, 16, (n, k))
    s = random_scale(7, n, dtype=np.float32)
    index = rng.integers(0, 7, k).astype(np.int32)
    index[3], index[4] = 7, -1
    got = c.dequantize(pack_words(q.T, 0, 4), c.quant("INT4_GPTQ", scale=s, group_cols=8, group_index=index))
    ok = (index >= 0) & (index < 7)
    assert np.isnan(got[:, ~ok]).all()
    same(got[:, ok], ((q - 8) * s.astype(np.float64).T[:, np.where(ok, index, 0)])[:, ok])


@pytest.mark.parametrize("zeros", [False, True])
def test_awq(zeros):
    n, k, g = 40, 64, 16
    q = rng.integers(0, 16, (k, n))
    z = rng.integers(0, 16, (k // g, n)) if zeros else np.full((k // g, n), 8)
    s = random_scale(k // g, n)
    fields = {"scale": s, "group_cols": g}
    if zeros:
        fields["zero_point"] = pack_words(z, 1, 4, AWQ_ORDER)
    got = c.dequantize(pack_words(q, 1, 4, AWQ_ORDER), c.quant("INT4_AWQ", **fields))
    want = (q - np.repeat(z, g, axis=0)) * np.repeat(s.astype(np.float64), g, axis=0)
    same(got, want.T)


@pytest.mark.parametrize("bits, k", [(4, 128), (4, 100), (8, 64), (8, 30)])
@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("act_order", [False, True])
def test_compressed_tensors(bits, k, zeros, act_order):
    torch = pytest.importorskip("torch")
    helpers = pytest.importorskip("compressed_tensors.compressors.pack_quantized.helpers")
    n, g = 13, 32
    groups, half = -(-k // g), 1 << bits - 1
    q = rng.integers(-half, half, (n, k)).astype(np.int8)
    z = rng.integers(-half, half, (n, groups)).astype(np.int8) if zeros else np.zeros((n, groups), np.int8)
    s = random_scale(n, groups, dtype=np.float32)
    group = rng.permutation(np.arange(k) // g).astype(np.int32) if act_order else np.arange(k) // g
    fields = {"scale": s, "group_cols": g, "cols": k, "rows": n}
    if zeros:
        fields["zero_point"] = helpers.pack_to_int32(torch.from_numpy(z), bits, packed_dim=0).numpy()
    if act_order:
        fields["group_index"] = group
    words = helpers.pack_to_int32(torch.from_numpy(q), bits).numpy()
    got = c.dequantize(words, c.quant(f"INT{bits}_CT", **fields))
    same(got, (q.astype(np.int64) - z[:, group]) * s.astype(np.float64)[:, group])


@pytest.mark.parametrize("zero_type", [None, np.int32, np.int8, np.uint8, np.float32, np.float16])
def test_int4_rows(zero_type):
    n, k, g = 6, 72, 24
    q = rng.integers(0, 16, (n, k)).astype(np.uint8)
    s = random_scale(n, k // g, dtype=ml_dtypes.bfloat16)
    z = np.full((n, k // g), 8.0)
    fields = {"scale": s, "group_cols": g}
    if zero_type is not None:
        z = rng.integers(0, 16, (n, k // g)).astype(zero_type)
        if np.issubdtype(zero_type, np.floating):
            z = (z + 0.25).astype(zero_type)
        fields["zero_point"] = z
    packed = pack_nibbles(q)
    got = c.dequantize(packed, c.quant("INT4", **fields))
    same(got, (q - expand(z.astype(np.float64), g, k)) * expand(s.astype(np.float64), g, k))


@pytest.mark.parametrize("rows, cols", [(0, 0), (-1, -1), (1, -1), (1, 16), (128, 128), (8, 12)])
@pytest.mark.parametrize("zeros", [False, True])
def test_int8_groups(rows, cols, zeros):
    n, k = 20, 44
    q = rng.integers(-128, 128, (n, k)).astype(np.int8)
    width, height = cols if cols > 0 else k, rows if rows > 0 else n if rows == -1 else 1
    shape = (-(-n // height), -(-k // width))
    s = random_scale(*shape, dtype=np.float32)
    z = rng.integers(-20, 20, shape).astype(np.int32) if zeros else np.zeros(shape, np.int32)
    up = lambda p: expand(np.repeat(p.astype(np.float64), height, axis=0)[:n], width, k)
    fields = {"zero_point": z} if zeros else {}
    got = c.dequantize(q, c.quant("INT8", scale=s, group_rows=rows, group_cols=cols, **fields))
    same(got, (q - up(z)) * up(s))


# ---- floats ----

@pytest.mark.parametrize("element", ["float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz"])
@pytest.mark.parametrize("as_bytes", [False, True])
@pytest.mark.parametrize("transposed", [False, True])
def test_fp8_block(element, as_bytes, transposed):
    n, k = 150, 260
    q = rng.integers(0, 256, (n, k), dtype=np.uint8).view(getattr(ml_dtypes, element))
    s = random_scale(2, 3, dtype=np.float32)
    want = q.astype(np.float64) * expand(np.repeat(s.astype(np.float64), 128, 0)[:n], 128, k)
    stored = np.asfortranarray(q) if transposed else q
    fields = {"scale": np.asfortranarray(s) if transposed else s, "group_rows": 128, "group_cols": 128}
    if as_bytes:
        stored = stored.view(np.uint8)
        fields["element"] = c.ELEMENT[element[7:]]
    got = c.dequantize(stored, c.quant("FP8", **fields))
    nan = np.isnan(want)
    assert (np.isnan(got) == nan).all()
    same(np.where(nan, 0, got), np.where(nan, 0, want))


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_fp8_per_tensor_scale_shapes(shape):
    q = rng.integers(0, 120, (5, 7), dtype=np.uint8).view(ml_dtypes.float8_e4m3fn)
    s = np.full(shape, 0.3, np.float32)
    got = c.dequantize(q, c.quant("FP8", scale=s, group_rows=-1, group_cols=-1))
    same(got, q.astype(np.float64) * np.float64(np.float32(0.3)))


def test_fp8_power_of_two_scales():
    q = rng.integers(0, 120, (4, 256), dtype=np.uint8).view(ml_dtypes.float8_e4m3fn)
    s = rng.integers(100, 140, (4, 2), dtype=np.uint8)
    got = c.dequantize(q, c.quant("FP8", scale=s, group_cols=128))
    same(got, q.astype(np.float64) * expand(np.exp2(s.astype(np.float64) - 127), 128, 256))


@pytest.mark.parametrize("format", MX_ELEMENT)
@pytest.mark.parametrize("swizzled", [False, True])
def test_mx(format, swizzled):
    element, bits = MX_ELEMENT[format]
    n, k = 140, 192
    codes = rng.integers(0, 1 << bits, (n, k)).astype(np.uint8)
    codes[codes & 0x7f == 0x7f] = 0  # no NaN among the e4m3fn elements
    scale = rng.integers(90, 160, (n, k // 32)).astype(np.uint8)
    want = codes.view(getattr(ml_dtypes, element)).astype(np.float64) * expand(
        scale.view(ml_dtypes.float8_e8m0fnu).astype(np.float64), 32, k)
    stored = {4: pack_nibbles(codes), 6: pack_sixbit(codes), 8: codes}[bits]
    fields = {"scale": swizzle_128x4(scale) if swizzled else scale}
    if swizzled:
        fields["scale_layout"] = c.SWIZZLE_128X4
    if bits == 8:
        fields["element"] = c.ELEMENT["e4m3fn"]
    same(c.dequantize(stored, c.quant(format, **fields)), want)


@pytest.mark.parametrize("global_scale", [None, "multiplies", "divides"])
@pytest.mark.parametrize("swizzled", [False, True])
def test_nvfp4(global_scale, swizzled):
    n, k = 130, 80
    codes = rng.integers(0, 16, (n, k)).astype(np.uint8)
    scale = rng.integers(1, 0x7f, (n, k // 16)).astype(np.uint8)
    value = codes.view(ml_dtypes.float4_e2m1fn).astype(np.float64)
    block = scale.view(ml_dtypes.float8_e4m3fn).astype(np.float64)
    fields = {"scale": swizzle_128x4(scale) if swizzled else scale}
    if swizzled:
        fields["scale_layout"] = c.SWIZZLE_128X4
    if global_scale:
        g = np.array([0.0123], np.float32)
        block = block * g if global_scale == "multiplies" else block / g
        fields["global_scale"] = g
        fields["flags"] = 0 if global_scale == "multiplies" else c.RECIPROCAL_GLOBAL_SCALE
    packed = pack_nibbles(codes)
    same(c.dequantize(packed, c.quant("NVFP4", **fields)), value * expand(block, 16, k))


def test_packing_against_compressed_tensors():
    torch = pytest.importorskip("torch")
    nvfp4 = pytest.importorskip("compressed_tensors.compressors.nvfp4.helpers")
    values = torch.from_numpy(rng.choice([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.5, -6], (3, 64)).astype(np.float32))
    packed = nvfp4.pack_fp4_to_uint8(values).numpy()
    ones = np.full((3, 2), 127, np.uint8)
    got = c.dequantize(packed, c.quant("MXFP4", scale=ones))
    assert (got == values.numpy()).all()


def test_experts():
    e, n, k = 3, 10, 64
    codes = rng.integers(0, 16, (e, n, k)).astype(np.uint8)
    scale = rng.integers(0x20, 0x70, (e, n, k // 16)).astype(np.uint8)
    g = rng.uniform(0.1, 2, e).astype(np.float32)
    packed = pack_nibbles(codes)
    q = c.quant("NVFP4", scale=scale, global_scale=g)
    assert c.view(packed, q) == (c.OK, (e, n, k))
    for i in range(e):
        block = scale[i].view(ml_dtypes.float8_e4m3fn).astype(np.float64) * np.float64(g[i])
        same(c.dequantize(packed, q, i), codes[i].view(ml_dtypes.float4_e2m1fn).astype(np.float64) * expand(block, 16, k))
    tiled = np.stack([swizzle_128x4(scale[i]) for i in range(e)])
    q = c.quant("NVFP4", scale=tiled, global_scale=g, scale_layout=c.SWIZZLE_128X4)
    same(c.dequantize(packed, q, 2), codes[2].view(ml_dtypes.float4_e2m1fn).astype(np.float64) * expand(
        scale[2].view(ml_dtypes.float8_e4m3fn).astype(np.float64) * np.float64(g[2]), 16, k))


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
def test_plain_with_any_strides(dtype):
    big = rng.standard_normal((30, 50)).astype(dtype)
    part = big[2:20:3, 1:40:2].T
    same(c.dequantize(part, None), part.astype(np.float64))


# ---- refusals: the sentence has the numbers that were wrong ----

def refuse(array, q, *words, status=c.INVALID_ARGUMENT):
    got, text = c.view(array, q)
    assert got == status, (got, text)
    for word in words:
        assert word in text, text


def test_refusals():
    u8 = lambda *shape: np.zeros(shape, np.uint8)
    i32 = lambda *shape: np.zeros(shape, np.int32)
    f32 = lambda *shape: np.ones(shape, np.float32)
    refuse(u8(4, 50), c.quant("MXFP4", scale=u8(4, 3)), "k=100", "32")
    refuse(u8(4, 64), c.quant("MXFP4", scale=u8(4, 5)), "[4, 4] expected", "[4, 5]")
    refuse(u8(4, 64), c.quant("MXFP4"), "scale is NULL")
    refuse(u8(4, 64), c.quant("MXFP4", scale=f32(4, 4)), "e8m0")
    refuse(u8(4, 64), c.quant("MXFP4", scale=u8(4, 4), group_cols=16), "group_cols=16")
    refuse(u8(4, 64), c.quant("MXFP4", scale=u8(4, 4), global_scale=f32(1)), "global_scale")
    refuse(u8(4, 64), c.quant("MXFP8", scale=u8(4, 2)), "element")
    refuse(u8(4, 64), c.quant("FP8", scale=f32(4, 1)), "element")
    refuse(u8(4, 20), c.quant("GGUF_Q4_0"), "18")
    refuse(u8(4, 18), c.quant("GGUF_Q4_0", scale=f32(4, 1)), "NULL")
    refuse(i32(4, 16), c.quant("INT4_GPTQ", scale=f32(2, 16), group_cols=16, zero_point=i32(2, 3)), "[2, 2]")
    refuse(u8(4, 16), c.quant("INT4_GPTQ", scale=f32(2, 16), group_cols=16), "i32")
    refuse(i32(4, 16), c.quant("INT4_CT", scale=f32(4, 4), group_cols=32, cols=100), "k=100", "128")
    refuse(i32(4, 16), c.quant("INT4_AWQ", scale=f32(1, 128), group_index=i32(4)), "group_index")
    refuse(u8(4, 16), c.quant("INT4", scale=f32(4, 1), group_rows=2), "group_rows=2")
    refuse(np.zeros((4, 16), np.int8), c.quant("INT8", scale=f32(4, 1), element=1), "element")
    refuse(u8(4, 64), c.quant("PACKED"), "PACKED", status=c.UNSUPPORTED)
    refuse(u8(4), c.quant("MXFP4", scale=u8(4)), "2 dimensions")
    refuse(f32(4, 4), c.quant("NONE", scale=f32(4)), "NONE")
    refuse(np.zeros((4, 128), np.uint8)[:, ::2], c.quant("MXFP4", scale=u8(4, 4)), "contiguous")
    refuse(u8(130, 64), c.quant("MXFP4", scale=u8(512), scale_layout=c.SWIZZLE_128X4), "1024", "512")


def test_extents_that_no_memory_has():
    """An empty tensor may claim anything; nothing may overflow on the way to the refusal."""
    empty = np.lib.stride_tricks.as_strided(np.zeros(1, np.uint8), (0, 1 << 61), (1, 1))
    refuse(empty, c.quant("MXFP4", scale=np.zeros((0, 1), np.uint8)), "out of range")
    scale = np.lib.stride_tricks.as_strided(np.zeros(1, np.uint8), (0, 1 << 60), (1, 1))
    refuse(np.zeros((4, 64), np.uint8), c.quant("MXFP4", scale=scale, scale_layout=c.SWIZZLE_128X4), "out of range")
    refuse(np.zeros((4, 16), np.int32), c.quant("INT4_CT", scale=np.zeros((4, 1), np.float32), cols=1 << 62), "out of range")
