# SPDX-License-Identifier: Apache-2.0
"""Writes inputs/bars, what ./dev bench measures, and inputs/model_*: every operation that one layer of a model runs, and the model's head, as problems of tenonbench.

    python tests/bench/model_shapes.py          writes the files
    python tests/bench/model_shapes.py --check  compares them with what it would write

Sizes are those of the config.json that the model's authors publish; each file names its source. Weights are in the format of a widely
used checkpoint, also named. tp is the number of shards of tensor parallelism (heads, the MLP's inner size and the vocabulary are split;
kv heads at least one each), ep that of expert parallelism (whole experts are split).
"""

import sys
from pathlib import Path

INPUTS = Path(__file__).resolve().parent / "inputs"
ROWS = (1, 32, 512)  # decode of one sequence, a batch that decodes, a chunk of a prompt
PAGE = 32


def up(n, unit):
    return (n + unit - 1) // unit * unit


# ---- weights: a tensor and its descriptor, for n rows of k, or e times that ----

def plain(name, n, k, e, kind="bf16"):
    return f"{name}={kind}[{f'{e},' if e else ''}{n},{k}]"


def gguf(code, block_values, block_bytes):
    def weight(name, n, k, e=0):
        return f"{name}=u8[{f'{e},' if e else ''}{n},{k // block_values * block_bytes}] {name}_quant.format=GGUF_{code}"
    return weight


def mxfp4(name, n, k, e=0):
    k, lead = up(k, 32), f"{e}," if e else ""
    return f"{name}=u8[{lead}{n},{k // 2}] {name}_quant.format=MXFP4 {name}_quant.scale=u8[{lead}{n},{k // 32}]"


def fp8_block(name, n, k, e=0):
    lead = f"{e}," if e else ""
    return (f"{name}=e4m3fn[{lead}{n},{k}] {name}_quant.format=FP8 {name}_quant.group_cols=128 {name}_quant.group_rows=128 "
            f"{name}_quant.scale=f32[{lead}{up(n, 128) // 128},{up(k, 128) // 128}]")


def fp8_channel(name, n, k, e=0):
    lead = f"{e}," if e else ""
    return f"{name}=e4m3fn[{lead}{n},{k}] {name}_quant.format=FP8 {name}_quant.scale=f32[{lead}{n}]"


def gptq(name, n, k, e=0):
    assert not e
    return (f"{name}=i32[{k // 8},{n}] {name}_quant.format=INT4_GPTQ {name}_quant.group_cols=128 "
            f"{name}_quant.scale=f16[{k // 128},{n}] {name}_quant.zero_point=i32[{k // 128},{n // 8}]")


def awq(name, n, k, e=0):
    lead = f"{e}," if e else ""
    return (f"{name}=i32[{lead}{k},{n // 8}] {name}_quant.format=INT4_AWQ {name}_quant.group_cols=128 "
            f"{name}_quant.scale=f16[{lead}{k // 128},{n}] {name}_quant.zero_point=i32[{lead}{k // 128},{n // 8}]")


def bf16(name, n, k, e=0):
    return plain(name, n, k, e)


Q4_1, Q4_K, Q6_K = gguf("Q4_1", 32, 20), gguf("Q4_K", 256, 144), gguf("Q6_K", 256, 210)


# ---- lines ----

def matmul(label, m, n, k, weight, act="bf16", bias=False):
    extra = f" bias={act}[{n}]" if bias else ""
    return f"matmul a={act}[{m},{k}] {weight('w', n, k)} out={act}[{m},{n}]{extra} # {label} m={m} n={n} k={k}"


