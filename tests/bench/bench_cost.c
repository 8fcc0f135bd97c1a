/* SPDX-License-Identifier: Apache-2.0 */
#include "bench_cost.h"

#include <stdio.h>
#include <string.h>

static double tensor_bytes(bench_problem *p, const char *name) {
    const bench_tensor *t = bench_find(p, name);
    return t ? (double)t->bytes : 0;
}

static double all_bytes(const bench_problem *p) {
    double sum = 0;
    for (int32_t i = 0; i < p->n_tensors; i++) sum += (double)p->tensor[i].bytes;
    return sum;
}

/* weights: NULL, or a tensor that has no descriptor. */
static int peak_of(const bench_tensor *activations, const bench_tensor *weights, uint32_t traits) {
    if (traits & TENON_TRAIT_INT8_ACTIVATIONS || activations->view.dtype.code == kDLInt)
        return BENCH_PEAK_INT8;
    /* f16 and f32 have more bits than a bf16 product takes. */
    if (weights && weights->view.dtype.code == kDLFloat) return BENCH_PEAK_F32;
    return activations->view.dtype.code == kDLFloat ? BENCH_PEAK_F32 : BENCH_PEAK_BF16;
}

/* Query-key pairs that a causal or windowed mask leaves, over the batch; and the kv positions that
 * are read at all. */
static void visible(bench_problem *p, double *pairs, double *positions) {
    bench_tensor *cu = bench_find(p, "cu_seqlens_q"), *lens = bench_find(p, "seq_lens");
    bool causal = p->args.head.flags & TENON_ATTENTION_CAUSAL; /* the same bit in mla_attention */
    bool windowed = !strcmp(p->info->name, "attention");
    int64_t left = windowed ? bench_scalar(p, "window_left") : -1,
            right = causal     ? 0
                    : windowed ? bench_scalar(p, "window_right")
                               : -1;
    if (windowed && left == 0) left = -1; /* 0: no window */
    if (windowed && !causal && right == 0) right = -1;
    *pairs = *positions = 0;
    for (int64_t b = 0; b < lens->shape[0]; b++) {
        int64_t first = (int64_t)bench_load(cu->view.dtype, bench_data(cu), b),
                end = (int64_t)bench_load(cu->view.dtype, bench_data(cu), b + 1);
        int64_t kv = (int64_t)bench_load(lens->view.dtype, bench_data(lens), b), n = end - first,
                lowest = kv;
        for (int64_t i = 0; i < n; i++) {
            int64_t at = kv - n + i, from = left >= 0 && at > left ? at - left : 0,
                    to = right >= 0 && at + right + 1 < kv ? at + right + 1 : kv;
            if (to > from) *pairs += (double)(to - from);
            if (from < lowest) lowest = from;
        }
        if (n) *positions += (double)(kv - lowest);
    }
}

static void cost_of_attention(bench_problem *p, bench_cost *out) {
    const bench_tensor *q = bench_find(p, "q"), *k = bench_find(p, "k"),
                       *cache = k ? k : bench_find(p, "cache"), *o = bench_find(p, "out");
    double pairs, positions, heads_kv = k && k->view.ndim > 2 ? (double)k->shape[2] : 1;
    double d_qk = (double)q->shape[2], d_v = (double)o->shape[2],
           element = cache->view.dtype.bits / 8.0;
    visible(p, &pairs, &positions);
    double row = k ? d_qk + d_v : d_qk; /* a latent row serves as key and value */
    out->bytes = positions * heads_kv * row * element + (double)q->bytes + (double)o->bytes;
    out->operations = 2 * pairs * (double)q->shape[1] * (d_qk + d_v);
    /* Every cache of 8 bits is exact in bf16. */
    out->peak = q->view.dtype.code == kDLBfloat && cache->view.dtype.code != kDLFloat
                    ? BENCH_PEAK_BF16
                    : BENCH_PEAK_F32;
}

/* What of the local experts' work and weights a batch asks for. */
typedef struct expert_use {
    double pairs; /* that go to local experts */
    double share; /* of the local experts: only the weights of those that are hit are read */
} expert_use;

static expert_use use_of_experts(bench_problem *p, int64_t local) {
    bench_tensor *ids = bench_find(p, "topk_ids"), *offsets = bench_find(p, "expert_offsets"),
                 *map = bench_find(p, "expert_map");
    unsigned char hit[1024] = {0};
    expert_use use = {0, 1};
    int64_t n = 0;
    for (int64_t i = 0; ids && i < bench_count(ids); i++) {
        int64_t id = (int64_t)bench_load(ids->view.dtype, bench_data(ids), i);
        if (map && id >= 0)
            id =
                id < map->shape[0] ? (int64_t)bench_load(map->view.dtype, bench_data(map), id) : -1;
        if (id >= 0 && id < 1024) hit[id] = 1, use.pairs++;
    }
    for (int64_t e = 0; !ids && offsets && e < local && e < 1024; e++) {
        double rows = bench_load(offsets->view.dtype, bench_data(offsets), e + 1) -
                      bench_load(offsets->view.dtype, bench_data(offsets), e);
        hit[e] = rows > 0, use.pairs += rows;
    }
    for (int e = 0; e < 1024; e++) n += hit[e];
    if (local > 0 && local <= 1024) use.share = (double)n / (double)local;
    return use;
}

