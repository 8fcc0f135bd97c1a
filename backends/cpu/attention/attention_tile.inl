/* SPDX-License-Identifier: Apache-2.0 */
/* The two matrix products of a tile and the packing that feeds them. Included by attention_cpu.inl.
 *
 * Both products are  c[rows, n] += a[rows, k] b[k, n]  with 32-bit units: floats, or pairs of bf16
 * that one instruction multiplies and adds. Every element of c is a chain over k in order, whatever
 * the number of rows beside it: that keeps bits independent of how rows are grouped.
 */
enum { TILE = TENON_ATTENTION_TILE, TILE_VECTORS = TILE / V_LANES };

#define PACKED_PAIRS V_HAS_DOT_BF16

/* Registers: ROWS x COLUMNS accumulators, COLUMNS of b, one of a: 29 of 32, or 15 of 16. */
enum { BLOCK_ROWS = 6, BLOCK_COLUMNS = V_LANES == 16 ? 4 : 2 };

#define UNROLL   V_UNROLL(8)
#define UNROLL16 V_UNROLL(16)

V_INLINE vf32 multiply_add(vf32 c, const int32_t *a, vi32 b) {
#if PACKED_PAIRS
    return vf32_dot_bf16(c, vi32_set1(*a), b);
#else
    float x;
    memcpy(&x, a, 4);
    return vf32_fma(vf32_set1(x), vf32_from_bits(b), c);
#endif
}

/* Lines of the next tile, asked for while this one is multiplied: pages are beyond what the
 * hardware foresees, and few lines at a time keep the queue of misses short. */
typedef struct look_ahead {
    const uint8_t *const *rows;
    int32_t n_rows, row_bytes, row, byte;
} look_ahead;

V_INLINE void fetch_ahead(look_ahead *ahead) {
    for (int i = 0; i < 4; i++) {
        if (ahead->row >= ahead->n_rows) return;
        v_prefetch(ahead->rows[ahead->row] + ahead->byte);
        ahead->byte += 64;
        if (ahead->byte >= ahead->row_bytes) ahead->byte = 0, ahead->row++;
    }
}

/* ROWS and COLUMNS are constants where this is inlined, so that c stays in registers. */
V_INLINE void multiply_block(const int32_t *a, int64_t a_stride, const int32_t *b, int64_t b_stride,
                             float *c, int64_t c_stride, int32_t k, bool fresh, look_ahead *ahead,
                             const int rows, const int columns) {
    vf32 sum[BLOCK_ROWS][BLOCK_COLUMNS];
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int j = 0; j < columns; j++) sum[r][j] =
        fresh ? vf32_zero() : vf32_load(c + r * c_stride + j * V_LANES);
    for (int32_t i = 0; i < k; i++) {
        vi32 column[BLOCK_COLUMNS];
        fetch_ahead(ahead);
        UNROLL for (int j = 0; j < columns; j++) column[j] =
            vi32_load(b + i * b_stride + j * V_LANES);
        UNROLL for (int r = 0; r < rows; r++) UNROLL for (int j = 0; j < columns; j++) sum[r][j] =
            multiply_add(sum[r][j], a + r * a_stride + i, column[j]);
    }
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int j = 0; j < columns; j++)
        vf32_store(c + r * c_stride + j * V_LANES, sum[r][j]);
}

#define MULTIPLY_ROWS(ROWS)                                                                        \
    case ROWS:                                                                                     \
        multiply_block(a, a_stride, b, b_stride, c, c_stride, k, fresh, ahead, ROWS, columns);     \
        break;

