/* SPDX-License-Identifier: Apache-2.0 */
/* Short sequences over a cache of fp8 or int8 codes: the codes become pairs of bf16 in registers, a
 * few instructions for 64 of them, and are multiplied there. With more rows than a few that is done
 * too often, and rows are staged instead. Included by attention_cpu.inl.
 *
 * Unpacking leaves elements out of order, the same way every time: queries are brought to that
 * order when they are loaded, and sums of values back to order at the end.
 */
enum { CODES = 64 };

#ifdef V_HAS_WORDS_OF_BYTES
enum { CODES_ROWS_MAX = 8, CODE_VECTORS = CODES / V_LANES };

static bool multiplies_codes(const tenon_attention_cache *cache,
                             const tenon_attention_block *block) {
    return cache->words && block->sequence->short_rows && block->n_rows <= CODES_ROWS_MAX;
}

/* The elements of a query as vi32_words_of_bytes leaves those of a key. */
static void order_as_codes(int32_t *q, int32_t n) {
    for (int32_t i = 0; i < n; i += CODES / 2) {
        vf32 x[2] = {vf32_from_bits(vi32_load(q + i)), vf32_from_bits(vi32_load(q + i + V_LANES))};
        vf32_zip_order(x);
        vi32_store(q + i, vi32_from_bits(x[0]));
        vi32_store(q + i + V_LANES, vi32_from_bits(x[1]));
    }
}

static void restore_order_of_codes(float *out, int64_t n) {
    for (int64_t i = 0; i < n; i += CODES) {
        vf32 x[CODE_VECTORS];
        UNROLL for (int v = 0; v < CODE_VECTORS; v++) x[v] = vf32_load(out + i + v * V_LANES);
        vf32_zip8_order_back(x);
        UNROLL for (int v = 0; v < CODE_VECTORS; v++) vf32_store(out + i + v * V_LANES, x[v]);
    }
}

/* Four lines or so in every step of a product, a part of a row that is the same every time: many at
 * once stop what is worked on, and so does a branch that is foreseen badly. */
V_INLINE void ask_for_few(ahead_of *ahead, int32_t n_lines) {
    walk *w = &ahead->now;
    if (w->left <= 0 || n_lines > w->left) {
        ask_for(ahead, n_lines);
        return;
    }
    const uint8_t *at = w->at;
    w->at = at + 64 * (int64_t)n_lines;
    w->left -= n_lines;
    for (; n_lines >= 4; n_lines -= 4, at += 256)
        v_prefetch(at), v_prefetch(at + 64), v_prefetch(at + 128), v_prefetch(at + 192);
    for (; n_lines > 0; n_lines--, at += 64) v_prefetch(at);
    if (w->left == 0) next_row(w);
}

/* tokens, rows and integers are constants where this is inlined; tokens is even, tokens * rows <=
 * V_LANES. */
V_INLINE void dot_code_block(const v_table128 table, const uint8_t *const *keys, const int32_t *q,
                             int64_t q_stride, int32_t d, float *logits, ahead_of *ahead,
                             int32_t lines, const int tokens, const int rows, const bool integers) {
    vf32 sum[V_LANES];
    float sums[V_LANES];
    UNROLL16 for (int i = 0; i < V_LANES; i++) sum[i] = vf32_zero();
    for (int32_t i = 0; i < d; i += CODES, q += CODES / 2) {
        ask_for_few(ahead, lines);
        UNROLL16 for (int t = 0; t < tokens; t += 2) {
            vi32 even[2], odd[2];
            vi32_words_of_bytes(table, vi32_load(keys[t] + i), integers, even);
            vi32_words_of_bytes(table, vi32_load(keys[t + 1] + i), integers, odd);
            UNROLL for (int r = 0; r < rows; r++) UNROLL for (int w = 0; w < 2; w++) {
                const vi32 x = vi32_load(q + r * q_stride + w * V_LANES);
                vf32 *to = sum + r * tokens + t;
                to[0] = vf32_dot_bf16(to[0], x, even[w]);
                to[1] = vf32_dot_bf16(to[1], x, odd[w]);
            }
        }
    }
    vf32_store(sums, vf32_add_across(sum));
    UNROLL for (int r = 0; r < rows; r++)
        memcpy(logits + r * TILE, sums + r * tokens, (size_t)tokens * sizeof(float));
}

/* STAGED_SPAN positions and all rows of one KV head. */
V_INLINE void dot_code_rows(const tenon_attention_cache *cache, const uint8_t *const *keys,
                            const int32_t *q, int64_t q_stride, int32_t n_rows, float *logits,
                            ahead_of *ahead, int32_t lines, const bool integers) {
    const v_table128 table = v_table128_load(cache->words[0], cache->words[1]);
    const int32_t d = cache->d;
    if (n_rows == 1) {
        dot_code_block(table, keys, q, q_stride, d, logits, ahead, lines, STAGED_SPAN, 1, integers);
    } else if (n_rows == 2) {
        for (int t = 0; t < STAGED_SPAN; t += 8) {
            dot_code_block(table, keys + t, q, q_stride, d, logits + t, ahead, lines, 8, 2,
                           integers);
        }
    } else {
        for (; n_rows > 0; n_rows -= 4, q += 4 * q_stride, logits += 4 * TILE)
            for (int t = 0; t < STAGED_SPAN; t += 4) {
                if (n_rows >= 4)
                    dot_code_block(table, keys + t, q, q_stride, d, logits + t, ahead, lines, 4, 4,
                                   integers);
                else if (n_rows == 3)
                    dot_code_block(table, keys + t, q, q_stride, d, logits + t, ahead, lines, 4, 3,
                                   integers);
                else if (n_rows == 2)
                    dot_code_block(table, keys + t, q, q_stride, d, logits + t, ahead, lines, 4, 2,
                                   integers);
                else
                    dot_code_block(table, keys + t, q, q_stride, d, logits + t, ahead, lines, 4, 1,
                                   integers);
            }
    }
}

