/* SPDX-License-Identifier: Apache-2.0 */
/* One block: rows of one sequence and KV head against a range of kv positions, by online softmax in
 * base 2. Two ways to share a tile of 64 positions among four warps:
 *
 *     long    warp w has rows 16 w to 16 w + 15 of the block's 64, and all positions of the tile
 *     split   every warp has the same 16 rows; warp w has positions 16 w to 16 w + 15 of the tile,
 *             and the warps meet once, at the end
 *
 * The accumulator of q . k is, packed, the left operand of the product with V: weights stay in
 * registers. ATTENTION_D_QK and ATTENTION_D_V are the largest head dims, multiples of 64;
 * ATTENTION_STAGES tiles are under way at a time,
 * a warp of a long block takes ATTENTION_PART positions of a tile at a time, and
 * ATTENTION_QUERIES_SHARED says where queries wait: large head dims leave few registers. */
#include "attention_edges.inl"
#include "attention_shared_tile.inl"

#if defined(__CUDACC__) && ATTENTION_QUERIES_SHARED
#    define UNROLL_K _Pragma("unroll 2") /* no register is indexed by the step */
#else
#    define UNROLL_K UNROLL
#endif

/* ptxas keeps set_apart in registers with a branch on sm_80, without one on later targets. */
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
enum { SKIPS_NUMBERS = 1 };
#else
enum { SKIPS_NUMBERS = 0 };
#endif

enum {
    K_STEPS = ATTENTION_D_QK / 16,
    V_STEPS = ATTENTION_D_V / 16,
    K_PIECES = ATTENTION_D_QK / 8,
    V_PIECES = ATTENTION_D_V / 8,
    K_BYTES = ATTENTION_TILE * ATTENTION_D_QK * 2,
    MEET_ROW_BYTES = (ATTENTION_D_V + ATTENTION_PARTIAL_HEAD) * 4
};

/* What a thread keeps of its two rows, lane / 4 and lane / 4 + 8 of its warp's 16. Elements 0, 1 of
 * a matrix belong to the first, 2, 3 to the second. */
typedef struct attention_state {
#if !ATTENTION_QUERIES_SHARED
    uint32_t q[K_STEPS][4];
#endif
    float out[V_STEPS * 2][4];
    float max[2], sum[2];
    attention_row row[2];
} attention_state;

SHARED_ARRAY(uint32_t, attention_votes, ATTENTION_BLOCK_LANES / 32);

DEVICE void team_barrier(const bool is_split) {
    if (is_split)
        wave_barrier();
    else
        workgroup_barrier();
}
DEVICE bool any_of_team(bool condition, const bool is_split) {
    if (is_split) return condition;
    workgroup_barrier();
    if (lane_id() == 0) attention_votes[wave_id()] = condition;
    workgroup_barrier();
    return attention_votes[0] | attention_votes[1] | attention_votes[2] | attention_votes[3];
}

/* Queries have the type that is multiplied. With large head dims they wait in shared memory, behind
 * the tiles: each warp's 16 rows in the order of a tile. */
DEVICE void load_queries(const attention_arguments *a, const attention_record *r, int32_t head,
                         attention_state *s, shared_address queries) {
    UNROLL for (int half = 0; half < 2; half++) {
        const int32_t row = s->row[half].row;
        const tenon_device_const_bytes q =
            a->q + (((int64_t)r->first_row + s->row[half].token) * a->q_token +
                    (row < 0 ? 0 : attention_head_of(a, head, row)) * a->q_head) *
                       2;
        UNROLL for (int step = 0; step < K_STEPS; step++) UNROLL for (int j = 0; j < 2; j++) {
            const int32_t d = step * 16 + j * 8 + (int32_t)(lane_id() % 4) * 2;
            uint32_t pair = 0;
            if (row >= 0 && d < a->k.d) /* head dims are even */
                pair = load_2(q + d * 2) | (uint32_t)load_2(q + d * 2 + 2) << 16;
#if ATTENTION_QUERIES_SHARED
            store_shared_4(piece_at(queries, wave_id() * 16 + lane_id() / 4 + (uint32_t)half * 8,
                                    (uint32_t)(step * 2 + j), K_PIECES) +
                               lane_id() % 4 * 4,
                           pair);
#else
            (void)queries;
            s->q[step][half + j * 2] = pair;
#endif
        }
    }
    if (ATTENTION_QUERIES_SHARED) wave_barrier();
}

