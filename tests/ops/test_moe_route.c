/* SPDX-License-Identifier: Apache-2.0 */
/* moe_route: every kernel against a sort-based oracle in double, ties, NaN and infinities, padding
 * tokens, shared experts, smaller runs, batch invariance, and what the check refuses. */
#include "moe_test.h"

enum { TOKENS = 37, EXPERTS = 64, K = 6, MAX_E = 1024, MAX_K = 40 };

typedef struct options {
    int64_t experts, k, n_shared;
    int32_t scoring, n_groups, topk_groups, group_score;
    bool bias, renormalize, wide_ids, bf16;
    float routed_scale, eps;
} options;

typedef struct problem {
    options o;
    float *logits, *bias;
    uint16_t *logits16;
    float *weights;
    void *ids;
    test_tensor t_logits, t_bias, t_weights, t_ids;
    tenon_moe_route_args args;
} problem;

static const tenon_api *api;
static tenon_context *context;
static tenon_error error = {.struct_size = sizeof error};

static void *room(size_t bytes) {
    void *p = malloc(bytes + 64);
    memset(p, 0x7f, bytes + 64);
    return p;
}

static void make(problem *p, options o, int64_t tokens) {
    const int64_t k_total = o.k + o.n_shared;
    memset(p, 0, sizeof *p);
    p->o = o;
    p->logits = room((size_t)(tokens * o.experts) * 4),
    p->logits16 = room((size_t)(tokens * o.experts) * 2), p->bias = room((size_t)o.experts * 4);
    p->weights = room((size_t)(tokens * k_total) * 4),
    p->ids = room((size_t)(tokens * k_total) * 8);
    for (int64_t i = 0; i < tokens * o.experts; i++) {
        p->logits[i] = 4 * test_uniform();
        if (o.bf16) p->logits[i] = bf16_round(p->logits[i], &p->logits16[i]);
    }
    for (int64_t i = 0; i < o.experts; i++) p->bias[i] = 0.2f * test_uniform();
    p->args = (tenon_moe_route_args){
        .struct_size = sizeof p->args,
        .flags = o.renormalize ? TENON_MOE_ROUTE_RENORMALIZE : 0,
        .logits =
            o.bf16 ? test_view(&p->t_logits, p->logits16, kDLBfloat, 16, SHAPE(tokens, o.experts))
                   : test_view(&p->t_logits, p->logits, kDLFloat, 32, SHAPE(tokens, o.experts)),
        .bias = o.bias ? test_view(&p->t_bias, p->bias, kDLFloat, 32, SHAPE(o.experts)) : NULL,
        .topk_weights = test_view(&p->t_weights, p->weights, kDLFloat, 32, SHAPE(tokens, k_total)),
        .topk_ids =
            test_view(&p->t_ids, p->ids, kDLInt, o.wide_ids ? 64 : 32, SHAPE(tokens, k_total)),
        .scoring = o.scoring,
        .group_score = o.group_score,
        .n_groups = o.n_groups,
        .topk_groups = o.topk_groups,
        .n_shared = (int32_t)o.n_shared,
        .shared_weight = 0.5f,
        .routed_scale = o.routed_scale,
        .renormalize_eps = o.eps};
}

static void drop(problem *p) {
    free(p->logits), free(p->logits16), free(p->bias), free(p->weights), free(p->ids);
}

static int64_t id_at(const problem *p, int64_t i) {
    return p->o.wide_ids ? ((int64_t *)p->ids)[i] : ((int32_t *)p->ids)[i];
}

/* The scores and choices of one token in double. */
static void scores_of(const problem *p, int64_t t, double *score, double *choice) {
    const int64_t n = p->o.experts;
    double max = -INFINITY, sum = 0;
    for (int64_t e = 0; e < n; e++) max = fmax(max, p->logits[t * n + e]);
    for (int64_t e = 0; e < n; e++) sum += exp(p->logits[t * n + e] - max);
    for (int64_t e = 0; e < n; e++) {
        const double l = p->logits[t * n + e];
        score[e] = p->o.scoring == TENON_SCORING_SOFTMAX         ? exp(l - max) / sum
                   : p->o.scoring == TENON_SCORING_SIGMOID       ? 1 / (1 + exp(-l))
                   : p->o.scoring == TENON_SCORING_SQRT_SOFTPLUS ? sqrt(log(1 + exp(l)))
                                                                 : l;
        choice[e] = score[e] + (p->o.bias ? p->bias[e] : 0);
    }
}

