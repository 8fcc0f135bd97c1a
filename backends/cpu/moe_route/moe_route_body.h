/* SPDX-License-Identifier: Apache-2.0 */
/* The body of moe_route: include a simd_*.h first. One token's scores stay in the L1 cache; the k
 * best are found by k scans.
 *
 * In the arrays that are scanned NaN means "no candidate": a comparison with it is false, so taken
 * experts, groups that do not stay and the padding of the last vector drop out without a mask.
 * Logits that are NaN have become -inf before. Scores are computed for all experts only where the
 * choice needs them (a bias, or sums of groups); otherwise the choice is by the logits. */
#ifndef TENON_MOE_ROUTE_BODY_H
#define TENON_MOE_ROUTE_BODY_H

#include <math.h>

#include "moe_layout.h"
#include "moe_route_cpu.h"
#include "number.h"

enum { ROUTE_ROOM = TENON_MOE_MAX_EXPERTS + V_LANES };

typedef struct route_scratch {
    float logit[ROUTE_ROOM], score[ROUTE_ROOM], choice[ROUTE_ROOM], biased[ROUTE_ROOM],
        group[ROUTE_ROOM];
} route_scratch;

static const float route_lanes[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

V_INLINE int64_t route_padded(int64_t n) {
    return (n + V_LANES - 1) / V_LANES * V_LANES;
}

V_INLINE void route_pad(float *values, int64_t n) {
    for (int64_t i = n; i < route_padded(n); i++) values[i] = NAN;
}

/* Index of the largest value, the lower one of equals; there is at least one that is not NaN. */
V_INLINE int64_t route_best(const float *values, int64_t padded) {
    const vf32 nowhere = vf32_set1(1e9f);
    vf32 best = vf32_set1(-INFINITY), at = nowhere, here = vf32_load(route_lanes);
    for (int64_t i = 0; i < padded; i += V_LANES) {
        const vf32 v = vf32_load(values + i);
        at = vf32_select_lt(best, v, here, at);
        best = vf32_select_lt(best, v, v, best);
        here = vf32_add(here, vf32_set1(V_LANES));
    }
    at = vf32_select_lt(best, vf32_set1(vf32_reduce_max(best)), nowhere, at);
    const float least = -vf32_reduce_max(vf32_sub(vf32_zero(), at));
    if (least < 1e9f) return (int64_t)least;
    int64_t i = 0; /* all that is left is -inf */
    while (values[i] != values[i] && i < padded - 1) i++;
    return i;
}

/* Logits to f32, NaN to -inf; returns whether there was a NaN. */
V_INLINE bool route_load(const tenon_moe_route_args *a, int64_t t, float *logit, float *max) {
    const int64_t experts = a->logits->shape[1];
    const tenon_number type = tenon_number_of(a->logits->dtype);
    const char *row = (const char *)tenon_data(a->logits) +
                      t * a->logits->strides[0] * (a->logits->dtype.bits / 8);
    const vf32 lowest = vf32_set1(-INFINITY);
    vf32 top = lowest, changed = vf32_zero();
    for (int64_t i = 0; i < experts; i += V_LANES) {
        const int n = experts - i < V_LANES ? (int)(experts - i) : V_LANES;
        const vf32 v = type == TENON_NUMBER_F32
                           ? vf32_load_n((const float *)(const void *)row + i, n)
                       : type == TENON_NUMBER_BF16
                           ? vf32_load_bf16_n((const uint16_t *)(const void *)row + i, n)
                           : vf32_load_f16_n((const uint16_t *)(const void *)row + i, n);
        /* Not a number: neither below anything nor above. */
        changed =
            vf32_add(changed, vf32_select_lt(v, vf32_set1(INFINITY), vf32_zero(),
                                             vf32_select_lt(lowest, v, vf32_zero(), vf32_set1(1))));
        vf32_store(logit + i, vf32_max(v, lowest));
    }
    for (int64_t i = experts; i < route_padded(experts); i++) logit[i] = -INFINITY;
    for (int64_t i = 0; i < experts; i += V_LANES) top = vf32_max(top, vf32_load(logit + i));
    *max = vf32_reduce_max(top);
    return vf32_reduce_max(changed) > 0;
}

/* exp(l - max) for all, and their sum. Infinite logits share all of it. */
V_INLINE float route_softmax(const float *logit, int64_t experts, float max, float *score) {
    vf32 sum = vf32_zero();
    if (max == INFINITY || max == -INFINITY) {
        float count = 0;
        for (int64_t e = 0; e < experts; e++)
            count += score[e] = max > 0 && logit[e] == max ? 1.0f : 0.0f;
        return count;
    }
    for (int64_t i = 0; i < experts; i += V_LANES) {
        const vf32 p = vf32_exp(vf32_sub(vf32_load(logit + i), vf32_set1(max)));
        vf32_store(score + i, p);
        sum = vf32_add(sum, p);
    }
    return vf32_reduce_add(sum);
}

static double route_score_of(int32_t scoring, double logit) {
    if (scoring == TENON_SCORING_SIGMOID) return 1 / (1 + exp(-logit));
    if (scoring == TENON_SCORING_SQRT_SOFTPLUS)
        return sqrt(logit > 0 ? logit + log1p(exp(-logit)) : log1p(exp(logit)));
    return logit;
}

/* Scores of all experts, for choices that need them. Softmax has its own above. */
V_INLINE void route_scores(int32_t scoring, const float *logit, int64_t experts, float *score) {
    if (scoring == TENON_SCORING_SIGMOID)
        for (int64_t i = 0; i < experts; i += V_LANES)
            vf32_store(score + i, vf32_sigmoid(vf32_load(logit + i)));
    else if (scoring == TENON_SCORING_SQRT_SOFTPLUS)
        for (int64_t e = 0; e < experts; e++)
            score[e] = (float)route_score_of(scoring, (double)logit[e]);
    else
        for (int64_t i = 0; i < experts; i += V_LANES) vf32_store(score + i, vf32_load(logit + i));
}

/* The two largest of a group, lane by lane first. Where the largest stands in one lane only, the
 * second is that lane's second or another lane's first. */
V_INLINE float route_group_score(int32_t kind, int64_t size, const float *choice) {
    const vf32 lowest = vf32_set1(-INFINITY);
    vf32 first = lowest, second = lowest;
    for (int64_t i = 0; i < size; i += V_LANES) {
        vf32 v = vf32_load(choice + i); /* the arrays have room behind them */
        if (size - i < V_LANES)
            v = vf32_select_lt(vf32_load(route_lanes), vf32_set1((float)(size - i)), v, lowest);
        second = vf32_max(second, vf32_min(first, v));
        first = vf32_max(first, v);
    }
    const float top = vf32_reduce_max(first);
    if (kind == TENON_GROUP_SCORE_MAX) return top;
    const vf32 largest = vf32_set1(top);
    const float lanes = vf32_reduce_add(vf32_select_lt(first, largest, vf32_zero(), vf32_set1(1)));
    const float next =
        lanes > 1 ? top : vf32_reduce_max(vf32_select_lt(first, largest, first, second));
    return top == -INFINITY || next == -INFINITY ? -INFINITY : top + next;
}

V_INLINE void route_groups(const tenon_moe_route_args *a, int64_t experts, route_scratch *s,
                           const float *by) {
    const int64_t groups = a->n_groups, size = experts / groups;
    bool kept[TENON_MOE_MAX_EXPERTS] = {false};
    for (int64_t g = 0; g < groups; g++)
        s->group[g] = route_group_score(a->group_score, size, by + g * size);
    route_pad(s->group, groups);
    for (int64_t i = 0; i < a->topk_groups; i++) {
        const int64_t g = route_best(s->group, route_padded(groups));
        kept[g] = true, s->group[g] = NAN;
    }
    for (int64_t g = 0; g < groups; g++)
        for (int64_t i = 0; !kept[g] && i < size; i++) s->choice[g * size + i] = NAN;
}

/* Fills choice, and score and *sum where they are needed. Returns whether score holds all scores.
 */
V_INLINE bool route_choose_by(const tenon_moe_route_args *a, int64_t t, route_scratch *s,
                              float *sum) {
    const int64_t experts = a->logits->shape[1];
    const bool sums_of_groups = a->n_groups > 1 && a->group_score == TENON_GROUP_SCORE_TOP2_SUM;
    bool scored = a->scoring == TENON_SCORING_SOFTMAX;
    float max;
    const bool has_nan = route_load(a, t, s->logit, &max);
    *sum = scored ? route_softmax(s->logit, experts, max, s->score) : 1;
    if (!scored && (a->bias || sums_of_groups))
        route_scores(a->scoring, s->logit, experts, s->score), scored = true;
    const float unit = a->scoring == TENON_SCORING_SOFTMAX && *sum > 0 ? 1 / *sum : 1;

    const float *bias = a->bias ? tenon_data(a->bias) : NULL;
    for (int64_t i = 0; (bias || sums_of_groups) && i < experts; i += V_LANES) {
        const int n = experts - i < V_LANES ? (int)(experts - i) : V_LANES;
        const vf32 add = bias ? vf32_load_n(bias + i, n) : vf32_zero();
        vf32_store(s->biased + i, vf32_max(vf32_fma(vf32_load(s->score + i), vf32_set1(unit), add),
                                           vf32_set1(-INFINITY))); /* NaN to -inf */
    }
    for (int64_t e = 0; has_nan && (bias || sums_of_groups) && e < experts;
         e++) /* rare: which ones were it? */
        if (isnan(tenon_number_load(tenon_number_of(a->logits->dtype), tenon_data(a->logits),
                                    t * a->logits->strides[0] + e)))
            s->biased[e] = -INFINITY;
    memcpy(s->choice, bias ? s->biased : s->logit, (size_t)experts * sizeof(float));
    route_pad(s->choice, experts);
    if (a->n_groups > 1) route_groups(a, experts, s, sums_of_groups ? s->biased : s->choice);
    return scored;
}

V_INLINE void route_store_id(const DLTensor *ids, int64_t t, int64_t i, int64_t id) {
    if (ids->dtype.bits == 64)
        ((int64_t *)tenon_data(ids))[t * ids->strides[0] + i] = id;
    else
        ((int32_t *)tenon_data(ids))[t * ids->strides[0] + i] = (int32_t)id;
}

/* Softmax over the k chosen logits. */
static void route_softmax_of_chosen(double *weight, int64_t k) {
    double max = -INFINITY, sum = 0;
    for (int64_t i = 0; i < k; i++) max = weight[i] > max ? weight[i] : max;
    for (int64_t i = 0; i < k; i++)
        sum += weight[i] = max == -INFINITY ? 0 : weight[i] == max ? 1 : exp(weight[i] - max);
    for (int64_t i = 0; i < k && sum > 0; i++) weight[i] /= sum;
}

V_INLINE void route_token(const tenon_moe_route_args *a, int64_t t, route_scratch *s) {
    const int64_t experts = a->logits->shape[1], k = a->topk_ids->shape[1] - a->n_shared;
    float *out = (float *)tenon_data(a->topk_weights) + t * a->topk_weights->strides[0],
          softmax_sum;
    double weight[TENON_MOE_MAX_TOPK], sum = (double)a->renormalize_eps;
    const double scale = a->routed_scale == 0 ? 1 : (double)a->routed_scale;

    const bool scored = route_choose_by(a, t, s, &softmax_sum);
    for (int64_t i = 0; i < k; i++) {
        const int64_t id = route_best(s->choice, route_padded(experts));
        s->choice[id] = NAN;
        weight[i] = !scored           ? route_score_of(a->scoring, (double)s->logit[id])
                    : softmax_sum > 0 ? (double)s->score[id] / (double)softmax_sum
                                      : 0;
        route_store_id(a->topk_ids, t, i, id);
    }
    if (a->scoring == TENON_SCORING_TOPK_SOFTMAX) route_softmax_of_chosen(weight, k);
    for (int64_t i = 0; i < k; i++) sum += weight[i];
    const double divisor = a->flags & TENON_MOE_ROUTE_RENORMALIZE && sum > 0 ? sum : 1;
    for (int64_t i = 0; i < k; i++) out[i] = (float)(weight[i] / divisor * scale);
    for (int64_t i = 0; i < a->n_shared; i++) {
        out[k + i] = a->shared_weight;
        route_store_id(a->topk_ids, t, k + i, experts + i);
    }
}

V_INLINE void route_tokens(const tenon_moe_route_args *a, int64_t begin, int64_t end) {
    const uint8_t *mask = a->token_mask ? tenon_data(a->token_mask) : NULL;
    route_scratch scratch;
    for (int64_t t = begin; t < end; t++) {
        if (!mask || mask[t * a->token_mask->strides[0]]) {
            route_token(a, t, &scratch);
            continue;
        }
        float *out = (float *)tenon_data(a->topk_weights) + t * a->topk_weights->strides[0];
        for (int64_t i = 0; i < a->topk_ids->shape[1]; i++) {
            out[i] = 0;
            route_store_id(a->topk_ids, t, i, -1);
        }
    }
}

#endif /* TENON_MOE_ROUTE_BODY_H */