/* Values that are no numbers would reach, times a weight of 0, rows that do not see them: they are
 * taken out of the tile, and added to the rows that do. Only tiles with masks need it. */
DEVICE void set_apart(attention_state *s, shared_address tile, const uint64_t *visible,
                      const bool bf16, const bool is_split) {
    const uint32_t exponent = bf16 ? 0x7f80 : 0x7c00;
    if (!any_of_team(has_no_number(tile, V_PIECES, exponent), is_split)) return;
    const uint32_t first = is_split ? wave_id() * 16 : 0,
                   last = is_split ? first + 16 : ATTENTION_TILE;
    for (uint32_t t = first; t < last; t++) {
        const bool sees[2] = {(visible[0] >> t & 1) != 0, (visible[1] >> t & 1) != 0};
        UNROLL for (int n = 0; n < V_STEPS * 2; n++) {
            const uint32_t pair =
                load_shared_4(piece_at(tile, t, (uint32_t)n, V_PIECES) + lane_id() % 4 * 4);
            UNROLL for (int c = 0; c < 2; c++) {
                const uint32_t code = pair >> c * 16;
                const bool bad = (code & exponent) == exponent, nan = code & (0x7fffu ^ exponent);
                const float x =
                    float_of((code & 0x8000u) << 16 | (nan ? 0x7fc00000u : 0x7f800000u));
                if (SKIPS_NUMBERS && !bad) continue;
                UNROLL for (int half = 0; half < 2; half++) s->out[n][half * 2 + c] +=
                    bad && sees[half] ? x : 0;
            }
        }
    }
    team_barrier(is_split);
    drop_no_numbers(tile, V_PIECES, exponent);
    team_barrier(is_split);
}

