/* SPDX-License-Identifier: Apache-2.0 */
/* moe: every kernel against the formula in double: activations, gate layouts, expert maps, biases,
 * shared expert, weight on the input, transposed and int8 weights, hostile ids, no tokens, all
 * tokens on one expert, smaller runs and batch invariance. */
#include "moe_test.h"

enum {
    MAX_TOKENS = 40,
    MAX_K = 6,
    MAX_HIDDEN = 96,
    MAX_INTER = 64,
    LOCAL = 7,
    MAX_EXPERTS = 12,
    GUARD = 16
};

typedef struct options {
    int64_t tokens, k, hidden, inter, shared_inter; /* shared_inter 0: no shared expert */
    int64_t experts;                                /* 0: no map */
    int32_t activation, gate_layout;
    float limit, routed_scale;
    bool bias, on_input, transposed, int8, bf16, hostile, one_expert, wide_ids;
    bool q8_0, fp8, any_compute; /* GGUF Q8_0 or blocks of e4m3fn weights; compute DEFAULT */
} options;

static const tenon_api *api;
static tenon_context *context;
static tenon_error error = {.struct_size = sizeof error};

/* One weight: its values, and how it is stored. */
typedef struct weight {
    float value[LOCAL * 2 * MAX_INTER * MAX_HIDDEN], stored[LOCAL * 2 * MAX_INTER * MAX_HIDDEN],
        scale[LOCAL * 2 * MAX_INTER], block_scale[LOCAL * 2 * MAX_INTER / 32 * MAX_HIDDEN / 32];
    uint16_t stored16[LOCAL * 2 * MAX_INTER * MAX_HIDDEN];
    int8_t code[LOCAL * 2 * MAX_INTER * MAX_HIDDEN];
    unsigned char block[LOCAL * 2 * MAX_INTER * MAX_HIDDEN / 32 * 34];
    test_tensor t, t_scale;
    tenon_quant quant;
} weight;

static weight up, down, shared_up, shared_down;
static float x[MAX_TOKENS * MAX_HIDDEN], out[MAX_TOKENS * MAX_HIDDEN + GUARD],
    topk[MAX_TOKENS * MAX_K], up_bias[LOCAL * 2 * MAX_INTER], down_bias[LOCAL * MAX_HIDDEN];
static uint16_t x16[MAX_TOKENS * MAX_HIDDEN];
static int32_t ids[MAX_TOKENS * MAX_K], map[MAX_EXPERTS];
static int64_t ids64[MAX_TOKENS * MAX_K];
static tenon_fault fault;
static test_tensor tx, tw, ti, tm, tub, tdb, tout;
static tenon_moe_args a;
static int n_bad;

static bool gated(const options *o) {
    return o->activation >= TENON_ACTIVATION_SILU_GATED &&
           o->activation <= TENON_ACTIVATION_SWIGLU_OAI;
}

/* Not a NaN: the code's exponent is at most 11. */
static float e4m3fn_value(int code) {
    const int e = code >> 3 & 15, m = code & 7;
    const float size = e ? ldexpf((float)(8 + m), e - 10) : ldexpf((float)m, -9);
    return code & 0x80 ? -size : size;
}

/* Elements of e4m3fn, each 32 x 32 with a scale. */
static const DLTensor *make_fp8(weight *m, int64_t experts, int64_t n, int64_t k) {
    const int64_t e_count = experts ? experts : 1, across = k / 32, down_blocks = n / 32;
    for (int64_t b = 0; b < e_count * down_blocks * across; b++)
        m->block_scale[b] = 0.01f * (1 + fabsf(test_uniform()));
    for (int64_t at = 0; at < e_count * n * k; at++) {
        const int code = (int)(test_random() >> 40) & 0xff, small = code & 0x87;
        const int stored = small | ((code >> 3 & 15) * 3 / 4) << 3;
        const int64_t row = at / k % n, e = at / k / n, col = at % k;
        m->code[at] = (int8_t)stored;
        m->value[at] =
            e4m3fn_value(stored) * m->block_scale[(e * down_blocks + row / 32) * across + col / 32];
    }
    const int64_t shape[3] = {e_count, n, k}, blocks[3] = {e_count, down_blocks, across};
    const int ndim = experts ? 3 : 2;
    m->quant = (tenon_quant){.struct_size = sizeof m->quant,
                             .format = TENON_FORMAT_FP8,
                             .group_rows = 32,
                             .group_cols = 32};
    m->quant.scale = test_view(&m->t_scale, m->block_scale, kDLFloat, 32, ndim, blocks + 3 - ndim);
    return test_view(&m->t, m->code, kDLFloat8_e4m3fn, 8, ndim, shape + 3 - ndim);
}

