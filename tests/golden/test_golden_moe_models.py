# SPDX-License-Identifier: Apache-2.0
"""moe_route and moe against the MoE blocks of transformers, run in float64: Mixtral, Qwen3-MoE, GPT-OSS, DeepSeek-V3, Llama-4.

The block computes the router's logits, everything behind them is the library's: route, then the fused call, and the same again step by
step (dispatch, two moe_matmul, combine). Weights are handed over as the model keeps them, through strides."""

import pytest
import torch

import tenon_library as tenon

transformers = pytest.importorskip("transformers")

F32 = torch.float32
TOKENS = 23


def block_of(kind, config):
    torch.manual_seed(7)
    block = kind(config).double().eval()
    for parameter in list(block.parameters()) + list(block.buffers()):
        torch.nn.init.normal_(parameter, std=0.2)
        parameter.data = parameter.data.float().double()  # what the library gets is exact
    return block


def route(logits, k, flags=(), **fields):
    weights, ids = torch.empty(len(logits), k), torch.empty(len(logits), k, dtype=torch.int32)
    tenon.call("moe_route", flags, logits=logits.float(), topk_weights=weights, topk_ids=ids, **fields)
    return weights, ids


def check_route(weights, ids, want_weights, want_ids):
    """Experts in any order, as top-k of torch may be unsorted; weights belong to their experts."""
    order, want_order = ids.argsort(1), want_ids.argsort(1)
    assert torch.equal(ids.gather(1, order).long(), want_ids.gather(1, want_order))
    assert torch.allclose(weights.gather(1, order).double(), want_weights.double().gather(1, want_order), rtol=2e-6, atol=1e-7)


def check_moe(want, x, weights, ids, flags=(), **fields):
    fields = dict(x=x, topk_weights=weights, topk_ids=ids, out=torch.empty_like(x), compute="EXACT", **fields)
    names = tenon.kernels_for("moe", flags, **fields)
    assert "ref_moe" in names
    for name in names:
        fields["out"].fill_(7)
        fault = tenon.call("moe", flags, name, **fields)
        error = (fields["out"].double() - want).abs().max() / want.abs().max()
        assert error <= (1e-6 if name == "ref_moe" else 5e-6), (name, error)
        assert fault.code == 0
    if not flags:
        check_steps(want, **fields)


def check_steps(want, x, topk_weights, topk_ids, gate_up, down, gate_up_bias=None, down_bias=None, shared_gate_up=None, shared_down=None, routed_scale=0.0, **choice):
    """The same from the single operations; the shared expert is a layer of one expert."""
    def layer(x, weights, ids, gate_up, down, gate_up_bias, down_bias, shared, scale):
        (tokens, k), local = ids.shape, len(gate_up)
        inter = down.shape[2]
        offsets, pairs, rows = torch.empty(local + 1, dtype=torch.int64), torch.empty(tokens * k + local * 7, dtype=torch.int32), torch.empty(tokens, k, dtype=torch.int32)
        tenon.call("moe_dispatch", topk_ids=ids, expert_offsets=offsets, row_pairs=pairs, pair_rows=rows, block_rows=8)
        between, y, out = torch.empty(len(pairs), inter), torch.empty(len(pairs), x.shape[1]), torch.empty_like(x)
        tenon.call("moe_matmul", x=x, w=gate_up, bias=gate_up_bias, expert_offsets=offsets, row_pairs=pairs, out=between, pairs_per_token=k, **choice)
        tenon.call("moe_matmul", x=between, w=down, bias=down_bias, expert_offsets=offsets, out=y, compute=choice["compute"])
        tenon.call("moe_combine", y=y, pair_rows=rows, topk_weights=weights, shared=shared, out=out, scale=scale)
        return out

    choice.pop("out"), choice.pop("expert_map", None)
    shared = None
    if shared_gate_up is not None:
        one = torch.zeros(len(x), 1, dtype=torch.int32)
        shared = layer(x, None, one, shared_gate_up[None], shared_down[None], None, None, None, 0.0)
    got = layer(x, topk_weights, topk_ids, gate_up, down, gate_up_bias, down_bias, shared, routed_scale)
    assert (got.double() - want).abs().max() <= 5e-6 * want.abs().max()


def config_of(name, **fields):
    return getattr(transformers, name)(hidden_size=48, intermediate_size=40, vocab_size=64, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2, **fields)


def test_mixtral():
    from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock as Block
    block = block_of(Block, config_of("MixtralConfig", num_local_experts=8, num_experts_per_tok=2))
    x = torch.randn(1, TOKENS, 48).double()
    logits, want_weights, want_ids = block.gate(x)
    weights, ids = route(logits, 2, ("RENORMALIZE",), scoring="SOFTMAX")
    check_route(weights, ids, want_weights, want_ids)
    same, same_ids = route(logits, 2, scoring="TOPK_SOFTMAX")  # the same function, computed the other way round
    assert torch.equal(ids, same_ids) and torch.allclose(weights, same, rtol=2e-6)
    experts = block.experts
    check_moe(block(x)[0], x[0].float(), weights, ids, gate_up=experts.gate_up_proj.float(), down=experts.down_proj.float(), activation="SILU_GATED")


