# SPDX-License-Identifier: Apache-2.0
"""matmul, dequantize, pack_weights and unpack_weights of the reference, through the ABI, against values
that were unpacked independently and multiplied by PyTorch in float64."""

import ml_dtypes
import numpy as np
import pytest
import torch

from dltensor import tensor
from tenon_host import Fault, Host, TenonError, aligned
from weights import MAKERS, make

INVALID_ARGUMENT, UNSUPPORTED, CORRUPT = 1, 2, 9
N, K = 40, 512


@pytest.fixture(scope="module")
def host():
    return Host()


def rng_of(name):
    return np.random.default_rng(sum(map(ord, name)))


def product(x, w, bias=None):
    """float64"""
    out = torch.from_numpy(x) @ torch.from_numpy(w).T
    return (out if bias is None else out + torch.from_numpy(bias)).numpy()


def assert_rounded(got, want, magnitude):
    """got is want rounded once: half a unit of its type, and a little for the order of a float64 sum."""
    unit = {np.dtype(np.float32): 2.0**-24, np.dtype(np.float16): 2.0**-11, np.dtype(ml_dtypes.bfloat16): 2.0**-8}[got.dtype]
    bound = np.abs(want) * unit * 1.000001 + magnitude * 2.0**-50
    if got.dtype == np.float16:
        bound = np.maximum(bound, 2.0**-25)
    worst = np.abs(got.astype(np.float64) - want) / bound
    assert worst.max() <= 1, (worst.max(), np.unravel_index(worst.argmax(), worst.shape))


@pytest.mark.parametrize("out_type", [np.float32, ml_dtypes.bfloat16, np.float16])
@pytest.mark.parametrize("name", MAKERS)
def test_matmul(host, name, out_type):
    rng = rng_of(name)
    stored, quant, values = make(name, N, K, rng)
    x = rng.standard_normal((19, K)).astype(ml_dtypes.bfloat16)
    bias = rng.standard_normal(N).astype(np.float32)
    out = np.full((19, N), np.nan, out_type)
    host.run("matmul", "ref_matmul", a=x, w=stored, w_quant=quant, bias=bias, out=out)
    want = product(x.astype(np.float64), values, bias.astype(np.float64))
    assert_rounded(out, want, np.abs(x.astype(np.float64)) @ np.abs(values.T) + np.abs(bias))


ACTIVATIONS = ["f32", "f16", "bf16", "fp8_tensor", "fp8_channel", "fp8_block", "fp8_e5m2", "int8", "int8_zero", "mxfp8", "mxfp4",
               "mxfp4_128x4", "nvfp4", "nvfp4_reciprocal"]