static const DLTensor *make_weight(weight *m, const options *o, int64_t experts, int64_t n,
                                   int64_t k, const tenon_quant **quant) {
    const int64_t e_count = experts ? experts : 1;
    if (o->fp8) {
        *quant = &m->quant;
        return make_fp8(m, experts, n, k);
    }
    for (int64_t e = 0; e < e_count; e++)
        for (int64_t j = 0; j < n; j++)
            for (int64_t i = 0; i < k; i++) {
                const int64_t at = (e * n + j) * k + i,
                              to = o->transposed && experts ? (e * k + i) * n + j : at;
                m->scale[e * n + j] = 0.002f * (float)(1 + (e + j) % 5);
                m->code[at] = (int8_t)(127 * test_uniform());
                if (o->q8_0) { /* blocks of an f16 scale, here 2^-9, and 32 codes */
                    unsigned char *block = m->block + at / 32 * 34;
                    block[0] = 0, block[1] = (15 - 9) << 2,
                    block[2 + at % 32] = (unsigned char)m->code[at];
                    m->value[at] = (float)m->code[at] / 512;
                    continue;
                }
                m->value[at] = o->int8 ? (float)m->code[at] * m->scale[e * n + j]
                                       : bf16_round(0.3f * test_uniform(), NULL);
                m->stored[to] = m->value[at];
                bf16_round(m->value[at], &m->stored16[to]);
            }
    *quant = NULL;
    const int64_t shape[3] = {e_count, n, k};
    const int ndim = experts ? 3 : 2;
    if (o->q8_0) {
        m->quant = (tenon_quant){.struct_size = sizeof m->quant, .format = TENON_FORMAT_GGUF_Q8_0};
        *quant = &m->quant;
        const int64_t bytes[3] = {e_count, n, k / 32 * 34};
        return test_view(&m->t, m->block, kDLUInt, 8, ndim, bytes + 3 - ndim);
    }
    if (o->int8) {
        m->quant = (tenon_quant){.struct_size = sizeof m->quant, .format = TENON_FORMAT_INT8};
        m->quant.scale = experts
                             ? test_view(&m->t_scale, m->scale, kDLFloat, 32, SHAPE(experts, n, 1))
                             : test_view(&m->t_scale, m->scale, kDLFloat, 32, SHAPE(n, 1));
        *quant = &m->quant;
        return test_view(&m->t, m->code, kDLInt, 8, ndim, shape + 3 - ndim);
    }
    test_view(&m->t, o->bf16 ? (void *)m->stored16 : (void *)m->stored,
              o->bf16 ? kDLBfloat : kDLFloat, o->bf16 ? 16 : 32, ndim, shape + 3 - ndim);
    if (o->transposed && experts) m->t.strides[1] = 1, m->t.strides[2] = n;
    return &m->t.view;
}

