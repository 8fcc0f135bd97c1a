/* SPDX-License-Identifier: Apache-2.0 */
/* moe_dispatch: every kernel against a sort of the pairs, with hostile ids and maps, padding, too
 * little room, the masked layout, quantized rows, smaller runs, and what the check refuses. */
#include "moe_test.h"

enum {
    MAX_TOKENS = 300,
    MAX_PAIRS = 300 * 8,
    MAX_LOCAL = 64,
    MAX_ROWS = 8192,
    HIDDEN = 24,
    ABSENT = INT32_MIN
};

typedef struct options {
    int64_t tokens, k, experts, local; /* experts 0: no map */
    int64_t rows;                      /* capacity; 0: the worst case */
    int64_t max_rows;                  /* masked layout */
    int32_t block_rows;
    bool hostile, wide_ids, wide_offsets, one_expert;
} options;

typedef struct problem {
    options o;
    int64_t ids[MAX_PAIRS];
    int32_t ids32[MAX_PAIRS], map[MAX_LOCAL];
    float x[MAX_TOKENS * HIDDEN], x_out[(MAX_ROWS + 1) * HIDDEN];
    int64_t offsets[MAX_LOCAL + 2];
    int32_t offsets32[MAX_LOCAL + 2], counts[MAX_LOCAL + 1], row_pairs[MAX_ROWS + 1],
        pair_rows[MAX_PAIRS + 1], blocks[MAX_ROWS + 1], n_rows[2];
    tenon_fault fault;
    test_tensor t[10];
    tenon_moe_dispatch_args args;
} problem;

static const tenon_api *api;
static tenon_context *context;
static tenon_error error = {.struct_size = sizeof error};

static int64_t align_up(int64_t n, int64_t to) {
    return (n + to - 1) / to * to;
}
static int64_t worst_rows(const options *o) {
    const int64_t pairs = o->tokens * o->k, b = o->block_rows ? o->block_rows : 1,
                  padded = pairs < o->local ? pairs : o->local;
    return (pairs + padded * (b - 1)) / b * b;
}

static void make(problem *p, options o) {
    memset(p, 0x7f, sizeof *p);
    if (!o.rows) o.rows = o.max_rows ? o.local * o.max_rows : worst_rows(&o);
    p->o = o;
    const int64_t range = o.experts ? o.experts : o.local, b = o.block_rows > 0 ? o.block_rows : 1;
    for (int64_t i = 0; i < o.tokens * o.k; i++) {
        int64_t id = o.one_expert ? range - 1 : (int64_t)(test_random() >> 33) % range;
        if (o.hostile && test_random() % 4 == 0) {
            const int64_t bad[] = {-1, -1, -2, range, range + 1, INT32_MAX, INT32_MIN};
            id = bad[(test_random() >> 33) % 7];
        }
        p->ids[i] = id;
        p->ids32[i] = (int32_t)id;
    }
    if (o.hostile && o.wide_ids)
        p->ids[0] = INT64_C(1) << 40; /* truncated to 32 bits it would be expert 0 */
    for (int64_t e = 0; e < o.experts; e++)
        p->map[e] = e < o.local ? (int32_t)(o.local - 1 - e) : -1; /* not the identity */
    if (o.hostile && o.experts > 3) p->map[1] = (int32_t)o.local, p->map[2] = -7;
    for (int64_t i = 0; i < o.tokens * HIDDEN; i++) p->x[i] = test_uniform();
    memset(&p->fault, 0, sizeof p->fault);
    test_tensor *t = p->t;
    p->args = (tenon_moe_dispatch_args){
        .struct_size = sizeof p->args,
        .fault = &p->fault,
        .topk_ids = o.wide_ids ? test_view(&t[0], p->ids, kDLInt, 64, SHAPE(o.tokens, o.k))
                               : test_view(&t[0], p->ids32, kDLInt, 32, SHAPE(o.tokens, o.k)),
        .expert_map = o.experts ? test_view(&t[1], p->map, kDLInt, 32, SHAPE(o.experts)) : NULL,
        .x = test_view(&t[2], p->x, kDLFloat, 32, SHAPE(o.tokens, HIDDEN)),
        .expert_offsets = o.wide_offsets
                              ? test_view(&t[3], p->offsets, kDLInt, 64, SHAPE(o.local + 1))
                              : test_view(&t[3], p->offsets32, kDLInt, 32, SHAPE(o.local + 1)),
        .expert_counts = test_view(&t[4], p->counts, kDLInt, 32, SHAPE(o.local)),
        .row_pairs = test_view(&t[5], p->row_pairs, kDLInt, 32, SHAPE(o.rows)),
        .pair_rows = test_view(&t[6], p->pair_rows, kDLInt, 32, SHAPE(o.tokens, o.k)),
        .block_experts =
            o.max_rows ? NULL : test_view(&t[7], p->blocks, kDLInt, 32, SHAPE(o.rows / b)),
        .n_rows = test_view(&t[8], p->n_rows, kDLInt, 32, SHAPE(1)),
        .x_out = o.max_rows
                     ? test_view(&t[9], p->x_out, kDLFloat, 32, SHAPE(o.local, o.max_rows, HIDDEN))
                     : test_view(&t[9], p->x_out, kDLFloat, 32, SHAPE(o.rows, HIDDEN)),
        .block_rows = o.block_rows};
}

