# SPDX-License-Identifier: Apache-2.0
"""Tenon inside transformers against the host's own eager path: small random models of four architectures.

Tolerances, as NMSE of the logits: float32 1e-10 (the two differ in the order of sums). In bfloat16 the host rounds after every
operation and Tenon only at the end of each of its own, so both are compared with the same weights in float32: Tenon may be
at most twice as far from it as the host itself. There every token goes to all experts: where two experts are nearly as good, rounding
chooses, and no tolerance says anything about that.
"""

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from tenon import errors  # noqa: E402
from tenon.integrations import transformers as tenon_host  # noqa: E402

transformers.utils.logging.set_verbosity_error()
COMMON = dict(hidden_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, vocab_size=96, max_position_embeddings=128,
              attn_implementation="eager", experts_implementation="eager", pad_token_id=0, eos_token_id=None)


def config(name, all_experts=False):
    t, few, groups = transformers, 4 if all_experts else 2, 1 if all_experts else 4
    if name == "llama":
        return t.LlamaConfig(**COMMON, intermediate_size=96, attention_bias=True)
    if name == "mixtral":
        return t.MixtralConfig(**COMMON, intermediate_size=48, num_local_experts=4, num_experts_per_tok=few, sliding_window=8)
    if name == "gpt_oss":
        return t.GptOssConfig(**COMMON, head_dim=16, intermediate_size=48, num_local_experts=4, num_experts_per_tok=few, sliding_window=8)
    return t.DeepseekV3Config(**{**COMMON, "num_key_value_heads": 4}, intermediate_size=96, moe_intermediate_size=32, n_routed_experts=8,
                              num_experts_per_tok=8 if all_experts else 2, n_group=groups, topk_group=groups // 2 or 1,
                              first_k_dense_replace=1, q_lora_rank=24, kv_lora_rank=32,
                              qk_rope_head_dim=8, qk_nope_head_dim=16, v_head_dim=12, n_shared_experts=1)


def model_of(name, dtype=torch.float32, all_experts=False):
    torch.manual_seed(5)
    model = transformers.AutoModelForCausalLM.from_config(config(name, all_experts))
    for key, parameter in model.named_parameters():
        if "norm" not in key:
            torch.nn.init.normal_(parameter, std=0.1)
    return model.eval().to(dtype)


IDS = torch.randint(1, 96, (2, 13), generator=torch.Generator().manual_seed(1))
LEFT = torch.ones_like(IDS)
LEFT[0, :5] = 0


def logits(model):
    """Prefill, left and right padding, decode with a cache, by name. Rows of padding are left out: they mean nothing."""
    found = {}
    with torch.no_grad():
        found["prefill"] = model(IDS).logits
        right = LEFT.flip(1)
        found["right padding"] = model(IDS, attention_mask=right).logits[right.bool()]
        mask, cache = LEFT, transformers.DynamicCache(config=model.config)
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        found["left padding"] = model(IDS, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True).logits[mask.bool()]
        for step in range(4):  # two tokens at a time, then one
            n = 2 if step < 2 else 1
            mask = torch.cat([mask, mask.new_ones(2, n)], 1)
            found[f"decode step {step}"] = model(IDS[:, step:step + n], attention_mask=mask, position_ids=mask.cumsum(1)[:, -n:] - 1,
                                                 past_key_values=cache, use_cache=True).logits
    return {key: value.double() for key, value in found.items()}


def nmse(a, b):
    return float(((a - b) ** 2).sum() / (b ** 2).sum())


NAMES = ("llama", "mixtral", "gpt_oss", "deepseek_v3")