typedef struct ranked {
    double value;
    int64_t index;
} ranked;
static int by_value(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    return x->value > y->value ? -1 : x->value < y->value ? 1 : x->index < y->index ? -1 : 1;
}

/* Experts of groups that do not stay get -inf. */
static void keep_groups(const problem *p, double *choice) {
    const int64_t n = p->o.experts, groups = p->o.n_groups, size = n / (groups > 1 ? groups : 1);
    ranked group[MAX_E], member[MAX_E];
    if (groups <= 1) return;
    for (int64_t g = 0; g < groups; g++) {
        for (int64_t i = 0; i < size; i++) member[i] = (ranked){choice[g * size + i], i};
        qsort(member, (size_t)size, sizeof *member, by_value);
        group[g] =
            (ranked){member[0].value +
                         (p->o.group_score == TENON_GROUP_SCORE_TOP2_SUM ? member[1].value : 0),
                     g};
    }
    qsort(group, (size_t)groups, sizeof *group, by_value);
    for (int64_t i = p->o.topk_groups; i < groups; i++)
        for (int64_t m = 0; m < size; m++) choice[group[i].index * size + m] = -INFINITY;
}

static void check_token(const problem *p, int64_t t, const char *kernel) {
    const int64_t n = p->o.experts, k = p->o.k, k_total = k + p->o.n_shared;
    double score[MAX_E], choice[MAX_E], weight[MAX_K], sum = p->o.eps;
    ranked order[MAX_E];
    scores_of(p, t, score, choice);
    keep_groups(p, choice);
    for (int64_t e = 0; e < n; e++) order[e] = (ranked){choice[e], e};
    qsort(order, (size_t)n, sizeof *order, by_value);
    /* Scores in f32 cannot tell apart what differs in the last bits: there another order is right
     * too, but the slot's own expert must then be as good as the oracle's. The reference works in
     * double and gets no such room. */
    const double room = strncmp(kernel, "ref_", 4) ? 4e-7 : 0;
    double top_sum = 0;
    bool seen[MAX_E] = {false};
    for (int64_t i = 0; i < k; i++) {
        const int64_t id = id_at(p, t * k_total + i);
        CHECK(id >= 0 && id < n && !seen[id] &&
                  (id == order[i].index ||
                   fabs(choice[id] - order[i].value) <= room * (1 + fabs(order[i].value))),
              "%s: scoring %d token %lld slot %lld: expert %lld, expected %lld", kernel,
              p->o.scoring, (long long)t, (long long)i, (long long)id, (long long)order[i].index);
        if (id < 0 || id >= n) return;
        seen[id] = true;
        order[i].index = id;
        top_sum += exp(score[id]);
    }
    for (int64_t i = 0; i < k; i++) {
        weight[i] = p->o.scoring == TENON_SCORING_TOPK_SOFTMAX
                        ? exp(score[order[i].index]) / top_sum
                        : score[order[i].index];
        sum += weight[i];
    }
    for (int64_t i = 0; i < k_total; i++) {
        const double got = (double)p->weights[t * k_total + i];
        const double expected = i >= k ? 0.5
                                       : weight[i] / (p->o.renormalize ? sum : 1) *
                                             (p->o.routed_scale == 0 ? 1 : p->o.routed_scale);
        if (i >= k)
            CHECK(id_at(p, t * k_total + i) == n + i - k, "%s: shared slot %lld: expert %lld",
                  kernel, (long long)i, (long long)id_at(p, t * k_total + i));
        CHECK(fabs(got - expected) <= 1e-6 + 2e-6 * fabs(expected),
              "%s: scoring %d token %lld slot %lld: weight %.9g, expected %.9g", kernel,
              p->o.scoring, (long long)t, (long long)i, got, expected);
    }
}