/* The oracle: pairs sorted by (expert, number), then laid out. */
typedef struct expected {
    int64_t offsets[MAX_LOCAL + 1], counts[MAX_LOCAL], pair_rows[MAX_PAIRS], row_pairs[MAX_ROWS],
        n_bad, n_dropped;
} expected;

static int64_t local_of(const problem *p, int64_t pair, bool *bad) {
    const int64_t id = p->o.wide_ids ? p->ids[pair] : p->ids32[pair],
                  range = p->o.experts ? p->o.experts : p->o.local;
    *bad = id < -1 || id >= range;
    if (*bad || id == -1) return -1;
    if (!p->o.experts) return id;
    *bad = p->map[id] < -1 || p->map[id] >= p->o.local;
    return *bad ? -1 : p->map[id];
}

static int by_expert(const void *a, const void *b) {
    const int64_t *x = a, *y = b;
    return x[0] < y[0] ? -1 : x[0] > y[0] ? 1 : x[1] < y[1] ? -1 : 1;
}

static void expect(const problem *p, expected *x) {
    const options *o = &p->o;
    const int64_t pairs = o->tokens * o->k, b = o->block_rows ? o->block_rows : 1;
    static int64_t sorted[MAX_PAIRS][2];
    int64_t n = 0, first = 0, at = 0;
    x->n_bad = x->n_dropped = 0;
    for (int64_t i = 0; i < pairs; i++) {
        bool bad;
        const int64_t e = local_of(p, i, &bad);
        x->n_bad += bad;
        x->pair_rows[i] = -1;
        if (e >= 0) sorted[n][0] = e, sorted[n++][1] = i;
    }
    qsort(sorted, (size_t)n, sizeof sorted[0], by_expert);
    for (int64_t r = 0; r < o->rows; r++) x->row_pairs[r] = pairs;
    for (int64_t e = 0; e < o->local; e++) {
        const int64_t end = o->max_rows ? first + o->max_rows : o->rows;
        x->offsets[e] = first, x->counts[e] = 0;
        for (; at < n && sorted[at][0] == e; at++) {
            const int64_t row = first + x->counts[e];
            if (row >= end) {
                x->n_dropped++;
                continue;
            }
            x->pair_rows[sorted[at][1]] = row, x->row_pairs[row] = sorted[at][1], x->counts[e]++;
        }
        first = o->max_rows                               ? end
                : first + align_up(x->counts[e], b) < end ? first + align_up(x->counts[e], b)
                                                          : end;
    }
    x->offsets[o->local] = first;
}

