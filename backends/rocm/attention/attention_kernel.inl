/* SPDX-License-Identifier: Apache-2.0 */
/* One kernel of attention. Before inclusion: KERNEL_NAME, D_QK and D_V (what the registers hold:
 * 64, 128, 192, 256, 576 and 64, 128, 256, 512), IS_F16 (of queries and weights), IS_BYTES (the
 * cache's elements). */
#define PASTE(a, b)   a##b
#define JOIN(a, b)    PASTE(a, b)
#define LOCAL(name)   JOIN(JOIN(KERNEL_NAME, _), name)
#define K_STEPS       (D_QK / 32)
#define LANE_DIMS     (D_V / 16)
#define ELEMENT_BYTES (IS_BYTES ? 1 : 2)
#define SUBTILES      (D_V > 128 ? 1 : 2)
#define TILE          (16 * SUBTILES)
#define SPAN_DIMS     (LANE_DIMS < 8 ? LANE_DIMS : 8) /* contiguous dims of a lane */
#define SPANS         (LANE_DIMS / SPAN_DIMS)

typedef struct LOCAL(state) {
    f32x4 sum[LANE_DIMS];
    float max, weight; /* weight: this lane's part of the sum of weights */
    bool bad_page;
    int64_t bad_entry, bad_id;
} LOCAL(state);

SHARED_ARRAY(uint32_t, LOCAL(offsets), ATTENTION_WAVES * 2 * TILE);
SHARED_ARRAY(float, LOCAL(folded), 64 * (4 * LANE_DIMS + 2));
SHARED_ARRAY(uint32_t, LOCAL(flags), ATTENTION_WAVES);

/* Dims of a lane: of span p, from here on. */
DEVICE uint32_t LOCAL(dim_of)(uint32_t place, int p) {
    return (uint32_t)p * 128 + place * SPAN_DIMS;
}

DEVICE void LOCAL(load_queries)(const attention_arguments *a, const row_view *r, u32x4 *q) {
    const uint32_t g = lane_id() / 16;
    const byte_decoder decoder = byte_decoder_of(a->q_number);
    const int64_t base = ((int64_t)r->token * a->heads_q + r->head) * a->k.d;
#pragma unroll
    for (int s = 0; s < K_STEPS; s++) {
        const uint32_t d = IS_BYTES ? (uint32_t)(s / 2) * 64 + g * 16 + (uint32_t)(s % 2) * 8
                                    : (uint32_t)s * 32 + g * 8;
        q[s] = (u32x4){0, 0, 0, 0};
        if (!r->exists || d >= a->k.d) continue;
        if (a->q_number == TENON_NUMBER_F16 || a->q_number == TENON_NUMBER_BF16) {
            q[s] = load_16(a->q + (base + d) * 2);
        } else {
            const u32x2 raw = load_8(a->q + base + d);
            const u32x2 low = bytes_to_halves(IS_F16, &decoder, raw.x),
                        high = bytes_to_halves(IS_F16, &decoder, raw.y);
            q[s] = (u32x4){low.x, low.y, high.x, high.y};
        }
    }
}

/* Places of the tile's rows, in pieces of 16 bytes; ~0: not to be read. The lanes look up keys and
 * values side by side. */
DEVICE void LOCAL(find_rows)(TENON_GLOBAL const int32_t *pages, int32_t j0, int32_t end,
                             LOCAL(state) * state) {
    const attention_arguments *a = arguments_again();
    const uint32_t lane = lane_again();
    SHARED uint32_t *offsets = LOCAL(offsets) + wave_again() * 2 * TILE;
    const int32_t j = j0 + (int32_t)(lane % TILE);
    uint32_t offset = ~0u;
    if (j < end) {
        const uint32_t page = page_of(a, (uint32_t)j),
                       slot = (uint32_t)j - page * (uint32_t)a->page_size;
        const int32_t id = pages[page];
        if (id < 0 || id >= a->pages) {
            state->bad_page = true;
            state->bad_entry = page;
            state->bad_id = id;
        } else {
            const attention_side *side = &a->k;
            const bool values = lane >= TILE;
            offset = (uint32_t)id * (values ? a->v.page_pieces : side->page_pieces) +
                     slot * (values ? a->v.slot_pieces : side->slot_pieces);
        }
    }
    if (lane < 2 * TILE) offsets[lane] = offset;
    __builtin_amdgcn_fence(__ATOMIC_ACQ_REL, "wavefront");
    __builtin_amdgcn_wave_barrier();
}