@pytest.mark.parametrize("weights", ["bf16", "fp8_block", "int8", "mxfp4"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_quantized_activations(host, name, weights):
    rng = rng_of(name + weights)
    a, a_quant, x = make(name, 24, 256, rng)
    w, w_quant, values = make(weights, 16, 256, rng)
    out = np.empty((24, 16), np.float32)
    host.run("matmul", "ref_matmul", a=a, a_quant=a_quant, w=w, w_quant=w_quant, out=out)
    assert_rounded(out, product(x, values), np.abs(x) @ np.abs(values.T))


def test_fewer_tokens_than_planned(host):
    """The scales of the activations stay as the plan had them, with more rows than the run."""
    rng = rng_of("fewer")
    a, a_quant, x = make("fp8_channel", 24, 128, rng)
    w, w_quant, values = make("gguf_q8_0", 8, 128, rng)
    whole, part = np.empty((24, 8), np.float32), np.full((24, 8), 7, np.float32)
    plan = host.plan("matmul", "ref_matmul", a=a, a_quant=a_quant, w=w, w_quant=w_quant, out=whole)
    host.run_plan(plan, "matmul", a=a, a_quant=a_quant, w=w, w_quant=w_quant, out=whole)
    for m in (0, 1, 17):
        host.run_plan(plan, "matmul", a=a[:m], a_quant=a_quant, w=w, w_quant=w_quant, out=part[:m])
        assert (part[:m] == whole[:m]).all()
        assert (part[m:] == 7).all()
        part[:] = 7
    host.destroy(plan)


def test_strided_everything(host):
    rng = rng_of("strided")
    x = rng.standard_normal((12, 200)).astype(np.float32)[2:9, 5:69]
    w = np.asfortranarray(rng.standard_normal((30, 80)).astype(np.float32))[3:23, 7:71]
    out = np.zeros((7, 90), np.float32)
    host.run("matmul", "ref_matmul", a=x, w=w, out=out[:, 20:40])
    assert_rounded(out[:, 20:40], product(x.astype(np.float64), w.astype(np.float64)), np.abs(x) @ np.abs(w.T))
    assert (out[:, :20] == 0).all() and (out[:, 40:] == 0).all()


# ---- dequantize ----

@pytest.mark.parametrize("x_type", [np.float32, ml_dtypes.bfloat16, np.float16])
@pytest.mark.parametrize("name", MAKERS)
def test_dequantize(host, name, x_type):
    stored, quant, values = make(name, N, K, rng_of(name))
    x = np.empty((N, K), x_type)
    host.run("dequantize", "ref_dequantize", q=stored, q_quant=quant, x=x)
    assert (x == torch_round(values, x_type)).all()


def torch_round(values, dtype):
    """One rounding from float64, by a way that Tenon does not take."""
    if dtype == ml_dtypes.bfloat16:
        nearest = values.astype(np.float32)
        # round to odd, then to bfloat16: ml_dtypes alone would round twice
        cut = np.where(np.abs(nearest) > np.abs(values), np.nextafter(nearest, np.float32(0)), nearest)
        odd = np.where(nearest == values, nearest.view(np.uint32), cut.astype(np.float32).view(np.uint32) | 1)
        return odd.astype(np.uint32).view(np.float32).astype(dtype)
    return values.astype(dtype)


def test_dequantize_rows(host):
    """An embedding look-up; rows out of range are reported, and left alone."""
    stored, quant, values = make("gguf_q6_k", 16, 256, rng_of("rows"))
    index = np.array([3, 3, 15, -1, 0, 16], np.int64)
    x, fault = np.full((6, 256), 5, np.float32), Fault()
    host.run("dequantize", "ref_dequantize", q=stored, q_quant=quant, row_index=index, x=x, fault=fault)
    assert (x[[0, 1, 2, 4]] == values[[3, 3, 15, 0]].astype(np.float32)).all()
    assert (x[[3, 5]] == 5).all()
    assert (fault.code, fault.position, fault.value, fault.limit) == (4, 3, -1, 16)


def test_dequantize_experts(host):
    rng = rng_of("experts")
    parts = [make("nvfp4", 8, 64, rng) for _ in range(3)]
    stored = np.stack([p[0] for p in parts])
    quant = {"format": "NVFP4", "scale": np.stack([p[1]["scale"] for p in parts]),
             "global_scale": np.array([p[1]["global_scale"][0] for p in parts])}
    x = np.empty((3, 8, 64), np.float32)
    host.run("dequantize", "ref_dequantize", q=stored, q_quant=quant, x=x)
    assert (x == np.stack([p[2] for p in parts]).astype(np.float32)).all()


# ---- packed weights ----

def pack(host, stored, quant):
    answer = host.query("pack_weights", "ref_pack_weights", w=stored, w_quant=quant, blob=aligned(0))
    assert answer.status == 0, answer.reason
    need = answer.output_bytes
    blob = aligned(need)
    host.run("pack_weights", "ref_pack_weights", w=stored, w_quant=quant, blob=blob)
    return blob


def empty_like(quant):
    return None if quant is None else {k: np.zeros_like(v) if isinstance(v, np.ndarray) else v for k, v in quant.items()}


@pytest.mark.parametrize("name", MAKERS)
def test_blob_gives_back_every_bit_and_multiplies(host, name):
    rng = rng_of(name)
    stored, quant, values = make(name, N, K, rng)
    blob = pack(host, stored, quant)
    back, back_quant = np.zeros_like(stored), empty_like(quant)
    host.run("unpack_weights", "ref_unpack_weights", blob=blob, w=back, w_quant=back_quant)
    assert back.tobytes() == stored.tobytes()
    for field, original in (quant or {}).items():
        if isinstance(original, np.ndarray):
            assert back_quant[field].tobytes() == original.tobytes(), field

    x = rng.standard_normal((3, K)).astype(np.float32)
    out, direct = np.empty((3, N), np.float32), np.empty((3, N), np.float32)
    host.run("matmul", "ref_matmul", a=x, w=blob, w_quant={"format": "PACKED"}, out=out)
    host.run("matmul", "ref_matmul", a=x, w=stored, w_quant=quant, out=direct)
    assert (out == direct).all()
    values_out = np.empty((N, K), np.float32)
    host.run("dequantize", "ref_dequantize", q=blob, q_quant={"format": "PACKED"}, x=values_out)
    assert (values_out == values.astype(np.float32)).all()


def test_blob_of_experts(host):
    rng = rng_of("expert blob")
    parts = [make("nvfp4", 8, 64, rng) for _ in range(3)]
    stored = np.stack([p[0] for p in parts])
    quant = {"format": "NVFP4", "scale": np.stack([p[1]["scale"] for p in parts]),
             "global_scale": np.array([p[1]["global_scale"][0] for p in parts])}
    blob = pack(host, stored, quant)
    back, back_quant = np.zeros_like(stored), empty_like(quant)
    host.run("unpack_weights", "ref_unpack_weights", blob=blob, w=back, w_quant=back_quant)
    assert (back == stored).all() and back_quant["scale"].tobytes() == quant["scale"].tobytes()
    x = np.empty((3, 8, 64), np.float32)
    host.run("dequantize", "ref_dequantize", q=blob, q_quant={"format": "PACKED"}, x=x)
    assert (x == np.stack([p[2] for p in parts]).astype(np.float32)).all()
    refused(lambda: host.plan("matmul", a=np.ones((2, 64), np.float32), w=blob, w_quant={"format": "PACKED"}, out=np.ones((2, 8), np.float32)),
            INVALID_ARGUMENT, "3 experts")


def test_blob_of_strided_weights_and_into_strided_tensors(host):
    rng = rng_of("strided blob")
    stored, quant, _ = make("mxfp4", 16, 64, rng)
    wide = np.zeros((32, 50), np.uint8)
    view = wide[::2, 9:41]
    view[:] = stored
    blob, same = pack(host, view, quant), pack(host, stored, quant)
    assert (blob == same).all()
    target = np.zeros((32, 40), np.uint8)
    host.run("unpack_weights", "ref_unpack_weights", blob=blob, w=target[::2, :32], w_quant=empty_like(quant))
    assert (target[::2, :32] == stored).all() and (target[1::2] == 0).all() and (target[:, 32:] == 0).all()


def refused(call, status, *words):
    with pytest.raises(TenonError) as caught:
        call()
    assert caught.value.status == status, caught.value
    for word in words:
        assert word in str(caught.value), caught.value


def test_damaged_blobs_are_refused(host):
    stored, quant, _ = make("awq", 16, 64, rng_of("damage"))
    blob = pack(host, stored, quant)
    x, out = np.ones((1, 64), np.float32), np.empty((1, 16), np.float32)

    def unpack(b):
        return lambda: host.run("unpack_weights", "ref_unpack_weights", blob=b, w=np.zeros_like(stored), w_quant=empty_like(quant))

    def multiply(b):
        return lambda: host.run("matmul", "ref_matmul", a=x, w=b, w_quant={"format": "PACKED"}, out=out)

    for use in (unpack, multiply):
        refused(use(blob[:blob.size - 64]), CORRUPT, "cut off", str(blob.size))
        refused(use(blob[:100]), CORRUPT, "too few")
        foreign = aligned(blob.size)
        foreign[:] = np.arange(blob.size) % 251
        refused(use(foreign), CORRUPT, "not packed weights")
        newer = aligned(blob.size)
        newer[:] = blob
        newer[8] = 2
        refused(use(newer), CORRUPT, "version 2")
    for bit in list(range(64, 560 * 8, 37)):  # every part of the header but the magic
        broken = aligned(blob.size)
        broken[:] = blob
        broken[bit // 8] ^= 1 << bit % 8
        refused(multiply(broken), CORRUPT)
        refused(unpack(broken), CORRUPT)
    for position in range(576, blob.size, 5):
        broken = aligned(blob.size)
        broken[:] = blob
        broken[position] ^= 0x10
        refused(unpack(broken), CORRUPT, "damaged")


def test_unpack_into_something_else(host):
    stored, quant, _ = make("int8_zero", 16, 64, rng_of("else"))
    blob = pack(host, stored, quant)
    run = lambda w, q: lambda: host.run("unpack_weights", "ref_unpack_weights", blob=blob, w=w, w_quant=q)
    missing = {k: v for k, v in quant.items() if k != "zero_point"}
    refused(run(stored.copy(), missing), INVALID_ARGUMENT, "zero_point")
    refused(run(np.zeros((8, 64), np.int8), {**quant, "scale": quant["scale"][:8], "zero_point": quant["zero_point"][:8]}),
            INVALID_ARGUMENT, "16, 64", "8, 64")
    other, other_quant, _ = make("fp8_channel", 16, 64, rng_of("other"))
    refused(run(other, other_quant), INVALID_ARGUMENT, "format")


def test_another_blob_than_the_plan_was_made_for(host):
    """A run looks again: the pointer may be another one, and a plan for unpacking may not have seen any."""
    rng = rng_of("another")
    first, other = make("mxfp4", 16, 64, rng), make("mxfp4", 16, 128, rng)
    blobs = [pack(host, *first[:2]), pack(host, *other[:2])]
    size = max(b.size for b in blobs)
    padded = [aligned(size) for _ in blobs]
    for p, b in zip(padded, blobs):
        p[:] = 0
        p[:b.size] = b
    x, out = np.ones((2, 64), np.float32), np.full((2, 16), 3, np.float32)
    args = {"a": x, "w_quant": {"format": "PACKED"}, "out": out}
    plan = host.plan("matmul", "ref_matmul", w=padded[0], **args)
    refused(lambda: host.run_plan(plan, "matmul", w=padded[1], **args), INVALID_ARGUMENT, "k=128", "k=64")
    assert (out == 3).all()
    host.run_plan(plan, "matmul", w=padded[0], **args)
    host.destroy(plan)

    unseen = tensor(padded[0])
    unseen.data = None
    w, quant = np.zeros_like(first[0]), empty_like(first[1])
    plan = host.plan("unpack_weights", "ref_unpack_weights", blob=unseen, w=w, w_quant=quant)
    refused(lambda: host.run_plan(plan, "unpack_weights", blob=padded[1], w=w, w_quant=quant), INVALID_ARGUMENT, "16, 64")
    assert (w == 0).all()
    host.run_plan(plan, "unpack_weights", blob=padded[0], w=w, w_quant=quant)
    assert (w == first[0]).all()
    host.destroy(plan)


def test_blob_too_small_or_not_aligned(host):
    stored, quant, _ = make("mxfp8", 16, 64, rng_of("small"))
    need = host.query("pack_weights", "ref_pack_weights", w=stored, w_quant=quant, blob=aligned(0)).output_bytes
    refused(lambda: host.run("pack_weights", "ref_pack_weights", w=stored, w_quant=quant, blob=aligned(need - 1)), INVALID_ARGUMENT, str(need))
    refused(lambda: host.run("pack_weights", "ref_pack_weights", w=stored, w_quant=quant, blob=aligned(need + 8)[8:]), INVALID_ARGUMENT, "64")


# ---- refusals of the checks ----

def test_refusals(host):
    f32 = lambda *shape: np.zeros(shape, np.float32)
    run = lambda **args: lambda: host.plan("matmul", **args)  # before anything runs
    stored, quant, _ = make("mxfp4", 16, 64, rng_of("refuse"))
    refused(run(a=f32(2, 32), w=stored, w_quant=quant, out=f32(2, 16)), INVALID_ARGUMENT, "k=64", "k=32")
    refused(run(a=f32(2, 64), w=stored, w_quant=quant, out=f32(2, 8)), INVALID_ARGUMENT, "n=8", "n=16")
    refused(run(a=f32(2, 64), w=stored, w_quant={**quant, "scale": quant["scale"][:, :1]}, out=f32(2, 16)), INVALID_ARGUMENT, "scale", "[16, 2]")
    refused(run(a=f32(2, 64), w=np.zeros((2, 16, 64), np.float32), out=f32(2, 16)), INVALID_ARGUMENT, "dimensions")
    refused(run(a=np.zeros((2, 64), np.int8), w=f32(16, 64), out=f32(2, 16)), INVALID_ARGUMENT, "i8")
    refused(run(a=np.zeros((2, 18), np.uint8), a_quant={"format": "GGUF_Q4_0"}, w=f32(16, 32), out=f32(2, 16)), INVALID_ARGUMENT, "a_quant", "14")
    refused(lambda: host.run("dequantize", q=stored, q_quant=quant, x=f32(15, 64)), INVALID_ARGUMENT, "15", "16")
    null = tensor(aligned(1024))
    null.data = None
    refused(lambda: host.plan("matmul", a=f32(2, 64), w=null, w_quant={"format": "PACKED"}, out=f32(2, 16)), INVALID_ARGUMENT, "header")