static void check_problem(const problem *p, const expected *x, const char *kernel) {
    const options *o = &p->o;
    const int64_t pairs = o->tokens * o->k, b = o->block_rows ? o->block_rows : 1,
                  n_rows = x->offsets[o->local];
    for (int64_t e = 0; e <= o->local; e++) {
        const int64_t got = o->wide_offsets ? p->offsets[e] : p->offsets32[e];
        CHECK(got == x->offsets[e], "%s: offset %lld: %lld, expected %lld", kernel, (long long)e,
              (long long)got, (long long)x->offsets[e]);
        if (e < o->local)
            CHECK(p->counts[e] == x->counts[e], "%s: count %lld: %d, expected %lld", kernel,
                  (long long)e, p->counts[e], (long long)x->counts[e]);
    }
    for (int64_t i = 0; i < pairs; i++)
        CHECK(p->pair_rows[i] == x->pair_rows[i], "%s: pair %lld: row %d, expected %lld", kernel,
              (long long)i, p->pair_rows[i], (long long)x->pair_rows[i]);
    for (int64_t r = 0; r < o->rows; r++)
        CHECK(p->row_pairs[r] == x->row_pairs[r], "%s: row %lld: pair %d, expected %lld", kernel,
              (long long)r, p->row_pairs[r], (long long)x->row_pairs[r]);
    CHECK(p->n_rows[0] == n_rows, "%s: n_rows %d, expected %lld", kernel, p->n_rows[0],
          (long long)n_rows);
    for (int64_t i = 0; !o->max_rows && i < o->rows / b; i++) {
        int64_t e = -1;
        for (int64_t c = 0; c < o->local; c++)
            if (x->offsets[c] <= i * b && i * b < x->offsets[c + 1]) e = c;
        CHECK(p->blocks[i] == e, "%s: block %lld: expert %d, expected %lld", kernel, (long long)i,
              p->blocks[i], (long long)e);
    }
    for (int64_t r = 0; r < o->rows; r++) {
        const int64_t pair = x->row_pairs[r];
        const bool padding = pair == pairs && !o->max_rows && r < n_rows;
        for (int64_t h = 0; h < HIDDEN; h++) {
            uint32_t bits;
            memcpy(&bits, &p->x_out[r * HIDDEN + h], 4);
            if (pair == pairs && !padding)
                CHECK(bits == 0x7f7f7f7fu, "%s: x_out row %lld belongs to nobody, but was written",
                      kernel, (long long)r);
            else
                CHECK(p->x_out[r * HIDDEN + h] == (padding ? 0 : p->x[pair / o->k * HIDDEN + h]),
                      "%s: x_out[%lld][%lld] = %g", kernel, (long long)r, (long long)h,
                      (double)p->x_out[r * HIDDEN + h]);
        }
    }
    CHECK(p->offsets[o->local + 1] == 0x7f7f7f7f7f7f7f7f &&
              p->offsets32[o->local + 1] == 0x7f7f7f7f && p->counts[o->local] == 0x7f7f7f7f &&
              p->row_pairs[o->rows] == 0x7f7f7f7f && p->pair_rows[pairs] == 0x7f7f7f7f &&
              p->n_rows[1] == 0x7f7f7f7f && p->blocks[o->rows / b] == 0x7f7f7f7f,
          "%s: wrote past an output", kernel);
    const int32_t code = tenon_fault_poll(&p->fault);
    CHECK(x->n_bad || x->n_dropped ? (x->n_bad && code == TENON_FAULT_EXPERT_OUT_OF_RANGE) ||
                                         (x->n_dropped && code == TENON_FAULT_ROW_OUT_OF_RANGE)
                                   : code == 0,
          "%s: fault %d with %lld bad ids and %lld dropped pairs", kernel, code,
          (long long)x->n_bad, (long long)x->n_dropped);
    if (code)
        CHECK(p->fault.op == TENON_OP_MOE_DISPATCH && p->fault.position >= 0 &&
                  p->fault.position < pairs,
              "%s: fault op %d position %lld", kernel, p->fault.op, (long long)p->fault.position);
}

static problem p, again;
static expected x;

