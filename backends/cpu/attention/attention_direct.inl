/* SPDX-License-Identifier: Apache-2.0 */
/* Short sequences: few rows, so that nothing is worth packing. Keys and values are multiplied where
 * they lie, all KV heads of a tile together: a page is walked once, in the order of memory.
 * Included by attention_cpu.inl.
 *
 *     logits   tokens x rows accumulators over d, added across at the end     (strided)
 *              rows x 64 positions, one line of 16 positions at a time        (native)
 *     values   rows x columns accumulators over the positions; bf16 pairs two positions by a zip
 */

/* Elements that one register of keys or queries holds. */
enum { DOT_STEP = PACKED_PAIRS ? 2 * V_LANES : V_LANES };

/* Lines of memory, asked for in its order while others are worked on: pages are beyond what the
 * hardware foresees. */
typedef struct walk {
    const uint8_t *const *rows;
    const uint8_t *zeros;
    int64_t head_stride;
    int32_t n_rows, n_heads, row_bytes;
    bool heads_inner;
    int32_t row, head, left; /* left: lines of the row */
    const uint8_t *at;
} walk;

static walk walk_of(const tenon_attention_cache *cache, bool native, const uint8_t *const *rows,
                    int32_t n_rows, int32_t n_heads, const uint8_t *zeros) {
    walk w = {.rows = rows,
              .zeros = zeros,
              .head_stride = cache->stride[2],
              .n_rows = n_rows,
              .n_heads = n_heads,
              .row_bytes = cache->row_bytes,
              .heads_inner = !native && cache->stride[2] < cache->stride[1]};
    if (w.heads_inner && w.head_stride == w.row_bytes) w.row_bytes *= n_heads, w.n_heads = 1;
    w.left = w.n_rows ? (w.row_bytes + 63) / 64 : 0;
    w.at = w.n_rows ? rows[0] : NULL;
    return w;
}

static void next_row(walk *w) {
    if (w->heads_inner) {
        if (++w->head == w->n_heads) w->head = 0, w->row++;
        if (w->row == w->n_rows) return;
    } else {
        if (++w->row == w->n_rows) w->row = 0, w->head++;
        if (w->head == w->n_heads) {
            w->row = w->n_rows;
            return;
        }
    }
    w->at = w->rows[w->row];
    if (w->at != w->zeros) w->at += w->head * w->head_stride;
    w->left = (w->row_bytes + 63) / 64;
}

/* What is asked for next: the rest of one walk, then another. */
typedef struct ahead_of {
    walk now, then;
} ahead_of;

/* A few lines at a time: as many as are worked on meanwhile. */
V_INLINE void ask_for(ahead_of *ahead, int32_t n_lines) {
    while (n_lines > 0) {
        walk *w = &ahead->now;
        if (w->left == 0) {
            if (ahead->then.left == 0) return;
            ahead->now = ahead->then;
            ahead->then.left = 0;
        }
        const int32_t n = n_lines < w->left ? n_lines : w->left;
        const uint8_t *at = w->at;
        for (int32_t i = 0; i < n; i++) v_prefetch(at + 64 * i);
        w->at = at + 64 * n;
        w->left -= n, n_lines -= n;
        if (w->left == 0) next_row(w);
    }
}

static int32_t lines_of(const walk *w) {
    return w->n_rows * w->n_heads * ((w->row_bytes + 63) / 64);
}

/* ---- logits, strided ---- */

V_INLINE vi32 load_step(const uint8_t *p, const tenon_number type) {
#if PACKED_PAIRS
    (void)type;
    return vi32_load(p);
#else
    return vi32_from_bits(load_any(p, type));
#endif
}

V_INLINE vi32 load_step_n(const uint8_t *p, int n, const tenon_number type) {
#if PACKED_PAIRS
    (void)type;
    return vi32_load_n(p, n / 2);
#else
    return vi32_from_bits(load_any_n(p, n, type));
#endif
}

V_INLINE vf32 step_multiply_add(vf32 c, vi32 a, vi32 b) {
#if PACKED_PAIRS
    return vf32_dot_bf16(c, a, b);
#else
    return vf32_fma(vf32_from_bits(a), vf32_from_bits(b), c);
#endif
}