static void dot_codes(const tenon_attention_cache *cache, const uint8_t *const *keys,
                      const int32_t *q, int64_t q_stride, int32_t n_rows, float *logits,
                      ahead_of *ahead, int32_t lines) {
    if (cache->integers)
        dot_code_rows(cache, keys, q, q_stride, n_rows, logits, ahead, lines, true);
    else
        dot_code_rows(cache, keys, q, q_stride, n_rows, logits, ahead, lines, false);
}

V_INLINE void add_code_block(const v_table128 table, const uint8_t *const *values,
                             int32_t n_positions, const int32_t *weights, float *out,
                             int64_t out_stride, int32_t column, ahead_of *ahead, int32_t lines,
                             const int rows, const bool integers) {
    vf32 sum[4][CODE_VECTORS];
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int c = 0; c < CODE_VECTORS; c++) sum[r][c] =
        vf32_load(out + r * out_stride + column + c * V_LANES);
    for (int32_t t = 0; t < n_positions; t += 2) {
        vi32 codes[2], pair[CODE_VECTORS];
        ask_for_few(ahead, lines);
        vi32_zip8(vi32_load(values[t] + column), vi32_load(values[t + 1] + column), codes);
        vi32_words_of_bytes(table, codes[0], integers, pair);
        vi32_words_of_bytes(table, codes[1], integers, pair + 2);
        UNROLL for (int r = 0; r < rows; r++) {
            const vi32 w = vi32_set1(weights[r * (TILE / 2) + t / 2]);
            UNROLL for (int c = 0; c < CODE_VECTORS; c++) sum[r][c] =
                vf32_dot_bf16(sum[r][c], w, pair[c]);
        }
    }
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int c = 0; c < CODE_VECTORS; c++)
        vf32_store(out + r * out_stride + column + c * V_LANES, sum[r][c]);
}

V_INLINE void add_code_rows(const tenon_attention_cache *cache, const uint8_t *const *values,
                            int32_t n_positions, const int32_t *weights, float *out,
                            int32_t out_stride, int32_t n_rows, ahead_of *ahead, int32_t lines,
                            const bool integers) {
    const v_table128 table = v_table128_load(cache->words[0], cache->words[1]);
    for (int32_t r = 0; r < n_rows; r += 4, weights += 4 * (TILE / 2), out += 4 * out_stride)
        for (int32_t column = 0; column < cache->d; column += CODES)
            if (n_rows - r >= 4)
                add_code_block(table, values, n_positions, weights, out, out_stride, column, ahead,
                               lines, 4, integers);
            else if (n_rows - r == 3)
                add_code_block(table, values, n_positions, weights, out, out_stride, column, ahead,
                               lines, 3, integers);
            else if (n_rows - r == 2)
                add_code_block(table, values, n_positions, weights, out, out_stride, column, ahead,
                               lines, 2, integers);
            else
                add_code_block(table, values, n_positions, weights, out, out_stride, column, ahead,
                               lines, 1, integers);
}

static void add_codes(const tenon_attention_cache *cache, const uint8_t *const *values,
                      int32_t n_positions, const int32_t *weights, float *out, int32_t out_stride,
                      int32_t n_rows, ahead_of *ahead, int32_t lines) {
    if (cache->integers)
        add_code_rows(cache, values, n_positions, weights, out, out_stride, n_rows, ahead, lines,
                      true);
    else
        add_code_rows(cache, values, n_positions, weights, out, out_stride, n_rows, ahead, lines,
                      false);
}
#else
/* Here no cache has a table of words, and none of these is called with one. */
static bool multiplies_codes(const tenon_attention_cache *cache,
                             const tenon_attention_block *block) {
    (void)cache, (void)block;
    return false;
}
static void order_as_codes(int32_t *q, int32_t n) {
    (void)q, (void)n;
}
static void restore_order_of_codes(float *out, int64_t n) {
    (void)out, (void)n;
}
static void dot_codes(const tenon_attention_cache *cache, const uint8_t *const *keys,
                      const int32_t *q, int64_t q_stride, int32_t n_rows, float *logits,
                      ahead_of *ahead, int32_t lines) {
    (void)cache, (void)keys, (void)q, (void)q_stride, (void)n_rows, (void)logits, (void)ahead,
        (void)lines;
}
static void add_codes(const tenon_attention_cache *cache, const uint8_t *const *values,
                      int32_t n_positions, const int32_t *weights, float *out, int32_t out_stride,
                      int32_t n_rows, ahead_of *ahead, int32_t lines) {
    (void)cache, (void)values, (void)n_positions, (void)weights, (void)out, (void)out_stride,
        (void)n_rows, (void)ahead, (void)lines;
}
#endif