static void test_options(const char *kernel, options o) {
    problem p;
    make(&p, o, TOKENS);
    const int64_t k_total = o.k + o.n_shared;
    CHECK(run_guarded(api, context, TENON_OP_MOE_ROUTE, &p.args, &p.args, kernel, &error) ==
              TENON_OK,
          "%s: %s", kernel, error.text);
    for (int64_t t = 0; t < TOKENS; t++) check_token(&p, t, kernel);

    /* Fewer tokens under the same plan give the same bits for those, and leave the rest alone. */
    const size_t bytes = (size_t)(TOKENS * k_total) * 4;
    float *before = malloc(bytes);
    memcpy(before, p.weights, bytes);
    memset(p.weights, 0x7f, bytes);
    tenon_moe_route_args few = p.args;
    test_tensor l = p.t_logits, w = p.t_weights, i = p.t_ids;
    l.view.shape = l.shape, w.view.shape = w.shape, i.view.shape = i.shape;
    l.shape[0] = w.shape[0] = i.shape[0] = 3;
    few.logits = &l.view, few.topk_weights = &w.view, few.topk_ids = &i.view;
    CHECK(run_guarded(api, context, TENON_OP_MOE_ROUTE, &p.args, &few, kernel, &error) == TENON_OK,
          "%s: %s", kernel, error.text);
    CHECK(!memcmp(before, p.weights, (size_t)(3 * k_total) * 4),
          "%s: scoring %d: other bits in a smaller batch", kernel, o.scoring);
    for (int64_t at = 3 * k_total; at < TOKENS * k_total; at++) {
        uint32_t bits;
        memcpy(&bits, &p.weights[at], 4);
        CHECK(bits == 0x7f7f7f7fu, "%s: wrote weight %lld past the run's tokens", kernel,
              (long long)at);
    }
    free(before);
    drop(&p);
}

/* Every slot's expert in one row of logits. */
static void check_ids(const char *kernel, problem *p, const float *logits, const int64_t *ids,
                      const float *weights, const char *what) {
    memcpy(p->logits, logits, (size_t)p->o.experts * 4);
    CHECK(run_guarded(api, context, TENON_OP_MOE_ROUTE, &p->args, &p->args, kernel, &error) ==
              TENON_OK,
          "%s: %s", kernel, error.text);
    for (int64_t i = 0; i < p->o.k; i++) {
        CHECK(id_at(p, i) == ids[i], "%s: %s: slot %lld: expert %lld, expected %lld", kernel, what,
              (long long)i, (long long)id_at(p, i), (long long)ids[i]);
        CHECK(fabsf(p->weights[i] - weights[i]) <= 1e-6f,
              "%s: %s: slot %lld: weight %g, expected %g", kernel, what, (long long)i,
              (double)p->weights[i], (double)weights[i]);
    }
}

