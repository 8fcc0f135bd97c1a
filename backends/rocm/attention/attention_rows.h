/* SPDX-License-Identifier: Apache-2.0 */
/* Sixteen (token, head) rows of one KV head against a range of kv positions, from registers alone:
 * no element of the cache passes through LDS.
 *
 *   S^T = K Q^T      A: keys, 16 positions, each lane with 16 contiguous bytes of one; B: queries
 *   O^T = V^T P^T    B: the weights, as the first product leaves them: lane l has column l % 16
 * (row of P), positions 4 (l / 16) + 0..3; A: values, loaded 16 bytes a lane and transposed by
 *                    v_perm_b32 within the lane, so that a lane's dims are contiguous
 *
 * The four waves take a quarter of the range each and are folded in a fixed order. The running
 * maximum moves only when a logit passes it by 2^8: without that there is no exchange between lanes
 * in the loop. */
#ifndef TENON_ATTENTION_ROWS_H
#define TENON_ATTENTION_ROWS_H

#include "attention_matrix.h"
#include "attention_paged.h"
#include "device/device_row.h"

#define ROWS_MAX_SLACK 8.0f

/* What a lane knows of its row: column l % 16 of the products. */
typedef struct row_view {
    int32_t low, high; /* sees kv positions low .. high, before the tree mask */
    int32_t position, first_new;
    float scale, slope; /* of logits to base 2 */
    bool exists;
    uint32_t row, token, head;
} row_view;

/* The arguments, read once more from where the launch left them: what a loop reads through a fresh
 * pointer does not stay in scalar registers, of which there are too few for all of it. */
DEVICE const attention_arguments *arguments_again(void) {
    __attribute__((address_space(4))) const void *p = __builtin_amdgcn_kernarg_segment_ptr();
    __asm__ volatile("" : "+s"(p));
    return (const attention_arguments *)p;
}

/* The same for what follows from the place of a lane: comparisons of it are not kept through loops,
 * where each would hold two scalar registers. */
DEVICE uint32_t lane_again(void) {
    uint32_t lane = lane_id();
    __asm__ volatile("" : "+v"(lane));
    return lane;
}
DEVICE uint32_t wave_again(void) {
    uint32_t wave = wave_id();
    __asm__ volatile("" : "+s"(wave));
    return wave;
}

/* Zeros in the place of rows that must not be read. */
static TENON_GLOBAL const u32x4 zero_row[80] = {0};

DEVICE bool sees(const attention_arguments *a, const row_view *r, int32_t j) {
    bool visible = j >= r->low && j < r->high;
    if (a->tree_mask && visible && j >= r->first_new) {
        const int32_t bit = j - r->first_new;
        visible = a->tree_mask[r->token * a->tree_token + bit / 8] >> (bit % 8) & 1;
    }
    return visible;
}

/* Logit to base 2 from a dot product. tanh(y) = 1 - 2 / (1 + e^2y). */
DEVICE float logit_of(const attention_arguments *a, const row_view *r, float dot, float k_scale,
                      int32_t j) {
    float x = dot * r->scale * k_scale;
    if (a->softcap_in > 0) {
        const float y = x * a->softcap_in;
        const float t = __builtin_fabsf(y) < 0.0625f
                            ? y - y * y * y * (1.0f / 3) + y * y * y * y * y * (2.0f / 15)
                            : 1 - 2 / (1 + exp2_f32(2 * DEVICE_LOG2_E * y));
        x = a->softcap_out * t;
    }
    return x + r->slope * (float)(j - r->position);
}

/* Scale of a position in a cache whose slots have their own. */
DEVICE float slot_scale(const attention_arguments *a, TENON_GLOBAL const int32_t *pages,
                        const attention_side *side, int32_t j, int32_t end) {
    if (j >= end) return 1;
    const uint32_t page = page_of(a, (uint32_t)j),
                   slot = (uint32_t)j - page * (uint32_t)a->page_size;
    const int32_t id = pages[page];
    if (id < 0 || id >= a->pages) return 1;
    return side
        ->scale[id * side->scale_page + slot * side->scale_slot + block_y() * side->scale_head];
}

DEVICE row_view row_view_of(const attention_arguments *a, const attention_sequence *s, int32_t b,
                            uint32_t kv_head, uint32_t row) {
    row_view r = {.row = row, .exists = row < (uint32_t)s->n_tokens * a->group};
    const uint32_t i = r.exists ? row / a->group : 0;
    r.token = (uint32_t)s->first_token + i;
    r.head = kv_head * a->group + (r.exists ? row % a->group : 0);
    r.first_new = s->kv_len - s->n_tokens;
    r.position = r.first_new + (int32_t)i;
    r.low = a->window_left > 0 && r.position - a->window_left > 0 ? r.position - a->window_left : 0;
    r.high = s->kv_len;
    if (a->tree_mask)
        r.high = s->kv_len;
    else if (a->causal)
        r.high = r.position + 1;
    else if (a->window_right > 0 && (int64_t)r.position + a->window_right + 1 < s->kv_len)
        r.high = r.position + a->window_right + 1;
    if (!r.exists) r.high = 0;
    r.scale = a->scale_log2;
    if (a->q_scale) r.scale *= a->q_scale[b * a->q_scale_sequence + kv_head * a->q_scale_head];
    if (a->k.scale && !a->k.scale_is_per_slot) r.scale *= a->k.scale[kv_head * a->k.scale_head];
    r.slope = a->alibi_slopes ? a->alibi_slopes[b * a->alibi_sequence + r.head] * DEVICE_LOG2_E : 0;
    return r;
}

DEVICE float larger_of_groups(float x) {
    x = __builtin_fmaxf(x, float_of(wave_read_lane(bits_of(x), lane_id() ^ 16)));
    return __builtin_fmaxf(x, float_of(wave_read_lane(bits_of(x), lane_id() ^ 32)));
}
DEVICE float sum_of_groups(float x) {
    x += float_of(wave_read_lane(bits_of(x), lane_id() ^ 16));
    return x + float_of(wave_read_lane(bits_of(x), lane_id() ^ 32));
}

/* A finite reference for exponents: of a row that has seen nothing, 0. */
DEVICE float reference_of(float max) {
    return max == -DEVICE_INFINITY ? 0 : max;
}

#endif /* TENON_ATTENTION_ROWS_H */