static void make(const options *o) {
    const int64_t n = (gated(o) ? 2 : 1) * o->inter,
                  shared_n = (gated(o) ? 2 : 1) * o->shared_inter,
                  range = o->experts ? o->experts : LOCAL;
    memset(out, 0x7f, sizeof out), memset(&fault, 0, sizeof fault);
    n_bad = 0;
    for (int64_t i = 0; i < o->tokens * o->hidden; i++) x[i] = bf16_round(test_uniform(), &x16[i]);
    for (int64_t i = 0; i < LOCAL * n; i++) up_bias[i] = 0.2f * test_uniform();
    for (int64_t i = 0; i < LOCAL * o->hidden; i++) down_bias[i] = 0.2f * test_uniform();
    for (int64_t e = 0; e < o->experts; e++)
        map[e] = e % 2 && e / 2 < LOCAL ? (int32_t)(LOCAL - 1 - e / 2) : -1;
    if (o->hostile && o->experts) map[3] = LOCAL;
    for (int64_t i = 0; i < o->tokens * o->k; i++) {
        const int32_t bad[] = {-1, -2, (int32_t)range, INT32_MAX, INT32_MIN};
        const int choice = (int)((test_random() >> 33) % 5);
        ids[i] = o->one_expert ? 1 : (int32_t)((test_random() >> 33) % (uint64_t)range);
        if (o->hostile && test_random() % 3 == 0) ids[i] = bad[choice];
        n_bad +=
            ids[i] < -1 || ids[i] >= range || (ids[i] >= 0 && o->experts && map[ids[i]] >= LOCAL);
        ids64[i] = ids[i];
        topk[i] = test_uniform();
    }
    a = (tenon_moe_args){
        .struct_size = sizeof a,
        .flags = o->on_input ? TENON_MOE_WEIGHT_ON_INPUT : 0,
        .fault = &fault,
        .x = o->bf16 ? test_view(&tx, x16, kDLBfloat, 16, SHAPE(o->tokens, o->hidden))
                     : test_view(&tx, x, kDLFloat, 32, SHAPE(o->tokens, o->hidden)),
        .topk_weights = test_view(&tw, topk, kDLFloat, 32, SHAPE(o->tokens, o->k)),
        .topk_ids = o->wide_ids ? test_view(&ti, ids64, kDLInt, 64, SHAPE(o->tokens, o->k))
                                : test_view(&ti, ids, kDLInt, 32, SHAPE(o->tokens, o->k)),
        .expert_map = o->experts ? test_view(&tm, map, kDLInt, 32, SHAPE(o->experts)) : NULL,
        .gate_up_bias = o->bias ? test_view(&tub, up_bias, kDLFloat, 32, SHAPE(LOCAL, n)) : NULL,
        .down_bias =
            o->bias ? test_view(&tdb, down_bias, kDLFloat, 32, SHAPE(LOCAL, o->hidden)) : NULL,
        .out = test_view(&tout, out, kDLFloat, 32, SHAPE(o->tokens, o->hidden)),
        .activation = o->activation,
        .gate_layout = o->gate_layout,
        .limit = o->limit,
        .routed_scale = o->routed_scale,
        .compute = o->any_compute ? TENON_COMPUTE_DEFAULT : TENON_COMPUTE_EXACT};
    a.gate_up = make_weight(&up, o, LOCAL, n, o->hidden, &a.gate_up_quant);
    a.down = make_weight(&down, o, LOCAL, o->hidden, o->inter, &a.down_quant);
    if (!o->shared_inter) return;
    a.shared_gate_up = make_weight(&shared_up, o, 0, shared_n, o->hidden, &a.shared_gate_up_quant);
    a.shared_down =
        make_weight(&shared_down, o, 0, o->hidden, o->shared_inter, &a.shared_down_quant);
}