DEVICE tenon_device_const_bytes LOCAL(row_at)(tenon_device_const_bytes base, uint32_t offset) {
    return offset == ~0u ? (tenon_device_const_bytes)zero_row : base + (uint64_t)offset * 16;
}

DEVICE void LOCAL(multiply_keys)(const u32x4 *q, f32x4 *dots) {
    const attention_arguments *a = arguments_again();
    const byte_decoder decoder = byte_decoder_of(a->k.number);
    const tenon_device_const_bytes keys = a->k.data + block_y() * a->k.head_bytes;
    const uint32_t lane = lane_id(), m = lane % 16, g = lane / 16;
    const SHARED uint32_t *offsets = LOCAL(offsets) + wave_id() * 2 * TILE;
#pragma unroll
    for (int u = 0; u < SUBTILES; u++) {
        const tenon_device_const_bytes row = LOCAL(row_at)(keys, offsets[16 * u + (int)m]) + g * 16;
        u32x4 piece[D_QK * ELEMENT_BYTES / 64];
#pragma unroll
        for (int s = 0; s < D_QK * ELEMENT_BYTES / 64; s++) {
            const uint32_t d = ((uint32_t)s * 64 + g * 16) / ELEMENT_BYTES;
            piece[s] = load_16(d < a->k.d ? row + s * 64 : (tenon_device_const_bytes)zero_row);
        }
        f32x4 dot = {0, 0, 0, 0};
#pragma unroll
        for (int s = 0; s < K_STEPS; s++) {
            u32x4 x = piece[IS_BYTES ? s / 2 : s];
            if (IS_BYTES) {
                const u32x2 low = bytes_to_halves(IS_F16, &decoder, s % 2 ? x.z : x.x),
                            high = bytes_to_halves(IS_F16, &decoder, s % 2 ? x.w : x.y);
                x = (u32x4){low.x, low.y, high.x, high.y};
            }
            dot = multiply_8(IS_F16, x, q[s], dot);
        }
        dots[u] = dot;
    }
}

/* Two dims of each word, of the positions 4 g + 0..3 of each subtile. */
DEVICE void LOCAL(load_values)(const int p, uint32_t word[SUBTILES][4][SPAN_DIMS / 2]) {
    const attention_arguments *a = arguments_again();
    const byte_decoder decoder = byte_decoder_of(a->v.number);
    const tenon_device_const_bytes values = a->v.data + block_y() * a->v.head_bytes;
    const uint32_t lane = lane_id(), n = lane % 16, g = lane / 16, d = LOCAL(dim_of)(n, p);
    const SHARED uint32_t *offsets = LOCAL(offsets) + wave_id() * 2 * TILE + TILE;
#pragma unroll
    for (int u = 0; u < SUBTILES; u++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            tenon_device_const_bytes row =
                LOCAL(row_at)(values, offsets[16 * u + 4 * (int)g + i]) + d * ELEMENT_BYTES;
            if (d >= a->v.d) row = (tenon_device_const_bytes)zero_row;
            if (IS_BYTES) {
#pragma unroll
                for (int w = 0; w < SPAN_DIMS / 2; w += 2) {
                    const u32x2 pair = bytes_to_halves(IS_F16, &decoder, load_4(row + w * 2));
                    word[u][i][w] = pair.x, word[u][i][w + 1] = pair.y;
                }
            } else if (SPAN_DIMS == 8) {
                const u32x4 x = load_16(row);
#pragma unroll
                for (int w = 0; w < 4; w++) word[u][i][w] = x[w];
            } else {
                const u32x2 x = load_8(row);
                word[u][i][0] = x.x, word[u][i][1] = x.y;
            }
        }
}

DEVICE void LOCAL(sift)(int pass, uint32_t word[SUBTILES][4][SPAN_DIMS / 2]) {
#pragma unroll
    for (int u = 0; u < SUBTILES; u++)
#pragma unroll
        for (int i = 0; i < 4; i++)
#pragma unroll
            for (int w = 0; w < SPAN_DIMS / 2; w++)
                word[u][i][w] = sift_pair(IS_F16, pass, word[u][i][w]);
}