static void test_options(const char *kernel, options o) {
    make(&p, o);
    expect(&p, &x);
    CHECK(run_guarded(api, context, TENON_OP_MOE_DISPATCH, &p.args, &p.args, kernel, &error) ==
              TENON_OK,
          "%s: %s", kernel, error.text);
    check_problem(&p, &x, kernel);
}

/* A plan for many tokens serves few, and rows for which there is no room are dropped as the header
 * says. */
static void test_smaller_run(const char *kernel, options o, int64_t tokens, int64_t rows) {
    make(&p, o);
    memcpy(&again, &p, sizeof p);
    again.o.tokens = tokens, again.o.rows = rows;
    test_tensor *t = again.t;
    const int64_t b = o.block_rows ? o.block_rows : 1;
    const int order[] = {0, 2, 6}, by_rows[] = {5, 9};
    again.args = p.args;
    const DLTensor **fields[] = {
        &again.args.topk_ids,       &again.args.expert_map,    &again.args.x,
        &again.args.expert_offsets, &again.args.expert_counts, &again.args.row_pairs,
        &again.args.pair_rows,      &again.args.block_experts, &again.args.n_rows,
        &again.args.x_out};
    char *from = (char *)&p, *to = (char *)&again;
    for (int i = 0; i < 10; i++) {
        if (!*fields[i]) continue;
        t[i].view.data = to + ((char *)p.t[i].view.data - from);
        t[i].view.shape = t[i].shape, t[i].view.strides = t[i].strides;
        *fields[i] = &t[i].view;
    }
    again.args.fault = &again.fault;
    for (int i = 0; i < 3; i++) t[order[i]].shape[0] = tokens;
    for (int i = 0; i < 2; i++) t[by_rows[i]].shape[0] = rows;
    t[7].shape[0] = rows / b;
    expect(&again, &x);
    CHECK(run_guarded(api, context, TENON_OP_MOE_DISPATCH, &p.args, &again.args, kernel, &error) ==
              TENON_OK,
          "%s: %s", kernel, error.text);
    check_problem(&again, &x, kernel);
}