def attention(label, q_len, batch, kv, hq, hkv, d, act="bf16", cache="bf16", extra="", d_v=None):
    pages, tokens, d_v = batch * (kv // PAGE), q_len * batch, d_v or d
    kind = "decode" if q_len == 1 else "prefill"
    return (f"attention q={act}[{tokens},{hq},{d}] k={cache}[{pages},{PAGE},{hkv},{d}] v={cache}[{pages},{PAGE},{hkv},{d_v}] "
            f"out={act}[{tokens},{hq},{d_v}] cu_seqlens_q=i32[{batch + 1}] seq_lens=i32[{batch}] block_table=i32[{batch},{kv // PAGE}]"
            f"{extra} flags=CAUSAL # {label} attention {kind} {batch} x {q_len} on kv {kv}")


def attention_set(label, hq, hkv, d, act="bf16", cache="bf16", windows=("",), longest=8192):
    lines = []
    for window in windows:
        name = label + (" window" if "window_left" in window else "")
        lines += [attention(name, 1, 1, longest, hq, hkv, d, act, cache, window), attention(name, 1, 32, 1024, hq, hkv, d, act, cache, window),
                  attention(name, 512, 1, 512, hq, hkv, d, act, cache, window), attention(name, 512, 1, 4096, hq, hkv, d, act, cache, window)]
    for t in ROWS:
        pages = up(max(t, 1024), PAGE) // PAGE
        lines.append(f"kv_append key={act}[{t},{hkv},{d}] value={act}[{t},{hkv},{d}] k={cache}[{pages},{PAGE},{hkv},{d}] "
                     f"v={cache}[{pages},{PAGE},{hkv},{d}] slot_mapping=i64[{t}] # {label} kv_append {t} tokens")
    lines.append(f"kv_gather k={cache}[32,{PAGE},{hkv},{d}] v={cache}[32,{PAGE},{hkv},{d}] key={act}[1024,{hkv},{d}] "
                 f"value={act}[1024,{hkv},{d}] cu_rows=i32[2] block_table=i32[1,32] # {label} kv_gather 1024 tokens")
    lines.append(f"merge_states partial_out=f32[2,32,{hq},{d}] partial_lse=f32[2,32,{hq}] out={act}[32,{hq},{d}] "
                 f"# {label} merge_states 2 of 32 tokens")
    return lines


def moe_set(label, hidden, inter, experts, local, k, weight, gate="activation=SILU_GATED", route="", bias=False, shared=0, act="bf16"):
    """Fused, and step by step. local: experts whose weights are here."""
    lines = []
    for t in ROWS:
        lines.append(matmul(f"{label} router", t, experts, hidden, bf16, act))
        lines.append(f"moe_route logits={act}[{t},{experts}] topk_weights=f32[{t},{k}] topk_ids=i32[{t},{k}] {route} # {label} route {t} tokens")
        biases = f" gate_up_bias=bf16[{local},{2 * inter}] down_bias=bf16[{local},{hidden}]" if bias else ""
        mapped = f" expert_map=i32[{experts}]" + "{" + ",".join(str(e if e < local else -1) for e in range(experts)) + "}" if local < experts else ""
        common = (f" {weight('shared_gate_up', 2 * shared, hidden)} {weight('shared_down', hidden, shared)}" if shared else "")
        lines.append(f"moe x={act}[{t},{hidden}] topk_weights=f32[{t},{k}] topk_ids=i32[{t},{k}]{mapped} "
                     f"{weight('gate_up', 2 * inter, hidden, local)} {weight('down', hidden, inter, local)}{biases}{common} "
                     f"out={act}[{t},{hidden}] {gate} # {label} moe {t} tokens, {local} of {experts} experts top-{k}")
    t, pairs = 512, 512 * k * local // experts
    lines.append(f"moe_dispatch topk_ids=i32[{t},{k}]{mapped} x={act}[{t},{hidden}] expert_offsets=i32[{local + 1}] row_pairs=i32[{t * k}] "
                 f"pair_rows=i32[{t},{k}] n_rows=i32[1] x_out={act}[{t * k},{hidden}] # {label} dispatch {t} tokens")
    gate_bias = f" bias=bf16[{local},{2 * inter}]" if bias else ""
    lines.append(f"moe_matmul x={act}[{pairs},{hidden}] {weight('w', 2 * inter, hidden, local)} expert_offsets=i32[{local + 1}] "
                 f"out={act}[{pairs},{inter}]{gate_bias} {gate} # {label} moe_matmul gate_up {pairs} rows")
    lines.append(f"moe_matmul x={act}[{pairs},{inter}] {weight('w', hidden, inter, local)} expert_offsets=i32[{local + 1}] "
                 f"out={act}[{pairs},{hidden}] # {label} moe_matmul down {pairs} rows")
    lines.append(f"moe_combine y={act}[{t * k},{hidden}] pair_rows=i32[{t},{k}] topk_weights=f32[{t},{k}] out={act}[{t},{hidden}] "
                 f"# {label} combine {t} tokens")
    return lines


def dense(label, c, tp, weight, act="bf16", down=None, head=None, cache="bf16"):
    """A llama: qkv, attention, o, gate_up, down."""
    hq, hkv, inter = c["heads"] // tp, max(1, c["kv_heads"] // tp), c["inter"] // tp
    d, hidden, lines = c["d"], c["hidden"], []
    for m in ROWS:
        lines += [matmul(f"{label} qkv", m, (hq + 2 * hkv) * d, hidden, weight, act), matmul(f"{label} o", m, hidden, hq * d, weight, act)]
        if not c.get("experts"):
            lines += [matmul(f"{label} gate_up", m, 2 * inter, hidden, weight, act), matmul(f"{label} down", m, hidden, inter, down or weight, act)]
    lines.append(matmul(f"{label} head", 1, c["vocab"] // tp, hidden, head or bf16, act))
    return lines + attention_set(label, hq, hkv, d, act, cache, longest=c.get("longest", 8192))


MODELS = {
    "llama2_70b": dict(hidden=8192, inter=28672, heads=64, kv_heads=8, d=128, vocab=32000,
                       source="meta-llama/Llama-2-70b-hf config.json; weights as GPTQ, 4 bit, groups of 128 (TheBloke/Llama-2-70B-GPTQ)"),
    "llama31_405b": dict(hidden=16384, inter=53248, heads=128, kv_heads=8, d=128, vocab=128256,
                         source="meta-llama/Llama-3.1-405B config.json; weights as FP8 by channel (meta-llama/Llama-3.1-405B-FP8)"),
    "llama3_8b": dict(hidden=4096, inter=14336, heads=32, kv_heads=8, d=128, vocab=128256,
                      source="meta-llama/Meta-Llama-3-8B config.json; weights as GGUF Q4_K_M: Q4_K, down and head Q6_K"),
    "smollm2_135m": dict(hidden=576, inter=1536, heads=9, kv_heads=3, d=64, vocab=49152, longest=2048,
                         source="HuggingFaceTB/SmolLM2-135M-Instruct config.json; weights as GGUF Q4_1"),
    "mixtral_8x7b": dict(hidden=4096, inter=14336, heads=32, kv_heads=8, d=128, vocab=32000, experts=8, topk=2,
                         source="mistralai/Mixtral-8x7B-v0.1 config.json; weights as AWQ, 4 bit, groups of 128 (TheBloke/mixtral-8x7b-v0.1-AWQ)"),
    "qwen3_30b_a3b": dict(hidden=2048, inter=768, heads=32, kv_heads=4, d=128, vocab=151936, experts=128, topk=8,
                          source="Qwen/Qwen3-30B-A3B config.json; weights as FP8 in blocks of 128 x 128 (Qwen/Qwen3-30B-A3B-FP8)"),
    "qwen3_235b_a22b": dict(hidden=4096, inter=1536, heads=64, kv_heads=4, d=128, vocab=151936, experts=128, topk=8,
                            source="Qwen/Qwen3-235B-A22B config.json; weights as FP8 in blocks of 128 x 128 (Qwen/Qwen3-235B-A22B-FP8)"),
    "gpt_oss_120b": dict(hidden=2880, inter=2880, heads=64, kv_heads=8, d=64, vocab=201088, experts=128, topk=4,
                         source="openai/gpt-oss-120b config.json; experts as MXFP4, the rest bf16"),
    "deepseek_r1": dict(hidden=7168, inter=2048, heads=128, vocab=129280, experts=256, topk=8,
                        source="deepseek-ai/DeepSeek-R1 config.json; weights as FP8 in blocks of 128 x 128"),
}


def expert_model(label, c, tp, weight):
    lines = dense(label, c, tp, weight)
    # A shard that the groups of the format do not divide is padded, as hosts do.
    inter = up(c["inter"] // tp, 128)
    return lines + moe_set(label, c["hidden"], inter, c["experts"], c["experts"], c["topk"], weight, route="flags=RENORMALIZE")


def gpt_oss(label, c, tp):
    hq, hkv, d, hidden = c["heads"] // tp, c["kv_heads"] // tp, c["d"], c["hidden"]
    lines = []
    for m in ROWS:
        lines += [matmul(f"{label} qkv", m, (hq + 2 * hkv) * d, hidden, bf16, bias=True), matmul(f"{label} o", m, hidden, hq * d, bf16, bias=True)]
    lines.append(matmul(f"{label} head", 1, c["vocab"] // tp, hidden, bf16))
    sinks = f" sinks=bf16[{hq}]"
    lines += attention_set(label, hq, hkv, d, windows=(f"{sinks} window_left=127", f"{sinks} window_left=-1"))
    return lines + moe_set(label, hidden, up(c["inter"] // tp, 32), c["experts"], c["experts"], c["topk"], mxfp4, bias=True,
                           gate="activation=SWIGLU_OAI gate_layout=INTERLEAVED limit=7", route="flags=RENORMALIZE")


def deepseek(label, c, tp, ep):
    heads, hidden, lines = c["heads"] // tp, c["hidden"], []
    for m in ROWS:
        lines += [matmul(f"{label} qkv_a", m, 1536 + 512 + 64, hidden, fp8_block), matmul(f"{label} q_b", m, heads * 192, 1536, fp8_block),
                  matmul(f"{label} o", m, hidden, heads * 128, fp8_block)]
    lines.append(matmul(f"{label} kv_b of a prompt", 512, heads * 256, 512, fp8_block))
    for m in ROWS:  # the first three layers are dense
        lines += [matmul(f"{label} dense gate_up", m, 2 * 18432 // tp, hidden, fp8_block), matmul(f"{label} dense down", m, hidden, 18432 // tp, fp8_block)]
    lines.append(matmul(f"{label} head", 1, c["vocab"] // tp, hidden, bf16))
    for q_len, batch, kv in ((1, 1, 8192), (1, 32, 1024), (128, 1, 1024)):
        for cache in ("bf16[{pages},32,576]", "u8[{pages},32,656]"):
            ds = " cache_format=FP8_DS" if cache.startswith("u8") else ""
            lines.append(f"mla_attention q=bf16[{q_len * batch},{heads},576] cache={cache.format(pages=batch * kv // PAGE)} "
                         f"out=bf16[{q_len * batch},{heads},512] cu_seqlens_q=i32[{batch + 1}] seq_lens=i32[{batch}] "
                         f"block_table=i32[{batch},{kv // PAGE}] softmax_scale=0.1352337{ds} flags=CAUSAL "
                         f"# {label} mla_attention {batch} x {q_len} on kv {kv}{' fp8' if ds else ''}")
    lines.append(attention(f"{label} prompt", 512, 1, 512, heads, heads, 192, d_v=128, extra=" window_left=-1"))
    for t in ROWS:
        for cache, ds in (("bf16[32,32,576]", ""), ("u8[32,32,656]", " cache_format=FP8_DS")):
            lines.append(f"mla_append kv_c=bf16[{t},512] k_pe=bf16[{t},64] cache={cache} slot_mapping=i64[{t}]{ds} "
                         f"# {label} mla_append {t} tokens{' fp8' if ds else ''}")
        lines.append(f"quantize x=bf16[{t},{hidden}] q=e4m3fn[{t},{hidden}] q_quant.format=FP8 q_quant.group_cols=128 "
                     f"q_quant.scale=f32[{t},{hidden // 128}] # {label} quantize {t} tokens by 1 x 128")
    route = ("bias=f32[256] scoring=SIGMOID group_score=TOP2_SUM n_groups=8 topk_groups=4 routed_scale=2.5 flags=RENORMALIZE")
    inter, shared = c["inter"] // tp, 2048 // tp
    return lines + moe_set(label, hidden, inter, c["experts"], c["experts"] // ep, c["topk"], fp8_block, route=route, shared=shared)


def smollm(label, c):
    lines = dense(label, c, 1, Q4_1, act="f32", head=Q4_1, cache="f16")
    for t in ROWS:
        lines.append(f"dequantize q=u8[{c['vocab']},{c['hidden'] // 32 * 20}] q_quant.format=GGUF_Q4_1 row_index=i32[{t}] x=f32[{t},{c['hidden']}] "
                     f"# {label} embedding of {t} tokens")
    return lines


def int8_channel(name, n, k, e=0):
    lead = f"{e}," if e else ""
    return f"{name}=i8[{lead}{n},{k}] {name}_quant.format=INT8 {name}_quant.scale=f32[{lead}{n}]"


def int4_groups(group):
    def weight(name, n, k, e=0):
        lead = f"{e}," if e else ""
        return (f"{name}=u8[{lead}{n},{k // 2}] {name}_quant.format=INT4 {name}_quant.group_cols={group} "
                f"{name}_quant.scale=f16[{lead}{n},{k // group}]")
    return weight


def nvfp4(name, n, k, e=0):
    lead = f"{e}," if e else ""
    return (f"{name}=u8[{lead}{n},{k // 2}] {name}_quant.format=NVFP4 {name}_quant.scale=e4m3fn[{lead}{n},{k // 16}] "
            f"{name}_quant.global_scale=f32[1]")


def f16(name, n, k, e=0):
    return plain(name, n, k, e, "f16")


def bars():
    """What bench_summary.py puts beside a bar. A label is "row | case"; rows are explained there."""
    lines = []

    def put(row, case, problem):
        lines.append(f"{problem.split(' # ')[0]} # {row} | {case}".replace("  ", " "))

    groups = {"Q4_0": gguf("Q4_0", 32, 18), "int4 g32": int4_groups(32), "Q8_0": gguf("Q8_0", 32, 34), "MXFP4": mxfp4}
    other = {"Q4_1": Q4_1, "Q4_K": Q4_K, "Q6_K": Q6_K, "GPTQ g128": gptq, "AWQ g128": awq, "int8 channel": int8_channel}
    n, k = 4096, 4096
    for name, weight in {**groups, **other, "bf16": bf16}.items():
        put("m1", f"{name} m=1 {n}x{k}", matmul("", 1, n, k, weight))
    for name, weight in {"Q4_0": groups["Q4_0"], "Q8_0": groups["Q8_0"], "bf16": bf16}.items():
        put("m1", f"{name} m=1 28672x4096", matmul("", 1, 28672, 4096, weight))
    for m in (2, 8, 64):
        for name in ("Q4_0", "Q8_0", "MXFP4", "Q4_K", "GPTQ g128", "int8 channel"):
            put("m64", f"{name} m={m} {n}x{k}", matmul("", m, n, k, {**groups, **other}[name]))
    for name, weight in groups.items():
        put("m512_g32", f"{name} m=512 {n}x{k}", matmul("", 512, n, k, weight))
    for row, name, weight in (("m512_g128", "int4 g128", int4_groups(128)), ("m512_g128", "GPTQ g128", gptq), ("m512_g128", "AWQ g128", awq),
                              ("m512_i8", "int8 channel", int8_channel), ("m512_bf16", "bf16", bf16), ("m512_fp8", "fp8 128x128", fp8_block),
                              ("m512_fp8", "fp8 channel", fp8_channel), ("m512_fp8", "NVFP4", nvfp4), ("m512_f16", "f16", f16)):
        put(row, f"{name} m=512 {n}x{k}", matmul("", 512, n, k, weight, "f16" if name == "f16" else "bf16"))
    for kv in (1024, 8192, 65536):
        for cache in ("bf16", "f16", "i8", "e4m3fn"):
            act = "f16" if cache == "f16" else "bf16"
            extra = " window_left=-1" + (" k_scale=f32[1] v_scale=f32[1]" if cache in ("i8", "e4m3fn") else "")
            put("decode_16" if cache in ("bf16", "f16") else "decode_8", f"decode {cache} kv {kv} 32/8 heads d=128",
                attention("", 1, 1, kv, 32, 8, 128, act, cache, extra))
    put("decode_16", "decode bf16 32 x kv 1024 32/8 heads d=128", attention("", 1, 32, 1024, 32, 8, 128, extra=" window_left=-1"))
    put("decode_16", "decode bf16 kv 8192 64/8 heads d=64 sinks", attention("", 1, 1, 8192, 64, 8, 64, extra=" sinks=bf16[64] window_left=-1"))
    for length in (512, 2048):
        put("prefill", f"prefill bf16 causal {length} 32/8 heads d=128", attention("", length, 1, length, 32, 8, 128, extra=" window_left=-1"))
    put("prefill", "prefill bf16 512 on 4096 32/8 heads d=128", attention("", 512, 1, 4096, 32, 8, 128, extra=" window_left=-1"))
    oss = MODELS["gpt_oss_120b"]
    for t in (1, 32, 512):
        found = moe_set("", oss["hidden"], oss["inter"], 128, 128, 4, mxfp4, bias=True, gate="activation=SWIGLU_OAI gate_layout=INTERLEAVED limit=7")
        put("moe_512" if t == 512 else "moe_few", f"moe gpt-oss-120b MXFP4 {t} tokens",
            next(line for line in found if line.startswith(f"moe x=bf16[{t},")))
    for t in (1, 32):
        found = moe_set("", 7168, 2048, 256, 32, 8, fp8_block, shared=2048)
        put("moe_fp8", f"moe deepseek-r1 ep8 fp8 {t} tokens", next(line for line in found if line.startswith(f"moe x=bf16[{t},")))
    for cache, ds in (("bf16[256,32,576]", ""), ("u8[256,32,656]", " cache_format=FP8_DS")):
        put("mla", f"mla decode {'fp8' if ds else 'bf16'} kv 8192 128 heads", f"mla_attention q=bf16[1,128,576] cache={cache} out=bf16[1,128,512] "
            f"cu_seqlens_q=i32[2] seq_lens=i32[1] block_table=i32[1,256] softmax_scale=0.1352337{ds} flags=CAUSAL")
    small = MODELS["smollm2_135m"]
    put("small", "smollm2 qkv Q4_1 m=1", matmul("", 1, 960, small["hidden"], Q4_1, "f32"))
    put("small", "smollm2 gate_up Q4_1 m=1", matmul("", 1, 3072, small["hidden"], Q4_1, "f32"))
    put("small", "smollm2 head Q4_1 m=1", matmul("", 1, small["vocab"], small["hidden"], Q4_1, "f32"))
    put("small", "smollm2 decode f32 on f16 kv 256", attention("", 1, 1, 256, 9, 3, 64, "f32", "f16", " window_left=-1"))
    put("cache", "kv_append bf16 256 tokens 8x128",
        "kv_append key=bf16[256,8,128] value=bf16[256,8,128] k=bf16[64,32,8,128] v=bf16[64,32,8,128] slot_mapping=i64[256]")
    put("cache", "kv_gather bf16 4096 tokens 8x128", "kv_gather k=bf16[128,32,8,128] v=bf16[128,32,8,128] key=bf16[4096,8,128] "
        "value=bf16[4096,8,128] cu_rows=i32[2] block_table=i32[1,128]")
    put("cache", "merge_states 8 states 64 tokens", "merge_states partial_out=f32[8,64,32,128] partial_lse=f32[8,64,32] out=bf16[64,32,128]")
    put("cache", "moe_route deepseek-r1 64 tokens", "moe_route logits=f32[64,256] bias=f32[256] topk_weights=f32[64,8] topk_ids=i32[64,8] "
        "scoring=SIGMOID group_score=TOP2_SUM n_groups=8 topk_groups=4 routed_scale=2.5 flags=RENORMALIZE")
    put("cache", "quantize fp8 by 1 x 128, 512x7168",
        "quantize x=bf16[512,7168] q=e4m3fn[512,7168] q_quant.format=FP8 q_quant.group_cols=128 q_quant.scale=f32[512,56]")
    return lines


def files():
    """(name, source, lines)"""
    m = MODELS
    made = [("smollm2_135m_tp1", smollm("smollm2-135m", m["smollm2_135m"]))]
    for tp in (1, 8):
        end = f"_tp{tp}"
        made += [("llama2_70b" + end, dense(f"llama-2-70b tp{tp}", m["llama2_70b"], tp, gptq)),
                 ("llama31_405b" + end, dense(f"llama-3.1-405b tp{tp}", m["llama31_405b"], tp, fp8_channel)),
                 ("llama3_8b" + end, dense(f"llama-3-8b tp{tp}", m["llama3_8b"], tp, Q4_K, down=Q6_K, head=Q6_K)),
                 ("mixtral_8x7b" + end, expert_model(f"mixtral-8x7b tp{tp}", m["mixtral_8x7b"], tp, awq)),
                 ("qwen3_30b_a3b" + end, expert_model(f"qwen3-30b-a3b tp{tp}", m["qwen3_30b_a3b"], tp, fp8_block)),
                 ("qwen3_235b_a22b" + end, expert_model(f"qwen3-235b-a22b tp{tp}", m["qwen3_235b_a22b"], tp, fp8_block)),
                 ("gpt_oss_120b" + end, gpt_oss(f"gpt-oss-120b tp{tp}", m["gpt_oss_120b"], tp)),
                 ("deepseek_r1" + end, deepseek(f"deepseek-r1 tp{tp}", m["deepseek_r1"], tp, 1))]
    for ep in (8, 32):  # attention is data parallel there: all heads on each rank
        made.append((f"deepseek_r1_ep{ep}", deepseek(f"deepseek-r1 ep{ep}", m["deepseek_r1"], 1, ep)))
    for name, lines in made:
        model = name.rsplit("_", 1)[0]
        yield name, MODELS[model]["source"], [line.replace("  ", " ") for line in lines]


def texts():
    """(path, text)"""
    written = "# SPDX-License-Identifier: Apache-2.0\n# Written by tests/bench/model_shapes.py; do not edit."
    for name, source, lines in files():
        yield INPUTS / f"model_{name}", "\n".join([f"{written} One layer and the head; weights as the checkpoint\n# has them: run with --pack. "
                                                    f"{source}", *lines, ""])
    yield INPUTS / "bars", "\n".join([f"{written} What ./dev bench measures; run with --pack.", *bars(), ""])


def main():
    wrong = []
    for path, body in texts():
        if "--check" in sys.argv[1:]:
            if not path.exists() or path.read_text() != body:
                wrong.append(path.name)
        else:
            path.write_text(body)
    if wrong:
        print("differ from what model_shapes.py writes:", ", ".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
