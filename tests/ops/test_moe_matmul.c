/* SPDX-License-Identifier: Apache-2.0 */
/* moe_matmul: every kernel against the formula in double, over layouts, activations, gate layouts,
 * gathers, strides and quantized weights; hostile offsets, counts and row lists stay in bounds and
 * are reported. Precision is asked for as EXACT. */
#include "moe_test.h"

enum { LOCAL = 5, TOKENS = 9, K_SLOTS = 3, MAX_ROWS = 64, MAX_N = 96, MAX_K = 96, GUARD = 16 };

typedef struct options {
    int64_t k, n_out, max_rows; /* max_rows > 0: masked */
    int32_t activation, gate_layout;
    float alpha, limit;
    bool gather, weights, bias, counts, transposed, wide_offsets, bf16;
} options;

static const tenon_api *api;
static tenon_context *context;
static tenon_error error = {.struct_size = sizeof error};
static float x[MAX_ROWS * MAX_K], w[LOCAL * MAX_N * MAX_K], stored[LOCAL * MAX_N * MAX_K],
    bias[LOCAL * MAX_N], row_weights[TOKENS * K_SLOTS], out[MAX_ROWS * MAX_N + GUARD];
static uint16_t x16[MAX_ROWS * MAX_K], w16[LOCAL * MAX_N * MAX_K];
static int32_t offsets[LOCAL + 1], counts[LOCAL], row_pairs[MAX_ROWS];
static int64_t offsets64[LOCAL + 1];
static tenon_fault fault;
static test_tensor tx, tw, tb, toff, tc, tp, trw, tout;
static tenon_moe_matmul_args a;
static int64_t n_rows, n_total;

static double sigmoid(double v) {
    return 1 / (1 + exp(-v));
}
static bool gated(int32_t activation) {
    return activation >= TENON_ACTIVATION_SILU_GATED && activation <= TENON_ACTIVATION_SWIGLU_OAI;
}

static double activate(const options *o, double g, double u) {
    const double limit = o->limit == 0 ? INFINITY : (double)o->limit,
                 alpha = o->alpha == 0 ? (double)1.702f : (double)o->alpha;
    const double gc = fmin(g, limit), uc = fmax(-limit, fmin(u, limit));
    switch (o->activation) {
    case TENON_ACTIVATION_SILU_GATED:
        return gc * sigmoid(gc) * uc;
    case TENON_ACTIVATION_GELU_GATED:
        return g * 0.5 * erfc(-g / sqrt(2)) * u;
    case TENON_ACTIVATION_GELU_TANH_GATED:
        return g * sigmoid(2 * sqrt(2 / 3.14159265358979323846) * (g + 0.044715 * g * g * g)) * u;
    case TENON_ACTIVATION_SWIGLU_OAI:
        return gc * sigmoid(alpha * gc) * (uc + 1);
    case TENON_ACTIVATION_SILU:
        return g * sigmoid(g);
    case TENON_ACTIVATION_GELU:
        return g * 0.5 * erfc(-g / sqrt(2));
    case TENON_ACTIVATION_RELU2:
        return g > 0 ? g * g : 0;
    default:
        return g;
    }
}