DEVICE void LOCAL(add_values)(const uint32_t weights[SUBTILES][2], int pass, LOCAL(state) * state) {
#pragma unroll
    for (int p = 0; p < SPANS; p++) {
        uint32_t word[SUBTILES][4][SPAN_DIMS / 2];
        LOCAL(load_values)(p, word);
        if (pass != PASS_ALL) LOCAL(sift)(pass, word);
#pragma unroll
        for (int w = 0; w < SPAN_DIMS / 2; w++)
#pragma unroll
            for (int half = 0; half < 2; half++) {
                uint32_t x[4] = {0, 0, 0, 0};
#pragma unroll
                for (int u = 0; u < SUBTILES; u++)
#pragma unroll
                    for (int i = 0; i < 2; i++) {
                        x[2 * u + i] =
                            __builtin_amdgcn_perm(word[u][2 * i + 1][w], word[u][2 * i][w],
                                                  half ? 0x07060302u : 0x05040100u);
                    }
                f32x4 *sum = &state->sum[p * SPAN_DIMS + 2 * w + half];
                *sum = SUBTILES == 2
                           ? multiply_8(IS_F16, (u32x4){x[0], x[1], x[2], x[3]},
                                        (u32x4){weights[0][0], weights[0][1],
                                                weights[SUBTILES - 1][0], weights[SUBTILES - 1][1]},
                                        *sum)
                           : multiply_4(IS_F16, (u32x2){x[0], x[1]},
                                        (u32x2){weights[0][0], weights[0][1]}, *sum);
            }
    }
}

/* Positions begin .. end of this wave. */
DEVICE void LOCAL(walk)(TENON_GLOBAL const int32_t *pages, const row_view *r, const u32x4 *q,
                        int32_t begin, int32_t end, int pass, LOCAL(state) * state) {
    const uint32_t g = lane_id() / 16;
#pragma unroll
    for (int c = 0; c < LANE_DIMS; c++) state->sum[c] = (f32x4){0, 0, 0, 0};
    state->max = -DEVICE_INFINITY;
    state->weight = 0;
    state->bad_page = false;
    for (int32_t j0 = begin; j0 < end; j0 += TILE) {
        f32x4 x[SUBTILES];
        float top = -DEVICE_INFINITY;
        LOCAL(find_rows)(pages, j0, end, state);
        LOCAL(multiply_keys)(q, x);
        const attention_arguments *a = arguments_again();
#pragma unroll
        for (int u = 0; u < SUBTILES; u++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const int32_t j = j0 + 16 * u + 4 * (int32_t)g + i;
                const float k_scale =
                    a->k.scale_is_per_slot ? slot_scale(a, pages, &a->k, j, end) : 1;
                const float logit = logit_of(a, r, x[u][i], k_scale, j);
                x[u][i] = j < end && sees(a, r, j) ? logit : -DEVICE_INFINITY;
                top = __builtin_fmaxf(top, x[u][i]);
            }
        if (wave_ballot(top > state->max + ROWS_MAX_SLACK)) {
            const float max = __builtin_fmaxf(state->max, larger_of_groups(top)),
                        factor = exp2_f32(state->max - reference_of(max));
            state->weight *= factor;
            if (pass <= PASS_FINITE)
#pragma unroll
                for (int c = 0; c < LANE_DIMS; c++) state->sum[c] *= factor;
            state->max = max;
        }
        const float reference = reference_of(state->max);
        uint32_t weights[SUBTILES][2];
#pragma unroll
        for (int u = 0; u < SUBTILES; u++) {
            float p[4];
#pragma unroll
            for (int i = 0; i < 4; i++) {
                p[i] = exp2_f32(x[u][i] - reference);
                state->weight += p[i];
                if (a->v.scale_is_per_slot)
                    p[i] *= slot_scale(a, pages, &a->v, j0 + 16 * u + 4 * (int32_t)g + i, end);
                if (pass > PASS_FINITE) p[i] = x[u][i] == -DEVICE_INFINITY ? 0 : 1;
            }
#pragma unroll
            for (int i = 0; i < 2; i++)
                weights[u][i] = pack_weights(IS_F16, p[2 * i], p[2 * i + 1]);
        }
        LOCAL(add_values)(weights, pass, state);
    }
}

