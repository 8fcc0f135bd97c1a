/* SPDX-License-Identifier: Apache-2.0 */
#include "bench_cost.h"

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

static int peak_of(const bench_tensor *activations, uint32_t traits) {
    if (traits & TENON_TRAIT_INT8_ACTIVATIONS || activations->view.dtype.code == kDLInt)
        return BENCH_PEAK_INT8;
    return activations->view.dtype.code == kDLBfloat ? BENCH_PEAK_BF16 : BENCH_PEAK_F32;
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
    out->peak = q->view.dtype.code == kDLBfloat && cache->view.dtype.code == kDLBfloat
                    ? BENCH_PEAK_BF16
                    : BENCH_PEAK_F32;
}

/* Experts that at least one pair goes to: only their weights are read. */
static double share_of_experts(bench_problem *p, int64_t local) {
    bench_tensor *ids = bench_find(p, "topk_ids"), *offsets = bench_find(p, "expert_offsets");
    unsigned char hit[1024] = {0};
    int64_t n = 0;
    for (int64_t i = 0; ids && i < bench_count(ids); i++) {
        int64_t id = (int64_t)bench_load(ids->view.dtype, bench_data(ids), i);
        if (id >= 0 && id < 1024) hit[id] = 1;
    }
    for (int64_t e = 0; !ids && offsets && e < local && e < 1024; e++)
        hit[e] = bench_load(offsets->view.dtype, bench_data(offsets), e + 1) >
                 bench_load(offsets->view.dtype, bench_data(offsets), e);
    for (int e = 0; e < 1024; e++) n += hit[e];
    return local > 0 ? (double)n / (double)local : 1;
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
        out->peak = peak_of(a, traits);
    } else if (!strcmp(op, "moe_matmul")) {
        const bench_tensor *x = bench_find(p, "x"), *o = bench_find(p, "out"),
                           *w = bench_find(p, "w"), *offsets = bench_find(p, "expert_offsets");
        int64_t local = offsets ? offsets->shape[0] - 1 : w->shape[0];
        int32_t activation = (int32_t)bench_scalar(p, "activation");
        bool gated =
            activation >= TENON_ACTIVATION_SILU_GATED && activation <= TENON_ACTIVATION_SWIGLU_OAI;
        double share = share_of_experts(p, local);
        out->bytes -= (1 - share) * (tensor_bytes(p, "w") + tensor_bytes(p, "w_quant.scale"));
        out->operations =
            2.0 * (double)bench_count(o) * (gated ? 2 : 1) * (double)x->shape[x->view.ndim - 1];
        out->peak = peak_of(x, traits);
    } else if (!strcmp(op, "moe")) {
        const bench_tensor *x = bench_find(p, "x"), *ids = bench_find(p, "topk_ids"),
                           *up = bench_find(p, "gate_up");
        const tenon_quant *quant = bench_quant(p, "gate_up_quant");
        double hidden = (double)x->shape[1], n = quant && quant->rows
                                                     ? (double)quant->rows
                                                     : (double)up->shape[up->view.ndim - 2];
        double share = share_of_experts(p, up->shape[0]);
        out->bytes -= (1 - share) * (tensor_bytes(p, "gate_up") + tensor_bytes(p, "down") +
                                     tensor_bytes(p, "gate_up_quant.scale") +
                                     tensor_bytes(p, "down_quant.scale"));
        out->operations = 2.0 * (double)bench_count(ids) * hidden * n * 1.5;
        out->peak = peak_of(x, traits);
    }
}