/* Rows of the experts: 0, 7, 1, 0, 12 in the contiguous layout with a gap before and between. */
static void make(const options *o) {
    static const int32_t sizes[LOCAL] = {0, 7, 1, 0, 12};
    const int64_t n = gated(o->activation) ? 2 * o->n_out : o->n_out, k = o->k;
    memset(out, 0x7f, sizeof out), memset(&fault, 0, sizeof fault);
    n_rows = o->max_rows ? LOCAL * o->max_rows : 28, n_total = n;
    const int64_t x_rows = o->gather ? TOKENS : n_rows;
    for (int64_t i = 0; i < x_rows * k; i++)
        x[i] = o->bf16 ? bf16_round(test_uniform(), &x16[i]) : test_uniform();
    for (int64_t i = 0; i < LOCAL * n * k; i++)
        w[i] = o->bf16 ? bf16_round(test_uniform(), NULL) : test_uniform();
    for (int64_t e = 0; e < LOCAL; e++) /* as [local, k, n], or as it is */
        for (int64_t j = 0; j < n; j++)
            for (int64_t i = 0; i < k; i++) {
                const int64_t to = o->transposed ? (e * k + i) * n + j : (e * n + j) * k + i;
                stored[to] = w[(e * n + j) * k + i];
                bf16_round(stored[to], &w16[to]);
            }
    for (int64_t i = 0; i < LOCAL * n; i++) bias[i] = test_uniform();
    for (int i = 0; i < TOKENS * K_SLOTS; i++) row_weights[i] = test_uniform();
    for (int e = 0, first = 2; e <= LOCAL; e++) {
        offsets[e] = first, offsets64[e] = first;
        if (e == LOCAL) break;
        counts[e] =
            o->max_rows ? (sizes[e] < o->max_rows ? sizes[e] : (int32_t)o->max_rows) : sizes[e];
        if (o->counts || o->max_rows)
            counts[e] -= counts[e] > 1; /* one less than there is room for */
        first += sizes[e] + (e == 1 ? 3 : 0);
    }
    for (int r = 0; r < MAX_ROWS; r++)
        row_pairs[r] = r % 5 == 4 ? TOKENS * K_SLOTS : (r * 11) % (TOKENS * K_SLOTS);
    const int code = o->bf16 ? kDLBfloat : kDLFloat, bits = o->bf16 ? 16 : 32;
    void *xs = o->bf16 ? (void *)x16 : (void *)x, *ws = o->bf16 ? (void *)w16 : (void *)stored;
    a = (tenon_moe_matmul_args){
        .struct_size = sizeof a,
        .fault = &fault,
        .x = o->max_rows ? test_view(&tx, xs, code, bits, SHAPE(LOCAL, o->max_rows, k))
                         : test_view(&tx, xs, code, bits, SHAPE(x_rows, k)),
        .w = test_view(&tw, ws, code, bits, SHAPE(LOCAL, n, k)),
        .bias = o->bias ? test_view(&tb, bias, kDLFloat, 32, SHAPE(LOCAL, n)) : NULL,
        .expert_offsets = o->wide_offsets
                              ? test_view(&toff, offsets64, kDLInt, 64, SHAPE(LOCAL + 1))
                              : test_view(&toff, offsets, kDLInt, 32, SHAPE(LOCAL + 1)),
        .expert_counts =
            o->counts || o->max_rows ? test_view(&tc, counts, kDLInt, 32, SHAPE(LOCAL)) : NULL,
        .row_pairs =
            o->gather || o->weights ? test_view(&tp, row_pairs, kDLInt, 32, SHAPE(n_rows)) : NULL,
        .row_weights =
            o->weights ? test_view(&trw, row_weights, kDLFloat, 32, SHAPE(TOKENS * K_SLOTS)) : NULL,
        .out = o->max_rows
                   ? test_view(&tout, out, kDLFloat, 32, SHAPE(LOCAL, o->max_rows, o->n_out))
                   : test_view(&tout, out, kDLFloat, 32, SHAPE(n_rows, o->n_out)),
        .activation = o->activation,
        .gate_layout = o->gate_layout,
        .alpha = o->alpha,
        .limit = o->limit,
        .pairs_per_token = o->gather    ? K_SLOTS
                           : o->weights ? -1
                                        : 0,
        .compute = TENON_COMPUTE_EXACT};
    if (o->transposed) tw.strides[1] = 1, tw.strides[2] = n;
    if (o->max_rows) a.expert_offsets = NULL;
}