/* This warp's rows against positions `first` of one tile and on: 16, or ATTENTION_PART. */
DEVICE void attend_tile(const attention_arguments *a, const attention_record *r, attention_state *s,
                        shared_address k_tile, shared_address v_tile, shared_address queries,
                        int32_t tile_begin, uint32_t first, int32_t end, float scale, bool masked,
                        const bool bf16, const bool v_bf16, const bool is_split) {
    const uint32_t lane = lane_id();
    enum { PAIRS_MOST = ATTENTION_PART / 16 };
    const int n_pairs = is_split ? 1 : PAIRS_MOST; /* of matrices of 8 positions */
    float x[PAIRS_MOST * 2][4];
    UNROLL for (int i = 0; i < n_pairs * 2; i++) UNROLL for (int j = 0; j < 4; j++) x[i][j] = 0;
    UNROLL_K for (int step = 0; step < K_STEPS; step++) {
#if ATTENTION_QUERIES_SHARED
        uint32_t q[4];
        load_matrix_4(q, piece_at(queries, wave_id() * 16 + lane % 16,
                                  (uint32_t)step * 2 + lane / 16, K_PIECES));
#else
        const uint32_t *q = s->q[step];
        (void)queries;
#endif
        UNROLL for (int i = 0; i < n_pairs; i++) {
            uint32_t b[4];
            load_matrix_4(b, piece_at(k_tile, first + (uint32_t)i * 16 + lane / 16 * 8 + lane % 8,
                                      (uint32_t)step * 2 + lane / 8 % 2, K_PIECES));
            matrix_16(x[i * 2], q, b, bf16);
            matrix_16(x[i * 2 + 1], q, b + 2, bf16);
        }
    }

    const bool changes_logits = a->softcap > 0 || a->slopes;
    float max[2] = {s->max[0], s->max[1]}, shift[2];
    uint64_t visible[2];
    UNROLL for (int half = 0; half < 2; half++) visible[half] =
        masked ? attention_visible(a, r, &s->row[half], tile_begin, end) : ~UINT64_C(0);
    UNROLL for (int i = 0; i < n_pairs * 2; i++) UNROLL for (int j = 0; j < 4; j++) {
        const uint32_t place = first + (uint32_t)i * 8 + lane % 4 * 2 + (uint32_t)j % 2;
        float y = x[i][j] * scale;
        if (changes_logits)
            y = attention_logit(a, r, &s->row[j / 2], y, tile_begin + (int32_t)place);
        if (!(visible[j / 2] >> place & 1)) y = -DEVICE_INFINITY;
        x[i][j] = y;
        max[j / 2] = larger_f32(max[j / 2], y);
    }
    UNROLL for (int half = 0; half < 2; half++) {
        max[half] = larger_f32(max[half], float_of(group_swap(bits_of(max[half]), 1, 32)));
        max[half] = larger_f32(max[half], float_of(group_swap(bits_of(max[half]), 2, 32)));
        shift[half] = max[half] == -DEVICE_INFINITY ? 0 : max[half];
        const float factor = exp2_approx(s->max[half] - shift[half]);
        s->max[half] = max[half];
        s->sum[half] *= factor;
        UNROLL for (int n = 0; n < V_STEPS * 2; n++) {
            s->out[n][half * 2] *= factor;
            s->out[n][half * 2 + 1] *= factor;
        }
    }
    UNROLL for (int i = 0; i < n_pairs * 2; i++) UNROLL for (int j = 0; j < 4; j++) {
        x[i][j] = exp2_approx(x[i][j] - shift[j / 2]);
        s->sum[j / 2] += x[i][j];
    }
    if (masked && (is_split || first == 0)) set_apart(s, v_tile, visible, v_bf16, is_split);
    UNROLL for (int i = 0; i < n_pairs; i++) {
        const uint32_t p[4] = {pair_of_f32(x[i * 2][0], x[i * 2][1], v_bf16),
                               pair_of_f32(x[i * 2][2], x[i * 2][3], v_bf16),
                               pair_of_f32(x[i * 2 + 1][0], x[i * 2 + 1][1], v_bf16),
                               pair_of_f32(x[i * 2 + 1][2], x[i * 2 + 1][3], v_bf16)};
        UNROLL for (int step = 0; step < V_STEPS; step++) {
            uint32_t b[4];
            load_matrix_4_transposed(b, piece_at(v_tile, first + (uint32_t)i * 16 + lane % 16,
                                                 (uint32_t)step * 2 + lane / 16, V_PIECES));
            matrix_16(s->out[step * 2], p, b, v_bf16);
            matrix_16(s->out[step * 2 + 1], p, b + 2, v_bf16);
        }
    }
}

/* The four warps' states of a split block become one: rows of maximum, sum, 2 unused, numerators.
 */
