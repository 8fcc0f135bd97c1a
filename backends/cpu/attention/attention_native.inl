/* SPDX-License-Identifier: Apache-2.0 */
/* Tiles in the native cache layout (native_cache.h): already transposed and paired, so that they
 * are multiplied where they lie, or copied without a shuffle. Included by attention_cpu.inl.
 */
enum { GROUP = TENON_NATIVE_GROUP, GROUP_VECTORS = GROUP / V_LANES };

/* Where each group of the tile lies, in the first KV head; groups that nobody sees read zeros:
 * their pages may be gone. */
static void find_groups(const tenon_attention_job *job, const tenon_attention_cache *cache,
                        const tenon_attention_block *block, int32_t tile, int32_t first,
                        int32_t end, const uint8_t *zeros, const uint8_t **groups) {
    for (int32_t g = 0; g < TILE / GROUP; g++) {
        const int64_t j = (int64_t)tile + g * GROUP;
        groups[g] = zeros;
        if (j >= end || j + GROUP <= first) continue;
        const int64_t page = block->sequence->pages[j / job->page_size], slot = j % job->page_size;
        groups[g] =
            cache->data + 2 * tenon_native_group_at(&cache->native, page, block->kv_head, slot);
    }
}

/* Logits of stale positions are hidden later; only their lines must not be missed. */
static void unpack_k_groups(const uint8_t *const *groups, int32_t n_groups, int32_t d_qk,
                            int32_t *k) {
    for (int32_t g = 0; g < n_groups; g++)
        for (int32_t i = 0; i < d_qk / 2; i++) {
            const uint8_t *line = groups[g] + i * 64;
            for (int32_t v = 0; v < GROUP_VECTORS; v++) {
                const vi32 pairs = vi32_load(line + v * V_LANES * 4);
                int32_t *to = k + g * GROUP + v * V_LANES;
#if PACKED_PAIRS
                vi32_store(to + i * TILE, pairs);
#else
                vi32_store(to + 2 * i * TILE, vi32_sll(pairs, 16));
                vi32_store(to + (2 * i + 1) * TILE,
                           vi32_and(pairs, vi32_set1((int32_t)0xffff0000)));
#endif
            }
        }
}

/* Values outside [first, end) of the tile become zeros, since even a weight of 0 would keep a stale
 * NaN. */
static void unpack_v_groups(const uint8_t *const *groups, int32_t first, int32_t end, int32_t d_v,
                            int32_t *v, int32_t stride) {
    for (int32_t t = 0; t < end; t += 2) {
        const int32_t *pairs = (const int32_t *)groups[t / GROUP] + t % GROUP / 2 * d_v;
        const uint32_t even = t >= first ? 0xffffu : 0,
                       odd = t + 1 >= first && t + 1 < end ? 0xffff0000u : 0;
        const vi32 keep_even = vi32_set1((int32_t)even), keep_odd = vi32_set1((int32_t)odd);
        for (int32_t i = 0; i < d_v; i += V_LANES) {
            const vi32 pair = vi32_load(pairs + i);
#if PACKED_PAIRS
            vi32_store(v + t / 2 * stride + i, vi32_and(pair, vi32_or(keep_even, keep_odd)));
#else
            vi32_store(v + t * stride + i, vi32_sll(vi32_and(pair, keep_even), 16));
            vi32_store(v + (t + 1) * stride + i, vi32_and(pair, keep_odd));
#endif
        }
    }
}

/* logits[rows, positions from `vector` on]: a line of a group is one pair of dims of 16 positions.
 */
V_INLINE void dot_group_block(const uint8_t *const *groups, const int32_t *q, int64_t q_stride,
                              int32_t d, float *logits, int32_t vector, ahead_of *ahead,
                              int32_t lines, const int rows) {
    enum { VECTORS = V_LANES == 16 ? 4 : 2 };
    const uint8_t *line[VECTORS];
    vf32 sum[4][VECTORS];
    for (int v = 0; v < VECTORS; v++)
        line[v] = groups[(vector + v) / GROUP_VECTORS] + (vector + v) % GROUP_VECTORS * V_LANES * 4;
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int v = 0; v < VECTORS; v++) sum[r][v] =
        vf32_zero();
    for (int32_t i = 0; i < d / 2; i++) {
        vi32 k[VECTORS];
        if (i % 4 == 0) ask_for(ahead, lines);
        UNROLL for (int v = 0; v < VECTORS; v++) k[v] = vi32_load(line[v] + i * 64);
        UNROLL for (int r = 0; r < rows; r++) {
#if PACKED_PAIRS
            const vi32 x = vi32_set1(q[r * q_stride + i]);
            UNROLL for (int v = 0; v < VECTORS; v++) sum[r][v] = vf32_dot_bf16(sum[r][v], x, k[v]);
#else
            float x[2];
            memcpy(x, q + r * q_stride + 2 * i, sizeof x);
            UNROLL for (int v = 0; v < VECTORS; v++) {
                sum[r][v] =
                    vf32_fma(vf32_set1(x[0]), vf32_from_bits(vi32_sll(k[v], 16)), sum[r][v]);
                sum[r][v] = vf32_fma(vf32_set1(x[1]),
                                     vf32_from_bits(vi32_and(k[v], vi32_set1((int32_t)0xffff0000))),
                                     sum[r][v]);
            }
#endif
        }
    }
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int v = 0; v < VECTORS; v++)
        vf32_store(logits + r * TILE + (vector + v) * V_LANES, sum[r][v]);
}