static double activate(const options *o, double g, double u) {
    const double limit = o->limit == 0 ? INFINITY : (double)o->limit, gc = fmin(g, limit),
                 uc = fmax(-limit, fmin(u, limit));
    switch (o->activation) {
    case TENON_ACTIVATION_SILU_GATED:
        return gc / (1 + exp(-gc)) * uc;
    case TENON_ACTIVATION_GELU_GATED:
        return g * 0.5 * erfc(-g / sqrt(2)) * u;
    case TENON_ACTIVATION_GELU_TANH_GATED:
        return 0.5 * g * (1 + tanh(sqrt(2 / 3.14159265358979323846) * (g + 0.044715 * g * g * g))) *
               u;
    case TENON_ACTIVATION_SWIGLU_OAI:
        return gc / (1 + exp(-(double)1.702f * gc)) * (uc + 1);
    case TENON_ACTIVATION_SILU:
        return g / (1 + exp(-g));
    case TENON_ACTIVATION_GELU:
        return g * 0.5 * erfc(-g / sqrt(2));
    case TENON_ACTIVATION_RELU2:
        return g > 0 ? g * g : 0;
    default:
        return g;
    }
}

/* sum[h] += weight * expert(in_scale * x) */
static void add(const options *o, const weight *u, const weight *d, int64_t e, int64_t inter,
                const float *ub, const float *db, const float *row, double in_scale, double factor,
                double *sum) {
    double between[MAX_INTER * 2], raw[MAX_INTER * 2];
    const int64_t n = (gated(o) ? 2 : 1) * inter;
    for (int64_t j = 0; j < n; j++) {
        raw[j] = ub ? (double)ub[e * n + j] : 0;
        for (int64_t i = 0; i < o->hidden; i++)
            raw[j] += in_scale * (double)row[i] * (double)u->value[(e * n + j) * o->hidden + i];
    }
    for (int64_t j = 0; j < inter; j++) {
        const int64_t g = !gated(o)                                         ? j
                          : o->gate_layout == TENON_GATE_LAYOUT_INTERLEAVED ? 2 * j
                          : o->gate_layout == TENON_GATE_LAYOUT_UP_GATE     ? inter + j
                                                                            : j;
        const int64_t v = !gated(o)                                         ? j
                          : o->gate_layout == TENON_GATE_LAYOUT_INTERLEAVED ? 2 * j + 1
                          : o->gate_layout == TENON_GATE_LAYOUT_UP_GATE     ? j
                                                                            : inter + j;
        between[j] = activate(o, raw[g], raw[v]);
    }
    for (int64_t h = 0; h < o->hidden; h++) {
        double y = db ? (double)db[e * o->hidden + h] : 0;
        for (int64_t j = 0; j < inter; j++)
            y += between[j] * (double)d->value[(e * o->hidden + h) * inter + j];
        sum[h] += factor * y;
    }
}

static void check_all(const options *o, const char *kernel, int64_t tokens) {
    for (int64_t t = 0; t < tokens; t++) {
        double sum[MAX_HIDDEN] = {0}, size = 1;
        for (int64_t s = 0; s < o->k; s++) {
            const int32_t id = ids[t * o->k + s];
            int64_t e = id < 0 || id >= (o->experts ? o->experts : LOCAL) ? -1
                        : o->experts                                      ? map[id]
                                                                          : id;
            if (e < 0 || e >= LOCAL) continue;
            const double weight_of = (double)topk[t * o->k + s];
            add(o, &up, &down, e, o->inter, o->bias ? up_bias : NULL, o->bias ? down_bias : NULL,
                x + t * o->hidden, o->on_input ? weight_of : 1, o->on_input ? 1 : weight_of, sum);
        }
        for (int64_t h = 0; h < o->hidden; h++)
            sum[h] *= o->routed_scale == 0 ? 1 : (double)o->routed_scale;
        if (o->shared_inter)
            add(o, &shared_up, &shared_down, 0, o->shared_inter, NULL, NULL, x + t * o->hidden, 1,
                1, sum);
        for (int64_t h = 0; h < o->hidden; h++) size = fmax(size, fabs(sum[h]));
        /* EXACT promises f32 accumulation. DEFAULT may round rows to bf16, or to int8 with a scale
         * per 32: half a step of 1/127 of the largest of 32, in both matmuls, which random signs
         * average out. */
        const double bound = (o->any_compute && o->q8_0 ? 2e-2
                              : o->any_compute          ? 1e-2
                                                        : 2e-5) *
                             size;
        for (int64_t h = 0; h < o->hidden; h++)
            CHECK(fabs((double)out[t * o->hidden + h] - sum[h]) <= bound,
                  "%s: token %lld col %lld: %.9g, expected %.9g", kernel, (long long)t,
                  (long long)h, (double)out[t * o->hidden + h], sum[h]);
    }
    for (int64_t i = tokens * o->hidden; i < o->tokens * o->hidden + GUARD; i++) {
        uint32_t bits;
        memcpy(&bits, &out[i], 4);
        CHECK(bits == 0x7f7f7f7fu, "%s: wrote element %lld past the run's tokens", kernel,
              (long long)i);
    }
    CHECK(fault.code == (n_bad ? TENON_FAULT_EXPERT_OUT_OF_RANGE : TENON_FAULT_NONE),
          "%s: fault %d with %d bad ids", kernel, fault.code, n_bad);
}