/* float8 and int8 rows: scale = amax / max of each group, codes within half a step of x / scale. */
static void test_quantized(const char *kernel, bool fp8, int32_t group, int64_t max_rows) {
    const options o = {
        .tokens = 19, .k = 2, .local = 5, .block_rows = max_rows ? 0 : 4, .max_rows = max_rows};
    static unsigned char codes[MAX_ROWS * HIDDEN];
    static float scales[MAX_ROWS * HIDDEN];
    test_tensor tc, ts;
    make(&p, o);
    memset(codes, 0x55, sizeof codes), memset(scales, 0x7f, sizeof scales);
    for (int64_t h = 0; h < HIDDEN; h++) p.x[3 * HIDDEN + h] = 0; /* a token of zeros: scale 1 */
    const int64_t groups = group ? HIDDEN / group : 1, width = HIDDEN / groups, rows = p.o.rows;
    tenon_quant quant = {.struct_size = sizeof quant,
                         .format = fp8 ? TENON_FORMAT_FP8 : TENON_FORMAT_INT8,
                         .group_cols = group};
    quant.scale = max_rows ? test_view(&ts, scales, kDLFloat, 32, SHAPE(o.local, max_rows, groups))
                           : test_view(&ts, scales, kDLFloat, 32, SHAPE(rows, groups));
    const int code = fp8 ? kDLFloat8_e4m3fn : kDLInt;
    p.args.x_out = max_rows ? test_view(&tc, codes, code, 8, SHAPE(o.local, max_rows, HIDDEN))
                            : test_view(&tc, codes, code, 8, SHAPE(rows, HIDDEN));
    p.args.x_out_quant = &quant;
    expect(&p, &x);
    CHECK(run_guarded(api, context, TENON_OP_MOE_DISPATCH, &p.args, &p.args, kernel, &error) ==
              TENON_OK,
          "%s: %s", kernel, error.text);
    const double largest = fp8 ? 448 : 127;
    for (int64_t r = 0; r < rows; r++) {
        const int64_t pair = x.row_pairs[r];
        const bool nobody = pair == o.tokens * o.k;
        if (nobody && (max_rows || r >= x.offsets[o.local])) {
            uint32_t bits;
            memcpy(&bits, &scales[r * groups], 4);
            CHECK(codes[r * HIDDEN] == 0x55 && bits == 0x7f7f7f7fu,
                  "%s: quantized row %lld belongs to nobody, but was written", kernel,
                  (long long)r);
            continue;
        }
        for (int64_t g = 0; g < groups; g++) {
            double amax = 0;
            for (int64_t i = 0; i < width && !nobody; i++)
                amax = fmax(amax, fabs((double)p.x[pair / o.k * HIDDEN + g * width + i]));
            const float scale = amax == 0 ? 1 : (float)(amax / largest);
            CHECK(scales[r * groups + g] == scale,
                  "%s: row %lld group %lld: scale %.9g, expected %.9g", kernel, (long long)r,
                  (long long)g, (double)scales[r * groups + g], (double)scale);
            for (int64_t i = 0; i < width; i++) {
                const unsigned char c = codes[r * HIDDEN + g * width + i];
                const double want =
                    nobody ? 0 : p.x[pair / o.k * HIDDEN + g * width + i] / (double)scale;
                const int exponent = c >> 3 & 15;
                const double value =
                    !fp8 ? (double)(int8_t)c
                         : (c & 128 ? -1 : 1) * (exponent ? ldexp(1 + (c & 7) / 8.0, exponent - 7)
                                                          : ldexp((c & 7) / 8.0, -6));
                const double step = !fp8 ? 1 : ldexp(1, (exponent ? exponent : 1) - 10);
                CHECK(fabs(value - want) <= step / 2 * (1 + 1e-6),
                      "%s: row %lld col %lld: code 0x%02x = %g, wanted %g", kernel, (long long)r,
                      (long long)(g * width + i), c, value, want);
            }
        }
    }
}

/* The value of a float8 or int8 code. */
static double value_of(int type, int code) {
    if (type == kDLInt) return (double)(int8_t)code;
    const int mantissa = type == kDLFloat8_e5m2 ? 2 : 3, bias = type == kDLFloat8_e5m2       ? 15
                                                                : type == kDLFloat8_e4m3fnuz ? 8
                                                                                             : 7;
    const int exponent = (code & 127) >> mantissa, part = code & ((1 << mantissa) - 1);
    const double magnitude = exponent ? ldexp((1 << mantissa) + part, exponent - bias - mantissa)
                                      : ldexp(part, 1 - bias - mantissa);
    return code & 128 ? -magnitude : magnitude;
}

/* Values in the middle between two codes go to the even one, those next to the middle to their own
 * side; with every instruction set that quantizes. One of the values is the largest of the type, so
 * that the scale is 1. */