/* Waves 1, 2 and 3 into 0, in that order. */
DEVICE void LOCAL(fold)(int pass, LOCAL(state) * state) {
    SHARED float *lane = LOCAL(folded) + lane_again();
    const uint32_t wave = wave_again();
#pragma clang loop unroll(disable)
    for (uint32_t from = 1; from < ATTENTION_WAVES; from++) {
        workgroup_barrier();
        if (wave == from) {
#pragma unroll
            for (int c = 0; c < 4 * LANE_DIMS; c++) lane[c * 64] = state->sum[c / 4][c % 4];
            lane[4 * LANE_DIMS * 64] = state->max;
            lane[(4 * LANE_DIMS + 1) * 64] = state->weight;
        }
        workgroup_barrier();
        if (wave == 0) {
            const float other = lane[4 * LANE_DIMS * 64], max = __builtin_fmaxf(state->max, other),
                        reference = reference_of(max);
            float mine = exp2_f32(state->max - reference), theirs = exp2_f32(other - reference);
            state->weight = state->weight * mine + lane[(4 * LANE_DIMS + 1) * 64] * theirs;
            state->max = max;
            if (pass > PASS_FINITE) mine = theirs = 1;
#pragma unroll
            for (int c = 0; c < 4 * LANE_DIMS; c++)
                state->sum[c / 4][c % 4] = state->sum[c / 4][c % 4] * mine + lane[c * 64] * theirs;
        }
    }
}

/* Wave 0 leaves what it has where the others can see it: element e of lane l at e * 64 + l. */
DEVICE void LOCAL(publish)(const LOCAL(state) * state) {
    SHARED float *lane = LOCAL(folded) + lane_again();
    const float weight = sum_of_groups(state->weight);
    workgroup_barrier();
    if (wave_again() == 0) {
#pragma unroll
        for (int c = 0; c < 4 * LANE_DIMS; c++) lane[c * 64] = state->sum[c / 4][c % 4];
        lane[4 * LANE_DIMS * 64] = state->max;
        lane[(4 * LANE_DIMS + 1) * 64] = weight;
    }
    workgroup_barrier();
}

/* Stores the rows, each wave every fourth; the later passes add infinities to what PASS_FINITE
 * stored. */
DEVICE void LOCAL(store)(const attention_arguments *a, const attention_sequence *s, int32_t b,
                         uint32_t first_row, uint32_t chunk, int pass, bool bad_page) {
    const uint32_t kv_head = block_y();
    const bool split = s->n_chunks > 1;
    const float infinity = pass == PASS_PLUS ? DEVICE_INFINITY : -DEVICE_INFINITY;
    for (uint32_t n = wave_again(); n < ATTENTION_BLOCK_ROWS; n += ATTENTION_WAVES) {
        const uint32_t row = first_row + n;
        if (row >= (uint32_t)s->n_tokens * a->group) break;
        const uint32_t token = (uint32_t)s->first_token + row / a->group,
                       head = kv_head * a->group + row % a->group;
        const float max = LOCAL(folded)[4 * LANE_DIMS * 64 + n],
                    weight = LOCAL(folded)[(4 * LANE_DIMS + 1) * 64 + n];
        const int64_t slot = (((int64_t)b * a->heads_kv + kv_head) * a->chunks + chunk) *
                                 a->split_rows +
                             row,
                      out = ((int64_t)token * a->heads_q + head) * a->v.d;
        const bool empty = bad_page || (!split && weight == 0);
        float factor = 1;
        if (!split) {
            const float sink =
                a->sinks ? exp2_f32(load_float(a->sinks, head, a->sinks_number) * DEVICE_LOG2_E -
                                    reference_of(max))
                         : 0;
            factor = 1 / (weight + sink);
            if (a->v.scale && !a->v.scale_is_per_slot)
                factor *= a->v.scale[kv_head * a->v.scale_head];
        }
        for (uint32_t d = lane_again(); d < a->v.d; d += WAVE_LANES) {
            const uint32_t place = d % 128 / SPAN_DIMS, c = d / 128 * SPAN_DIMS + d % SPAN_DIMS;
            float x = LOCAL(folded)[(4 * c + place % 4) * 64 + place / 4 * 16 + n];
            if (pass > PASS_FINITE) {
                if (x == 0) continue;
                x = infinity + (split ? a->partial[slot * D_V + d]
                                      : load_float(a->out, out + d, a->out_number));
            } else {
                x = empty ? 0 : x * factor;
            }
            if (split)
                a->partial[slot * D_V + d] = x;
            else
                store_float(a->out, out + d, a->out_number, x);
        }
        if (lane_again() != 0 || pass > PASS_FINITE) continue;
        if (split) {
            a->partial_state[2 * slot] = max;
            a->partial_state[2 * slot + 1] = bad_page ? -1 : weight;
        } else if (a->lse) {
            a->lse[token * a->lse_token + head * a->lse_head] =
                empty ? -DEVICE_INFINITY : (max + log2_f32(weight)) * (a->base2 ? 1 : DEVICE_LN_2);
        }
    }
}