/* Row r of expert e, output j, in double; and the size of its terms for the bound. */
static double formula(const options *o, int64_t e, int64_t r, int64_t j, double *size) {
    const int64_t n = n_total, k = o->k;
    const bool two = gated(o->activation);
    const int64_t g_row = !two                                              ? j
                          : o->gate_layout == TENON_GATE_LAYOUT_INTERLEAVED ? 2 * j
                          : o->gate_layout == TENON_GATE_LAYOUT_UP_GATE     ? n / 2 + j
                                                                            : j;
    const int64_t u_row = !two                                              ? j
                          : o->gate_layout == TENON_GATE_LAYOUT_INTERLEAVED ? 2 * j + 1
                          : o->gate_layout == TENON_GATE_LAYOUT_UP_GATE     ? j
                                                                            : n / 2 + j;
    const int64_t source = o->gather ? row_pairs[r] / K_SLOTS : r;
    double g = o->bias ? (double)bias[e * n + g_row] : 0,
           u = o->bias ? (double)bias[e * n + u_row] : 0, terms = 0;
    for (int64_t i = 0; i < k; i++) {
        g += (double)x[source * k + i] * (double)w[(e * n + g_row) * k + i];
        u += (double)x[source * k + i] * (double)w[(e * n + u_row) * k + i];
        terms += fabs((double)x[source * k + i] * (double)w[(e * n + g_row) * k + i]) +
                 fabs((double)x[source * k + i] * (double)w[(e * n + u_row) * k + i]);
    }
    const double weight = o->weights ? (double)row_weights[row_pairs[r]] : 1;
    *size = (1 + terms) * (2 + fabs(g) + fabs(u)) * fmax(1, fabs(weight));
    return weight * activate(o, g, u);
}

static void check_all(const options *o, const char *kernel, const char *what) {
    bool written[MAX_ROWS] = {false};
    for (int64_t e = 0; e < LOCAL; e++) {
        const int64_t first = o->max_rows ? e * o->max_rows : offsets[e],
                      count = a.expert_counts ? counts[e] : offsets[e + 1] - offsets[e];
        if (first < 0 || count < 0 || first + count > n_rows)
            continue; /* a hostile one, which the caller looks at */
        for (int64_t r = first; r < first + count; r++) {
            const bool none = a.row_pairs && (row_pairs[r] < 0 || row_pairs[r] >= TOKENS * K_SLOTS);
            written[r] = true;
            for (int64_t j = 0; j < o->n_out; j++) {
                double size = 0, want = none ? 0 : formula(o, e, r, j, &size),
                       got = (double)out[r * o->n_out + j];
                CHECK(fabs(got - want) <= 1e-6 * size,
                      "%s: %s: expert %lld row %lld col %lld: %.9g, expected %.9g", kernel, what,
                      (long long)e, (long long)r, (long long)j, got, want);
            }
        }
    }
    for (int64_t r = 0; r < n_rows; r++)
        for (int64_t j = 0; j < o->n_out && !written[r]; j++) {
            uint32_t bits;
            memcpy(&bits, &out[r * o->n_out + j], 4);
            CHECK(bits == 0x7f7f7f7fu, "%s: %s: row %lld of no expert was written", kernel, what,
                  (long long)r);
        }
    for (int i = 0; i < GUARD; i++) {
        uint32_t bits;
        memcpy(&bits, &out[n_rows * o->n_out + i], 4);
        CHECK(bits == 0x7f7f7f7fu, "%s: %s: wrote past the output", kernel, what);
    }
}

/* Returns false where the kernel does not take the problem. */
static bool run(const char *kernel) {
    const int32_t status = run_guarded(api, context, TENON_OP_MOE_MATMUL, &a, &a, kernel, &error);
    CHECK(status == TENON_OK || status == TENON_STATUS_UNSUPPORTED, "%s: %s", kernel, error.text);
    return status == TENON_OK;
}

static int taken;
static void test_options(const char *kernel, options o, const char *what) {
    make(&o);
    if (!run(kernel)) return;
    taken++;
    check_all(&o, kernel, what);
    CHECK(fault.code == TENON_FAULT_NONE, "%s: %s: fault %d", kernel, what, fault.code);
}

