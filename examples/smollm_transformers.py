# SPDX-License-Identifier: Apache-2.0
"""A small language model in transformers, without and with Tenon: same prompt, greedy, both texts, both speeds, the kernels that ran.

    python examples/smollm_transformers.py --model SmolLM2-135M-Instruct.Q4_1.gguf "Why is the sky blue?"

Without Tenon, transformers has dequantized the file: the model runs in float32 and in bfloat16, and the faster of the two is what
Tenon is measured against, at prompt and generation each. With Tenon the linear layers work on the file's own 4-bit blocks.

Exits non-zero when
  - the logits of the prompt differ by more than NMSE 1e-3 from those of float32 without Tenon: every matmul quantizes its activations
    to 8 bits, an error of about 5e-5 of the signal each, which adds up over the layers;
  - the texts part at a place where the two best tokens of float32 are further apart than 0.5 in logits: that would not be a near tie;
  - Tenon is not the faster one, at the prompt or at generation.
"""

import argparse
import json
import statistics
import sys
import time
import warnings
from pathlib import Path

import torch
import transformers

NMSE_AT_MOST = 1e-3
NEAR_TIE = 0.5


class Host:
    """A model in one form: how its rounds went."""

    def __init__(self, name, model):
        self.name, self.model = name, model
        self.prompt_s, self.step_s = [], []
        self.ids = self.logits = None

    def run(self, ids, n_tokens):
        """Greedy, by hand, so that the prompt and each step are timed by themselves. generate() would do the same."""
        out, last = [], None
        with torch.no_grad():
            start = time.perf_counter()
            cache = transformers.DynamicCache(config=self.model.config)
            last = self.model(ids, past_key_values=cache, use_cache=True, logits_to_keep=1).logits
            out.append(int(last[0, -1].argmax()))
            now = time.perf_counter()
            self.prompt_s.append(now - start)
            while len(out) < n_tokens and out[-1] != self.model.config.eos_token_id:
                last = self.model(torch.tensor([[out[-1]]]), past_key_values=cache, use_cache=True).logits
                out.append(int(last[0, -1].argmax()))
            if len(out) > 1:
                self.step_s.append((time.perf_counter() - now) / (len(out) - 1))
        self.ids = out

    def rates(self, n_prompt):
        return n_prompt / statistics.median(self.prompt_s), 1 / statistics.median(self.step_s or [float("inf")])


def load(path):
    warnings.filterwarnings("ignore")
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    folder, name = str(path.parent), path.name
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=name)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32)
    return tokenizer, model.eval()


def nmse(values, reference):
    return float(((values.double() - reference.double()) ** 2).sum() / (reference.double() ** 2).sum())


def parting(plain, tenon, ids):
    """Where the two lists of tokens part, and how far apart plain's logits hold the two tokens there; None if they are the same."""
    at = next((i for i, (a, b) in enumerate(zip(plain.ids, tenon.ids)) if a != b), None)
    if at is None:
        return None
    with torch.no_grad():
        context = torch.cat([ids, torch.tensor([plain.ids[:at]], dtype=ids.dtype)], 1)
        logits = plain.model(context, use_cache=False, logits_to_keep=1).logits[0, -1]
    return at, float(logits[plain.ids[at]] - logits[tenon.ids[at]])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prompt", nargs="?", default="Explain in a few sentences why the sky is blue.")
    parser.add_argument("--model", type=Path, required=True, help="a GGUF file")
    parser.add_argument("--tokens", type=int, default=64, help="how many to generate")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each form, by turns")
    parser.add_argument("--exact", action="store_true", help="activations keep their precision inside matmuls")
    parser.add_argument("--json", action="store_true", help="one line of JSON at the end")
    options = parser.parse_args()

    from tenon.integrations import transformers as tenon_host

    tokenizer, model = load(options.model)
    chat = tokenizer.apply_chat_template([{"role": "user", "content": options.prompt}], add_generation_prompt=True, return_tensors="pt",
                                         return_dict=True)
    ids = chat["input_ids"]
    half = type(model)(model.config).to(torch.bfloat16).eval()
    half.load_state_dict(model.state_dict())
    with_tenon = type(model)(model.config).eval()
    with_tenon.load_state_dict(model.state_dict())
    enabled = tenon_host.enable(with_tenon, gguf=options.model, compute="EXACT" if options.exact else "DEFAULT")

    plain, bf16, tenon = Host("transformers, float32", model), Host("transformers, bfloat16", half), Host("transformers + Tenon", with_tenon)
    hosts = [plain, bf16, tenon]
    with torch.no_grad():
        for host in hosts:  # also the warm-up
            host.logits = host.model(ids, use_cache=False).logits[0]
            host.run(ids, 4)
            host.prompt_s, host.step_s = [], []
    for _ in range(options.rounds):
        for host in hosts:
            host.run(ids, options.tokens)

    rates = {host.name: host.rates(ids.shape[1]) for host in hosts}
    gains = [rates[tenon.name][i] / max(rates[plain.name][i], rates[bf16.name][i]) for i in (0, 1)]
    error = nmse(tenon.logits, plain.logits)
    parted = parting(plain, tenon, ids)
    texts = {host.name: tokenizer.decode(host.ids, skip_special_tokens=True) for host in hosts}

    failures = []
    if not error <= NMSE_AT_MOST:
        failures.append(f"prompt logits: nmse {error:.1e}, at most {NMSE_AT_MOST:.0e}")
    if parted and not parted[1] <= NEAR_TIE:
        failures.append(f"the texts part at token {parted[0]}, where float32 holds the two tokens {parted[1]:.2f} apart, at most {NEAR_TIE}")
    for gain, part in zip(gains, ("prompt", "generation")):
        if not gain > 1:
            failures.append(f"{part}: {gain:.2f} times the speed without Tenon; it must be the faster one")

    for host in hosts:
        print(f"-- {host.name}\n{texts[host.name]}\n")
    if parted is None:
        print(f"texts: the same {len(plain.ids)} tokens with Tenon and in float32 without")
    else:
        print(f"texts: part at token {parted[0]} of {len(plain.ids)}, where float32 holds the two tokens {parted[1]:.3f} apart in logits")
    print(f"prompt logits: nmse {error:.1e} with Tenon, {nmse(bf16.logits, plain.logits):.1e} in bfloat16, against float32\n")
    print(enabled)
    print(f"\n{'median of ' + str(options.rounds) + ' rounds, ' + str(torch.get_num_threads()) + ' threads':<36}{'prompt tok/s':>14}{'generation tok/s':>18}")
    for host in hosts:
        print(f"{host.name:<36}{rates[host.name][0]:>14.1f}{rates[host.name][1]:>18.1f}")
    print(f"{'Tenon against the faster of the two':<36}{gains[0]:>13.2f}x{gains[1]:>17.2f}x")
    for failure in failures:
        print(f"FAILED: {failure}")
    if options.json:
        notes = {plain.name: "", bf16.name: f"nmse {nmse(bf16.logits, plain.logits):.1e}",
                 tenon.name: f"nmse {error:.1e} (at most {NMSE_AT_MOST:.0e}); {gains[0]:.2f}x, {gains[1]:.2f}x"}
        rows = [{"name": h.name, "prompt_tokens_per_second": rates[h.name][0], "generation_tokens_per_second": rates[h.name][1],
                 "note": notes[h.name]} for h in hosts]
        print(json.dumps({"rows": rows, "gains": gains, "nmse": error, "parted_at": parted and parted[0], "gap": parted and parted[1],
                          "texts": texts, "report": enabled.report(), "failures": failures}))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
