# SPDX-License-Identifier: Apache-2.0
"""The C host of examples/smollm against llama.cpp on the same GGUF file: same prompt ids, same threads, rounds by turns.

    python tests/bench/model_compare.py --model FILE [--peer-python PYTHON] [--threads 2] [--json FILE]

With --requantize Q4_0 the file is written anew in that format (by llama.cpp) and measured, too: llama.cpp repacks Q4_0 for wide
vectors, but not the Q4_1 of the small file that the tests use.

The host runs twice in each round: with activations in full precision, and with --int8, which rounds them to 8 bits inside matmuls as
llama.cpp always does; that one is the comparison of like with like. Rates are medians over rounds; a ratio is the median of the ratios
of neighbours in time, with the smallest and the largest beside it.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
TEXT = ("The mason cuts the stone before the carpenter measures the beam, and both of them wait for the rain to end. "
        "In the old town every house leans on its neighbour; nobody remembers which of them was built first. ")
BAR = 1.3


class Host:
    """build/tenon_smollm, one process for each round, as a user starts it."""

    def __init__(self, name, program, model, threads, options):
        self.name = name
        self.command = [str(program), "--model", str(model), "--threads", str(threads), "--raw", "--ids", "--json", "--past-end", *options]

    def run(self, prompt, tokens):
        done = subprocess.run([*self.command, "--tokens", str(tokens), prompt], capture_output=True, text=True, check=True)
        lines = done.stdout.splitlines()
        ids = {line.split(":")[0]: [int(word) for word in line.split(":")[1].split()] for line in lines[:2]}
        return json.loads(lines[-1]), ids


class Peer:
    """peer_llama.py in the Python that has llama-cpp-python; one process for all rounds, its model stays loaded."""

    def __init__(self, python, model, threads):
        self.process = subprocess.Popen([python, str(Path(__file__).with_name("peer_llama.py")), str(model), str(threads)], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.info = json.loads(self.process.stdout.readline())
        self.name = self.info["name"]

    def run(self, ids, tokens):
        self.process.stdin.write(json.dumps({"ids": ids, "tokens": tokens}) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def measure(hosts, peer, prompt, tokens, rounds):
    """{name: [(prompt tokens/s, generation tokens/s), ..]}, a pair for each round, and the number of prompt tokens."""
    rates = {host.name: [] for host in hosts} | {peer.name: []}
    ids = hosts[0].run(prompt, 2)[1]["prompt"]
    peer.run(ids, 4)  # warm-up
    for _ in range(rounds):
        for host in hosts:
            found, _ = host.run(prompt, tokens)
            rates[host.name].append((found["prompt_tokens_per_second"], found["generation_tokens_per_second"]))
            answer = peer.run(ids, tokens)
            rates[peer.name].append((len(ids) / answer["prompt_s"], (tokens - 1) / answer["generation_s"]))
    return rates, len(ids)


def compare(model, options):
    """Prints a table for each prompt; a list of records."""
    hosts = [Host("Tenon, exact", options.program, model, options.threads, []),
             Host("Tenon, int8", options.program, model, options.threads, ["--int8"])]
    peer = Peer(options.peer_python, model, options.threads)
    records = []
    print(f"{model.name}, {options.threads} threads, {options.tokens} tokens generated, {options.rounds} rounds by turns; {peer.name}\n"
          f"{peer.info['features']}")
    for repeats in options.prompt_repeats:
        rates, n_prompt = measure(hosts, peer, (TEXT * repeats).strip(), options.tokens, options.rounds)
        print(f"\n{f'prompt of {n_prompt} tokens':<34}{'prompt tok/s':>22}{'generation tok/s':>22}")
        for name, pairs in rates.items():
            print(f"{name:<34}{statistics.median(p for p, _ in pairs):>22.0f}{statistics.median(g for _, g in pairs):>22.1f}")
        for number, host in enumerate(hosts):
            neighbours = rates[peer.name][number::len(hosts)]
            ratios = [sorted(a[i] / b[i] for a, b in zip(rates[host.name], neighbours)) for i in (0, 1)]
            middle = [statistics.median(r) for r in ratios]
            shown = [f"{m:.2f}x ({r[0]:.2f}..{r[-1]:.2f})" for m, r in zip(middle, ratios)]
            print(f"{host.name + ' / llama.cpp':<34}{shown[0]:>22}{shown[1]:>22}")
            records.append({"model": model.name, "host": host.name, "peer": peer.name, "peer_features": peer.info["features"],
                            "prompt_tokens": n_prompt, "threads": options.threads, "prompt_ratio": middle[0], "generation_ratio": middle[1],
                            "bar": BAR if host is hosts[1] else None, "rates": rates[host.name], "peer_rates": neighbours})
    peer.close()
    print()
    return records


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--program", type=Path, default=ROOT / "build" / "tenon_smollm")
    parser.add_argument("--peer-python", default=sys.executable)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--requantize", nargs="*", default=[], metavar="FORMAT")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--prompt-repeats", type=int, nargs="*", default=[1, 12], help="how often the text stands in the prompt, for each part")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)
    folder = tempfile.TemporaryDirectory()
    models = [options.model]
    for name in options.requantize:
        models.append(Path(folder.name) / f"{options.model.name.split('.')[0]}.{name}.gguf")
        subprocess.run([options.peer_python, str(Path(__file__).with_name("peer_llama.py")), "--requantize", str(options.model), name, str(models[-1])],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    records = [record for model in models for record in compare(model, options)]
    folder.cleanup()
    missed = [r for r in records if r["bar"] and min(r["prompt_ratio"], r["generation_ratio"]) < r["bar"]]
    print(f"bar: {BAR}x in both for int8 (llama.cpp rounds activations to 8 bits, too): {'missed' if missed else 'reached'}")
    if options.json:
        options.json.write_text(json.dumps({"comparisons": records}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