static void test_hostile(const char *kernel) {
    options o = {.k = 64, .n_out = 32, .activation = TENON_ACTIVATION_NONE};
    const int32_t odd[] = {-1, INT32_MIN, INT32_MAX, 29};
    for (int i = 0; i < 4; i++) { /* the end of expert 4, with the last entry out of bounds */
        make(&o);
        offsets[LOCAL] = odd[i];
        if (!run(kernel)) return;
        CHECK(fault.code == TENON_FAULT_LENGTH_OUT_OF_RANGE, "%s: offset %d: fault %d", kernel,
              odd[i], fault.code);
        for (int e = 0; e < 4; e++) counts[e] = offsets[e + 1] - offsets[e];
        counts[4] = 0,
        a.expert_counts = test_view(&tc, counts, kDLInt, 32,
                                    SHAPE(LOCAL)); /* for the check only: expert 4 wrote nothing */
        check_all(&o, kernel, "hostile offset");
    }
    make(&o);
    offsets[1] = -5; /* expert 0 ends, and expert 1 begins, before the tensor */
    run(kernel);
    CHECK(fault.code == TENON_FAULT_LENGTH_OUT_OF_RANGE, "%s: fault %d", kernel, fault.code);
    o.counts = true;
    for (int i = 0; i < 3; i++) {
        make(&o);
        counts[1] = odd[i];
        run(kernel);
        CHECK(fault.code == TENON_FAULT_LENGTH_OUT_OF_RANGE, "%s: count %d: fault %d", kernel,
              odd[i], fault.code);
        counts[1] = 0;
        check_all(&o, kernel, "hostile count");
    }
    o.counts = false, o.gather = true;
    for (int i = 0; i < 3; i++) {
        make(&o);
        row_pairs[6] = odd[i];
        run(kernel);
        CHECK(fault.code == TENON_FAULT_ROW_OUT_OF_RANGE && fault.position == 6 &&
                  fault.value == odd[i],
              "%s: pair %d: fault %d at %lld", kernel, odd[i], fault.code,
              (long long)fault.position);
        check_all(&o, kernel, "hostile pair");
    }
    o.gather = false, o.weights = true;
    make(&o);
    row_pairs[7] = TOKENS * K_SLOTS + 1;
    run(kernel);
    CHECK(fault.code == TENON_FAULT_ROW_OUT_OF_RANGE && fault.position == 7, "%s: fault %d at %lld",
          kernel, fault.code, (long long)fault.position);
    check_all(&o, kernel, "hostile weight");
    o = (options){.k = 64, .n_out = 32, .max_rows = 8, .activation = TENON_ACTIVATION_NONE};
    make(&o);
    counts[2] = 9;
    run(kernel);
    CHECK(fault.code == TENON_FAULT_LENGTH_OUT_OF_RANGE, "%s: masked count 9 of 8: fault %d",
          kernel, fault.code);
    counts[2] = 0;
    check_all(&o, kernel, "hostile masked count");
}

/* A row's bits do not depend on its neighbours: expert 4 alone gives what it gave among all. */
static void test_invariance(const char *kernel) {
    const options o = {
        .k = 96, .n_out = 48, .activation = TENON_ACTIVATION_SILU_GATED, .bias = true};
    static float before[MAX_ROWS * MAX_N];
    make(&o);
    if (!run(kernel)) return;
    memcpy(before, out, sizeof before);
    memset(out, 0x7f, sizeof out);
    for (int e = 0; e < LOCAL; e++) offsets[e] = offsets[LOCAL] - 2; /* its last two rows only */
    run(kernel);
    CHECK(!memcmp(&out[offsets[4] * o.n_out], &before[offsets[4] * o.n_out],
                  (size_t)(2 * o.n_out) * 4),
          "%s: other bits with fewer rows", kernel);
}