@pytest.mark.parametrize("name", NAMES)
def test_float32(name):
    model = model_of(name)
    host = logits(model)
    generated = model.generate(IDS, attention_mask=LEFT, max_new_tokens=12, do_sample=False)
    enabled = tenon_host.enable(model)
    mine = logits(model)
    for key in host:
        assert nmse(mine[key], host[key]) < 1e-10, key
    assert torch.equal(model.generate(IDS, attention_mask=LEFT, max_new_tokens=12, do_sample=False), generated)
    report = model.tenon_report()
    assert report["attention"]["instead_of"] == "eager" and report["attention"]["kernels"]
    assert sum(entry["modules"] for entry in report["linear"].values()) == sum(type(m) is torch.nn.Linear for m in model_of(name).modules())
    assert ("experts" in report) == (name != "llama")
    assert "linear modules" in str(enabled)


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16(name):
    model = model_of(name, torch.bfloat16, all_experts=True)
    host = logits(model)
    tenon_host.enable(model)
    mine = logits(model)
    tenon_host.disable(model)
    exact = logits(model.float())
    for key in host:
        ours, theirs = nmse(mine[key], exact[key]), nmse(host[key], exact[key])
        assert ours < 2 * theirs and theirs < 1e-2, f"{key}: Tenon {ours:.1e}, the host {theirs:.1e}"


def test_disable_undoes_everything():
    model = model_of("mixtral")
    before, modules = logits(model), [type(m) for m in model.modules()]
    tenon_host.enable(model)
    with pytest.raises(ValueError, match="already"):
        tenon_host.enable(model)
    logits(model)
    tenon_host.disable(model)
    assert [type(m) for m in model.modules()] == modules and not hasattr(model, "tenon_report")
    after = logits(model)
    assert all(torch.equal(after[key], before[key]) for key in before)
    with pytest.raises(ValueError):
        tenon_host.disable(model)


def test_one_thread_around_few_tokens():
    model = model_of("llama")
    seen, before = [], torch.get_num_threads()
    probe = model.model.layers[0].register_forward_hook(lambda *_: seen.append(torch.get_num_threads()))
    try:
        torch.set_num_threads(3)
        tenon_host.enable(model)
        with torch.no_grad():
            model(IDS)
            assert (seen.pop(), torch.get_num_threads()) == (1, 3)
            model._tenon.one_thread.width = 1 << 30  # as if it were a wide model
            model(IDS)
            assert (seen.pop(), torch.get_num_threads()) == (3, 3)
            model._tenon.one_thread.width = 1
            with pytest.raises(IndexError):  # an error inside puts it back, too
                model(torch.full((1, 2), 1 << 20))
            assert torch.get_num_threads() == 3
        tenon_host.disable(model)
        with torch.no_grad():
            model(IDS)
        assert seen.pop() == 3
        tenon_host.enable(model, one_thread=False)
        with torch.no_grad():
            model(IDS)
        assert seen.pop() == 3
    finally:
        probe.remove()
        torch.set_num_threads(before)


def test_parts_can_be_chosen():
    model = model_of("llama")
    report = tenon_host.enable(model, attention=False, fuse=False, skip=("lm_head",)).report()
    assert "attention" not in report
    assert sum(entry["modules"] for entry in report["linear"].values()) == 14 == sum(entry["matmuls"] for entry in report["linear"].values())


def test_group_multiplies_once_for_an_input_and_again_when_it_changes():
    from tenon.integrations.transformers_linear import Group, Part
    made = []

    def matmul(x):
        made.append(x.clone())
        return torch.cat([x, x * 2, x * 3], -1)

    group = Group(matmul, [4, 4, 4])
    first, second, third = (Part(group, i) for i in range(3))
    x = torch.ones(1, 4)
    assert torch.equal(first(x), x) and torch.equal(second(x), x * 2) and torch.equal(third(x), x * 3) and len(made) == 1
    assert not group._local.__dict__, "the input and the product are kept though all has been taken"
    first(x)
    x += 1
    assert torch.equal(second(x), x * 2) and len(made) == 3
    assert torch.equal(second(x), x * 2) and len(made) == 4, "the same columns were asked for twice"
    assert torch.equal(first(x.clone()), x) and len(made) == 5