DEVICE void meet(attention_state *s, shared_address shared) {
    const uint32_t lane = lane_id();
    workgroup_barrier();
    UNROLL for (int half = 0; half < 2; half++) {
        const shared_address to =
            shared + (wave_id() * 16 + lane / 4 + (uint32_t)half * 8) * MEET_ROW_BYTES;
        if (lane % 4 == 0) {
            store_shared_4(to, bits_of(s->max[half]));
            store_shared_4(to + 4, bits_of(s->sum[half]));
        }
        UNROLL for (int n = 0; n < V_STEPS * 2; n++) {
            const u32x2 pair = {bits_of(s->out[n][half * 2]), bits_of(s->out[n][half * 2 + 1])};
            store_shared_8(to + ATTENTION_PARTIAL_HEAD * 4 + ((uint32_t)n * 8 + lane % 4 * 2) * 4,
                           pair);
        }
    }
    workgroup_barrier();
    if (wave_id()) return;
    UNROLL for (int half = 0; half < 2; half++) {
        const shared_address from = shared + (lane / 4 + (uint32_t)half * 8) * MEET_ROW_BYTES;
        float max = -DEVICE_INFINITY, sum = 0;
        for (uint32_t w = 0; w < 4; w++)
            max = larger_f32(max, float_of(load_shared_4(from + w * 16 * MEET_ROW_BYTES)));
        UNROLL for (int n = 0; n < V_STEPS * 2; n++) s->out[n][half * 2] = s->out[n][half * 2 + 1] =
            0;
        for (uint32_t w = 0; w < 4; w++) {
            const shared_address warp = from + w * 16 * MEET_ROW_BYTES;
            const float warp_sum = float_of(load_shared_4(warp + 4)),
                        weight = exp2_approx(float_of(load_shared_4(warp)) -
                                             (max == -DEVICE_INFINITY ? 0 : max));
            if (warp_sum == 0) continue;
            sum = fma_f32(weight, warp_sum, sum);
            UNROLL for (int n = 0; n < V_STEPS * 2; n++) {
                const u32x2 pair = load_shared_8(warp + ATTENTION_PARTIAL_HEAD * 4 +
                                                 ((uint32_t)n * 8 + lane % 4 * 2) * 4);
                s->out[n][half * 2] = fma_f32(weight, float_of(pair[0]), s->out[n][half * 2]);
                s->out[n][half * 2 + 1] =
                    fma_f32(weight, float_of(pair[1]), s->out[n][half * 2 + 1]);
            }
        }
        s->max[half] = max, s->sum[half] = sum;
    }
}

/* One of a thread's rows, times a factor; `number` is a constant. */
DEVICE void store_row(const attention_state *s, const int half, float factor, int32_t d_v,
                      tenon_device_bytes to, const uint32_t number) {
    UNROLL for (int n = 0; n < V_STEPS * 2; n++) {
        const int32_t d = n * 8 + (int32_t)(lane_id() % 4) * 2; /* head dims are even */
        if (d >= d_v) continue;
        const float x = s->out[n][half * 2] * factor, y = s->out[n][half * 2 + 1] * factor;
        if (number == TENON_NUMBER_F32) {
            store_4(to + d * 4, bits_of(x));
            store_4(to + d * 4 + 4, bits_of(y));
        } else {
            const uint32_t pair = pair_of_f32(x, y, number == TENON_NUMBER_BF16);
            store_2(to + d * 2, (uint16_t)pair);
            store_2(to + d * 2 + 2, (uint16_t)(pair >> 16));
        }
    }
}

DEVICE void store_rows(const attention_arguments *a, const attention_record *r, int32_t head,
                       attention_state *s, float *partial) {
    UNROLL for (int half = 0; half < 2; half++) {
        const int32_t row = s->row[half].row;
        const bool stores = lane_id() % 4 == 0;
        if (row < 0) continue;
        const int64_t base = attention_out_of(a, r, head, row);
        float *p = partial + (int64_t)row * a->partial_row;
        float factor = 1;
        if (!partial)
            factor = attention_finish(a, r, head, row, s->max[half], s->sum[half], stores);
        else if (stores)
            p[0] = s->max[half], p[1] = s->sum[half];
        if (partial)
            store_row(s, half, 1, a->v.d, (tenon_device_bytes)(p + ATTENTION_PARTIAL_HEAD),
                      TENON_NUMBER_F32);
        else if (a->out_number == TENON_NUMBER_F32)
            store_row(s, half, factor, a->v.d, a->out + base * 4, TENON_NUMBER_F32);
        else if (a->out_number == TENON_NUMBER_BF16)
            store_row(s, half, factor, a->v.d, a->out + base * 2, TENON_NUMBER_BF16);
        else
            store_row(s, half, factor, a->v.d, a->out + base * 2, TENON_NUMBER_F16);
    }
}

