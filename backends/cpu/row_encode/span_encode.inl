/* SPDX-License-Identifier: Apache-2.0 */
/* The body of span_encode_<arch>.c, in the names of one simd header. */
#include <math.h>

#include "simd/simd_float8.h"
#include "simd/simd_odd.h"

#include "span_encode.h"

static tenon_span_range span_range(const float *x, int64_t count) {
    vf32 least = vf32_zero(), largest = vf32_zero();
    vi32 magnitude = vi32_zero();
    for (int64_t i = 0; i < count; i += V_LANES) {
        const vf32 v = count - i < V_LANES ? vf32_load_n(x + i, (int)(count - i)) : vf32_load(x + i);
        /* The second operand where either is NaN. */
        least = vf32_max(vf32_sub(vf32_zero(), v), least);
        largest = vf32_max(v, largest);
        magnitude = vi32_max_u(magnitude, vi32_from_bits(vf32_abs(v)));
    }
    return (tenon_span_range){-vf32_reduce_max(least), vf32_reduce_max(largest),
                              vi32_reduce_max_u(magnitude) > 0x7f800000u};
}

/* Floats narrower than 8 bits: sign above the others, NaN as the largest. */
V_INLINE vi32 span_narrow(vf32 x, int mantissa_bits, int bias, float largest, int code_bits,
                          int largest_code) {
    const vi32 wide = encode_float8(x, mantissa_bits, bias, largest, false);
    const vi32 low = vi32_and(wide, vi32_set1(0x7f)), sign = vi32_and(wide, vi32_set1(0x80));
    const vi32 code = vi32_or(low, vi32_srl_by(sign, 8 - code_bits));
    return select_below(vf32_from_i32(low), vf32_set1(127.0f), code, vi32_set1(largest_code));
}

V_INLINE vi32 span_integer(vf32 x, vf32 zero, float least, float largest) {
    const vf32 r = vf32_add(vf32_round(x), zero);
    const vf32 c = vf32_max(vf32_set1(least), vf32_min(vf32_set1(largest), r));
    /* min and max hand NaN on: it is 0. */
    return vi32_from_f32(vf32_select_lt(vf32_abs(c), vf32_set1(1000.0f), c, vf32_zero()));
}

V_INLINE vi32 span_code(tenon_number number, vf32 x, vf32 zero) {
    switch (number) {
    case TENON_NUMBER_E4M3FN:
        return encode_float8(x, 3, 7, TENON_E4M3FN_MAX, false);
    case TENON_NUMBER_E4M3FNUZ:
        return encode_float8(x, 3, 8, TENON_E4M3FNUZ_MAX, true);
    case TENON_NUMBER_E5M2:
        return encode_float8(x, 2, 15, TENON_E5M2_MAX, false);
    case TENON_NUMBER_E5M2FNUZ:
        return encode_float8(x, 2, 16, TENON_E5M2_MAX, true);
    case TENON_NUMBER_E2M3:
        return span_narrow(x, 3, 1, TENON_E2M3_MAX, 6, 31);
    case TENON_NUMBER_E3M2:
        return span_narrow(x, 2, 3, TENON_E3M2_MAX, 6, 31);
    case TENON_NUMBER_E2M1:
        return span_narrow(x, 1, 1, TENON_E2M1_MAX, 4, 7);
    case TENON_NUMBER_I8:
        return span_integer(x, zero, -128.0f, 127.0f);
    default:
        return span_integer(x, zero, 0.0f, 255.0f);
    }
}

V_INLINE void span_encode(tenon_number number, const float *x, int64_t count, float scale,
                          float clip, float zero, uint8_t *codes) {
    const vf32 s = vf32_set1(scale), z = vf32_set1(zero);
    const vf32 top = vf32_set1(clip), bottom = vf32_set1(-clip);
    for (int64_t i = 0; i < count; i += V_LANES) {
        const int n = count - i < V_LANES ? (int)(count - i) : V_LANES;
        vf32 v = v_quotient_odd(vf32_load_n(x + i, n), s);
        if (clip > 0) v = vf32_max(bottom, vf32_min(top, v));
        const vi32 code = vi32_and(span_code(number, v, z), vi32_set1(0xff));
        if (n == V_LANES) {
            vi32_store_u8(codes + i, code);
        } else {
            uint8_t tail[V_LANES];
            vi32_store_u8(tail, code);
            memcpy(codes + i, tail, (size_t)n);
        }
    }
}

#define SPAN_NUMBER(number)                                                                        \
    case TENON_NUMBER_##number:                                                                    \
        span_encode(TENON_NUMBER_##number, x, count, scale, clip, zero, codes);                    \
        return;

static void span_encode_any(tenon_number number, const float *x, int64_t count, float scale,
                            float clip, float zero, uint8_t *codes) {
    if (scale == 0) { /* it underflowed: every code means zero */
        memset(codes, 0, (size_t)count);
        return;
    }
    switch (number) {
        SPAN_NUMBER(E4M3FN)
        SPAN_NUMBER(E4M3FNUZ)
        SPAN_NUMBER(E5M2)
        SPAN_NUMBER(E5M2FNUZ)
        SPAN_NUMBER(E2M3)
        SPAN_NUMBER(E3M2)
        SPAN_NUMBER(E2M1)
        SPAN_NUMBER(I8)
        SPAN_NUMBER(U8)
    default:
        return;
    }
}

/* Where the code steps, in units of the scale; on a step the even code wins. For the compiler to
 * vectorise. */
static void span_encode_e2m1(const float *x, int64_t count, double scale, double clip,
                             uint8_t *codes) {
    const double t0 = 0.25 * scale, t1 = 0.75 * scale, t2 = 1.25 * scale, t3 = 1.75 * scale,
                 t4 = 2.5 * scale, t5 = 3.5 * scale, t6 = 5 * scale;
    const double most = clip > 0 ? clip * scale : (double)INFINITY;
    for (int64_t i = 0; i < count; i++) {
        const double whole = fabs((double)x[i]), a = whole < most ? whole : most;
        const int code = (a > t0) + (a >= t1) + (a > t2) + (a >= t3) + (a > t4) + (a >= t5) +
                         (a > t6);
        uint32_t bits;
        memcpy(&bits, &x[i], 4);
        codes[i] = (uint8_t)(code | (int)(bits >> 31) << 3);
    }
}

const tenon_span_encoder SPAN_ENCODER = {
    .range = span_range, .encode = span_encode_any, .encode_e2m1 = span_encode_e2m1};
