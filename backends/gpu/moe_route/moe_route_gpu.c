/* SPDX-License-Identifier: Apache-2.0 */
/* moe_route: a wave for each token. Its experts' scores live in LDS, expert e with lane e % lanes
 * and never read by another; the k best are found by k reductions over the wave. Memory traffic is
 * the logits.
 *
 * What is compared are keys: integers that order as the floats do. Key 0 is "no candidate"; -inf is
 * above it, so that it is still chosen where nothing else is left. */
#include "device/device_memory.h"
#include "device/device_reduce.h"
#include "device/device_row.h"
#include "moe_route_arguments.h"
#include "tenon.h"

/* -0 is +0: adding +0 makes it so. */
DEVICE uint32_t key_of(float x) {
    const uint32_t bits = bits_of(x + 0.0f);
    return bits >> 31 ? ~bits : bits | 0x80000000u;
}
DEVICE float float_of_key(uint32_t key) {
    return float_of(key >> 31 ? key & 0x7fffffffu : ~key);
}

/* e^x to about two units: the product x log2 e in two parts. */
DEVICE float exp_f32(float x) {
    const float high = x * DEVICE_LOG2_E;
    const float low = fma_f32(x, DEVICE_LOG2_E, -high) + x * 1.9259629911e-8f;
    const float power = exp2_f32(high);
    return is_finite(power) && power > 0 ? fma_f32(power, low * DEVICE_LN_2, power) : power;
}
/* log(1 + y) for 0 <= y <= 1: what the sum lost in rounding is put back by the quotient. */
DEVICE float log1p_f32(float y) {
    const float u = 1 + y;
    return u == 1 ? y : log2_f32(u) * DEVICE_LN_2 * (y / (u - 1));
}

DEVICE float score_of(uint32_t scoring, float logit) {
    if (scoring == TENON_SCORING_SIGMOID) return 1 / (1 + exp_f32(-logit));
    if (scoring == TENON_SCORING_SQRT_SOFTPLUS)
        return sqrt_f32(logit > 0 ? logit + log1p_f32(exp_f32(-logit)) : log1p_f32(exp_f32(logit)));
    return logit;
}

/* Place of the largest key; the lowest expert of equals. At least one lane has a candidate. */
typedef struct candidate {
    uint32_t key, expert;
} candidate;
DEVICE candidate best_of_wave(candidate mine) {
    const uint32_t key = wave_max_u32(mine.key);
    return (candidate){key, wave_min_u32(mine.key == key ? mine.expert : ~0u)};
}

/* What a wave holds of its token. */
typedef struct experts {
    SHARED float *score;
    SHARED uint32_t *key, *biased; /* biased: key of score + bias */
} experts;

/* The score of each group goes to the lane of its number; the groups that stay, as bits. */
DEVICE uint32_t groups_that_stay(const moe_route_arguments *a, SHARED const uint32_t *key) {
    const uint32_t size = a->n_experts / a->n_groups;
    uint32_t of_group = 0, stay = 0;
    for (uint32_t g = 0; g < a->n_groups; g++) {
        candidate first = {0, ~0u};
        uint32_t second = 0; /* of this lane */
        for (uint32_t e = lane_id(); e < a->n_experts; e += WAVE_LANES) {
            if (e - g * size >= size) continue;
            if (key[e] > first.key) {
                second = first.key;
                first = (candidate){key[e], e};
            } else {
                second = larger_u32(second, key[e]);
            }
        }
        const candidate best = best_of_wave(first);
        uint32_t score = best.key;
        if (a->sums_of_groups) {
            const uint32_t next = wave_max_u32(first.expert == best.expert ? second : first.key);
            const float low = -DEVICE_INFINITY, x = float_of_key(best.key),
                        y = next ? float_of_key(next) : low;
            score = key_of(x == low || y == low ? low : x + y);
        }
        if (lane_id() == g) of_group = score;
    }
    for (uint32_t i = 0; i < a->topk_groups; i++) {
        const candidate best = best_of_wave((candidate){of_group, lane_id()});
        stay |= 1u << best.expert;
        if (lane_id() == best.expert) of_group = 0;
    }
    return stay;
}

/* Fills scores and keys. */
DEVICE void score_experts(const moe_route_arguments *a, uint32_t token, const experts *x) {
    const float low = -DEVICE_INFINITY;
    float max = low, sum = 0;
    for (uint32_t e = lane_id(); e < a->n_experts; e += WAVE_LANES) {
        const float logit = load_float(a->logits, token * a->logits_token + e, a->number);
        const float score = is_nan(logit) ? low : logit;
        x->score[e] = score;
        x->key[e] = key_of(score);
        x->biased[e] = is_nan(logit);
        max = larger_f32(max, score);
    }
    if (a->scoring == TENON_SCORING_TOPK_SOFTMAX && !a->bias && !a->sums_of_groups) return;

    const bool softmax = a->scoring == TENON_SCORING_SOFTMAX;
    if (softmax) {
        max = wave_max_f32(max);
        for (uint32_t e = lane_id(); e < a->n_experts; e += WAVE_LANES) {
            const float logit = x->score[e];
            const float power = max == low ? 0 : logit == max ? 1 : exp_f32(logit - max);
            x->score[e] = power;
            sum += power;
        }
        sum = wave_sum_f32(sum);
    }
    for (uint32_t e = lane_id(); e < a->n_experts; e += WAVE_LANES) {
        float score = x->score[e];
        score = !softmax ? score_of(a->scoring, score) : sum > 0 ? score / sum : 0;
        x->score[e] = score;
        if (!a->bias && !a->sums_of_groups) continue;
        const float total = score + (a->bias ? ((TENON_GLOBAL const float *)a->bias)[e] : 0);
        const uint32_t key = key_of(x->biased[e] || is_nan(total) ? low : total);
        x->biased[e] = key;
        if (a->bias) x->key[e] = key;
    }
}