def test_qwen3_moe():
    from transformers.models.qwen3_moe.modeling_qwen3_moe import Qwen3MoeSparseMoeBlock as Block
    for renormalize in (True, False):
        block = block_of(Block, config_of("Qwen3MoeConfig", num_experts=32, num_experts_per_tok=5, moe_intermediate_size=24, norm_topk_prob=renormalize))
        x = torch.randn(1, TOKENS, 48).double()
        logits, want_weights, want_ids = block.gate(x)
        weights, ids = route(logits, 5, ("RENORMALIZE",) if renormalize else (), scoring="SOFTMAX")
        check_route(weights, ids, want_weights, want_ids)
        experts = block.experts
        check_moe(experts(x[0], ids.long(), weights.double()), x[0].float(), weights, ids, gate_up=experts.gate_up_proj.float(), down=experts.down_proj.float(),
                  activation="SILU_GATED")


def test_gpt_oss():
    from transformers.models.gpt_oss.modeling_gpt_oss import GptOssMLP as Block
    block = block_of(Block, config_of("GptOssConfig", num_local_experts=16, num_experts_per_tok=4))
    x = 4 * torch.randn(1, TOKENS, 48).double()  # large enough for the clamp at 7
    logits, want_weights, want_ids = block.router(x[0])
    weights, ids = route(logits, 4, scoring="TOPK_SOFTMAX")
    check_route(weights, ids, want_weights, want_ids)
    experts = block.experts
    gate_up = experts.gate_up_proj.float().transpose(1, 2)  # kept as [experts, hidden, 2 * inter]
    gate = x[0] @ experts.gate_up_proj[0] + experts.gate_up_proj_bias[0]
    assert gate.max() > 7
    check_moe(block(x)[0][0], x[0].float(), weights, ids, gate_up=gate_up, down=experts.down_proj.float().transpose(1, 2),
              gate_up_bias=experts.gate_up_proj_bias.float(), down_bias=experts.down_proj_bias.float(), activation="SWIGLU_OAI", gate_layout="INTERLEAVED",
              alpha=1.702, limit=7.0)


def test_deepseek_v3():
    from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3MoE as Block
    config = config_of("DeepseekV3Config", n_routed_experts=32, num_experts_per_tok=6, n_group=8, topk_group=3, n_shared_experts=2, moe_intermediate_size=24,
                       routed_scaling_factor=2.5, norm_topk_prob=True)
    block = block_of(Block, config)
    x = torch.randn(1, TOKENS, 48).double()
    logits, want_weights, want_ids = block.gate(x)
    weights, ids = route(logits, 6, ("RENORMALIZE",), scoring="SIGMOID", bias=block.gate.e_score_correction_bias.float(), n_groups=8, topk_groups=3, group_score="TOP2_SUM",
                         routed_scale=2.5, renormalize_eps=1e-20)
    check_route(weights, ids, want_weights, want_ids)
    unscaled, _ = route(logits, 6, ("RENORMALIZE",), scoring="SIGMOID", bias=block.gate.e_score_correction_bias.float(), n_groups=8, topk_groups=3, group_score="TOP2_SUM",
                        renormalize_eps=1e-20)
    experts, shared = block.experts, block.shared_experts
    shared_gate_up = torch.cat([shared.gate_proj.weight, shared.up_proj.weight]).float()
    want = experts(x[0], ids.long(), weights.double()) + shared(x[0])
    # the factor where the model has it, and on the sum
    for w, scale in ((weights, 0.0), (unscaled, 2.5)):
        check_moe(want, x[0].float(), w, ids, gate_up=experts.gate_up_proj.float(), down=experts.down_proj.float(), shared_gate_up=shared_gate_up,
                  shared_down=shared.down_proj.weight.float(), activation="SILU_GATED", routed_scale=scale)


def test_llama4():
    from transformers.models.llama4.modeling_llama4 import Llama4TextMoe as Block
    config = transformers.Llama4TextConfig(hidden_size=48, intermediate_size=40, num_local_experts=16, num_experts_per_tok=1, vocab_size=64)
    block = block_of(Block, config)
    x = torch.randn(TOKENS, 48).double()
    want, logits = block(x)
    weights, ids = route(logits, 1, scoring="SIGMOID")
    top, index = logits.topk(1, dim=1)
    check_route(weights, ids, top.sigmoid(), index)
    experts, shared = block.experts, block.shared_expert
    shared_gate_up = torch.cat([shared.gate_proj.weight, shared.up_proj.weight]).float()
    check_moe(want, x.float(), weights, ids, ("WEIGHT_ON_INPUT",), gate_up=experts.gate_up_proj.float().transpose(1, 2), down=experts.down_proj.float().transpose(1, 2),
              shared_gate_up=shared_gate_up, shared_down=shared.down_proj.weight.float(), activation="SILU_GATED")
