/* SPDX-License-Identifier: Apache-2.0 */
/* Products and quotients rounded to odd: what is cut off sets the last bit, so that rounding the
 * result again, to a narrower type, gives what rounding the exact value once does. Include a
 * simd_*.h first. */
#ifndef TENON_SIMD_ODD_H
#define TENON_SIMD_ODD_H

/* v * factor - near, rounded once. */
#ifdef V_FMA_ROUNDS_TWICE
/* A product of floats is exact in double. */
V_INLINE vf32 v_rest(vf32 v, vf32 factor, vf32 near_product) {
    float a[V_LANES], b[V_LANES], c[V_LANES];
    vf32_store(a, v), vf32_store(b, factor), vf32_store(c, near_product);
    for (int i = 0; i < V_LANES; i++) a[i] = (float)((double)a[i] * (double)b[i] - (double)c[i]);
    return vf32_load(a);
}
#else
V_INLINE vf32 v_rest(vf32 v, vf32 factor, vf32 near_product) {
    return vf32_fma(v, factor, vf32_sub(vf32_zero(), near_product));
}
#endif

/* Product and what its rounding left, to a value that rounds to 16 bits as the exact one does: cut
 * off, and the last bit set where anything was cut off. */
V_INLINE vf32 v_round_odd(vf32 product, vf32 rest) {
    const vf32 zero = vf32_zero();
    const vi32 one = vi32_set1(1), none = vi32_zero();
    const vi32 bits = vi32_from_bits(product);
    /* the rest points towards zero: the rounding went up in magnitude */
    const vi32 mixed = vi32_xor(bits, vi32_from_bits(rest));
    const vi32 inexact = vi32_from_bits(
        vf32_select_lt(zero, vf32_abs(rest), vf32_from_bits(one), vf32_from_bits(none)));
    const vi32 down = vi32_and(inexact, vi32_srl(mixed, 31));
    return vf32_from_bits(vi32_or(vi32_sub(bits, down), inexact));
}

V_INLINE vf32 v_product_odd(vf32 v, vf32 factor) {
    const vf32 product = vf32_mul(v, factor);
    return v_round_odd(product, v_rest(v, factor, product));
}

V_INLINE vf32 v_quotient_odd(vf32 v, vf32 divisor) {
    const vf32 quotient = vf32_div(v, divisor);
    /* The remainder has the sign of the rest where the divisor is positive. */
    const vf32 rest = vf32_sub(vf32_zero(), v_rest(quotient, divisor, v));
    const vi32 sign = vi32_and(vi32_from_bits(divisor), vi32_set1((int32_t)0x80000000));
    return v_round_odd(quotient, vf32_from_bits(vi32_xor(vi32_from_bits(rest), sign)));
}

#endif
