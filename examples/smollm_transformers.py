# SPDX-License-Identifier: Apache-2.0
"""A small language model in transformers, without and with Tenon: same prompt, greedy, both texts, both speeds, the kernels that ran.

    python examples/smollm_transformers.py --model SmolLM2-135M-Instruct.Q4_1.gguf "Why is the sky blue?"

Without Tenon, transformers has dequantized the file: the model runs in float32 and in bfloat16, and the faster of the two is what
Tenon is measured against. With Tenon the linear layers work on the file's own 4-bit blocks.

Exits non-zero when
  - with compute="EXACT" (activations keep their precision) the logits of the prompt differ from those of float32 without Tenon by an
    NMSE of more than 1e-8, which leaves room for another order of sums and nothing else;
  - with compute="DEFAULT" (activations rounded to 8 bits in groups of 32) they differ by more than twice what the same rounding, done in
    torch before every linear layer of the model without Tenon, makes of them;
  - the texts part at a place where float32 holds the two tokens further apart than six times the typical error of a logit, by the line
    above: that would not be a near tie;
  - Tenon is not the faster one in both parts, prompt and generation.
"""

import argparse
import json
import os
import statistics
import sys
import time
import warnings
from pathlib import Path

os.environ.setdefault("TQDM_DISABLE", "1")  # progress bars of the loader

import torch  # noqa: E402
import transformers  # noqa: E402

EXACT_NMSE = 1e-8
ROUNDING_FACTOR = 2
NEAR_TIE = 6
ROUND_S = 20  # a round of a form that is slower than this stops early; its speed is that of the tokens it made


class Host:
    """A model in one form: how its rounds went."""

    def __init__(self, name, model):
        self.name, self.model = name, model
        self.prompt_s, self.step_s = [], []
        self.ids = self.logits = None

    def run(self, ids, n_tokens, full=False):
        """Greedy, by hand, so that the prompt and the steps are timed by themselves; generate() would choose the same tokens."""
        out, last = [], None
        with torch.no_grad():
            start = time.perf_counter()
            cache = transformers.DynamicCache(config=self.model.config)
            last = self.model(ids, past_key_values=cache, use_cache=True, logits_to_keep=1).logits
            out.append(int(last[0, -1].argmax()))
            now = time.perf_counter()
            self.prompt_s.append(now - start)
            while len(out) < n_tokens and out[-1] != self.model.config.eos_token_id and (full or time.perf_counter() - now < ROUND_S):
                last = self.model(torch.tensor([[out[-1]]]), past_key_values=cache, use_cache=True).logits
                out.append(int(last[0, -1].argmax()))
            if len(out) > 1:
                self.step_s.append((time.perf_counter() - now) / (len(out) - 1))
        if self.ids is None or len(out) >= len(self.ids):
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


def rounded(x):
    """To 8 bits, symmetric, in groups of 32."""
    groups = x.reshape(*x.shape[:-1], -1, 32)
    scale = groups.abs().amax(-1, keepdim=True).clamp(min=1e-30) / 127
    return (torch.round(groups / scale) * scale).reshape(x.shape)