static void test_ties(uint64_t features) {
    static const struct {
        int type, largest;
    } types[] = {{kDLFloat8_e4m3fn, 0x7e},
                 {kDLFloat8_e4m3fnuz, 0x7f},
                 {kDLFloat8_e5m2, 0x7b},
                 {kDLInt, 127}};
    tenon_context_options context_options = {
        .struct_size = sizeof context_options, .log_level = -1, .cpu_features = features};
    tenon_context *own = NULL;
    CHECK(api->context_create(&context_options, &own, &error) == TENON_OK, "%s", error.text);
    for (int n = 0; n < 4; n++) {
        enum { COUNT = 3 * 127 + 2 };
        float values[COUNT] = {0}, scale;
        unsigned char codes[COUNT], wanted[COUNT];
        int32_t id = 0, first[2];
        const int type = types[n].type, largest = types[n].largest;
        test_tensor t[5];
        for (int c = 0; c < 127; c++)
            for (int side = 0; side < 3; side++) {
                const int low = c < largest ? c : 0,
                          sign = type != kDLInt && (c + side) % 2 ? 128 : 0;
                const float middle = (float)((value_of(type, low) + value_of(type, low + 1)) / 2);
                const int code = side == 1 ? low + (low & 1) : side == 0 ? low : low + 1;
                values[3 * c + side] =
                    (sign ? -1.0f : 1.0f) *
                    (side == 1 ? middle : nextafterf(middle, side == 0 ? 0 : INFINITY));
                wanted[3 * c + side] =
                    (unsigned char)(sign && !(type == kDLFloat8_e4m3fnuz && code == 0) ? code | 128
                                                                                       : code);
            }
        values[COUNT - 2] = (float)value_of(type, largest),
                       wanted[COUNT - 2] = (unsigned char)largest;
        values[COUNT - 1] = NAN, wanted[COUNT - 1] = type == kDLFloat8_e4m3fnuz ? 0x80 : 0x7f;
        const int64_t hidden =
            type == kDLInt ? COUNT - 1 : COUNT; /* int8 has no NaN: there it would be the scale's */
        tenon_quant quant = {.struct_size = sizeof quant,
                             .format = type == kDLInt ? TENON_FORMAT_INT8 : TENON_FORMAT_FP8};
        quant.scale = test_view(&t[4], &scale, kDLFloat, 32, SHAPE(1, 1));
        tenon_moe_dispatch_args args = {
            .struct_size = sizeof args,
            .topk_ids = test_view(&t[0], &id, kDLInt, 32, SHAPE(1, 1)),
            .x = test_view(&t[1], values, kDLFloat, 32, SHAPE(1, hidden)),
            .expert_offsets = test_view(&t[2], first, kDLInt, 32, SHAPE(2)),
            .x_out = test_view(&t[3], codes, type, 8, SHAPE(1, hidden)),
            .x_out_quant = &quant};
        const kernel_list kernels = kernels_of(api, own, TENON_OP_MOE_DISPATCH);
        for (int k = 0; k < kernels.count; k++) {
            CHECK(run_guarded(api, own, TENON_OP_MOE_DISPATCH, &args, &args, kernels.name[k],
                              &error) == TENON_OK,
                  "%s", error.text);
            CHECK(scale == 1, "%s: scale %.9g", kernels.name[k], (double)scale);
            for (int i = 0; i < hidden; i++)
                CHECK(codes[i] == wanted[i] || (i == COUNT - 1 && (codes[i] | 128) == 0xff),
                      "%s: features 0x%llx type %d: %.9g became 0x%02x, expected 0x%02x",
                      kernels.name[k], (unsigned long long)features, type, (double)values[i],
                      codes[i], wanted[i]);
        }
    }
    api->context_destroy(own);
}

static void refuse(options o, int32_t status, const char *words) {
    make(&p, o);
    CHECK_FAILS(api, context, TENON_OP_MOE_DISPATCH, &p.args, status, words);
}