/* True in all waves if it is in any. */
DEVICE bool LOCAL(any_wave)(bool condition) {
    const bool mine = wave_ballot(condition) != 0;
    workgroup_barrier();
    if (lane_again() == 0) LOCAL(flags)[wave_again()] = mine;
    workgroup_barrier();
    bool any = false;
#pragma unroll
    for (int w = 0; w < ATTENTION_WAVES; w++) any |= LOCAL(flags)[w] != 0;
    return any;
}

DEVICE_KERNEL(KERNEL_NAME, ATTENTION_BLOCK_LANES)(attention_arguments by_value) {
    (void)by_value;
    row_view r;
    u32x4 q[K_STEPS];
    TENON_GLOBAL const int32_t *pages;
    int32_t begin, end;
    {
        const attention_arguments *a = arguments_again();
        int32_t where;
        attention_sequence s;
        if (!batch_is_good(a, &where) || !read_sequence(a, (int32_t)block_z(), &s)) return;
        const uint32_t block = block_x() % a->row_blocks, chunk = block_x() / a->row_blocks;
        if (block * ATTENTION_BLOCK_ROWS >= (uint32_t)s.n_tokens * a->group ||
            (chunk >= (uint32_t)s.n_chunks && chunk > 0))
            return;
        r = row_view_of(a, &s, (int32_t)block_z(), block_y(),
                        block * ATTENTION_BLOCK_ROWS + lane_id() % 16);
        const int32_t chunk_begin = s.begin + (int32_t)chunk * s.chunk,
                      chunk_end =
                          s.kv_len - chunk_begin < s.chunk ? s.kv_len : chunk_begin + s.chunk,
                      share = ((s.chunk + ATTENTION_WAVES - 1) / ATTENTION_WAVES + 31) & -32;
        begin = chunk_begin + (int32_t)wave_id() * share;
        end = chunk_end - begin < share ? chunk_end : begin + share;
        pages = s.pages;
        LOCAL(load_queries)(a, &r, q);
    }
    /* Once; or, where a sum is no number, three times more with such values apart. */
#pragma clang loop unroll(disable)
    for (int pass = PASS_ALL; pass < PASSES; pass++) {
        LOCAL(state) state;
        LOCAL(walk)(pages, &r, q, begin, end, pass, &state);
        /* What the walk did not need is read again: through it, it would hold scalar registers. */
        const attention_arguments *a = arguments_again();
        const int32_t b = (int32_t)block_z();
        if (state.bad_page)
            report_fault(a->fault, a->op, TENON_FAULT_PAGE_OUT_OF_RANGE,
                         state.bad_entry +
                             (a->table ? (int64_t)b * a->table_pages : a->page_indptr[b]),
                         state.bad_id, a->pages);
        const bool bad_page = LOCAL(any_wave)(state.bad_page);
        LOCAL(fold)(pass, &state);
        bool strange = false;
#pragma unroll
        for (int c = 0; c < LANE_DIMS; c++)
#pragma unroll
            for (int i = 0; i < 4; i++) strange |= !is_finite(state.sum[c][i]);
        const bool again = LOCAL(any_wave)(wave_again() == 0 && strange && !bad_page);
        if (pass == PASS_ALL && again) continue;
        LOCAL(publish)(&state);
        a = arguments_again();
        attention_sequence s;
        read_sequence(a, b, &s);
        LOCAL(store)(a, &s, b, block_x() % a->row_blocks * ATTENTION_BLOCK_ROWS,
                     block_x() / a->row_blocks, pass, bad_page);
        if (pass == PASS_ALL) return;
    }
}

#undef PASTE
#undef JOIN
#undef LOCAL
#undef K_STEPS
#undef LANE_DIMS
#undef ELEMENT_BYTES
#undef SUBTILES
#undef TILE
#undef SPAN_DIMS
#undef SPANS
#undef KERNEL_NAME
#undef IS_F16
#undef IS_BYTES