static int taken;
static void test_options(const char *kernel, options o) {
    make(&o);
    const int32_t status = run_guarded(api, context, TENON_OP_MOE, &a, &a, kernel, &error);
    if (status == TENON_STATUS_UNSUPPORTED) return;
    CHECK(status == TENON_OK, "%s: %s", kernel, error.text);
    taken++;
    check_all(&o, kernel, o.tokens);
    if (o.tokens < 3 || o.hostile) return;

    /* Two tokens under the plan of all: the same bits. */
    static float before[MAX_TOKENS * MAX_HIDDEN];
    memcpy(before, out, sizeof before);
    memset(out, 0x7f, sizeof out);
    test_tensor px = tx, pw = tw, pi = ti, po = tout;
    px.view.shape = px.shape, pw.view.shape = pw.shape, pi.view.shape = pi.shape,
    po.view.shape = po.shape;
    tenon_moe_args planned = a;
    planned.x = &px.view, planned.topk_weights = &pw.view, planned.topk_ids = &pi.view,
    planned.out = &po.view;
    tx.shape[0] = tw.shape[0] = ti.shape[0] = tout.shape[0] = 2;
    CHECK(run_guarded(api, context, TENON_OP_MOE, &planned, &a, kernel, &error) == TENON_OK,
          "%s: %s", kernel, error.text);
    check_all(&o, kernel, 2);
    CHECK(!memcmp(before, out, (size_t)(2 * o.hidden) * 4), "%s: other bits in a smaller batch",
          kernel);
}

/* So many pairs that a kernel with a bounded workspace takes them in parts: the last token must
 * have the bits that it has alone. */
