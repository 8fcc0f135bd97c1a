# SPDX-License-Identifier: Apache-2.0
"""Small floats against ml_dtypes and NumPy, GGUF blocks against the gguf package."""

import gguf
import ml_dtypes
import numpy as np
import pytest

import codec_shim as c

PEERS = {
    "f16": (np.float16, 16), "bf16": (ml_dtypes.bfloat16, 16),
    "e4m3fn": (ml_dtypes.float8_e4m3fn, 8), "e4m3fnuz": (ml_dtypes.float8_e4m3fnuz, 8),
    "e5m2": (ml_dtypes.float8_e5m2, 8), "e5m2fnuz": (ml_dtypes.float8_e5m2fnuz, 8),
    "e8m0": (ml_dtypes.float8_e8m0fnu, 8), "e2m3": (ml_dtypes.float6_e2m3fn, 6),
    "e3m2": (ml_dtypes.float6_e3m2fn, 6), "e2m1": (ml_dtypes.float4_e2m1fn, 4),
}
HAS_INFINITY = {"f16", "bf16"}


def bits(values):
    return np.asarray(values, np.float32).view(np.uint32)


def assert_same_floats(got, want):
    both_nan = np.isnan(got) & np.isnan(want)
    different = np.flatnonzero((bits(got) != bits(want)) & ~both_nan)
    assert different.size == 0, (different[:5], got[different[:5]], want[different[:5]])


@pytest.mark.parametrize("number", PEERS)
def test_decode_every_code(number):
    peer, width = PEERS[number]
    codes = np.arange(1 << width).astype(np.uint16 if width == 16 else np.uint8)
    assert_same_floats(c.decode(number, codes), codes.view(peer).astype(np.float32))


def samples():
    rng = np.random.default_rng(7)
    random_bits = rng.integers(0, 1 << 32, 400_000, dtype=np.uint32).view(np.float32)
    scales = np.exp2(rng.integers(-20, 20, 400_000)).astype(np.float32)
    ordinary = rng.standard_normal(400_000).astype(np.float32) * scales
    grid = (np.arange(-70000, 70000, dtype=np.float32) / 128)
    return np.concatenate([random_bits[~np.isnan(random_bits)], ordinary, grid])


@pytest.mark.parametrize("number", [n for n in PEERS if n != "e8m0"])
def test_encode(number):
    peer, _ = PEERS[number]
    values = samples()
    if number not in HAS_INFINITY:  # Tenon saturates: hand the peer what is left after that
        largest = np.float32(ml_dtypes.finfo(peer).max)
        want = np.clip(values, -largest, largest).astype(peer)
    else:
        with np.errstate(over="ignore"):
            want = values.astype(peer)
    got = c.encode(number, values)
    want_codes = want.view(np.uint16 if number in HAS_INFINITY else np.uint8)
    wrong = np.flatnonzero(got != want_codes)
    assert wrong.size == 0, (values[wrong[:5]], got[wrong[:5]], want_codes[wrong[:5]])


@pytest.mark.parametrize("number", ["f16", "bf16", "e4m3fn", "e2m1"])
def test_encode_from_double_rounds_once(number):
    """A hair above a tie must go up, although the hair is lost in float32."""
    peer, width = PEERS[number]
    codes = np.arange(0, 0x3c00 if number == "f16" else (1 << width - 1) - 2)
    store = np.uint16 if width == 16 else np.uint8
    if number == "bf16":
        codes = codes[:0x7f7f]  # up to the last finite one
    low = c.decode(number, codes.astype(store)).astype(np.float64)
    high = c.decode(number, (codes + 1).astype(store)).astype(np.float64)
    middle = (low + high) / 2
    hair = middle * 2.0**-45
    assert (c.encode(number, middle + hair) == codes + 1).all()
    assert (c.encode(number, middle - hair) == codes).all()
    assert (c.encode(number, middle) == codes + codes % 2).all()


@pytest.mark.parametrize("format", ["Q4_0", "Q4_1", "Q8_0", "Q4_K", "Q6_K"])
def test_gguf_decode_random_blocks(format):
    kind = gguf.GGMLQuantizationType[format]
    block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    data = np.random.default_rng(3).integers(0, 256, (40, 6 * block_bytes), dtype=np.uint8)
    with np.errstate(all="ignore"):
        want = gguf.quants.dequantize(data, kind)
    got = c.dequantize(data, c.quant("GGUF_" + format))
    assert got.shape == (40, 6 * block)
    assert_same_floats(got.ravel(), want.ravel())


@pytest.mark.parametrize("format", ["Q4_0", "Q4_1", "Q8_0"])
def test_gguf_encode_as_the_package_does(format):
    kind = gguf.GGMLQuantizationType[format]
    block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    values = np.random.default_rng(5).standard_normal((64, 8 * block)).astype(np.float32)
    values[3, :block] = 0
    want = gguf.quants.quantize(values, kind)
    got = c.gguf_encode("GGUF_" + format, values, block, block_bytes).reshape(64, -1)
    assert (got == want).all()


@pytest.mark.parametrize("format, bound", [("Q4_K", 0.075), ("Q6_K", 0.02)])
def test_gguf_k_encoders_are_close(format, bound):
    """Relative RMS error on normal values: 15 and 63 steps over a sub-block."""
    kind = gguf.GGMLQuantizationType[format]
    block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    values = np.random.default_rng(6).standard_normal((32, 4 * block)).astype(np.float32)
    values[5, :block] = 0
    values[6, :block] = np.abs(values[6, :block]) + 3  # one-signed
    blocks = c.gguf_encode("GGUF_" + format, values, block, block_bytes).reshape(32, -1)
    back = gguf.quants.dequantize(blocks, kind)
    error = np.sqrt(np.mean((back[:5] - values[:5]) ** 2) / np.mean(values[:5] ** 2))
    assert error < bound, error
    assert (back[5, :block] == 0).all()
    assert np.abs(back[6, :block] - values[6, :block]).max() < (0.6 if format == "Q4_K" else 0.2)
