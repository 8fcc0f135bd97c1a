/* SPDX-License-Identifier: Apache-2.0 */
/* The body of span_decode_<arch>.c, in the names of one simd header. */
#include "simd/simd_float8.h"
#include "simd/simd_odd.h"

#include "span_decode.h"

/* 2 x + 12 for the sixteen codes of e2m1. */
static const uint8_t span_e2m1[16] = {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};

/* The numbers of V_LANES codes, exactly. */
V_INLINE vf32 span_values(tenon_number number, vi32 code) {
    const vi32 six =
        vi32_or(vi32_and(code, vi32_set1(0x1f)), vi32_sll(vi32_and(code, vi32_set1(0x20)), 2));
    switch (number) {
    case TENON_NUMBER_E4M3FN:
        return decode_float8(code, 3, 7, 0x7f, false);
    case TENON_NUMBER_E4M3FNUZ:
        return decode_float8(code, 3, 8, 0x7f, true);
    case TENON_NUMBER_E5M2:
        return decode_float8(code, 2, 15, 0x7c, false);
    case TENON_NUMBER_E5M2FNUZ:
        return decode_float8(code, 2, 16, 0x7f, true);
    case TENON_NUMBER_E2M3:
        return decode_float8(six, 3, 1, 0x7f, false);
    case TENON_NUMBER_E3M2:
        return decode_float8(six, 2, 3, 0x7f, false);
    case TENON_NUMBER_E2M1: {
        const vi32 twice = vi32_and(vi32_shuffle16(vi32_table16(span_e2m1), code), vi32_set1(0xff));
        const vf32 x = vf32_fma(vf32_from_i32(twice), vf32_set1(0.5f), vf32_set1(-6.0f));
        /* minus zero */
        return vf32_from_bits(
            vi32_or(vi32_from_bits(x), vi32_sll(vi32_and(code, vi32_set1(8)), 28)));
    }
    case TENON_NUMBER_I8:
        return vf32_from_i32(vi32_sra(vi32_sll(code, 24), 24));
    default:
        return vf32_from_i32(code);
    }
}

V_INLINE void span_store(tenon_number type, void *out, vf32 x, int n) {
    if (type == TENON_NUMBER_F32)
        vf32_store_n((float *)out, x, n);
    else if (type == TENON_NUMBER_BF16)
        vf32_store_bf16_n(out, x, n);
    else
        vf32_store_f16_n(out, x, n);
}

/* The last factor is the one that rounds. */
V_INLINE vf32 span_finish(tenon_number type, vf32 v, vf32 factor, bool divides) {
    if (divides)
        return type == TENON_NUMBER_F32 ? vf32_div(v, factor) : v_quotient_odd(v, factor);
    if (type == TENON_NUMBER_F32) return vf32_mul(v, factor);
    return v_product_odd(v, factor);
}

V_INLINE void span_decode(const tenon_span *s, tenon_number number, tenon_number type,
                          uint8_t *out) {
    const int64_t size = type == TENON_NUMBER_F32 ? 4 : 2;
    const bool has_global = s->global != 1.0f;
    for (int64_t g = 0, at = 0; at < s->count; g++) {
        const int64_t end = at + s->group < s->count ? at + s->group : s->count;
        const vf32 scale = vf32_set1(s->scale ? s->scale[g] : 1.0f);
        const vf32 zero = vf32_set1(s->zero ? s->zero[g] : 0.0f);
        for (; at < end; at += V_LANES) {
            const int n = end - at < V_LANES ? (int)(end - at) : V_LANES;
            uint8_t tail[V_LANES] = {0};
            const uint8_t *codes = s->codes + at;
            if (n < V_LANES) codes = memcpy(tail, codes, (size_t)n);
            vf32 v = span_values(number, vi32_load_u8(codes));
            if (s->zero) v = vf32_sub(v, zero);
            if (has_global)
                v = span_finish(type, s->scale ? vf32_mul(v, scale) : v, vf32_set1(s->global),
                                s->divides != 0);
            else if (s->scale)
                v = span_finish(type, v, scale, false);
            span_store(type, out + at * size, v, n);
        }
        at = end;
    }
}

#define SPAN_TYPES(number)                                                                         \
    case TENON_NUMBER_##number:                                                                    \
        if (type == TENON_NUMBER_F32)                                                              \
            span_decode(span, TENON_NUMBER_##number, TENON_NUMBER_F32, out);                       \
        else if (type == TENON_NUMBER_BF16)                                                        \
            span_decode(span, TENON_NUMBER_##number, TENON_NUMBER_BF16, out);                      \
        else                                                                                       \
            span_decode(span, TENON_NUMBER_##number, TENON_NUMBER_F16, out);                       \
        return;

void SPAN_DECODE(const tenon_span *span, tenon_number type, void *out) {
    switch (span->number) {
        SPAN_TYPES(E4M3FN)
        SPAN_TYPES(E4M3FNUZ)
        SPAN_TYPES(E5M2)
        SPAN_TYPES(E5M2FNUZ)
        SPAN_TYPES(E2M3)
        SPAN_TYPES(E3M2)
        SPAN_TYPES(E2M1)
        SPAN_TYPES(I8)
        SPAN_TYPES(U8)
        SPAN_TYPES(U4)
    default:
        return;
    }
}
