/* SPDX-License-Identifier: Apache-2.0 */
/* Functions built from the vector names, included by each simd_*.h at its end. */
#ifndef TENON_SIMD_MATH_H
#define TENON_SIMD_MATH_H

#ifndef V_HAS_ADD_ACROSS
/* Lane i: the sum of the lanes of v[i], each added up in the same order. */
V_INLINE vf32 vf32_add_across(const vf32 v[V_LANES]) {
    float sum[V_LANES];
    for (int i = 0; i < V_LANES; i++) sum[i] = vf32_reduce_add(v[i]);
    return vf32_load(sum);
}
#endif

#if V_HAS_DOT_BF16 && !defined(V_HAS_ZIP16)
/* 16-bit elements of a and b in turns; here the floats that belong to them stay in order. */
V_INLINE void vi32_zip16(vi32 a, vi32 b, vi32 out[2]) {
    uint16_t x[2 * V_LANES], y[2 * V_LANES], pairs[4 * V_LANES];
    vi32_store(x, a), vi32_store(y, b);
    for (int i = 0; i < 2 * V_LANES; i++) pairs[2 * i] = x[i], pairs[2 * i + 1] = y[i];
    out[0] = vi32_load(pairs), out[1] = vi32_load(pairs + 2 * V_LANES);
}
V_INLINE void vf32_zip_order(vf32 x[2]) {
    (void)x;
}
V_INLINE void vf32_zip_order_back(vf32 x[2]) {
    (void)x;
}
#endif

/* e^x by 2^n * p(r), |r| <= ln2/2, degree 6: within 2 ulp; 0 below -104, inf above 88.73, NaN
 * stays. */
V_INLINE vf32 vf32_exp(vf32 x) {
    /* min and max hand their second operand on when one is NaN: x comes second so that it stays. */
    const vf32 c = vf32_max(vf32_set1(-105.0f), vf32_min(vf32_set1(89.0f), x));
    const vf32 n = vf32_round(vf32_mul(c, vf32_set1(1.44269504088896341f)));
    vf32 r = vf32_fnma(n, vf32_set1(0.693145751953125f), c);
    r = vf32_fnma(n, vf32_set1(1.428606820309417232e-6f), r);
    vf32 p = vf32_set1(1.3888889e-3f);
    p = vf32_fma(p, r, vf32_set1(8.3333333e-3f));
    p = vf32_fma(p, r, vf32_set1(4.1666667e-2f));
    p = vf32_fma(p, r, vf32_set1(1.6666667e-1f));
    p = vf32_fma(p, r, vf32_set1(0.5f));
    p = vf32_fma(p, r, vf32_set1(1.0f));
    p = vf32_fma(p, r, vf32_set1(1.0f));
    return vf32_scale_by_power(p, n);
}

/* 1 / (1 + e^-x) */
V_INLINE vf32 vf32_sigmoid(vf32 x) {
    const vf32 e = vf32_exp(vf32_sub(vf32_zero(), x));
    return vf32_div(vf32_set1(1.0f), vf32_add(vf32_set1(1.0f), e));
}

/* tanh x = 1 - 2 / (e^2x + 1): absolute error below 2e-7. */
V_INLINE vf32 vf32_tanh(vf32 x) {
    const vf32 e = vf32_exp(vf32_add(x, x));
    const vf32 one = vf32_set1(1.0f);
    return vf32_sub(one, vf32_div(vf32_set1(2.0f), vf32_add(e, one)));
}

#endif