/* Any number of rows, a constant number of columns. */
V_INLINE void multiply_columns(const int32_t *a, int64_t a_stride, const int32_t *b,
                               int64_t b_stride, float *c, int64_t c_stride, int32_t n_rows,
                               int32_t k, bool fresh, look_ahead *ahead, const int columns) {
    for (int32_t r = 0; r < n_rows;
         r += BLOCK_ROWS, a += BLOCK_ROWS * a_stride, c += BLOCK_ROWS * c_stride)
        switch (n_rows - r) {
            MULTIPLY_ROWS(1)
            MULTIPLY_ROWS(2)
            MULTIPLY_ROWS(3)
            MULTIPLY_ROWS(4)
            MULTIPLY_ROWS(5)
        default:
            multiply_block(a, a_stride, b, b_stride, c, c_stride, k, fresh, ahead, BLOCK_ROWS,
                           columns);
            break;
        }
}

/* c[n_rows, n_vectors * V_LANES] (+)= a b; a slab of b stays in the first-level cache while all
 * rows pass over it. */
static void multiply(const int32_t *a, int64_t a_stride, const int32_t *b, int64_t b_stride,
                     float *c, int64_t c_stride, int32_t n_rows, int32_t k, int32_t n_vectors,
                     bool fresh, look_ahead *ahead) {
    int32_t v = 0;
    for (; v + BLOCK_COLUMNS <= n_vectors; v += BLOCK_COLUMNS)
        multiply_columns(a, a_stride, b + v * V_LANES, b_stride, c + v * V_LANES, c_stride, n_rows,
                         k, fresh, ahead, BLOCK_COLUMNS);
#if V_LANES == 16
    if (v + 2 <= n_vectors) {
        multiply_columns(a, a_stride, b + v * V_LANES, b_stride, c + v * V_LANES, c_stride, n_rows,
                         k, fresh, ahead, 2);
        v += 2;
    }
#endif
    if (v < n_vectors)
        multiply_columns(a, a_stride, b + v * V_LANES, b_stride, c + v * V_LANES, c_stride, n_rows,
                         k, fresh, ahead, 1);
}

/* ---- packing: cache rows, one pointer for each position, to the layouts above ---- */

/* 16 bytes of V_LANES rows, as the rows of k that they become: 4 of pairs or f32, 8 of f32 out of
 * 16-bit elements. */
V_INLINE void pack_k_step(const uint8_t *const *rows, int32_t offset, int32_t *k,
                          const tenon_number type) {
    vi32 word[4];
    vi32_gather_16_bytes(rows, offset, word);
    if (PACKED_PAIRS || type == TENON_NUMBER_F32) {
        UNROLL for (int i = 0; i < 4; i++) vi32_store(k + i * TILE, word[i]);
    } else if (type == TENON_NUMBER_BF16) {
        UNROLL for (int i = 0; i < 4; i++) {
            vi32_store(k + 2 * i * TILE, vi32_sll(word[i], 16));
            vi32_store(k + (2 * i + 1) * TILE, vi32_and(word[i], vi32_set1((int32_t)0xffff0000)));
        }
    } else {
        uint16_t half[2][V_LANES];
        UNROLL for (int i = 0; i < 4; i++) {
            vi32_store_u16(half[0], word[i]);
            vi32_store_u16(half[1], vi32_srl(word[i], 16));
            vf32_store((float *)k + 2 * i * TILE, vf32_load_f16(half[0]));
            vf32_store((float *)k + (2 * i + 1) * TILE, vf32_load_f16(half[1]));
        }
    }
}

/* Meanwhile the rows of the next tile come into the cache, in the order of memory: pages are beyond
 * what the hardware foresees. */
V_INLINE void pack_k_type(const uint8_t *const *rows, const uint8_t *const *next, int32_t n_vectors,
                          int32_t row_bytes, int32_t *k, const tenon_number type) {
    const int step = PACKED_PAIRS || type == TENON_NUMBER_F32 ? 4 : 8;
    for (int32_t v = 0; v < n_vectors; v++) {
        int32_t row = v * V_LANES, byte = 0;
        for (int32_t offset = 0; offset < row_bytes; offset += 16) {
            UNROLL for (int i = 0; i < V_LANES / 4; i++) {
                if (row < TILE) v_prefetch(next[row] + byte);
                byte += 64;
                if (byte >= row_bytes) byte = 0, row++;
            }
            pack_k_step(rows + v * V_LANES, offset, k + offset / 16 * step * TILE + v * V_LANES,
                        type);
        }
    }
}