/* partial: where numerators go, or NULL: what is stored are results. */
DEVICE void attend_block(const attention_arguments *a, const attention_record *r, int32_t sequence,
                         int32_t head, int32_t first_row, int32_t from, int32_t to, float *partial,
                         const bool bf16, const bool is_fp8, const bool is_split) {
    const uint32_t lane = lane_id();
    const int32_t block_rows = is_split ? 16 : ATTENTION_BLOCK_ROWS,
                  last_row = least_i32(first_row + block_rows, r->n_rows * a->group) - 1;
    const attention_bounds bounds =
        attention_bounds_of(a, r, first_row / a->group, last_row / a->group, from, to);
    attention_state s;
    UNROLL for (int half = 0; half < 2; half++) {
        s.row[half] = attention_row_of(a, r, sequence, head,
                                       first_row + (is_split ? 0 : (int32_t)wave_id() * 16) +
                                           (int32_t)(lane / 4) + half * 8);
        s.max[half] = -DEVICE_INFINITY, s.sum[half] = 0;
    }
    UNROLL for (int n = 0; n < V_STEPS * 2; n++) UNROLL for (int j = 0; j < 4; j++) s.out[n][j] = 0;

    const shared_address shared = shared_address_of(dynamic_shared());
    const uint32_t k_bytes = is_fp8 ? K_BYTES / 2 : K_BYTES,
                   stage_bytes =
                       (ATTENTION_D_QK + ATTENTION_D_V) * ATTENTION_TILE * (is_fp8 ? 1 : 2);
    const uint32_t n_stages = ATTENTION_STAGES;
    /* An fp8 value is an f16, and weights are more exact in it. */
    const bool v_bf16 = bf16 && !is_fp8;
    const shared_address wide = shared + n_stages * stage_bytes; /* of fp8 */
    const shared_address queries = is_fp8 ? wide + stage_bytes * 2 : wide;
    load_queries(a, r, head, &s, queries);
    const float scale = attention_scale_of(a, sequence, head);
    const int32_t start = bounds.begin / ATTENTION_TILE * ATTENTION_TILE;
    int32_t asked = start; /* the next tile to be asked for */
    uint32_t stage = 0;
    for (int32_t tile = start; tile < bounds.end; tile += ATTENTION_TILE) {
        while (asked < bounds.end && asked < tile + (int32_t)n_stages * ATTENTION_TILE) {
            const shared_address k =
                shared + (uint32_t)((asked - start) / ATTENTION_TILE) % n_stages * stage_bytes;
            const attention_place place = attention_find(
                a, r, asked + (int32_t)(wave_id() * 16 + lane % 16), bounds.begin, bounds.end);
            copy_rows(&a->k, &place, head, k, ATTENTION_D_QK, is_fp8);
            copy_rows(&a->v, &place, head, k + k_bytes, ATTENTION_D_V, is_fp8);
            copy_commit();
            asked += ATTENTION_TILE;
        }
        if (asked > tile + ATTENTION_TILE)
            copy_wait(1);
        else
            copy_wait(0);
        shared_address k_tile = shared + stage * stage_bytes, v_tile = k_tile + k_bytes;
        if (is_fp8) {
            wave_barrier();
            widen_rows(a->kv_number, k_tile, wide, ATTENTION_D_QK, bf16);
            widen_rows(a->kv_number, v_tile, wide + K_BYTES, ATTENTION_D_V, v_bf16);
            k_tile = wide, v_tile = wide + K_BYTES;
        }
        team_barrier(is_split);
        const bool masked = tile < bounds.all_begin || tile > bounds.all_end - ATTENTION_TILE;
        const uint32_t part = is_split ? wave_id() * 16 : 0,
                       part_end = is_split ? part + 1 : ATTENTION_TILE;
        for (uint32_t first = part; first < part_end; first += ATTENTION_PART)
            attend_tile(a, r, &s, k_tile, v_tile, queries, tile, first, bounds.end, scale, masked,
                        bf16, v_bf16, is_split);
        team_barrier(is_split);
        stage = n_stages == 2 ? stage ^ 1 : 0;
    }
    UNROLL for (int half = 0; half < 2; half++) {
        s.sum[half] += float_of(group_swap(bits_of(s.sum[half]), 1, 32));
        s.sum[half] += float_of(group_swap(bits_of(s.sum[half]), 2, 32));
    }
    if (is_split) {
        meet(&s, shared);
        if (wave_id()) return;
    }
    store_rows(a, r, head, &s, partial);
}

