/* SPDX-License-Identifier: Apache-2.0 */
/* Attention of one block of rows over a chunk of kv positions, in the vocabulary of simd/. Included
 * once per instruction set, after that set's header and a definition of ATTENTION_CONVERTERS; makes
 * the static const tenon_attention_engine attention_engine. README.md has the picture.
 */
#include <math.h>

#include "attention_cpu.h"
#include "latent_row.h"

#include "attention_tile.inl"
#include "attention_direct.inl"
#include "attention_native.inl"
#include "attention_staging.inl"
#include "attention_codes.inl"

/* 2^x for x <= 0: 2^n (1 + r p(r)), |r| <= 1/2, relative error 1.6e-7; exactly 1 at 0; 0 below
 * -125; NaN stays. */
V_INLINE vf32 exp2_below_one(vf32 x) {
    const vf32 floor = vf32_set1(-125.0f);
    const vf32 c = vf32_max(floor, x); /* the second operand stays when it is NaN */
    const vf32 n = vf32_round(c), r = vf32_sub(c, n);
    vf32 p = vf32_set1(1.32647288e-3f);
    p = vf32_fma(p, r, vf32_set1(9.67151318e-3f));
    p = vf32_fma(p, r, vf32_set1(5.55073374e-2f));
    p = vf32_fma(p, r, vf32_set1(2.40222421e-1f));
    p = vf32_fma(p, r, vf32_set1(6.93146978e-1f));
    p = vf32_fma(p, r, vf32_set1(1.0f));
    p = vf32_from_bits(vi32_add(vi32_from_bits(p), vi32_sll(vi32_from_f32(n), 23)));
    return vf32_select_lt(x, floor, vf32_zero(), p);
}

V_INLINE float exp2_of_one(float x) {
    float y;
    vf32_store_n(&y, exp2_below_one(vf32_set1(x)), 1);
    return y;
}

/* 2^(x - max), where a max of -inf means that there is nothing: then x is -inf as well. */
V_INLINE float weight_of(float x, float max) {
    return x == max ? 1.0f : exp2_of_one(x - max);
}

static void load_queries(const tenon_attention_job *job, const tenon_attention_block *block,
                         tenon_attention_scratch *scratch) {
    const DLTensor *q = job->args->q;
    const int32_t bytes = q->dtype.bits / 8;
    const uint8_t *base =
        (const uint8_t *)tenon_data(q) +
        (block->sequence->first_token + block->first_query) * q->strides[0] * bytes;
    int32_t *out = scratch->q;
    for (int32_t h = 0; h < block->n_heads; h++)
        for (int32_t r = 0; r < block->n_rows; r++, out += job->q_stride) {
            const int64_t head = (int64_t)(block->kv_head + h) * job->group + r % job->group;
            const uint8_t *row =
                base + (r / job->group * q->strides[0] + head * q->strides[1]) * bytes;
            memset(out, 0, (size_t)job->q_stride * sizeof *out);
            if (job->q_convert)
                job->q_convert(out, row, job->d_qk, 1);
            else if (PACKED_PAIRS)
                memcpy(out, row, (size_t)job->d_qk * 2);
            else if (job->q_type == TENON_NUMBER_F32)
                unpack_row(row, job->d_qk, (float *)out, TENON_NUMBER_F32);
            else if (job->q_type == TENON_NUMBER_F16)
                unpack_row(row, job->d_qk, (float *)out, TENON_NUMBER_F16);
            else
                unpack_row(row, job->d_qk, (float *)out, TENON_NUMBER_BF16);
            if (multiplies_codes(&job->k, block)) order_as_codes(out, job->q_stride);
        }
}

/* Where each position of the tile lies; positions outside [first, end) read zeros, so that stale
 * slots never enter a sum. */
static void find_rows(const tenon_attention_job *job, const tenon_attention_cache *cache,
                      const tenon_attention_block *block, int32_t tile, int32_t first, int32_t end,
                      const uint8_t *zeros, const uint8_t **rows) {
    const int64_t head = block->kv_head * cache->stride[2];
    if (end - tile < TILE || first > tile)
        for (int32_t t = 0; t < TILE; t++) rows[t] = zeros;
    for (int32_t j = first; j < end;) {
        const int32_t page = j / job->page_size, slot = j % job->page_size;
        const int32_t run = job->page_size - slot < end - j ? job->page_size - slot : end - j;
        const int64_t id = block->sequence->pages[page];
        const uint8_t *row = cache->data + id * cache->stride[0] + slot * cache->stride[1] + head;
        for (int32_t i = 0; i < run; i++) rows[j - tile + i] = row + i * cache->stride[1];
        j += run;
    }
}