static void test_refusals(void) {
    options o = {.k = 32, .n_out = 16, .activation = TENON_ACTIVATION_SILU_GATED};
#define REFUSE(words)                                                                              \
    CHECK_FAILS(api, context, TENON_OP_MOE_MATMUL, &a, TENON_STATUS_INVALID_ARGUMENT, words)
    make(&o), tw.shape[2] = 31;
    REFUSE("w: is [local=5, n=32, k=31], expected [5, 32, 32]");
    make(&o), tout.shape[1] = 32, tout.strides[0] = 32;
    REFUSE("expected [5, 64, 32]");
    make(&o), a.expert_offsets = NULL;
    REFUSE("expert_offsets: is NULL");
    make(&o), a.limit = 7, a.activation = TENON_ACTIVATION_GELU_GATED;
    REFUSE("does not clamp");
    make(&o), a.row_weights = test_view(&trw, row_weights, kDLFloat, 32, SHAPE(27));
    REFUSE("without row_pairs");
    make(&o), a.pairs_per_token = -2;
    REFUSE("-2, expected -1");
    make(&o), a.bias = test_view(&tb, bias, kDLFloat, 32, SHAPE(LOCAL, 16));
    REFUSE("n=16, expected 32");
    o.max_rows = 8, o.activation = TENON_ACTIVATION_NONE, make(&o), a.expert_counts = NULL;
    REFUSE("expert_counts: is NULL");
    make(&o), a.row_pairs = test_view(&tp, row_pairs, kDLInt, 32, SHAPE(40));
    REFUSE("in the masked layout x is in row order");
    tenon_quant quant = {.struct_size = sizeof quant, .format = TENON_FORMAT_INT4};
    o.max_rows = 0, make(&o), a.x_quant = &quant;
    REFUSE("activations are FP8");
}

int main(void) {
    api = test_load();
    context = quiet_context(api);
    const kernel_list kernels = kernels_of(api, context, TENON_OP_MOE_MATMUL);
    for (int n = 0; n < kernels.count; n++) {
        const char *kernel = kernels.name[n];
        taken = 0;
        for (int32_t activation = 0; activation < TENON_ACTIVATION_COUNT; activation++)
            for (int32_t layout = 0; layout < TENON_GATE_LAYOUT_COUNT; layout++)
                for (int variant = 0; variant < 8; variant++)
                    test_options(
                        kernel,
                        (options){.k = variant & 1 ? 64 : 96,
                                  .n_out = variant & 1 ? 32 : 48,
                                  .max_rows = variant & 2 ? 8 : 0,
                                  .activation = activation,
                                  .gate_layout = layout,
                                  .limit = variant & 4 && (activation == 1 || activation == 4)
                                               ? 0.75f
                                               : 0,
                                  .alpha = variant & 4 ? 1.1f : 0,
                                  .bias = variant & 4,
                                  .bf16 = variant & 1},
                        "activation");
        for (int variant = 0; variant < 64; variant++)
            test_options(kernel,
                         (options){.k = variant & 1 ? 33 : 64,
                                   .n_out = variant & 1 ? 17 : 32,
                                   .activation = variant & 32 ? TENON_ACTIVATION_SWIGLU_OAI
                                                              : TENON_ACTIVATION_NONE,
                                   .gate_layout = TENON_GATE_LAYOUT_INTERLEAVED,
                                   .gather = variant & 2,
                                   .weights = variant & 4,
                                   .counts = variant & 8,
                                   .transposed = variant & 16,
                                   .wide_offsets = variant & 1,
                                   .bf16 = variant & 2},
                         "rows");
        for (int variant = 0; variant < 2; variant++)
            test_options(
                kernel,
                (options){.k = 64, .n_out = 32, .max_rows = 8, .weights = true, .bias = variant},
                "masked weights");
        test_hostile(kernel);
        test_invariance(kernel);
        printf("%s took %d problems\n", kernel, taken);
        /* The int8 kernels leave EXACT to the others; test_moe_matmul_panel.c asks them. Nothing
         * here is f16, fp8 or MX: the problem files have those. */
        CHECK(taken > 0 || strstr(kernel, "_int8_") || strstr(kernel, "_f16_") ||
                  strstr(kernel, "_fp8_") || strstr(kernel, "_mx_"),
              "%s took nothing", kernel);
    }
    test_refusals();
    api->context_destroy(context);
    return test_report();
}
