/* SPDX-License-Identifier: Apache-2.0 */
/* The body of tenon_quantize_span_*: include a simd_*.h first.
 *
 * A float8 code is made with integer steps: a normal one by adding half of its last place (and the
 * odd bit, for ties to even) to the bits of the f32 and moving the exponent's bias; a subnormal one
 * is the value in units of the least one, rounded as an integer. */
#ifndef TENON_QUANTIZE_SPAN_BODY_H
#define TENON_QUANTIZE_SPAN_BODY_H

#include <math.h>

#include "quantize_span.h"

V_INLINE vf32 span_load(tenon_number type, const void *base, int64_t i, int n) {
    if (type == TENON_NUMBER_F32) return vf32_load_n((const float *)base + i, n);
    return type == TENON_NUMBER_BF16 ? vf32_load_bf16_n((const uint16_t *)base + i, n)
                                     : vf32_load_f16_n((const uint16_t *)base + i, n);
}

/* Codes of |x|, in the low byte of each lane. Shifts must be literals, hence a macro: cut = 23 -
 * mantissa bits. */
#define SPAN_MAGNITUDE(magnitude, cut, bias, largest, code)                                        \
    do {                                                                                           \
        const vi32 bits_ = vi32_from_bits(magnitude);                                              \
        const vi32 odd_ = vi32_and(vi32_srl(bits_, cut), vi32_set1(1));                            \
        vi32 normal_ = vi32_add(bits_, vi32_add(odd_, vi32_set1((1 << ((cut) - 1)) - 1)));         \
        normal_ = vi32_sub(vi32_srl(normal_, cut), vi32_set1((127 - (bias)) << (23 - (cut))));     \
        normal_ = vi32_min(normal_, vi32_set1(largest));                                           \
        const vi32 tiny_ =                                                                         \
            vi32_from_f32(vf32_mul(magnitude, vf32_set1(exp2f((bias) - 1 + 23 - (cut)))));         \
        (code) = vi32_from_bits(vf32_select_lt(magnitude, vf32_set1(exp2f(1 - (bias))),            \
                                               vf32_from_bits(tiny_), vf32_from_bits(normal_)));   \
    } while (0)

V_INLINE vi32 span_codes(tenon_number element, vf32 x) {
    const vf32 magnitude = vf32_abs(x), infinity = vf32_set1(INFINITY);
    vi32 code, sign = vi32_and(vi32_srl(vi32_from_bits(x), 24), vi32_set1(0x80)),
               nan = vi32_set1(0x7f);
    if (element == TENON_NUMBER_I8)
        return vi32_and(vi32_from_f32(x), vi32_set1(0xff)); /* NaN converts to 0x80000000 */
    if (element == TENON_NUMBER_E4M3FN) {
        SPAN_MAGNITUDE(magnitude, 20, 7, 0x7e, code);
    } else if (element == TENON_NUMBER_E4M3FNUZ) {
        SPAN_MAGNITUDE(magnitude, 20, 8, 0x7f, code);
        /* There is no minus zero: its code is NaN. */
        sign = vi32_from_bits(
            vf32_select_lt(vf32_zero(), vf32_from_i32(code), vf32_from_bits(sign), vf32_zero()));
        nan = vi32_set1(0x80);
    } else {
        SPAN_MAGNITUDE(magnitude, 21, 15, 0x7b, code);
    }
    /* A comparison with NaN is false. */
    return vi32_from_bits(vf32_select_lt(magnitude, infinity, vf32_from_bits(vi32_or(code, sign)),
                                         vf32_from_bits(nan)));
}

V_INLINE void span_store(uint8_t *out, vi32 codes, int n) {
    uint8_t bytes[V_LANES];
    if (n == V_LANES) {
        vi32_store_u8(out, codes);
        return;
    }
    vi32_store_u8(bytes, codes);
    memcpy(out, bytes, (size_t)n);
}

V_INLINE void span_quantize(tenon_number type, const void *x, int64_t count, tenon_number element,
                            float scale, uint8_t *out) {
    const vf32 divisor = vf32_set1(scale);
    for (int64_t i = 0; i < count; i += V_LANES) {
        const int n = count - i < V_LANES ? (int)(count - i) : V_LANES;
        span_store(out + i, span_codes(element, vf32_div(span_load(type, x, i, n), divisor)), n);
    }
}

V_INLINE float span_run(tenon_number type, const void *x, int64_t count, tenon_number element,
                        uint8_t *out) {
    const double largest = element == TENON_NUMBER_E4M3FN     ? (double)TENON_E4M3FN_MAX
                           : element == TENON_NUMBER_E4M3FNUZ ? (double)TENON_E4M3FNUZ_MAX
                           : element == TENON_NUMBER_E5M2     ? (double)TENON_E5M2_MAX
                                                              : 127;
    vf32 amax = vf32_zero(), poison = vf32_zero();
    for (int64_t i = 0; i < count; i += V_LANES) {
        const vf32 v =
            vf32_abs(span_load(type, x, i, count - i < V_LANES ? (int)(count - i) : V_LANES));
        amax = vf32_max(v, amax); /* the second operand where v is NaN */
        poison = vf32_add(poison, v);
    }
    float top = vf32_reduce_max(amax), scale;
    if (element == TENON_NUMBER_I8 && isnan(vf32_reduce_add(poison))) top = NAN;
    scale = top == 0 ? 1 : (float)((double)top / largest);
    if (scale == 0)
        memset(out, 0, (size_t)count); /* it underflowed: every code means zero */
    else if (element == TENON_NUMBER_E4M3FN)
        span_quantize(type, x, count, TENON_NUMBER_E4M3FN, scale, out);
    else
        span_quantize(type, x, count, element, scale, out);
    return scale;
}

#endif /* TENON_QUANTIZE_SPAN_BODY_H */