static void test_many_pairs(const char *kernel) {
    enum { MANY = 150, SLOTS = 32, WIDE = 8192, NARROW = 32 };
    const size_t wide = (size_t)MANY * WIDE, weights = (size_t)2 * NARROW * WIDE;
    float *xs = malloc(wide * 4), *all = malloc(wide * 4), *alone = malloc(WIDE * 4),
          *ups = malloc(weights * 4), *downs = malloc(weights * 4), topks[MANY * SLOTS];
    static int32_t idss[MANY * SLOTS];
    for (size_t i = 0; i < wide; i++) xs[i] = test_uniform();
    for (size_t i = 0; i < weights; i++)
        ups[i] = 0.1f * test_uniform(), downs[i] = 0.1f * test_uniform();
    for (int i = 0; i < MANY * SLOTS; i++)
        topks[i] = test_uniform(), idss[i] = (int32_t)(test_random() >> 33) % 2;
    idss[MANY * SLOTS - 1] = 2; /* out of range, in the last part */
    memset(&fault, 0, sizeof fault);
    tenon_moe_args m = {.struct_size = sizeof m,
                        .fault = &fault,
                        .x = test_view(&tx, xs, kDLFloat, 32, SHAPE(MANY, WIDE)),
                        .topk_weights = test_view(&tw, topks, kDLFloat, 32, SHAPE(MANY, SLOTS)),
                        .topk_ids = test_view(&ti, idss, kDLInt, 32, SHAPE(MANY, SLOTS)),
                        .gate_up = test_view(&up.t, ups, kDLFloat, 32, SHAPE(2, NARROW, WIDE)),
                        .down = test_view(&down.t, downs, kDLFloat, 32, SHAPE(2, WIDE, NARROW)),
                        .out = test_view(&tout, all, kDLFloat, 32, SHAPE(MANY, WIDE)),
                        .activation = TENON_ACTIVATION_RELU2};
    CHECK(run_guarded(api, context, TENON_OP_MOE, &m, &m, kernel, &error) == TENON_OK, "%s: %s",
          kernel, error.text);
    CHECK(fault.code == TENON_FAULT_EXPERT_OUT_OF_RANGE && fault.position == MANY * SLOTS - 1 &&
              fault.value == 2 && fault.limit == 2,
          "%s: fault %d at %lld: %lld of %lld", kernel, fault.code, (long long)fault.position,
          (long long)fault.value, (long long)fault.limit);
    m.x = test_view(&tx, xs + wide - WIDE, kDLFloat, 32, SHAPE(1, WIDE));
    m.topk_weights = test_view(&tw, topks + (MANY - 1) * SLOTS, kDLFloat, 32, SHAPE(1, SLOTS));
    m.topk_ids = test_view(&ti, idss + (MANY - 1) * SLOTS, kDLInt, 32, SHAPE(1, SLOTS));
    m.out = test_view(&tout, alone, kDLFloat, 32, SHAPE(1, WIDE));
    CHECK(run_guarded(api, context, TENON_OP_MOE, &m, &m, kernel, &error) == TENON_OK, "%s: %s",
          kernel, error.text);
    CHECK(!memcmp(alone, all + wide - WIDE, WIDE * 4),
          "%s: the last of many tokens has other bits than alone", kernel);
    free(xs), free(all), free(alone), free(ups), free(downs);
}

static void test_refusals(void) {
    options o = {.tokens = 4,
                 .k = 2,
                 .hidden = 32,
                 .inter = 16,
                 .shared_inter = 16,
                 .activation = TENON_ACTIVATION_SILU_GATED,
                 .bias = true};
#define REFUSE(words)                                                                              \
    CHECK_FAILS(api, context, TENON_OP_MOE, &a, TENON_STATUS_INVALID_ARGUMENT, words)
    make(&o), a.flags = TENON_MOE_WEIGHT_ON_INPUT;
    REFUSE("WEIGHT_ON_INPUT needs k = 1");
    make(&o), a.shared_down = NULL;
    REFUSE("is NULL, but shared_gate_up is given");
    make(&o), down.t.shape[2] = 8;
    REFUSE("down: is [local=7, n=32, k=8], expected [7, 32, 16]");
    make(&o), up.t.shape[1] = 31;
    REFUSE("gate_up: is [local=7, n=31, k=32], expected [7, 32, 32]");
    make(&o), shared_down.t.shape[0] = 31;
    REFUSE("expected [32, 16] without experts");
    make(&o), a.gate_up_bias = NULL, up.t.shape[1] = 31;
    REFUSE("n=31, a gated activation needs two halves");
    make(&o), tdb.shape[0] = 6, a.gate_up_bias = NULL;
    REFUSE("6 local experts, but gate_up has 7");
    make(&o), a.limit = -1;
    REFUSE("-1 is negative");
}

