# SPDX-License-Identifier: Apache-2.0
"""Every row of matmul and pack_weights on this machine, over every weight format, against float64.

The cases are what each row says that it takes, asked by query. The bounds are derived, not chosen:

    float rows   each of the k products and sums is rounded to f32 at most twice, so |error| <= 2 (k + 4) 2^-24 sum |x w|
    int8 rows    an activation is off by at most half a step of its group of 32, step = amax / 127
"""

import ml_dtypes
import numpy as np
import pytest

from tenon_host import Host, aligned
from weights import MAKERS, make

HOST = Host()
UNIT = {np.dtype(np.float32): 2.0**-24, np.dtype(ml_dtypes.bfloat16): 2.0**-8}
ROWS = [name for name, lacks in HOST.kernels("matmul") if not lacks and not name.startswith("ref_")]
PACKERS = [name for name, lacks in HOST.kernels("pack_weights") if not lacks and not name.startswith("ref_")]
COMPUTE_DEFAULT, COMPUTE_EXACT = 0, 1
N, K = 72, 512


def compute_of(row):
    return COMPUTE_DEFAULT if "int8" in row else COMPUTE_EXACT


def weights_of(name):
    return make(name, N, K, np.random.default_rng(sum(map(ord, name))))


def taken():
    """(row, format) and (packer, format) for what each row says that it takes."""
    matmul, pack = [], []
    x, out = np.zeros((1, K), np.float32), np.zeros((1, N), np.float32)
    for name in MAKERS:
        stored, quant, _ = weights_of(name)
        matmul += [(row, name) for row in ROWS
                   if HOST.query("matmul", row, a=x, w=stored, w_quant=quant, out=out, compute=compute_of(row)).status == 0]
        pack += [(row, name) for row in PACKERS if HOST.query("pack_weights", row, w=stored, w_quant=quant, blob=aligned(0)).status == 0]
    return matmul, pack


MATMUL, PACK = taken()


def bound(x, w, out, int8):
    k = x.shape[1]
    magnitude = np.abs(x) @ np.abs(w.T)
    limit = 2 * (k + 4) * 2.0**-24 * magnitude
    if int8:
        groups = np.abs(x).reshape(x.shape[0], -1, 32)
        half_step = np.repeat(groups.max(2) / 127 / 2, 32, axis=1) * 1.001
        limit += half_step @ np.abs(w.T)
    return limit + np.abs(out) * UNIT[out.dtype] * 1.01 + 1e-30


def check(row, x, w_values, bias, run):
    out = np.full((x.shape[0], w_values.shape[0]), np.nan, x.dtype)
    run(out)
    exact = x.astype(np.float64)
    want = exact @ w_values.T + bias
    error = np.abs(out.astype(np.float64) - want)
    worst = error / bound(exact, w_values, out, "int8" in row)
    assert worst.max() <= 1, (row, worst.max(), np.unravel_index(worst.argmax(), worst.shape))


@pytest.mark.parametrize("m", [1, 3, 19])
@pytest.mark.parametrize("row, name", MATMUL)
def test_matmul_row(row, name, m):
    rng = np.random.default_rng(m)
    stored, quant, values = weights_of(name)
    x = rng.standard_normal((m, K)).astype(np.float32 if m == 3 else ml_dtypes.bfloat16)
    bias = rng.standard_normal(N).astype(np.float32)
    check(row, x, values, bias.astype(np.float64),
          lambda out: HOST.run("matmul", row, a=x, w=stored, w_quant=quant, bias=bias, out=out, compute=compute_of(row)))


@pytest.mark.parametrize("packer, name", PACK)
def test_packed(packer, name):
    """A blob comes back bit for bit, and every matmul row that reads it is right."""
    stored, quant, values = weights_of(name)
    blob = aligned(HOST.query("pack_weights", packer, w=stored, w_quant=quant, blob=aligned(0)).output_bytes)
    HOST.run("pack_weights", packer, w=stored, w_quant=quant, blob=blob)
    back = np.zeros_like(stored)
    back_quant = None if quant is None else {key: np.zeros_like(v) if isinstance(v, np.ndarray) else v for key, v in quant.items()}
    HOST.run("unpack_weights", blob=blob, w=back, w_quant=back_quant)
    assert back.tobytes() == stored.tobytes()
    for key, original in (quant or {}).items():
        assert not isinstance(original, np.ndarray) or back_quant[key].tobytes() == original.tobytes(), key

    x = np.random.default_rng(5).standard_normal((5, K)).astype(ml_dtypes.bfloat16)
    took = 0
    for row in ROWS:
        args = {"a": x, "w": blob, "w_quant": {"format": "PACKED"}, "compute": compute_of(row)}
        if HOST.query("matmul", row, out=np.empty((5, N), ml_dtypes.bfloat16), **args).status == 0:
            check(row, x, values, 0, lambda out: HOST.run("matmul", row, out=out, **args))
            took += 1
    assert took, "no row of matmul reads this blob"


def test_every_row_takes_something():
    assert PACKERS and {row for row, _ in PACK} == set(PACKERS)
    assert ROWS and {row for row, _ in MATMUL} == set(ROWS)