/* Block x: of the sequences' blocks of 64 rows, the x-th. Each warp finds it for itself. */
DEVICE void attention_long(const attention_arguments *a, const bool bf16, const bool is_fp8) {
    int32_t index = (int32_t)block_x(), sequence = -1;
    for (int32_t b = 0; b < a->n_sequences && sequence < 0; b += WAVE_LANES) {
        const int32_t own = b + (int32_t)lane_id();
        int32_t blocks = 0;
        if (own < a->n_sequences) {
            const attention_record *r = &a->record[own];
            if (!attention_is_short(a, r))
                blocks = (r->n_rows * a->group + ATTENTION_BLOCK_ROWS - 1) / ATTENTION_BLOCK_ROWS;
        }
        int32_t end = blocks;
        for (uint32_t step = 1; step < WAVE_LANES; step *= 2) {
            const int32_t below =
                (int32_t)wave_read_lane((uint32_t)end, (lane_id() - step) % WAVE_LANES);
            if (lane_id() >= step) end += below;
        }
        const uint32_t lanes = (uint32_t)wave_ballot(index < end);
        const uint32_t found = lanes ? count_bits((lanes & (0u - lanes)) - 1) : WAVE_LANES - 1;
        if (lanes) {
            sequence = b + (int32_t)found;
            end -= blocks;
        }
        index -= (int32_t)wave_read_lane((uint32_t)end, found);
    }
    if (sequence < 0) return;
    const attention_record r = a->record[sequence];
    /* The last blocks of a causal sequence see most: they begin first. */
    const int32_t n = (r.n_rows * a->group + ATTENTION_BLOCK_ROWS - 1) / ATTENTION_BLOCK_ROWS;
    attend_block(a, &r, sequence, (int32_t)block_y(), (n - 1 - index) * ATTENTION_BLOCK_ROWS,
                 r.visible_begin, r.kv_len, NULL, bf16, is_fp8, false);
}

/* Blocks x: splits of 16 rows, then of the next 16; y: KV heads; z: sequences. */
DEVICE void attention_short(const attention_arguments *a, const bool bf16, const bool is_fp8) {
    const int32_t sequence = (int32_t)block_z(), head = (int32_t)block_y(),
                  split = (int32_t)block_x() % a->n_splits,
                  first_row = (int32_t)block_x() / a->n_splits * 16;
    const attention_record r = a->record[sequence];
    if (!attention_is_short(a, &r) || first_row >= r.n_rows * a->group) return;
    const attention_splits splits = attention_splits_of(&r);
    if (split >= splits.count) return;
    const int64_t begin = splits.begin + (int64_t)split * splits.chunk, end = begin + splits.chunk;
    attend_block(a, &r, sequence, head, first_row, most_i32((int32_t)begin, r.visible_begin),
                 end < r.kv_len ? (int32_t)end : r.kv_len,
                 splits.count > 1 ? attention_partial_of(a, sequence, head, split) : NULL, bf16,
                 is_fp8, true);
}

#define ATTENTION_KERNEL(name, call)                                                               \
    DEVICE_KERNEL(name, ATTENTION_BLOCK_LANES)(DEVICE_ARGUMENT attention_arguments a) {            \
        call;                                                                                      \
    }
#define ATTENTION_KERNELS(dims)                                                                    \
    ATTENTION_KERNEL(attention_check_##dims, attention_check(&a))                                  \
    ATTENTION_KERNEL(attention_merge_##dims, attention_merge(&a))                                  \
    ATTENTION_KERNEL(attention_long_bf16_##dims, attention_long(&a, true, false))                  \
    ATTENTION_KERNEL(attention_long_f16_##dims, attention_long(&a, false, false))                  \
    ATTENTION_KERNEL(attention_long_fp8_##dims, attention_long(&a, true, true))                    \
    ATTENTION_KERNEL(attention_short_bf16_##dims, attention_short(&a, true, false))                \
    ATTENTION_KERNEL(attention_short_f16_##dims, attention_short(&a, false, false))                \
    ATTENTION_KERNEL(attention_short_fp8_##dims, attention_short(&a, true, true))