/* tokens, rows and type are constants where this is inlined; tokens * rows <= V_LANES. */
V_INLINE void dot_block(const uint8_t *const *keys, const int32_t *q, int64_t q_stride, int32_t d,
                        float *logits, ahead_of *ahead, int32_t lines, const tenon_number type,
                        const int tokens, const int rows) {
    const int32_t bytes = type == TENON_NUMBER_F32 ? 4 : 2;
    vf32 sum[V_LANES];
    float sums[V_LANES];
    ask_for(ahead, lines);
    UNROLL16 for (int i = 0; i < V_LANES; i++) sum[i] = vf32_zero();
    int64_t i = 0;
    for (; i + DOT_STEP <= d; i += DOT_STEP) {
        vi32 k[V_LANES];
        UNROLL16 for (int t = 0; t < tokens; t++) k[t] = load_step(keys[t] + i * bytes, type);
        UNROLL for (int r = 0; r < rows; r++) {
            const vi32 x = vi32_load(q + r * q_stride + i / (PACKED_PAIRS + 1));
            UNROLL16 for (int t = 0; t < tokens; t++) sum[r * tokens + t] =
                step_multiply_add(sum[r * tokens + t], x, k[t]);
        }
    }
    if (i < d) UNROLL16 for (int t = 0; t < tokens; t++) {
            const vi32 k = load_step_n(keys[t] + i * bytes, (int)(d - i), type);
            UNROLL for (int r = 0; r < rows; r++) sum[r * tokens + t] = step_multiply_add(
                sum[r * tokens + t], vi32_load(q + r * q_stride + i / (PACKED_PAIRS + 1)), k);
        }
    vf32_store(sums, vf32_add_across(sum));
    UNROLL for (int r = 0; r < rows; r++)
        memcpy(logits + r * TILE, sums + r * tokens, (size_t)tokens * sizeof(float));
}

/* Positions of a block: with its rows they fill V_LANES sums. */
static int32_t positions_of_block(int32_t n_rows) {
    return n_rows > 2 ? V_LANES / 4 : n_rows == 2 ? V_LANES / 2 : V_LANES;
}

/* That many positions and all rows of one KV head. */
V_INLINE void dot_positions(const uint8_t *const *keys, const int32_t *q, int64_t q_stride,
                            int32_t d, int32_t n_rows, float *logits, ahead_of *ahead,
                            int32_t lines, const tenon_number type) {
    enum { FEW = V_LANES / 4 };
    if (n_rows == 1) {
        dot_block(keys, q, q_stride, d, logits, ahead, lines, type, V_LANES, 1);
        return;
    }
    if (n_rows == 2) {
        dot_block(keys, q, q_stride, d, logits, ahead, lines, type, 2 * FEW, 2);
        return;
    }
    for (; n_rows >= 4; n_rows -= 4, q += 4 * q_stride, logits += 4 * TILE)
        dot_block(keys, q, q_stride, d, logits, ahead, lines, type, FEW, 4);
    if (n_rows == 3)
        dot_block(keys, q, q_stride, d, logits, ahead, lines, type, FEW, 3);
    else if (n_rows == 2)
        dot_block(keys, q, q_stride, d, logits, ahead, lines, type, FEW, 2);
    else if (n_rows == 1)
        dot_block(keys, q, q_stride, d, logits, ahead, lines, type, FEW, 1);
}

static void dot_any(const uint8_t *const *keys, const int32_t *q, int64_t q_stride, int32_t d,
                    int32_t n_rows, float *logits, ahead_of *ahead, int32_t lines,
                    tenon_number type) {
    if (PACKED_PAIRS || type == TENON_NUMBER_BF16)
        dot_positions(keys, q, q_stride, d, n_rows, logits, ahead, lines, TENON_NUMBER_BF16);
    else if (type == TENON_NUMBER_F16)
        dot_positions(keys, q, q_stride, d, n_rows, logits, ahead, lines, TENON_NUMBER_F16);
    else
        dot_positions(keys, q, q_stride, d, n_rows, logits, ahead, lines, TENON_NUMBER_F32);
}

/* ---- values, strided ---- */

/* out[rows, columns] += weights[rows, positions] x values[positions, columns], columns from the
 * first of `values` on; vectors (even for pairs) and rows are constants. */
V_INLINE void add_block(const uint8_t *const *values, int32_t n_positions, const int32_t *weights,
                        float *out, int64_t out_stride, int32_t column, int32_t d, ahead_of *ahead,
                        int32_t lines, const tenon_number type, const int rows, const int vectors) {
    const int32_t bytes = type == TENON_NUMBER_F32 ? 4 : 2;
    const bool whole = column + vectors * V_LANES <= d;
    vf32 sum[4][8];
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int c = 0; c < vectors; c++) sum[r][c] =
        vf32_load(out + r * out_stride + column + c * V_LANES);
#if PACKED_PAIRS
    for (int32_t t = 0; t < n_positions; t += 2) {
        vi32 pair[8];
        if (t % 8 == 0) ask_for(ahead, lines);
        UNROLL for (int c = 0; c < vectors; c += 2) {
            const int32_t at = (column + c * V_LANES) * bytes;
            const int left = d - column - c * V_LANES;
            if (whole)
                vi32_zip16(vi32_load(values[t] + at), vi32_load(values[t + 1] + at), &pair[c]);
            else if (left > 0)
                vi32_zip16(vi32_load_n(values[t] + at, left < 2 * V_LANES ? left / 2 : V_LANES),
                           vi32_load_n(values[t + 1] + at, left < 2 * V_LANES ? left / 2 : V_LANES),
                           &pair[c]);
            else
                pair[c] = pair[c + 1] = vi32_zero();
        }
        UNROLL for (int r = 0; r < rows; r++) {
            const vi32 w = vi32_set1(weights[r * (TILE / 2) + t / 2]);
            UNROLL for (int c = 0; c < vectors; c++) sum[r][c] =
                vf32_dot_bf16(sum[r][c], w, pair[c]);
        }
    }