/* The same rows of a KV head further on. */
static void shift_rows(const uint8_t *const *rows, int32_t n, int64_t bytes, const uint8_t *zeros,
                       const uint8_t **out) {
    for (int32_t t = 0; t < n; t++) out[t] = rows[t] == zeros ? zeros : rows[t] + bytes;
}

/* -inf where the tree mask hides a new token from this row. */
static void apply_tree(const tenon_attention_job *job, const tenon_attention_sequence *s,
                       int32_t query, int32_t tile, float *logits) {
    const DLTensor *mask = job->args->tree_mask;
    const uint8_t *bits =
        (const uint8_t *)tenon_data(mask) + (s->first_token + query) * mask->strides[0];
    const int32_t first_new = s->kv_length - s->n_queries;
    for (int32_t t = first_new > tile ? first_new - tile : 0; t < TILE && tile + t < s->kv_length;
         t++) {
        const int32_t bit = tile + t - first_new;
        if (bit / 8 >= mask->shape[1] || !(bits[bit / 8] >> (bit % 8) & 1)) logits[t] = -INFINITY;
    }
}

static const float lane_numbers[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

/* The rows of one KV head, while a tile passes. */
typedef struct head_rows {
    int32_t kv_head;
    float logit_scale;
    const float *k_scales, *v_scales; /* [TILE], or NULL */
    float *logits;
    int32_t *weights;
    uint64_t *visible; /* NULL: nobody asks */
    tenon_attention_state state;
} head_rows;

static void see(const tenon_attention_job *job, const vf32 *x, uint64_t *visible) {
    float logit[TILE];
    (void)job;
    *visible = 0;
    for (int i = 0; i < TILE_VECTORS; i++) vf32_store(logit + i * V_LANES, x[i]);
    for (int t = 0; t < TILE; t++) *visible |= (uint64_t)(logit[t] != -INFINITY) << t;
}

/* One row's logits to weights; its running maximum, sum and output follow. It sees [first, end);
 * plain (a constant): all of the tile, and no option asks for more. */
V_INLINE void soften_row(const tenon_attention_job *job, const tenon_attention_block *block,
                         int32_t tile, int32_t r, int32_t first, int32_t end, const head_rows *head,
                         const bool plain) {
    const tenon_attention_sequence *s = block->sequence;
    const tenon_attention_state *state = &head->state;
    const int32_t query = block->first_query + r / job->group;
    float *logits = head->logits + (int64_t)r * TILE, *sums = state->sum + r * V_LANES;
    vf32 x[TILE_VECTORS];
    UNROLL for (int i = 0; i < TILE_VECTORS; i++) x[i] =
        vf32_mul(vf32_load(logits + i * V_LANES), vf32_set1(head->logit_scale));
    if (!plain && head->k_scales)
        UNROLL for (int i = 0; i < TILE_VECTORS; i++) x[i] =
            vf32_mul(x[i], vf32_load(head->k_scales + i * V_LANES));
    if (!plain && job->softcap > 0)
        for (int i = 0; i < TILE_VECTORS; i++)
            x[i] = vf32_mul(vf32_tanh(x[i]), vf32_set1(job->softcap));
    if (!plain && job->args->alibi_slopes) {
        const DLTensor *t = job->args->alibi_slopes;
        const int64_t q_head = (int64_t)head->kv_head * job->group + r % job->group;
        const int64_t at = t->ndim == 2
                               ? (s - job->sequences) * t->strides[0] + q_head * t->strides[1]
                               : q_head * t->strides[0];
        const float slope = ((const float *)tenon_data(t))[at] * 1.44269504088896341f;
        const float distance = (float)(tile - (s->kv_length - s->n_queries + query));
        for (int i = 0; i < TILE_VECTORS; i++) {
            const vf32 j =
                vf32_add(vf32_load(lane_numbers), vf32_set1(distance + (float)(i * V_LANES)));
            x[i] = vf32_fma(j, vf32_set1(slope), x[i]);
        }
    }
    if (!plain && (first > tile || end - tile < TILE)) {
        const vf32 low = vf32_set1((float)(first - tile)), high = vf32_set1((float)(end - tile)),
                   hidden = vf32_set1(-INFINITY);
        for (int i = 0; i < TILE_VECTORS; i++) {
            const vf32 j = vf32_add(vf32_load(lane_numbers), vf32_set1((float)(i * V_LANES)));
            x[i] = vf32_select_lt(j, high, vf32_select_lt(j, low, hidden, x[i]), hidden);
        }
    }
    if (!plain && job->args->tree_mask) {
        for (int i = 0; i < TILE_VECTORS; i++) vf32_store(logits + i * V_LANES, x[i]);
        apply_tree(job, s, query, tile, logits);
        for (int i = 0; i < TILE_VECTORS; i++) x[i] = vf32_load(logits + i * V_LANES);
    }
    if (!plain && head->visible) see(job, x, head->visible + r);
    vf32 top = x[0];
    UNROLL for (int i = 1; i < TILE_VECTORS; i++) top = vf32_max(top, x[i]);
    float max = vf32_reduce_max(top);
    if (max > state->max[r]) {
        const float shrink = weight_of(state->max[r], max);
        float *out = state->out + (int64_t)r * job->out_stride;
        state->max[r] = max;
        vf32_store(sums, vf32_mul(vf32_load(sums), vf32_set1(shrink)));
        for (int32_t i = 0; i < job->out_stride; i += V_LANES)
            vf32_store(out + i, vf32_mul(vf32_load(out + i), vf32_set1(shrink)));
    }
    max = state->max[r] == -INFINITY ? 0.0f : state->max[r];
    vf32 sum = vf32_load(sums);
    UNROLL for (int i = 0; i < TILE_VECTORS; i++) {
        x[i] = exp2_below_one(vf32_sub(x[i], vf32_set1(max)));
        sum = vf32_add(sum, x[i]);
    }
    vf32_store(sums, sum);
    if (!plain && head->v_scales)
        UNROLL for (int i = 0; i < TILE_VECTORS; i++) x[i] =
            vf32_mul(x[i], vf32_load(head->v_scales + i * V_LANES));
#if PACKED_PAIRS
    UNROLL for (int i = 0; i < TILE_VECTORS; i += 2) vf32_store_bf16_pair(
        (uint16_t *)head->weights + (int64_t)r * TILE + i * V_LANES, x[i], x[i + 1]);
#else
    UNROLL for (int i = 0; i < TILE_VECTORS; i++) vf32_store(logits + i * V_LANES, x[i]);
#endif
}

static void soften_rows(const tenon_attention_job *job, const tenon_attention_block *block,
                        int32_t tile, const head_rows *head) {
    const bool no_options = !head->k_scales && !head->v_scales && !head->visible &&
                            job->softcap <= 0 && !job->args->alibi_slopes && !job->args->tree_mask;
    int32_t r = 0;
    for (int32_t query = 0; query < block->n_queries; query++) {
        int32_t first, end;
        tenon_attention_visible(job, block->sequence, block->first_query + query, &first, &end);
        const bool plain = no_options && first <= tile && end - tile >= TILE;
        for (const int32_t last = r + job->group; r < last; r++)
            if (plain)
                soften_row(job, block, tile, r, first, end, head, true);
            else
                soften_row(job, block, tile, r, first, end, head, false);
    }
}

#include "attention_values.inl"
#include "attention_long.inl"
#include "attention_short.inl"

/* Sums that are no numbers come from values that are none, which may have met weights of 0: again,
 * with such values apart. */
static void accumulate(const tenon_attention_job *job, const tenon_attention_block *block,
                       int32_t first, int32_t end, tenon_attention_scratch *scratch,
                       tenon_attention_state *state) {
    const int32_t n_rows = block->n_heads * block->n_rows;
    for (int apart = 0; apart < 2; apart++) {
        for (int32_t r = 0; r < n_rows; r++) {
            state->max[r] = -INFINITY;
            vf32_store(state->sum + r * V_LANES, vf32_zero());
        }
        memset(state->out, 0, (size_t)n_rows * (size_t)job->out_stride * sizeof(float));
        if (first < block->kv_first / TILE * TILE) first = block->kv_first / TILE * TILE;
        if (first >= end) return;
        if (block->sequence->short_rows)
            accumulate_short(job, block, first, end, apart, scratch, state);
        else
            accumulate_long(job, block, first, end, apart, scratch, state);
        if (all_finite(state->out, (int64_t)n_rows * job->out_stride)) return;
    }
}

V_INLINE void fold_vector(float *into, float keep, const float *from, float add) {
    vf32_store(into, vf32_fma(vf32_load(from), vf32_set1(add),
                              vf32_mul(vf32_load(into), vf32_set1(keep))));
}

static void fold(const tenon_attention_job *job, int32_t n_rows, tenon_attention_state *into,
                 const tenon_attention_state *from) {
    for (int32_t r = 0; r < n_rows; r++) {
        const float max = into->max[r] > from->max[r] ? into->max[r] : from->max[r];
        const float keep = weight_of(into->max[r], max), add = weight_of(from->max[r], max);
        float *out = into->out + (int64_t)r * job->out_stride;
        const float *more = from->out + (int64_t)r * job->out_stride;
        into->max[r] = max;
        fold_vector(into->sum + r * V_LANES, keep, from->sum + r * V_LANES, add);
        for (int32_t i = 0; i < job->out_stride; i += V_LANES)
            fold_vector(out + i, keep, more + i, add);
    }
}

V_INLINE void store_any_n(void *p, vf32 x, int n, tenon_number type) {
    if (type == TENON_NUMBER_F32)
        vf32_store_n(p, x, n);
    else if (type == TENON_NUMBER_F16)
        vf32_store_f16_n(p, x, n);
    else
        vf32_store_bf16_n(p, x, n);
}

static void store_row(const tenon_attention_job *job, int64_t token, int64_t head, float max,
                      float sum, const float *sums) {
    const DLTensor *out = job->args->out, *lse = job->args->lse, *sinks = job->args->sinks;
    const int32_t bytes = job->out_type == TENON_NUMBER_F32 ? 4 : 2;
    uint8_t *row =
        (uint8_t *)tenon_data(out) + (token * out->strides[0] + head * out->strides[1]) * bytes;
    float weight = sum, scale = 1.0f;
    if (sinks && max != -INFINITY) {
        const float sink = (float)tenon_number_load(tenon_number_of(sinks->dtype),
                                                    tenon_data(sinks), head * sinks->strides[0]) *
                           1.44269504088896341f;
        const float top = sink > max ? sink : max;
        scale = weight_of(max, top);
        weight = weight * scale + weight_of(sink, top);
    }
    scale = max == -INFINITY && sum == 0 ? 0.0f : scale / weight;
    for (int32_t i = 0; i < job->d_v; i += V_LANES)
        store_any_n(row + i * bytes, vf32_mul(vf32_load(sums + i), vf32_set1(scale)),
                    job->d_v - i < V_LANES ? job->d_v - i : V_LANES, job->out_type);
    if (lse) {
        const float log2_sum = sum == 0 ? -INFINITY : max + log2f(sum);
        ((float *)tenon_data(lse))[token * lse->strides[0] + head * lse->strides[1]] =
            job->args->flags & TENON_ATTENTION_LSE_BASE2 ? log2_sum
                                                         : log2_sum * 0.693147180559945309f;
    }
}

static void store(const tenon_attention_job *job, const tenon_attention_block *block,
                  tenon_attention_state *state) {
    for (int32_t i = 0; i < block->n_heads * block->n_rows; i++) {
        const int32_t r = i % block->n_rows;
        store_row(job, block->sequence->first_token + block->first_query + r / job->group,
                  (int64_t)(block->kv_head + i / block->n_rows) * job->group + r % job->group,
                  state->max[i], vf32_reduce_add(vf32_load(state->sum + i * V_LANES)),
                  state->out + (int64_t)i * job->out_stride);
    }
}

static const tenon_attention_engine attention_engine = {
    .lanes = V_LANES,
    .pairs = PACKED_PAIRS,
    .converters = ATTENTION_CONVERTERS,
#ifdef ATTENTION_DECODERS
    .decoders = ATTENTION_DECODERS,
#endif
    .load_queries = load_queries,
    .accumulate = accumulate,
    .fold = fold,
    .store = store,
};