static void test_odd_values(const char *kernel) {
    problem p;
    options o = {.experts = 20, .k = 3, .scoring = TENON_SCORING_SOFTMAX};
    make(&p, o, 1);
    float l[20];
    for (int i = 0; i < 20; i++) l[i] = 1;
    check_ids(kernel, &p, l, (const int64_t[]){0, 1, 2}, (const float[]){0.05f, 0.05f, 0.05f},
              "all equal");
    l[17] = l[19] = 2;
    const float e1 = 1 / (2 + 18 * expf(-1)), e0 = expf(-1) * e1;
    check_ids(kernel, &p, l, (const int64_t[]){17, 19, 0}, (const float[]){e1, e1, e0}, "two tie");
    for (int i = 0; i < 20; i++) l[i] = NAN;
    check_ids(kernel, &p, l, (const int64_t[]){0, 1, 2}, (const float[]){0, 0, 0}, "all NaN");
    l[5] = -3, l[18] = -4;
    const float s = 1 / (1 + expf(-1));
    check_ids(kernel, &p, l, (const int64_t[]){5, 18, 0}, (const float[]){s, 1 - s, 0},
              "NaN but two");
    for (int i = 0; i < 20; i++) l[i] = -INFINITY;
    l[2] = 0;
    check_ids(kernel, &p, l, (const int64_t[]){2, 0, 1}, (const float[]){1, 0, 0}, "-inf but one");
    for (int i = 0; i < 20; i++) l[i] = (float)i;
    l[7] = INFINITY;
    check_ids(kernel, &p, l, (const int64_t[]){7, 19, 18}, (const float[]){1, 0, 0}, "+inf");
    drop(&p);

    o.scoring = TENON_SCORING_SIGMOID, o.renormalize = true;
    make(&p, o, 1);
    for (int i = 0; i < 20; i++) l[i] = NAN;
    check_ids(kernel, &p, l, (const int64_t[]){0, 1, 2}, (const float[]){0, 0, 0},
              "sigmoid, all NaN");
    for (int i = 0; i < 20; i++)
        l[i] = 30.0f +
               (float)i; /* all saturate in f32, but the larger logit is still the better choice */
    check_ids(kernel, &p, l, (const int64_t[]){19, 18, 17},
              (const float[]){1 / 3.f, 1 / 3.f, 1 / 3.f}, "sigmoid, saturated");
    drop(&p);

    /* NaN in the bias: chosen last, whatever the score. */
    o = (options){.experts = 20, .k = 3, .scoring = TENON_SCORING_SIGMOID, .bias = true};
    make(&p, o, 1);
    for (int i = 0; i < 20; i++) l[i] = 0, p.bias[i] = 0;
    p.bias[0] = NAN, p.bias[3] = 1;
    check_ids(kernel, &p, l, (const int64_t[]){3, 1, 2}, (const float[]){0.5f, 0.5f, 0.5f},
              "NaN bias");
    drop(&p);

    /* Groups: two of four stay; a NaN group is no candidate though it holds the largest logit. */
    o = (options){.experts = 8,
                  .k = 3,
                  .scoring = TENON_SCORING_SIGMOID,
                  .bias = true,
                  .n_groups = 4,
                  .topk_groups = 2,
                  .group_score = TENON_GROUP_SCORE_TOP2_SUM};
    make(&p, o, 1);
    memset(p.bias, 0, 8 * 4);
    const float g[8] = {NAN, 9, 1, 1, 2, 0, -5, -5}; /* sums: -inf, 1.462, 1.381, 0.013 */
    const float one = 1 / (1 + expf(-1)), two = 1 / (1 + expf(-2));
    check_ids(kernel, &p, g, (const int64_t[]){4, 2, 3}, (const float[]){two, one, one}, "groups");
    drop(&p);
}

static void test_mask(const char *kernel) {
    problem p;
    uint8_t mask[4] = {1, 0, 255, 0};
    test_tensor tm;
    make(&p, (options){.experts = 33, .k = 4, .n_shared = 2, .scoring = TENON_SCORING_SIGMOID}, 4);
    p.args.token_mask = test_view(&tm, mask, kDLBool, 8, SHAPE(4));
    CHECK(run_guarded(api, context, TENON_OP_MOE_ROUTE, &p.args, &p.args, kernel, &error) ==
              TENON_OK,
          "%s: %s", kernel, error.text);
    for (int64_t t = 0; t < 4; t++) {
        if (mask[t]) {
            check_token(&p, t, kernel);
            continue;
        }
        for (int64_t i = 0; i < 6; i++)
            CHECK(id_at(&p, t * 6 + i) == -1 && p.weights[t * 6 + i] == 0,
                  "%s: padding token %lld slot %lld", kernel, (long long)t, (long long)i);
    }
    p.t_logits.shape[0] = p.t_weights.shape[0] = p.t_ids.shape[0] = tm.shape[0] = 0;
    CHECK(run_guarded(api, context, TENON_OP_MOE_ROUTE, &p.args, &p.args, kernel, &error) ==
              TENON_OK,
          "%s: no tokens: %s", kernel, error.text);
    drop(&p);
}

