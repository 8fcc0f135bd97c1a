/* SPDX-License-Identifier: Apache-2.0 */
/* moe_route, token by token:
 *
 *     score[e]  = softmax(l)[e]  |  l[e]  |  sigmoid(l[e])  |  sqrt(log(1 + exp(l[e])))
 *     choice[e] = score[e] + bias[e]                        (bias takes part in the choice only;
 * without one the choice is by l[e], which orders as the scores do, but does not saturate as they
 * do) groups    : G[g] = max of choice in g  |  sum of its two largest score + bias; the
 * topk_groups best stay ids       = the k experts of the groups that stay with the largest choice,
 * largest first weight[i] = score[ids[i]]                             (TOPK_SOFTMAX: softmax over
 * the k chosen logits) weight   /= sum of the k weights + renormalize_eps    (RENORMALIZE) weight
 * *= routed_scale
 *
 * All ties go to the lower index. A logit that is NaN scores as -inf does and is chosen last; so is
 * a choice that NaN in the bias made. If every logit is -inf or NaN there is nothing to share out:
 * the weights are 0. */
#include <math.h>
#include <stdbool.h>

#include "moe_layout.h"
#include "ref_tensor.h"

/* p[e] = exp(l[e] - max l) / sum. Logits of +inf share all of it. */
static void softmax(int64_t n, double *p) {
    double max = -INFINITY, sum = 0;
    for (int64_t e = 0; e < n; e++)
        if (p[e] > max) max = p[e];
    for (int64_t e = 0; e < n; e++) {
        p[e] = max == -INFINITY ? 0 : p[e] == max ? 1 : exp(p[e] - max);
        sum += p[e];
    }
    for (int64_t e = 0; e < n && sum > 0; e++) p[e] /= sum;
}

static double softplus(double x) {
    return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

/* Index of the largest value that is not taken; the lower one of equals. */
static int64_t best(int64_t n, const double *value, const bool *taken) {
    int64_t at = -1;
    for (int64_t i = 0; i < n; i++)
        if (!taken[i] && (at < 0 || value[i] > value[at])) at = i;
    return at;
}

static double group_score(int32_t kind, int64_t size, const double *choice) {
    double first = -INFINITY, second = -INFINITY;
    for (int64_t i = 0; i < size; i++) {
        if (choice[i] > first)
            second = first, first = choice[i];
        else if (choice[i] > second)
            second = choice[i];
    }
    if (kind == TENON_GROUP_SCORE_MAX) return first;
    return first == -INFINITY || second == -INFINITY ? -INFINITY : first + second;
}

/* Marks the experts of the groups that do not stay. */
static void drop_groups(const tenon_moe_route_args *a, int64_t experts, const double *choice,
                        const double *biased, bool *taken) {
    const int64_t n_groups = a->n_groups, size = experts / n_groups;
    double score[TENON_MOE_MAX_EXPERTS];
    bool kept[TENON_MOE_MAX_EXPERTS] = {false};
    for (int64_t g = 0; g < n_groups; g++)
        score[g] =
            group_score(a->group_score, size,
                        (a->group_score == TENON_GROUP_SCORE_MAX ? choice : biased) + g * size);
    for (int64_t i = 0; i < a->topk_groups; i++) kept[best(n_groups, score, kept)] = true;
    for (int64_t e = 0; e < experts; e++) taken[e] = !kept[e / size];
}

static void route(const tenon_moe_route_args *a, int64_t t) {
    const int64_t experts = a->logits->shape[1], k = a->topk_ids->shape[1] - a->n_shared;
    const double scale = a->routed_scale == 0 ? 1 : (double)a->routed_scale;
    double score[TENON_MOE_MAX_EXPERTS], choice[TENON_MOE_MAX_EXPERTS],
        biased[TENON_MOE_MAX_EXPERTS], weight[TENON_MOE_MAX_TOPK];
    bool taken[TENON_MOE_MAX_EXPERTS] = {false};
    int64_t ids[TENON_MOE_MAX_TOPK];

    for (int64_t e = 0; e < experts; e++) {
        double logit = tenon_ref_load2(a->logits, t, e);
        score[e] = choice[e] = isnan(logit) ? -INFINITY : logit;
    }
    if (a->scoring == TENON_SCORING_SOFTMAX) softmax(experts, score);
    for (int64_t e = 0; e < experts; e++) {
        if (a->scoring == TENON_SCORING_SIGMOID) score[e] = 1 / (1 + exp(-score[e]));
        if (a->scoring == TENON_SCORING_SQRT_SOFTPLUS) score[e] = sqrt(softplus(score[e]));
        biased[e] = score[e] + (a->bias ? tenon_ref_load1(a->bias, e) : 0);
        if (isnan(tenon_ref_load2(a->logits, t, e)) || isnan(biased[e])) biased[e] = -INFINITY;
        if (a->bias) choice[e] = biased[e];
    }

    if (a->n_groups > 1) drop_groups(a, experts, choice, biased, taken);
    for (int64_t i = 0; i < k; i++) {
        ids[i] = best(experts, choice, taken);
        taken[ids[i]] = true;
        weight[i] = score[ids[i]];
    }
    if (a->scoring == TENON_SCORING_TOPK_SOFTMAX) softmax(k, weight);

    double sum = (double)a->renormalize_eps;
    for (int64_t i = 0; i < k; i++) sum += weight[i];
    for (int64_t i = 0; i < k; i++) {
        if (a->flags & TENON_MOE_ROUTE_RENORMALIZE && sum > 0) weight[i] /= sum;
        tenon_ref_store2(a->topk_weights, t, i, weight[i] * scale);
        tenon_ref_store_index(a->topk_ids, tenon_ref_at2(a->topk_ids, t, i), ids[i]);
    }
    for (int64_t i = 0; i < a->n_shared; i++) {
        tenon_ref_store2(a->topk_weights, t, k + i, (double)a->shared_weight);
        tenon_ref_store_index(a->topk_ids, tenon_ref_at2(a->topk_ids, t, k + i), experts + i);
    }
}

static int32_t run(const tenon_kernel_plan *plan, const void *args, tenon_error *error) {
    const tenon_moe_route_args *a = args;
    (void)plan, (void)error;
    for (int64_t t = 0; t < a->logits->shape[0]; t++) {
        if (!a->token_mask ||
            ((const uint8_t *)tenon_data(a->token_mask))[t * a->token_mask->strides[0]]) {
            route(a, t);
            continue;
        }
        for (int64_t i = 0; i < a->topk_ids->shape[1]; i++) {
            tenon_ref_store2(a->topk_weights, t, i, 0);
            tenon_ref_store_index(a->topk_ids, tenon_ref_at2(a->topk_ids, t, i), -1);
        }
    }
    return TENON_OK;
}

extern const tenon_kernel tenon_ref_moe_route;
const tenon_kernel tenon_ref_moe_route = {
    .name = "ref_moe_route",
    .op = TENON_OP_MOE_ROUTE,
    .traits = TENON_TRAIT_REFERENCE | TENON_TRAIT_DETERMINISTIC | TENON_TRAIT_BATCH_INVARIANT,
    .checked_on = "hardware",
    .run = run,
};