DEVICE void drop_groups(const moe_route_arguments *a, const experts *x) {
    const uint32_t size = a->n_experts / a->n_groups,
                   stay = groups_that_stay(a, a->sums_of_groups ? x->biased : x->key);
    for (uint32_t e = lane_id(); e < a->n_experts; e += WAVE_LANES)
        if (!(stay >> (e / size) & 1)) x->key[e] = 0;
}

/* Lane i gets the i-th choice. */
typedef struct choice {
    float weight;
    uint32_t id;
} choice;
DEVICE choice choose(const moe_route_arguments *a, const experts *x) {
    choice mine = {0, 0};
    for (uint32_t i = 0; i < a->k; i++) {
        candidate of_lane = {0, ~0u};
        for (uint32_t e = lane_id(); e < a->n_experts; e += WAVE_LANES)
            if (x->key[e] > of_lane.key) of_lane = (candidate){x->key[e], e};
        const candidate best = best_of_wave(of_lane);
        float score = 0;
        if (best.expert % WAVE_LANES == lane_id()) {
            score = x->score[best.expert];
            x->key[best.expert] = 0;
        }
        score = float_of(wave_value_of(bits_of(score), best.expert % WAVE_LANES));
        if (lane_id() == i) mine = (choice){score, best.expert};
    }
    return mine;
}

DEVICE void route_token(const moe_route_arguments *a, uint32_t token, const experts *x) {
    const float low = -DEVICE_INFINITY;
    score_experts(a, token, x);
    if (a->n_groups > 1) drop_groups(a, x);
    choice mine = choose(a, x);

    const bool chosen = lane_id() < a->k;
    if (a->scoring == TENON_SCORING_TOPK_SOFTMAX) {
        const float top = wave_max_f32(chosen ? mine.weight : low);
        mine.weight = !chosen || top == low ? 0
                      : mine.weight == top  ? 1
                                            : exp_f32(mine.weight - top);
        const float sum = wave_sum_f32(mine.weight);
        mine.weight = sum > 0 ? mine.weight / sum : 0;
    }
    const float sum = wave_sum_f32(chosen ? mine.weight : 0) + a->renormalize_eps;
    if (a->renormalize && sum > 0) mine.weight /= sum;
    if (chosen) {
        ((TENON_GLOBAL float *)a->weights)[token * a->weights_token + lane_id()] =
            mine.weight * a->routed_scale;
        store_index(a->ids, token * a->ids_token + lane_id(), a->ids_are_64, mine.id);
    }
}

DEVICE void route(const moe_route_arguments *a, const experts *x) {
    const uint32_t token = block_x() * (MOE_ROUTE_BLOCK_LANES / WAVE_LANES) + wave_id();
    if (token >= a->n_tokens) return;
    const bool masked = a->token_mask && !a->token_mask[token * a->mask_token];
    if (!masked) route_token(a, token, x);
    const uint32_t first = masked ? 0 : a->k;
    for (uint32_t i = first + lane_id(); i < a->k + a->n_shared; i += WAVE_LANES) {
        ((TENON_GLOBAL float *)a->weights)[token * a->weights_token + i] =
            masked ? 0 : a->shared_weight;
        store_index(a->ids, token * a->ids_token + i, a->ids_are_64,
                    masked ? -1 : (int64_t)(a->n_experts + (i - a->k)));
    }
}

/* One for each bound of the experts, as LDS decides how many waves are at work on a unit. */
#define ROUTE_KERNEL(max_experts)                                                                  \
    SHARED_ARRAY(float, score_##max_experts, MOE_ROUTE_BLOCK_LANES / WAVE_LANES * max_experts);    \
    SHARED_ARRAY(uint32_t, key_##max_experts, MOE_ROUTE_BLOCK_LANES / WAVE_LANES * max_experts);   \
    SHARED_ARRAY(uint32_t, biased_##max_experts,                                                   \
                 MOE_ROUTE_BLOCK_LANES / WAVE_LANES * max_experts);                                \
    DEVICE_KERNEL(moe_route_##max_experts,                                                         \
                  MOE_ROUTE_BLOCK_LANES)(DEVICE_ARGUMENT moe_route_arguments a) {                  \
        const uint32_t first = wave_id() * max_experts;                                            \
        const experts x = {score_##max_experts + first, key_##max_experts + first,                 \
                           biased_##max_experts + first};                                          \
        route(&a, &x);                                                                             \
    }

ROUTE_KERNEL(128)
ROUTE_KERNEL(256)
ROUTE_KERNEL(1024)