def test_caches_that_the_host_rearranges():
    """Beam search reorders, assisted decoding crops; in between the cache grows past its first capacity."""
    model = model_of("llama")
    beams = dict(max_new_tokens=24, num_beams=3, do_sample=False)
    expected = model.generate(IDS[:1], **beams)
    long = model.generate(IDS[:1], max_new_tokens=100, do_sample=False)
    tenon_host.enable(model)
    from tenon.integrations import transformers_cache
    capacity, transformers_cache.MIN_CAPACITY = transformers_cache.MIN_CAPACITY, 16
    try:
        assert torch.equal(model.generate(IDS[:1], **beams), expected)
        assert torch.equal(model.generate(IDS[:1], max_new_tokens=100, do_sample=False), long)
        with torch.no_grad():
            cache = transformers.DynamicCache(config=model.config)
            first = model(IDS[:1], past_key_values=cache, use_cache=True).logits[:, -4:]
            cache.crop(-4)
            assert type(cache.layers[0]).__name__ == "GrowingLayer"
            again = model(IDS[:1, -4:], past_key_values=cache, use_cache=True).logits
            torch.testing.assert_close(again, first, rtol=1e-4, atol=1e-5)
    finally:
        transformers_cache.MIN_CAPACITY = capacity


def test_what_it_cannot_do_is_refused():
    model = model_of("llama")
    tenon_host.enable(model)
    with torch.no_grad():
        with pytest.raises(errors.Unsupported, match="hole"):
            hole = torch.ones_like(IDS)
            hole[0, 4] = 0
            model(IDS, attention_mask=hole)
        with pytest.raises(errors.Unsupported, match="not made by Tenon"):
            model(IDS, attention_mask=torch.zeros(2, 1, 13, 13))
        with pytest.raises(errors.Unsupported, match="neither causal"):  # packed sequences: positions that begin again
            model(IDS[:1], position_ids=torch.tensor([[0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5, 6]]), use_cache=False)
    with pytest.raises(errors.Unsupported, match="no_grad"):
        model(IDS)


def gguf_of(path, model):
    """The model as a GGUF file: q and k rows in the order that converters write for llama, matrices in Q8_0."""
    gguf = pytest.importorskip("gguf")
    writer = gguf.GGUFWriter(str(path), "llama")
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, model.config.num_hidden_layers)
    heads = {"q_proj": model.config.num_attention_heads, "k_proj": model.config.num_key_value_heads}
    kind = gguf.GGMLQuantizationType.Q8_0
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            name = names.get_name(key, try_suffixes=(".weight", ".bias"))
            if parameter.ndim == 1:
                writer.add_tensor(name, parameter.float().numpy())
                continue
            blocks = gguf.quantize(parameter.numpy(), kind)
            parameter.copy_(torch.from_numpy(gguf.dequantize(blocks, kind)))  # the model has what the file has
            n = heads.get(key.split(".")[-2])
            if n:
                blocks = blocks.reshape(n, 2, -1, blocks.shape[1]).swapaxes(1, 2).reshape(blocks.shape)
            writer.add_tensor(name, blocks.copy(), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_quantized_blocks_of_a_gguf_file(tmp_path):
    model = model_of("llama")
    path = tmp_path / "model.gguf"
    gguf_of(path, model)
    host = logits(model)
    report = tenon_host.enable(model, gguf=path, compute="EXACT").report()
    assert all(what.startswith("GGUF_Q8_0") for what in report["linear"]), report
    mine = logits(model)
    for key in host:
        assert nmse(mine[key], host[key]) < 1e-10, key
    tenon_host.disable(model)
    tenon_host.enable(model, gguf=path)  # activations of 8 bits: 5e-5 of the signal at each of 15 matmuls
    mine = logits(model)
    for key in host:
        assert nmse(mine[key], host[key]) < 1e-3, key
    tenon_host.disable(model)
    with torch.no_grad():
        model.model.layers[1].self_attn.k_proj.weight[0, 0] += 1
    with pytest.raises(errors.Unsupported, match="layers.1.self_attn.k_proj: rows of blk.1.attn_k.weight differ"):
        tenon_host.enable(model, gguf=path)
    assert not hasattr(model, "_tenon") and type(model.model.layers[0].self_attn.q_proj) is torch.nn.Linear
