/* SPDX-License-Identifier: Apache-2.0 */
/* Values that are no numbers. A weight of 0 times such a value is NaN, so rows that do not see its
 * position would suffer. Where a chunk's sums turn out not to be finite, it is computed again with
 * such values taken out of the tile, as zeros, and added to the rows that see them. Rows without
 * them get the bits that they had. Included by attention_cpu.inl.
 */
static bool all_finite(const float *x, int64_t n) {
    vf32 sum = vf32_zero(); /* of x - x: 0, or NaN */
    for (int64_t i = 0; i < n; i += V_LANES)
        sum = vf32_add(sum, vf32_sub(vf32_load(x + i), vf32_load(x + i)));
    return vf32_reduce_add(sum) == 0;
}

/* The value of position t and dim d in a packed tile. */
V_INLINE float packed_value(const int32_t *v, int32_t stride, int32_t t, int32_t d) {
    float x;
#if PACKED_PAIRS
    const uint32_t pair = (uint32_t)v[(int64_t)(t / 2) * stride + d];
    const uint32_t bits = t % 2 ? pair & 0xffff0000u : pair << 16;
    memcpy(&x, &bits, 4);
#else
    memcpy(&x, v + (int64_t)t * stride + d, 4);
#endif
    return x;
}

V_INLINE void drop_packed_value(int32_t *v, int32_t stride, int32_t t, int32_t d) {
#if PACKED_PAIRS
    v[(int64_t)(t / 2) * stride + d] &= t % 2 ? 0xffff : (int32_t)0xffff0000;
#else
    v[(int64_t)t * stride + d] = 0;
#endif
}

static void set_apart(const tenon_attention_job *job, int32_t n_rows, int32_t n_positions,
                      int32_t *v, const head_rows *head) {
    for (int32_t t = 0; t < n_positions; t++)
        for (int32_t d = 0; d < job->d_v; d++) {
            float x = packed_value(v, job->out_stride, t, d);
            if (x - x == 0) continue;
            drop_packed_value(v, job->out_stride, t, d);
            if (head->v_scales) x *= head->v_scales[t];
            for (int32_t r = 0; r < n_rows; r++)
                if (head->visible[r] >> t & 1)
                    head->state.out[(int64_t)r * job->out_stride + d] += x;
        }
}