def logits_of_rounded_activations(model, ids):
    hooks = [module.register_forward_pre_hook(lambda module, args: (rounded(args[0]),)) for module in model.modules()
             if type(module) is torch.nn.Linear]
    try:
        return model(ids, use_cache=False).logits[0]
    finally:
        for hook in hooks:
            hook.remove()


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
    with torch.no_grad():
        tenon_host.enable(with_tenon, gguf=options.model, compute="EXACT")
        exact_logits = with_tenon(ids, use_cache=False).logits[0]
        tenon_host.disable(with_tenon)
    enabled = tenon_host.enable(with_tenon, gguf=options.model)

    plain, bf16 = Host("transformers, float32", model), Host("transformers, bfloat16", half)
    tenon = Host("transformers + Tenon", with_tenon)
    hosts = [plain, bf16, tenon]
    with torch.no_grad():
        for host in hosts:  # also the warm-up
            host.logits = host.model(ids, use_cache=False).logits[0]
            host.run(ids, 4)
            host.prompt_s, host.step_s = [], []
        rounding = nmse(logits_of_rounded_activations(model, ids), plain.logits)
    for turn in range(options.rounds):
        for host in hosts:
            host.run(ids, options.tokens, full=turn == 0 and host is not bf16)  # the texts to compare are whole ones

    rates = {host.name: host.rates(ids.shape[1]) for host in hosts}
    gains = [rates[tenon.name][i] / max(rates[plain.name][i], rates[bf16.name][i]) for i in (0, 1)]
    error, exact_error, half_error = (nmse(logits, plain.logits) for logits in (tenon.logits, exact_logits, bf16.logits))
    typical = float((tenon.logits - plain.logits).double().pow(2).mean().sqrt())
    parted = parting(plain, tenon, ids)
    texts = {host.name: tokenizer.decode(host.ids, skip_special_tokens=True) for host in hosts}

    failures = []
    if not exact_error <= EXACT_NMSE:
        failures.append(f"prompt logits, exact: nmse {exact_error:.1e}, at most {EXACT_NMSE:.0e}")
    if not error <= ROUNDING_FACTOR * rounding:
        failures.append(f"prompt logits: nmse {error:.1e}, at most {ROUNDING_FACTOR} times the {rounding:.1e} of the rounding itself")
    if parted and not parted[1] <= NEAR_TIE * typical:
        failures.append(f"the texts part at token {parted[0]}, where float32 holds the two tokens {parted[1]:.2f} apart; "
                        f"a near tie is {NEAR_TIE} times {typical:.2f}")
    for part, gain in zip(("prompt", "generation"), gains):
        if not gain > 1:
            failures.append(f"{part}: {gain:.2f} times the speed without Tenon; it must be the faster one")

    for host in hosts:
        print(f"-- {host.name}\n{texts[host.name]}\n")
    if parted is None:
        print(f"texts: the same {len(plain.ids)} tokens with Tenon and in float32 without")
    else:
        print(f"texts: part at token {parted[0]} of {len(plain.ids)}, where float32 holds the two tokens {parted[1]:.3f} apart in logits")
    print(f"prompt logits against float32, nmse: Tenon exact {exact_error:.1e} (at most {EXACT_NMSE:.0e}); Tenon {error:.1e} (at most "
          f"{ROUNDING_FACTOR * rounding:.1e}, twice that of 8-bit activations done in torch); bfloat16 without Tenon {half_error:.1e}\n")
    print(enabled)
    head = f"median of {options.rounds} rounds, {torch.get_num_threads()} threads"
    print(f"\n{head:<36}{'prompt tok/s':>14}{'generation tok/s':>18}")
    for host in hosts:
        print(f"{host.name:<36}{rates[host.name][0]:>14.1f}{rates[host.name][1]:>18.1f}")
    print(f"{'Tenon against the faster of the two':<36}{gains[0]:>13.2f}x{gains[1]:>17.2f}x")
    for failure in failures:
        print(f"FAILED: {failure}")
    if options.json:
        notes = {plain.name: "", bf16.name: f"nmse {half_error:.1e}",
                 tenon.name: f"nmse {error:.1e} (at most {ROUNDING_FACTOR * rounding:.1e}), exact {exact_error:.1e}; "
                             f"{gains[0]:.2f}x, {gains[1]:.2f}x"}
        rows = [{"name": h.name, "prompt_tokens_per_second": rates[h.name][0], "generation_tokens_per_second": rates[h.name][1],
                 "note": notes[h.name]} for h in hosts]
        print(json.dumps({"rows": rows, "gains": gains, "nmse": error, "nmse_exact": exact_error, "nmse_of_rounding": rounding,
                          "parted_at": parted and parted[0], "gap": parted and parted[1],
                          "texts": texts, "report": enabled.report(), "failures": failures}))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