int main(void) {
    api = test_load();
    context = quiet_context(api);
    const kernel_list kernels = kernels_of(api, context, TENON_OP_MOE);
    for (int n = 0; n < kernels.count; n++) {
        const char *kernel = kernels.name[n];
        taken = 0;
        for (int32_t activation = 0; activation < TENON_ACTIVATION_COUNT; activation++)
            for (int variant = 0; variant < 6; variant++)
                test_options(kernel,
                             (options){.tokens = variant & 1 ? 33 : 5,
                                       .k = variant & 1 ? 2 : 4,
                                       .hidden = 64,
                                       .inter = variant & 1 ? 64 : 32,
                                       .shared_inter = variant & 1 ? 32 : 0,
                                       .activation = activation,
                                       .gate_layout = variant % 3,
                                       .bias = variant & 1,
                                       .limit = variant & 1 && (activation == 1 || activation == 4)
                                                    ? 0.5f
                                                    : 0,
                                       .routed_scale = variant & 1 ? 2.5f : 0});
        for (int variant = 0; variant < 64; variant++)
            test_options(kernel, (options){.tokens = 17,
                                           .k = variant & 1 ? 1 : 3,
                                           .hidden = variant & 8 ? 37 : 96,
                                           .inter = variant & 8 ? 19 : 64,
                                           .shared_inter = variant & 2 ? 45 : 0,
                                           .experts = variant & 4 ? 12 : 0,
                                           .activation = TENON_ACTIVATION_SILU_GATED,
                                           .bias = variant & 2,
                                           .on_input = variant & 1,
                                           .transposed = variant & 16,
                                           .bf16 = variant & 32,
                                           .hostile = variant & 4,
                                           .wide_ids = variant & 1});
        for (int variant = 0; variant < 4; variant++)
            test_options(kernel, (options){.tokens = variant & 1 ? 40 : 1,
                                           .k = 2,
                                           .hidden = 96,
                                           .inter = 64,
                                           .shared_inter = variant & 2 ? 64 : 0,
                                           .activation = TENON_ACTIVATION_SWIGLU_OAI,
                                           .gate_layout = TENON_GATE_LAYOUT_INTERLEAVED,
                                           .limit = 7,
                                           .bias = true,
                                           .int8 = true});
        for (int variant = 0; variant < 8; variant++)
            test_options(kernel, (options){.tokens = variant & 1 ? 40 : 1,
                                           .k = 3,
                                           .hidden = 96,
                                           .inter = 64,
                                           .shared_inter = variant & 2 ? 32 : 0,
                                           .activation = variant & 1 ? TENON_ACTIVATION_SILU_GATED
                                                                     : TENON_ACTIVATION_RELU2,
                                           .gate_layout = variant % 3,
                                           .bias = variant & 2,
                                           .q8_0 = true,
                                           .any_compute = variant & 4});
        for (int variant = 0; variant < 4; variant++)
            test_options(kernel, (options){.tokens = 33,
                                           .k = variant & 2 ? 1 : 3,
                                           .hidden = 96,
                                           .inter = 64,
                                           .shared_inter = 32,
                                           .activation = TENON_ACTIVATION_SILU_GATED,
                                           .bias = variant & 1,
                                           .on_input = variant & 2,
                                           .bf16 = true,
                                           .any_compute = true});
        for (int variant = 0; variant < 8; variant++)
            test_options(kernel, (options){.tokens = variant & 1 ? 40 : 3,
                                           .k = 2,
                                           .hidden = 96,
                                           .inter = 64,
                                           .shared_inter = variant & 1 ? 32 : 0,
                                           .activation = TENON_ACTIVATION_SILU_GATED,
                                           .gate_layout = variant % 3,
                                           .bias = variant & 2,
                                           .fp8 = true,
                                           .one_expert = variant & 2,
                                           .bf16 = variant & 4,
                                           .any_compute = variant & 4});
        test_options(kernel, (options){.tokens = 0,
                                       .k = 2,
                                       .hidden = 32,
                                       .inter = 16,
                                       .activation = TENON_ACTIVATION_SILU_GATED});
        test_options(kernel, (options){.tokens = 40,
                                       .k = 1,
                                       .hidden = 96,
                                       .inter = 64,
                                       .activation = TENON_ACTIVATION_SILU_GATED,
                                       .one_expert = true});
        if (strstr(kernel, "float_x86")) test_many_pairs(kernel);
        printf("%s took %d problems\n", kernel, taken);
        CHECK(taken > 0, "%s took nothing", kernel);
    }
    test_refusals();
    api->context_destroy(context);
    return test_report();
}
