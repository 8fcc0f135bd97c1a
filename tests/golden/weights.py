# SPDX-License-Identifier: Apache-2.0
"""Random weights in every format, each with the values that it stands for, unpacked independently of Tenon.

make(format, n, k, rng) -> (stored array, descriptor fields, values in float64)
"""

import gguf
import ml_dtypes
import numpy as np

AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7]  # column in each nibble slot of a word
MX_ELEMENT = {"MXFP4": ("float4_e2m1fn", 4), "MXFP6_E2M3": ("float6_e2m3fn", 6), "MXFP6_E3M2": ("float6_e3m2fn", 6),
              "MXFP8": ("float8_e4m3fn", 8)}


def expand(groups, width, k):
    """[n, groups] -> [n, k]"""
    return np.repeat(groups, width, axis=1)[:, :k]


def pack_words(codes, axis, bits, order=None):
    """Codes along an axis into int32 words: the one that goes first takes the lowest bits."""
    per = 32 // bits
    codes = np.moveaxis(codes.astype(np.uint64), axis, -1)
    codes = np.pad(codes, [(0, 0)] * (codes.ndim - 1) + [(0, -codes.shape[-1] % per)])
    codes = codes.reshape(*codes.shape[:-1], -1, per)
    if order is not None:
        codes = codes[..., order]
    words = (codes << (np.arange(per, dtype=np.uint64) * np.uint64(bits))).sum(-1).astype(np.uint32).view(np.int32)
    return np.ascontiguousarray(np.moveaxis(words, -1, axis))


def pack_nibbles(codes):
    return codes[..., 0::2] | codes[..., 1::2] << 4


def pack_sixbit(codes):
    bits = (codes[..., None] >> np.arange(6)) & 1
    return np.packbits(bits.reshape(codes.shape[0], -1).astype(np.uint8), axis=1, bitorder="little")