static void test_refusals(void) {
    options o = {.tokens = 8, .k = 2, .local = 4, .block_rows = 4};
    o.rows = 24, refuse(o, TENON_STATUS_INVALID_ARGUMENT,
                        "24 rows, but 16 pairs on 4 local experts with block_rows=4 may need 28");
    o.rows = 28, make(&p, o);
    CHECK(api->call(context, TENON_OP_MOE_DISPATCH, &p.args, &error) == TENON_OK,
          "28 rows are enough: %s", error.text);
    p.t[7].shape[0] = 6;
    CHECK_FAILS(api, context, TENON_OP_MOE_DISPATCH, &p.args, TENON_STATUS_INVALID_ARGUMENT,
                "6 blocks of 4 rows, but up to 7");
    o = (options){.tokens = 8, .k = 2, .local = 4, .block_rows = -1, .rows = 28},
    refuse(o, TENON_STATUS_INVALID_ARGUMENT, "-1 is negative");
    o = (options){.tokens = 8, .k = 2, .local = 4, .block_rows = 4, .max_rows = 6},
    refuse(o, TENON_STATUS_INVALID_ARGUMENT, "4 does not divide max_rows=6");
    o = (options){.tokens = 8, .k = 2, .local = 4};
    make(&p, o);
    p.args.x = NULL;
    CHECK_FAILS(api, context, TENON_OP_MOE_DISPATCH, &p.args, TENON_STATUS_INVALID_ARGUMENT,
                "x is NULL, but x_out is given");
    make(&p, o);
    p.t[9].view.dtype.code = kDLBfloat, p.t[9].view.dtype.bits = 16;
    CHECK_FAILS(api, context, TENON_OP_MOE_DISPATCH, &p.args, TENON_STATUS_INVALID_ARGUMENT,
                "only x_out_quant changes the type");
    tenon_quant quant = {.struct_size = sizeof quant, .format = TENON_FORMAT_MXFP8};
    p.args.x_out_quant = &quant;
    CHECK_FAILS(api, context, TENON_OP_MOE_DISPATCH, &p.args, TENON_STATUS_INVALID_ARGUMENT,
                "expected FP8");
    quant.format = TENON_FORMAT_FP8, quant.group_cols = 7;
    p.t[9].view.dtype.code = kDLFloat8_e4m3fn, p.t[9].view.dtype.bits = 8;
    CHECK_FAILS(api, context, TENON_OP_MOE_DISPATCH, &p.args, TENON_STATUS_INVALID_ARGUMENT,
                "group_cols=7 does not divide hidden=24");
}

int main(void) {
    api = test_load();
    context = quiet_context(api);
    const kernel_list kernels = kernels_of(api, context, TENON_OP_MOE_DISPATCH);
    for (int n = 0; n < kernels.count; n++) {
        const char *kernel = kernels.name[n];
        printf("%s\n", kernel);
        for (int variant = 0; variant < 32; variant++)
            test_options(kernel, (options){.tokens = variant & 1 ? 257 : 7,
                                           .k = variant & 2 ? 8 : 1,
                                           .experts = variant & 4 ? 40 : 0,
                                           .local = variant & 4 ? 11 : 23,
                                           .block_rows = variant & 8 ? 16 : 0,
                                           .hostile = variant & 16,
                                           .wide_ids = variant & 2,
                                           .wide_offsets = variant & 1});
        test_options(
            kernel,
            (options){.tokens = 300, .k = 8, .local = 64, .block_rows = 64, .one_expert = true});
        test_options(kernel, (options){.tokens = 0, .k = 2, .local = 4, .block_rows = 8});
        test_options(kernel, (options){.tokens = 1, .k = 1, .local = 1});
        test_options(kernel, (options){.tokens = 50, .k = 4, .local = 9, .max_rows = 60});
        test_options(kernel, (options){.tokens = 50,
                                       .k = 4,
                                       .local = 9,
                                       .max_rows = 16,
                                       .hostile = true}); /* too few for some experts */
        test_options(kernel, (options){.tokens = 300,
                                       .k = 2,
                                       .experts = 30,
                                       .local = 3,
                                       .max_rows = 600,
                                       .block_rows = 8,
                                       .one_expert = true});
        test_smaller_run(
            kernel, (options){.tokens = 257, .k = 4, .local = 23, .block_rows = 8, .hostile = true},
            100, 600);
        test_smaller_run(kernel, (options){.tokens = 257, .k = 4, .local = 23, .block_rows = 8},
                         257, 512);
        test_smaller_run(kernel, (options){.tokens = 257, .k = 4, .local = 23}, 0, 5);
        test_smaller_run(kernel, (options){.tokens = 64, .k = 2, .local = 16}, 64, 0);
        for (int variant = 0; variant < 8; variant++)
            test_quantized(kernel, variant & 1, variant & 2 ? 8 : 0, variant & 4 ? 38 : 0);
    }
    test_ties(0);                 /* all that this machine has */
    test_ties(7);                 /* AVX2 with FMA and F16C */
    test_ties(UINT64_C(1) << 63); /* none */
    test_refusals();
    api->context_destroy(context);
    return test_report();
}