V_INLINE vf32 load_any(const void *p, const tenon_number type) {
    return type == TENON_NUMBER_F32   ? vf32_load(p)
           : type == TENON_NUMBER_F16 ? vf32_load_f16(p)
                                      : vf32_load_bf16(p);
}

V_INLINE vf32 load_any_n(const void *p, int n, const tenon_number type) {
    return type == TENON_NUMBER_F32   ? vf32_load_n(p, n)
           : type == TENON_NUMBER_F16 ? vf32_load_f16_n(p, n)
                                      : vf32_load_bf16_n(p, n);
}

/* One row of n elements to whole vectors of floats, zeros behind them. */
V_INLINE void unpack_row(const uint8_t *row, int32_t n, float *out, const tenon_number type) {
    const int32_t bytes = type == TENON_NUMBER_F32 ? 4 : 2;
    int32_t i = 0;
    for (; i + V_LANES <= n; i += V_LANES) vf32_store(out + i, load_any(row + i * bytes, type));
    if (i < n) vf32_store(out + i, load_any_n(row + i * bytes, n - i, type));
}

V_INLINE void pack_v_type(const uint8_t *const *rows, const uint8_t *const *next, int32_t n_rows,
                          int32_t d_v, int32_t *v, int32_t stride, const tenon_number type) {
    const int32_t row_bytes = d_v * (type == TENON_NUMBER_F32 ? 4 : 2);
#if PACKED_PAIRS
    /* bf16 as float bits stands in the upper half already: even position below, odd position above.
     */
    for (int32_t t = 0; t < n_rows; t += 2, v += stride) {
        for (int32_t i = 0; i < row_bytes; i += 64)
            v_prefetch(next[t] + i), v_prefetch(next[t + 1] + i);
        for (int32_t i = 0; i < d_v; i += V_LANES) {
            const int n = d_v - i < V_LANES ? d_v - i : V_LANES;
            const vi32 even = vi32_from_bits(load_any_n(rows[t] + 2 * i, n, type));
            const vi32 odd = vi32_from_bits(load_any_n(rows[t + 1] + 2 * i, n, type));
            vi32_store(v + i, vi32_or(vi32_srl(even, 16), odd));
        }
    }
#else
    for (int32_t t = 0; t < n_rows; t++) {
        for (int32_t i = 0; i < row_bytes; i += 64) v_prefetch(next[t] + i);
        unpack_row(rows[t], d_v, (float *)v + (int64_t)t * stride, type);
    }
#endif
}

static void pack_k(const uint8_t *const *rows, const uint8_t *const *next, int32_t n_vectors,
                   int32_t row_bytes, int32_t *k, tenon_number type) {
    if (PACKED_PAIRS || type == TENON_NUMBER_BF16)
        pack_k_type(rows, next, n_vectors, row_bytes, k, TENON_NUMBER_BF16);
    else if (type == TENON_NUMBER_F16)
        pack_k_type(rows, next, n_vectors, row_bytes, k, TENON_NUMBER_F16);
    else
        pack_k_type(rows, next, n_vectors, row_bytes, k, TENON_NUMBER_F32);
}

static void pack_v(const uint8_t *const *rows, const uint8_t *const *next, int32_t n_rows,
                   int32_t d_v, int32_t *v, int32_t stride, tenon_number type) {
    if (PACKED_PAIRS || type == TENON_NUMBER_BF16)
        pack_v_type(rows, next, n_rows, d_v, v, stride, TENON_NUMBER_BF16);
    else if (type == TENON_NUMBER_F16)
        pack_v_type(rows, next, n_rows, d_v, v, stride, TENON_NUMBER_F16);
    else
        pack_v_type(rows, next, n_rows, d_v, v, stride, TENON_NUMBER_F32);
}