def swizzle_128x4(scales):
    """[rows, blocks] bytes into 512-byte atoms, by reshaping: rows = (band, 4, 32), blocks = (atom, 4)."""
    rows, blocks = scales.shape
    padded = np.zeros((-(-rows // 128) * 128, -(-blocks // 4) * 4), np.uint8)
    padded[:rows, :blocks] = scales
    tiles = padded.reshape(padded.shape[0] // 128, 4, 32, padded.shape[1] // 4, 4)
    return np.ascontiguousarray(tiles.transpose(0, 3, 2, 1, 4)).ravel()


def _plain(dtype):
    def make(n, k, rng):
        w = rng.standard_normal((n, k)).astype(dtype)
        return w, None, w.astype(np.float64)
    return make


def _fp8(rows, cols, dtype=ml_dtypes.float8_e4m3fn):
    def make(n, k, rng):
        height, width = rows if rows > 0 else n, cols if cols > 0 else k
        q = (rng.standard_normal((n, k)) * 20).astype(dtype)
        s = rng.uniform(0.01, 0.1, (-(-n // height), -(-k // width))).astype(np.float32)
        fields = {"scale": s, "group_rows": rows, "group_cols": cols}
        return q, fields, q.astype(np.float64) * expand(np.repeat(s.astype(np.float64), height, 0)[:n], width, k)
    return make


def _int8(zeros):
    def make(n, k, rng):
        q = rng.integers(-128, 128, (n, k)).astype(np.int8)
        s = rng.uniform(0.001, 0.01, (n, 1)).astype(np.float32)
        z = rng.integers(-20, 20, (n, 1)).astype(np.int32) if zeros else np.zeros((n, 1), np.int32)
        fields = {"scale": s, "group_cols": -1, **({"zero_point": z} if zeros else {})}
        return q, fields, (q.astype(np.float64) - z) * s
    return make


def _int4(group, zeros):
    def make(n, k, rng):
        q = rng.integers(0, 16, (n, k)).astype(np.uint8)
        s = rng.uniform(0.01, 0.1, (n, -(-k // group))).astype(np.float16)
        z = rng.integers(0, 16, s.shape).astype(np.uint8) if zeros else np.full(s.shape, 8, np.uint8)
        fields = {"scale": s, "group_cols": group, **({"zero_point": z} if zeros else {})}
        return pack_nibbles(q), fields, (q - expand(z.astype(np.float64), group, k)) * expand(s.astype(np.float64), group, k)
    return make


def _gptq(group, version, act_order):
    def make(n, k, rng):
        q = rng.integers(0, 16, (n, k))
        z = rng.integers(1, 16, (n, k // group))
        s = rng.uniform(0.01, 0.1, (k // group, n)).astype(np.float16)
        index = rng.permutation(np.arange(k) // group).astype(np.int32) if act_order else np.arange(k) // group
        fields = {"scale": s, "group_cols": group, "zero_point": pack_words((z - (version == 1)).T, 1, 4)}
        if act_order:
            fields["group_index"] = index
        return pack_words(q.T, 0, 4), fields, (q - z[:, index]) * s.astype(np.float64).T[:, index]
    return make


def _awq(group):
    def make(n, k, rng):
        q, z = rng.integers(0, 16, (k, n)), rng.integers(0, 16, (k // group, n))
        s = rng.uniform(0.01, 0.1, (k // group, n)).astype(np.float16)
        fields = {"scale": s, "group_cols": group, "zero_point": pack_words(z, 1, 4, AWQ_ORDER)}
        values = (q - np.repeat(z, group, 0)) * np.repeat(s.astype(np.float64), group, 0)
        return pack_words(q, 1, 4, AWQ_ORDER), fields, np.ascontiguousarray(values.T)
    return make


def _ct(bits, group, zeros):
    def make(n, k, rng):
        half = 1 << bits - 1
        q = rng.integers(-half, half, (n, k))
        s = rng.uniform(0.01, 0.1, (n, -(-k // group))).astype(ml_dtypes.bfloat16)
        z = rng.integers(-half, half, s.shape) if zeros else np.zeros(s.shape, np.int64)
        fields = {"scale": s, "group_cols": group, "rows": n, "cols": k}
        if zeros:
            fields["zero_point"] = pack_words(z + half, 0, bits)
        return pack_words(q + half, 1, bits), fields, (q - expand(z, group, k)) * expand(s.astype(np.float64), group, k)
    return make


def _mx(format, swizzled=False):
    element, bits = MX_ELEMENT[format]

    def make(n, k, rng):
        codes = rng.integers(0, 1 << bits, (n, k)).astype(np.uint8)
        if bits == 8:
            codes[codes & 0x7f == 0x7f] = 0
        scale = rng.integers(118, 128, (n, k // 32)).astype(np.uint8)
        values = codes.view(getattr(ml_dtypes, element)).astype(np.float64) * expand(np.exp2(scale.astype(np.float64) - 127), 32, k)
        stored = {4: pack_nibbles, 6: pack_sixbit, 8: lambda c: c.view(ml_dtypes.float8_e4m3fn)}[bits](codes)
        return stored, {"scale": swizzle_128x4(scale) if swizzled else scale, "scale_layout": int(swizzled)}, values
    return make


def _nvfp4(reciprocal):
    def make(n, k, rng):
        codes = rng.integers(0, 16, (n, k)).astype(np.uint8)
        scale = rng.integers(0x20, 0x58, (n, k // 16)).astype(np.uint8).view(ml_dtypes.float8_e4m3fn)
        g = np.array([19.5 if reciprocal else 0.0313], np.float32)
        block = scale.astype(np.float64) / g if reciprocal else scale.astype(np.float64) * g
        values = codes.view(ml_dtypes.float4_e2m1fn).astype(np.float64) * expand(block, 16, k)
        return pack_nibbles(codes), {"scale": scale, "global_scale": g, "flags": int(reciprocal)}, values
    return make


def _gguf(format):
    def make(n, k, rng):
        kind = gguf.GGMLQuantizationType[format]
        block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
        data = rng.integers(0, 256, (n, k // block, block_bytes), dtype=np.uint8)
        small = lambda: rng.uniform(0.001, 0.02, data.shape[:2]).astype(np.float16)[..., None].view(np.uint8)
        halves = {"Q4_0": [0], "Q4_1": [0, 2], "Q8_0": [0], "Q4_K": [0, 2], "Q6_K": [208]}[format]
        for at in halves:  # the f16 fields: random bits would be NaN or huge
            data[..., at:at + 2] = small()
        data = data.reshape(n, -1)
        return data, {}, gguf.quants.dequantize(data, kind).astype(np.float64)
    return make


# name -> (format, maker, k must be a multiple of)
MAKERS = {
    "f32": ("NONE", _plain(np.float32), 1), "bf16": ("NONE", _plain(ml_dtypes.bfloat16), 1), "f16": ("NONE", _plain(np.float16), 1),
    "fp8_tensor": ("FP8", _fp8(-1, -1), 1), "fp8_channel": ("FP8", _fp8(1, -1), 1), "fp8_block": ("FP8", _fp8(128, 128), 1),
    "fp8_e4m3fnuz": ("FP8", _fp8(1, -1, ml_dtypes.float8_e4m3fnuz), 1), "fp8_e5m2": ("FP8", _fp8(1, -1, ml_dtypes.float8_e5m2), 1),
    "int8": ("INT8", _int8(False), 1), "int8_zero": ("INT8", _int8(True), 1),
    "int4_g32": ("INT4", _int4(32, False), 32), "int4_g128_zero": ("INT4", _int4(128, True), 128),
    "gptq": ("INT4_GPTQ", _gptq(64, 1, False), 64), "gptq_act_order": ("INT4_GPTQ", _gptq(32, 1, True), 32),
    "gptq_v2": ("INT4_GPTQ_V2", _gptq(128, 2, False), 128), "awq": ("INT4_AWQ", _awq(32), 32),
    "ct_int4": ("INT4_CT", _ct(4, 32, False), 8), "ct_int4_zero": ("INT4_CT", _ct(4, 128, True), 8),
    "ct_int8": ("INT8_CT", _ct(8, 64, False), 4), "mxfp4": ("MXFP4", _mx("MXFP4"), 32),
    "mxfp4_128x4": ("MXFP4", _mx("MXFP4", True), 32), "mxfp6_e2m3": ("MXFP6_E2M3", _mx("MXFP6_E2M3"), 32),
    "mxfp6_e3m2": ("MXFP6_E3M2", _mx("MXFP6_E3M2"), 32), "mxfp8": ("MXFP8", _mx("MXFP8"), 32),
    "nvfp4": ("NVFP4", _nvfp4(False), 16), "nvfp4_reciprocal": ("NVFP4", _nvfp4(True), 16),
    "gguf_q4_0": ("GGUF_Q4_0", _gguf("Q4_0"), 32), "gguf_q4_1": ("GGUF_Q4_1", _gguf("Q4_1"), 32),
    "gguf_q8_0": ("GGUF_Q8_0", _gguf("Q8_0"), 32), "gguf_q4_k": ("GGUF_Q4_K", _gguf("Q4_K"), 256),
    "gguf_q6_k": ("GGUF_Q6_K", _gguf("Q6_K"), 256),
}


def make(name, n, k, rng):
    """(stored, descriptor fields or None for plain elements, values). n a multiple of 8 fits every format."""
    format, maker, multiple = MAKERS[name]
    assert k % multiple == 0, f"{name} needs k % {multiple} == 0"
    stored, fields, values = maker(n, k, rng)
    return stored, None if fields is None else {"format": format, **fields}, values