static void dot_groups(const uint8_t *const *groups, const int32_t *q, int64_t q_stride, int32_t d,
                       int32_t n_rows, float *logits, ahead_of *ahead, int32_t lines) {
    enum { VECTORS = V_LANES == 16 ? 4 : 2 };
    for (; n_rows > 0; n_rows -= 4, q += 4 * q_stride, logits += 4 * TILE)
        for (int32_t v = 0; v < TILE_VECTORS; v += VECTORS)
            if (n_rows >= 4)
                dot_group_block(groups, q, q_stride, d, logits, v, ahead, lines, 4);
            else if (n_rows == 3)
                dot_group_block(groups, q, q_stride, d, logits, v, ahead, lines, 3);
            else if (n_rows == 2)
                dot_group_block(groups, q, q_stride, d, logits, v, ahead, lines, 2);
            else
                dot_group_block(groups, q, q_stride, d, logits, v, ahead, lines, 1);
}

/* out += weights x values, a line being 16 dims of two positions. */
V_INLINE void add_group_block(const uint8_t *const *groups, const int32_t *weights, float *out,
                              int64_t out_stride, int32_t column, int32_t d, ahead_of *ahead,
                              int32_t lines, const int rows, const int vectors) {
    vf32 sum[4][8];
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int c = 0; c < vectors; c++) sum[r][c] =
        vf32_load(out + r * out_stride + column + c * V_LANES);
    for (int32_t t = 0; t < TILE; t += 2) {
        const int32_t *pairs = (const int32_t *)groups[t / GROUP] + t % GROUP / 2 * d + column;
        vi32 pair[8];
        if (t % 8 == 0) ask_for(ahead, lines);
        UNROLL for (int c = 0; c < vectors; c++) pair[c] = vi32_load(pairs + c * V_LANES);
        UNROLL for (int r = 0; r < rows; r++) {
#if PACKED_PAIRS
            const vi32 w = vi32_set1(weights[r * (TILE / 2) + t / 2]);
            UNROLL for (int c = 0; c < vectors; c++) sum[r][c] =
                vf32_dot_bf16(sum[r][c], w, pair[c]);
#else
            float w[2];
            memcpy(w, weights + r * TILE + t, sizeof w);
            UNROLL for (int c = 0; c < vectors; c++) {
                sum[r][c] =
                    vf32_fma(vf32_set1(w[0]), vf32_from_bits(vi32_sll(pair[c], 16)), sum[r][c]);
                sum[r][c] = vf32_fma(
                    vf32_set1(w[1]),
                    vf32_from_bits(vi32_and(pair[c], vi32_set1((int32_t)0xffff0000))), sum[r][c]);
            }
#endif
        }
    }
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int c = 0; c < vectors; c++)
        vf32_store(out + r * out_stride + column + c * V_LANES, sum[r][c]);
}

/* A step of whole blocks, then single vectors: d is a multiple of 16. */
#define ADD_GROUP_ROWS(ROWS, VECTORS)                                                              \
    for (int32_t column = 0; column < d;)                                                          \
        if (d - column >= (VECTORS) * V_LANES) {                                                   \
            add_group_block(groups, weights, out, out_stride, column, d, ahead, lines, ROWS,       \
                            VECTORS);                                                              \
            column += (VECTORS) * V_LANES;                                                         \
        } else {                                                                                   \
            add_group_block(groups, weights, out, out_stride, column, d, ahead, lines, ROWS, 1);   \
            column += V_LANES;                                                                     \
        }

static void add_groups(const uint8_t *const *groups, const int32_t *weights, float *out,
                       int32_t out_stride, int32_t d, int32_t n_rows, ahead_of *ahead,
                       int32_t lines) {
    enum { WEIGHTS_STRIDE = PACKED_PAIRS ? TILE / 2 : TILE };
    for (; n_rows > 0; n_rows -= 4, weights += 4 * WEIGHTS_STRIDE, out += 4 * out_stride) {
        if (n_rows >= 4) {
            ADD_GROUP_ROWS(4, FEW_VECTORS)
        } else if (n_rows == 3) {
            ADD_GROUP_ROWS(3, FEW_VECTORS)
        } else if (n_rows == 2) {
            ADD_GROUP_ROWS(2, MANY_VECTORS)
        } else {
            ADD_GROUP_ROWS(1, MANY_VECTORS)
        }
    }
}