#else
    for (int32_t t = 0; t < n_positions; t++) {
        vf32 v[8];
        if (t % 8 == 0) ask_for(ahead, lines);
        UNROLL for (int c = 0; c < vectors; c++) {
            const uint8_t *at = values[t] + (column + c * V_LANES) * bytes;
            const int left = d - column - c * V_LANES;
            v[c] = whole      ? load_any(at, type)
                   : left > 0 ? load_any_n(at, left < V_LANES ? left : V_LANES, type)
                              : vf32_zero();
        }
        UNROLL for (int r = 0; r < rows; r++) {
            float x;
            memcpy(&x, weights + r * TILE + t, 4);
            const vf32 w = vf32_set1(x);
            UNROLL for (int c = 0; c < vectors; c++) sum[r][c] = vf32_fma(w, v[c], sum[r][c]);
        }
    }
#endif
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int c = 0; c < vectors; c++)
        vf32_store(out + r * out_stride + column + c * V_LANES, sum[r][c]);
}

/* Vectors of a block: 4 rows fill the registers with 16 (AVX2: 8) sums. */
enum { FEW_VECTORS = V_LANES == 16 ? 4 : 2, MANY_VECTORS = 2 * FEW_VECTORS };

/* All rows over the same columns: what they read stays in the first-level cache. */
V_INLINE void add_columns(const uint8_t *const *values, int32_t n_positions, const int32_t *weights,
                          float *out, int32_t out_stride, int32_t column, int32_t d, int32_t n_rows,
                          ahead_of *ahead, int32_t lines, const tenon_number type,
                          const int vectors) {
    enum { WEIGHTS_STRIDE = PACKED_PAIRS ? TILE / 2 : TILE };
    for (; n_rows >= 4; n_rows -= 4, weights += 4 * WEIGHTS_STRIDE, out += 4 * out_stride)
        add_block(values, n_positions, weights, out, out_stride, column, d, ahead, lines, type, 4,
                  vectors);
    if (n_rows == 3)
        add_block(values, n_positions, weights, out, out_stride, column, d, ahead, lines, type, 3,
                  vectors);
    else if (n_rows == 2)
        add_block(values, n_positions, weights, out, out_stride, column, d, ahead, lines, type, 2,
                  vectors);
    else if (n_rows == 1)
        add_block(values, n_positions, weights, out, out_stride, column, d, ahead, lines, type, 1,
                  vectors);
}

V_INLINE void add_rows(const uint8_t *const *values, int32_t n_positions, const int32_t *weights,
                       float *out, int32_t out_stride, int32_t d, int32_t n_rows, ahead_of *ahead,
                       int32_t lines, const tenon_number type) {
    int32_t column = 0;
    if (n_rows <= 2) {
        for (; out_stride - column >= MANY_VECTORS * V_LANES; column += MANY_VECTORS * V_LANES)
            if (n_rows == 2)
                add_block(values, n_positions, weights, out, out_stride, column, d, ahead, lines,
                          type, 2, MANY_VECTORS);
            else
                add_block(values, n_positions, weights, out, out_stride, column, d, ahead, lines,
                          type, 1, MANY_VECTORS);
    }
    for (; out_stride - column >= FEW_VECTORS * V_LANES; column += FEW_VECTORS * V_LANES)
        add_columns(values, n_positions, weights, out, out_stride, column, d, n_rows, ahead, lines,
                    type, FEW_VECTORS);
    if (FEW_VECTORS > 2 && column < out_stride)
        add_columns(values, n_positions, weights, out, out_stride, column, d, n_rows, ahead, lines,
                    type, 2);
}

static void add_any(const uint8_t *const *values, int32_t n_positions, const int32_t *weights,
                    float *out, int32_t out_stride, int32_t d, int32_t n_rows, ahead_of *ahead,
                    int32_t lines, tenon_number type) {
    if (PACKED_PAIRS || type == TENON_NUMBER_BF16)
        add_rows(values, n_positions, weights, out, out_stride, d, n_rows, ahead, lines,
                 TENON_NUMBER_BF16);
    else if (type == TENON_NUMBER_F16)
        add_rows(values, n_positions, weights, out, out_stride, d, n_rows, ahead, lines,
                 TENON_NUMBER_F16);
    else
        add_rows(values, n_positions, weights, out, out_stride, d, n_rows, ahead, lines,
                 TENON_NUMBER_F32);
}