/* Bytes of weights of that field, with what their descriptor names. */
static double weight_bytes(bench_problem *p, const char *field) {
    static const char *const members[] = {"", "_quant.scale", "_quant.zero_point"};
    double sum = 0;
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s%s", field, members[i]);
        sum += tensor_bytes(p, name);
    }
    return sum;
}

/* Logical rows of a weight that is not packed. */
static double rows_of(bench_problem *p, const char *field) {
    char name[64];
    snprintf(name, sizeof name, "%s_quant", field);
    const tenon_quant *quant = bench_quant(p, name);
    const bench_tensor *t = bench_find(p, field);
    if (quant && quant->rows) return (double)quant->rows;
    if (!t || t->view.ndim < 2) return 0;
    bool by_column = quant && (quant->format == TENON_FORMAT_INT4_AWQ ||
                               quant->format == TENON_FORMAT_INT4_GPTQ ||
                               quant->format == TENON_FORMAT_INT4_GPTQ_V2);
    /* Those hold eight rows in each word of a column. */
    return by_column ? 8 * (double)t->shape[t->view.ndim - 1] : (double)t->shape[t->view.ndim - 2];
}

static void cost_of_moe(bench_problem *p, bench_cost *out) {
    const bench_tensor *x = bench_find(p, "x"), *up = bench_find(p, "gate_up"),
                       *map = bench_find(p, "expert_map");
    int64_t local = up->view.ndim == 3 ? up->shape[0] : 0;
    for (int64_t e = 0; map && e < map->shape[0]; e++) {
        int64_t at = (int64_t)bench_load(map->view.dtype, bench_data(map), e);
        if (at >= local) local = at + 1;
    }
    expert_use use = use_of_experts(p, local);
    double hidden = (double)x->shape[1];
    out->bytes -= (1 - use.share) * (weight_bytes(p, "gate_up") + weight_bytes(p, "down"));
    /* Gate, up and down: n rows and half of them again. */
    out->operations = 3 * use.pairs * hidden * rows_of(p, "gate_up") +
                      3 * (double)x->shape[0] * hidden * rows_of(p, "shared_gate_up");
}

static double cache_bytes(bench_problem *p) {
    return tensor_bytes(p, "k") + tensor_bytes(p, "v") + tensor_bytes(p, "cache");
}

/* Of a cache only the rows that are written or read count: as many elements as there are beside it.
 */
static void cost_of_cache(bench_problem *p, bench_cost *out) {
    static const char *const plain[] = {"key", "value", "kv_c", "k_pe"};
    const bench_tensor *k = bench_find(p, "k"), *cache = k ? k : bench_find(p, "cache");
    out->bytes -= cache_bytes(p);
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++) {
        const bench_tensor *t = bench_find(p, plain[i]);
        if (t) out->bytes += (double)bench_count(t) * cache->view.dtype.bits / 8.0;
    }
}

void bench_cost_of(bench_problem *p, uint32_t traits, bench_cost *out) {
    const char *op = p->info->name;
    out->bytes = all_bytes(p), out->operations = 0, out->peak = BENCH_PEAK_NONE;
    if (!strcmp(op, "attention") || !strcmp(op, "mla_attention")) {
        cost_of_attention(p, out);
    } else if (!strcmp(op, "matmul")) {
        const bench_tensor *a = bench_find(p, "a"), *o = bench_find(p, "out");
        double k = (double)a->shape[1] * (a->view.dtype.bits < 8 ? 8.0 / a->view.dtype.bits : 1);
        out->operations = 2.0 * (double)o->shape[0] * (double)o->shape[1] * k;
        out->peak = peak_of(a, bench_find(p, "w"), traits);
    } else if (!strcmp(op, "moe_matmul")) {
        const bench_tensor *x = bench_find(p, "x"), *o = bench_find(p, "out"),
                           *w = bench_find(p, "w"), *offsets = bench_find(p, "expert_offsets");
        int64_t local = offsets ? offsets->shape[0] - 1 : w->shape[0];
        int32_t activation = (int32_t)bench_scalar(p, "activation");
        bool gated =
            activation >= TENON_ACTIVATION_SILU_GATED && activation <= TENON_ACTIVATION_SWIGLU_OAI;
        expert_use use = use_of_experts(p, local);
        out->bytes -= (1 - use.share) * weight_bytes(p, "w");
        out->operations =
            2.0 * (double)bench_count(o) * (gated ? 2 : 1) * (double)x->shape[x->view.ndim - 1];
        out->peak = peak_of(x, w, traits);
    } else if (strstr(op, "_append") || !strcmp(op, "kv_gather")) {
        cost_of_cache(p, out);
    } else if (!strcmp(op, "moe")) {
        cost_of_moe(p, out);
        out->peak = peak_of(bench_find(p, "x"), NULL, traits);
    }
}
