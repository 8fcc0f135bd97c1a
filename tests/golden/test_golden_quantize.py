# SPDX-License-Identifier: Apache-2.0
"""quantize of the reference through the ABI: scales by NumPy from their definition, elements by ml_dtypes,
whole blocks by torch, compressed-tensors and gguf where those have the same rule."""

import gguf
import ml_dtypes
import numpy as np
import pytest

from dltensor import ELEMENT, RECIPROCAL_GLOBAL_SCALE, ROUNDING, SWIZZLE_128X4
from tenon_host import Host, TenonError
from weights import MX_ELEMENT, expand, pack_nibbles, pack_sixbit, swizzle_128x4

STATIC_SCALE, SYMMETRIC = 2, 4
FP8 = {"float8_e4m3fn": 448.0, "float8_e4m3fnuz": 240.0, "float8_e5m2": 57344.0, "float8_e5m2fnuz": 57344.0}


@pytest.fixture(scope="module")
def host():
    return Host()


def values(rng, rows, cols):
    x = rng.standard_normal((rows, cols)) * np.exp2(rng.integers(-8, 8, (rows, 1)))
    x[min(2, rows - 1)] = 0
    return x.astype(np.float32)


def grouped_max(x, height, width):
    rows, cols = x.shape
    padded = np.zeros((-(-rows // height) * height, -(-cols // width) * width))
    padded[:rows, :cols] = np.abs(x)
    return padded.reshape(padded.shape[0] // height, height, -1, width).max((1, 3))


def spread(groups, height, width, rows, cols):
    return np.repeat(np.repeat(groups, height, 0), width, 1)[:rows, :cols]


def exact_cast(x64, dtype):
    """float64 to a small float with one rounding: to odd in float32 first."""
    nearest = x64.astype(np.float32)
    cut = np.where(np.abs(nearest.astype(np.float64)) > np.abs(x64), np.nextafter(nearest, np.float32(0)), nearest).astype(np.float32)
    odd = np.where(nearest.astype(np.float64) == x64, nearest.view(np.uint32), cut.view(np.uint32) | 1).astype(np.uint32)
    return odd.view(np.float32).astype(dtype)


GROUPS = [(-1, -1), (1, -1), (1, 128), (1, 40), (128, 128), (16, 24)]


@pytest.mark.parametrize("rows_per, cols_per", GROUPS)
@pytest.mark.parametrize("element", FP8)
def test_fp8(host, element, rows_per, cols_per):
    rng = np.random.default_rng(1)
    x = values(rng, 37, 300)
    height, width = rows_per if rows_per > 0 else 37, cols_per if cols_per > 0 else 300
    amax = grouped_max(x, height, width)
    want_scale = np.where(amax == 0, 1, amax / FP8[element]).astype(np.float32)
    q, scale = np.empty(x.shape, getattr(ml_dtypes, element)), np.empty(want_scale.shape, np.float32)
    quant = {"format": "FP8", "scale": scale, "group_rows": rows_per, "group_cols": cols_per}
    host.run("quantize", "ref_quantize", x=x, q=q, q_quant=quant)
    assert (scale == want_scale).all()
    ratio = x.astype(np.float64) / spread(scale.astype(np.float64), height, width, *x.shape)
    want = exact_cast(np.clip(ratio, -FP8[element], FP8[element]), getattr(ml_dtypes, element))
    assert (q.view(np.uint8) == want.view(np.uint8)).all()


def test_fp8_element_max_floor_limit_and_bytes(host):
    """The rule of gfx942: 224 of 240; floor and limit as serving stacks set them."""
    x = values(np.random.default_rng(2), 9, 64)
    x[4] *= 1e-6
    q, scale = np.empty(x.shape, np.uint8), np.empty((9, 1), np.float32)
    quant = {"format": "FP8", "element": ELEMENT["e4m3fnuz"], "scale": scale, "group_cols": -1}
    host.run("quantize", "ref_quantize", x=x, q=q, q_quant=quant, element_max=224.0, amax_floor=1e-4, scale_limit=0.5)
    amax = np.maximum(np.abs(x).max(1, keepdims=True).astype(np.float64), np.float64(np.float32(1e-4)))
    assert (scale == np.minimum((amax / 224).astype(np.float32), np.float32(0.5))).all()
    ratio = np.clip(x.astype(np.float64) / scale, -224, 224)
    assert (q == exact_cast(ratio, ml_dtypes.float8_e4m3fnuz).view(np.uint8)).all()


def test_fp8_static(host):
    x = values(np.random.default_rng(3), 5, 32)
    q, scale = np.empty(x.shape, ml_dtypes.float8_e4m3fn), np.array([0.01], np.float32)
    host.run("quantize", "ref_quantize", x=x, q=q,
             q_quant={"format": "FP8", "scale": scale, "group_rows": -1, "group_cols": -1, "flags": STATIC_SCALE})
    assert scale[0] == np.float32(0.01)
    want = exact_cast(np.clip(x.astype(np.float64) / scale[0].astype(np.float64), -448, 448), ml_dtypes.float8_e4m3fn)
    assert (q.view(np.uint8) == want.view(np.uint8)).all()


@pytest.mark.parametrize("x_type", [np.float32, ml_dtypes.bfloat16, np.float16])
def test_int8_symmetric(host, x_type):
    x = values(np.random.default_rng(4), 33, 70).astype(x_type)
    q, scale = np.empty(x.shape, np.int8), np.empty((33, 1), np.float32)
    host.run("quantize", "ref_quantize", x=x, q=q, q_quant={"format": "INT8", "scale": scale, "group_cols": -1})
    amax = np.abs(x.astype(np.float64)).max(1, keepdims=True)
    want = np.where(amax == 0, 1, amax / 127).astype(np.float32)
    assert (scale == want).all()
    assert (q == np.clip(np.rint(x.astype(np.float64) / want.astype(np.float64)), -128, 127)).all()
    assert np.abs(q.astype(int)).max() == 127


@pytest.mark.parametrize("dtype, least", [(np.int8, -128), (np.uint8, 0)])
def test_int8_with_zero_points(host, dtype, least):
    x = values(np.random.default_rng(5), 33, 70) + 3
    x[3], x[4] = np.abs(x[3]) + 1, 0
    q, scale, zero = np.empty(x.shape, dtype), np.empty((33, 1), np.float32), np.empty((33, 1), np.int32)
    host.run("quantize", "ref_quantize", x=x, q=q,
             q_quant={"format": "INT8", "scale": scale, "zero_point": zero, "group_cols": -1})
    low = np.minimum(x.astype(np.float64).min(1, keepdims=True), 0)
    high = np.maximum(x.astype(np.float64).max(1, keepdims=True), 0)
    want = ((high - low) / 255).astype(np.float32)
    want[want == 0] = 1
    assert (scale == want).all()
    s = want.astype(np.float64)
    want_zero = np.rint(least - low / s)
    assert (zero == want_zero).all()
    assert (q == np.clip(np.rint(x.astype(np.float64) / s) + want_zero, least, least + 255)).all()
    assert np.abs((q.astype(np.float64) - zero) * s - x).max() <= (s.max() * 1.01)

    host.run("quantize", "ref_quantize", x=x, q=q, q_quant={
        "format": "INT8", "scale": scale, "zero_point": zero, "group_cols": -1, "flags": SYMMETRIC})
    assert (zero == 0).all()


def mx_exponent(amax, element, rule):
    info = ml_dtypes.finfo(element)
    largest, emax = float(info.max), int(np.floor(np.log2(float(info.max))))
    if rule == "FLOOR":
        return np.floor(np.log2(amax)) - emax
    if rule == "CEIL":
        return np.ceil(np.log2(amax / largest))
    if rule == "NEAREST":
        return np.floor(np.log2(amax / largest) + 0.5)
    binade = np.floor(np.log2(amax))
    mantissa = amax * np.exp2(-binade)
    up = np.floor(mantissa * 2**info.nmant + 0.5) >= 2 ** (info.nmant + 1)
    return binade + up - emax


@pytest.mark.parametrize("swizzled", [False, True])
@pytest.mark.parametrize("rule", ROUNDING)
@pytest.mark.parametrize("format", [*MX_ELEMENT, "MXFP8_E5M2"])
def test_mx(host, format, rule, swizzled):
    element, bits = ("float8_e5m2", 8) if format == "MXFP8_E5M2" else MX_ELEMENT[format]
    dtype = getattr(ml_dtypes, element)
    x = values(np.random.default_rng(6), 131, 160)
    amax = grouped_max(x, 1, 32)
    with np.errstate(divide="ignore", invalid="ignore"):  # blocks of zeros
        want_scale = np.where(amax == 0, 127, 127 + mx_exponent(amax, dtype, rule)).astype(np.uint8)
    stored = {4: np.empty((131, 80), np.uint8), 6: np.empty((131, 120), np.uint8), 8: np.empty((131, 160), dtype)}[bits]
    scale = np.full(2 * 2 * 512, 0xaa, np.uint8) if swizzled else np.empty((131, 5), np.uint8)
    host.run("quantize", "ref_quantize", x=x, q=stored, q_quant={
        "format": format[:5] if format.startswith("MXFP8") else format, "scale": scale, "scale_layout": SWIZZLE_128X4 if swizzled else 0,
        "scale_rounding": ROUNDING[rule]})
    assert (scale == (swizzle_128x4(want_scale) if swizzled else want_scale)).all()
    ratio = x.astype(np.float64) / expand(np.exp2(want_scale.astype(np.float64) - 127), 32, 160)
    largest = float(ml_dtypes.finfo(dtype).max)
    codes = exact_cast(np.clip(ratio, -largest, largest), dtype).view(np.uint8)
    want = {4: pack_nibbles, 6: pack_sixbit, 8: lambda c: c}[bits](codes)
    assert (stored.view(np.uint8) == want).all()


@pytest.mark.parametrize("convention", ["none", "multiplies", "divides"])
def test_nvfp4(host, convention):
    x = values(np.random.default_rng(7), 130, 96)
    x[:, 16:32] = 0
    factor = {"none": 1.0, "multiplies": float(np.float32(np.abs(x).max() / (448 * 6))),
              "divides": float(np.float32(448 * 6 / np.abs(x).max()))}[convention]
    g = 1 / factor if convention == "divides" else factor  # what multiplies
    q, scale = np.empty((130, 48), np.uint8), np.empty((130, 6), ml_dtypes.float8_e4m3fn)
    quant = {"format": "NVFP4", "scale": scale}
    if convention != "none":
        quant.update(global_scale=np.array([factor], np.float32), flags=RECIPROCAL_GLOBAL_SCALE if convention == "divides" else 0)
    host.run("quantize", "ref_quantize", x=x, q=q, q_quant=quant)
    amax = grouped_max(x, 1, 16)
    want = exact_cast(np.minimum(amax * factor / 6 if convention == "divides" else amax / (6 * g), 448), ml_dtypes.float8_e4m3fn)
    assert (scale.view(np.uint8) == want.view(np.uint8)).all()
    block = scale.astype(np.float64)
    block = block / factor if convention == "divides" else block * factor
    step = expand(block, 16, 96)
    ratio = np.divide(x, step, out=np.zeros(x.shape), where=step != 0)
    assert (q == pack_nibbles(exact_cast(np.clip(ratio, -6, 6), ml_dtypes.float4_e2m1fn).view(np.uint8))).all()


@pytest.mark.parametrize("format", ["Q4_0", "Q4_1", "Q8_0", "Q4_K", "Q6_K"])
def test_gguf(host, format):
    kind = gguf.GGMLQuantizationType[format]
    block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    x = np.random.default_rng(8).standard_normal((9, 2 * block)).astype(np.float32)
    q = np.empty((9, 2 * block_bytes), np.uint8)
    host.run("quantize", "ref_quantize", x=x, q=q, q_quant={"format": "GGUF_" + format})
    if format in ("Q4_0", "Q4_1", "Q8_0"):
        assert (q == gguf.quants.quantize(x, kind)).all()
    back = gguf.quants.dequantize(q, kind)
    error = np.sqrt(np.mean((back - x) ** 2))
    assert error < {"Q4_0": 0.11, "Q4_1": 0.09, "Q8_0": 0.007, "Q4_K": 0.08, "Q6_K": 0.02}[format], error


def test_nan_and_infinity(host):
    x = np.ones((4, 64), np.float32)
    x[1, 3], x[2, 40] = np.nan, np.inf
    q, scale = np.empty(x.shape, ml_dtypes.float8_e4m3fn), np.empty((4, 1), np.float32)
    host.run("quantize", "ref_quantize", x=x, q=q, q_quant={"format": "FP8", "scale": scale, "group_cols": -1})
    assert np.isnan(q.astype(np.float32)[1]).sum() == 1 and np.isfinite(scale[1, 0])  # the element says it
    assert np.isinf(scale[2, 0])
    packed, power = np.empty((4, 32), np.uint8), np.empty((4, 2), np.uint8)
    host.run("quantize", "ref_quantize", x=x, q=packed, q_quant={"format": "MXFP4", "scale": power})
    assert power[1, 0] == 0xff and power[1, 1] != 0xff  # e2m1 cannot: the scale of that block says it
    assert power[2, 1] == 0xff and power[2, 0] != 0xff


def test_fewer_rows_than_planned(host):
    x = values(np.random.default_rng(9), 20, 64)
    whole, part = np.empty((20, 32), np.uint8), np.full((20, 32), 9, np.uint8)
    scale, part_scale = np.empty((20, 2), np.uint8), np.full((20, 2), 9, np.uint8)
    host.run("quantize", "ref_quantize", x=x, q=whole, q_quant={"format": "MXFP4", "scale": scale})
    plan = host.plan("quantize", "ref_quantize", x=x, q=whole, q_quant={"format": "MXFP4", "scale": scale})
    host.run_plan(plan, "quantize", x=x[:7], q=part[:7], q_quant={"format": "MXFP4", "scale": part_scale})
    host.destroy(plan)
    assert (part[:7] == whole[:7]).all() and (part[7:] == 9).all()
    assert (part_scale[:7] == scale[:7]).all() and (part_scale[7:] == 9).all()


def test_refusals(host):
    x = np.zeros((4, 64), np.float32)

    def refused(status, words, q, **args):
        with pytest.raises(TenonError) as caught:
            host.run("quantize", x=x, q=q, **args)
        assert caught.value.status == status and words in str(caught.value), caught.value

    u8 = lambda *shape: np.zeros(shape, np.uint8)
    refused(1, "required", u8(4, 32))
    refused(2, "format=3", u8(4, 32), q_quant={"format": "INT4", "scale": np.zeros((4, 2), np.float32), "group_cols": 32})
    refused(1, "[4, 2]", u8(4, 32), q_quant={"format": "MXFP4", "scale": u8(4, 3)})
    refused(1, "[4, 32]", u8(4, 16), q_quant={"format": "MXFP4", "scale": u8(4, 1)})
    refused(1, "zero_point", u8(4, 64), q_quant={"format": "INT8", "scale": np.zeros((4, 1), np.float32)})
    refused(1, "negative", u8(4, 32), q_quant={"format": "MXFP4", "scale": u8(4, 2)}, amax_floor=-1.0)