static void refuse(options o, int32_t status, const char *words) {
    problem p;
    make(&p, o, 2);
    CHECK_FAILS(api, context, TENON_OP_MOE_ROUTE, &p.args, status, words);
    drop(&p);
}

static void test_refusals(void) {
    const options good = {.experts = 16, .k = 2};
    options o = good;
    o.k = 17, refuse(o, TENON_STATUS_INVALID_ARGUMENT, "k=17 of 16 experts");
    o.k = 0, o.n_shared = 1, refuse(o, TENON_STATUS_INVALID_ARGUMENT, "leaves k=0");
    o = good, o.experts = 1025, refuse(o, TENON_STATUS_UNSUPPORTED, "1025 experts");
    o = good, o.experts = 40, o.k = 33, refuse(o, TENON_STATUS_UNSUPPORTED, "k=33");
    o = good, o.n_groups = 3,
    refuse(o, TENON_STATUS_INVALID_ARGUMENT, "16 experts do not split into 3");
    o = good, o.n_groups = 4, o.topk_groups = 5,
    refuse(o, TENON_STATUS_INVALID_ARGUMENT, "5 of 4 groups");
    o = good, o.k = 5, o.n_groups = 4, o.topk_groups = 1,
    refuse(o, TENON_STATUS_INVALID_ARGUMENT, "hold 4, less than k=5");
    o = good, o.n_groups = 16, o.topk_groups = 4, o.group_score = TENON_GROUP_SCORE_TOP2_SUM,
    refuse(o, TENON_STATUS_INVALID_ARGUMENT, "TOP2_SUM of groups of 1");
    o = good, o.eps = -1, refuse(o, TENON_STATUS_INVALID_ARGUMENT, "-1 is negative");
}

int main(void) {
    api = test_load();
    context = quiet_context(api);
    const kernel_list kernels = kernels_of(api, context, TENON_OP_MOE_ROUTE);
    for (int n = 0; n < kernels.count; n++) {
        const char *kernel = kernels.name[n];
        printf("%s\n", kernel);
        for (int32_t scoring = 0; scoring < TENON_SCORING_COUNT; scoring++)
            for (int variant = 0; variant < 8; variant++)
                test_options(kernel, (options){.experts = variant & 1 ? 61 : EXPERTS,
                                               .k = variant & 1 ? 1 : K,
                                               .n_shared = variant & 2 ? 1 : 0,
                                               .scoring = scoring,
                                               .bias = variant & 4,
                                               .renormalize = variant & 2,
                                               .wide_ids = variant & 1,
                                               .bf16 = variant == 6,
                                               .routed_scale = variant & 4 ? 2.5f : 0,
                                               .eps = variant == 2 ? 1e-3f : 0});
        const options deepseek_v3 = {.experts = 256,
                                     .k = 8,
                                     .scoring = TENON_SCORING_SIGMOID,
                                     .n_groups = 8,
                                     .topk_groups = 4,
                                     .group_score = TENON_GROUP_SCORE_TOP2_SUM,
                                     .bias = true,
                                     .renormalize = true,
                                     .routed_scale = 2.5f,
                                     .eps = 1e-20f,
                                     .n_shared = 1};
        test_options(kernel, deepseek_v3);
        test_options(
            kernel,
            (options){.experts = 160, .k = 6, .n_groups = 8, .topk_groups = 3, .routed_scale = 16});
        test_options(kernel,
                     (options){.experts = 1024, .k = 32, .scoring = TENON_SCORING_TOPK_SOFTMAX});
        test_options(
            kernel,
            (options){.experts = 896, .k = 16, .scoring = TENON_SCORING_SIGMOID, .bias = true});
        test_options(
            kernel,
            (options){.experts = 5, .k = 5, .scoring = TENON_SCORING_SOFTMAX, .renormalize = true});
        test_options(kernel, (options){.experts = 1, .k = 1, .scoring = TENON_SCORING_SOFTMAX});
        test_odd_values(kernel);
        test_mask(kernel);
    }
    test_refusals();
    api->context_destroy(context);
    return test_report();
}
