/* SPDX-License-Identifier: Apache-2.0 */
/* The body of row_convert_<arch>.c, in the names of one simd header. The tail of a row goes through
 * a buffer of one vector, so that each conversion is written once and no byte beyond the row is
 * read or written. */

#include "simd/simd_float8.h"

/* ---- load V_LANES elements as f32 ---- */
V_INLINE vf32 load_F32(const void *p) {
    return vf32_load((const float *)p);
}
V_INLINE vf32 load_BF16(const void *p) {
    return vf32_load_bf16(p);
}
V_INLINE vf32 load_F16(const void *p) {
    return vf32_load_f16(p);
}
V_INLINE vf32 load_I8(const void *p) {
    return vf32_from_i32(vi32_load_s8(p));
}

V_INLINE vf32 load_E4M3FN(const void *p) {
    return decode_float8(vi32_load_u8(p), 3, 7, 0x7f, false);
}
V_INLINE vf32 load_E4M3FNUZ(const void *p) {
    return decode_float8(vi32_load_u8(p), 3, 8, 0x7f, true);
}
V_INLINE vf32 load_E5M2(const void *p) {
    return decode_float8(vi32_load_u8(p), 2, 15, 0x7c, false);
}
V_INLINE vf32 load_E5M2FNUZ(const void *p) {
    return decode_float8(vi32_load_u8(p), 2, 16, 0x7f, true);
}

/* ---- store V_LANES f32 ---- */
V_INLINE void store_F32(void *p, vf32 x) {
    vf32_store((float *)p, x);
}
V_INLINE void store_BF16(void *p, vf32 x) {
    vf32_store_bf16(p, x);
}
V_INLINE void store_F16(void *p, vf32 x) {
    vf32_store_f16(p, x);
}

V_INLINE void store_I8(void *p, vf32 x) {
    /* min and max hand on their second operand when one is NaN; NaN becomes 0 at the end. */
    const vf32 c = vf32_max(vf32_set1(-128.0f), vf32_min(vf32_set1(127.0f), x));
    vi32_store_u8(p, vi32_and(vi32_from_f32(vf32_select_lt(c, vf32_set1(200.0f), c, vf32_zero())),
                              vi32_set1(0xff)));
}

V_INLINE void store_float8(void *p, vf32 x, int mantissa_bits, int bias, float largest, bool fnuz) {
    vi32_store_u8(p, encode_float8(x, mantissa_bits, bias, largest, fnuz));
}
V_INLINE void store_E4M3FN(void *p, vf32 x) {
    store_float8(p, x, 3, 7, TENON_E4M3FN_MAX, false);
}
V_INLINE void store_E4M3FNUZ(void *p, vf32 x) {
    store_float8(p, x, 3, 8, TENON_E4M3FNUZ_MAX, true);
}
V_INLINE void store_E5M2(void *p, vf32 x) {
    store_float8(p, x, 2, 15, TENON_E5M2_MAX, false);
}
V_INLINE void store_E5M2FNUZ(void *p, vf32 x) {
    store_float8(p, x, 2, 16, TENON_E5M2_MAX, true);
}

/* ---- rows ---- */
V_INLINE vf32 same(vf32 x, vf32 scale) {
    return (void)scale, x;
}
V_INLINE vf32 divide(vf32 x, vf32 scale) {
    return vf32_div(x, scale);
}
V_INLINE vf32 multiply(vf32 x, vf32 scale) {
    return vf32_mul(x, scale);
}

enum {
    BYTES_F32 = 4,
    BYTES_F16 = 2,
    BYTES_BF16 = 2,
    BYTES_I8 = 1,
    BYTES_E4M3FN = 1,
    BYTES_E4M3FNUZ = 1,
    BYTES_E5M2 = 1,
    BYTES_E5M2FNUZ = 1
};

#define ROW_CONVERT(TO, FROM, by)                                                                  \
    static void from_##FROM##_to_##TO(void *out, const void *in, int64_t n, float scale) {         \
        const vf32 s = vf32_set1(scale);                                                           \
        uint8_t tail_in[V_LANES * BYTES_##FROM], tail_out[V_LANES * BYTES_##TO];                   \
        const uint8_t *from = in;                                                                  \
        uint8_t *to = out;                                                                         \
        for (; n >= V_LANES;                                                                       \
             n -= V_LANES, from += V_LANES * BYTES_##FROM, to += V_LANES * BYTES_##TO)             \
            store_##TO(to, by(load_##FROM(from), s));                                              \
        if (n == 0) return;                                                                        \
        memset(tail_in, 0, sizeof tail_in);                                                        \
        memcpy(tail_in, from, (size_t)n * BYTES_##FROM);                                           \
        store_##TO(tail_out, by(load_##FROM(tail_in), s));                                         \
        memcpy(to, tail_out, (size_t)n * BYTES_##TO);                                              \
    }
#define ROW_COPY(T)                                                                                \
    static void from_##T##_to_##T(void *out, const void *in, int64_t n, float scale) {             \
        (void)scale;                                                                               \
        memcpy(out, in, (size_t)n * BYTES_##T);                                                    \
    }
#define ROW_AMAX(FROM)                                                                             \
    static float amax_##FROM(const void *in, int64_t n) {                                          \
        uint8_t tail[V_LANES * BYTES_##FROM];                                                      \
        const uint8_t *from = in;                                                                  \
        vf32 most = vf32_zero();                                                                   \
        for (; n >= V_LANES; n -= V_LANES, from += V_LANES * BYTES_##FROM)                         \
            most = vf32_max(vf32_abs(load_##FROM(from)), most);                                    \
        memset(tail, 0, sizeof tail);                                                              \
        if (n) memcpy(tail, from, (size_t)n * BYTES_##FROM);                                       \
        return vf32_reduce_max(vf32_max(vf32_abs(load_##FROM(tail)), most));                       \
    }

#define QUANTIZED(X) X(E4M3FN) X(E4M3FNUZ) X(E5M2) X(E5M2FNUZ) X(I8)
ROW_COPY(F32)
ROW_COPY(F16)
ROW_COPY(BF16) ROW_CONVERT(F32, F16, same) ROW_CONVERT(F32, BF16, same) ROW_CONVERT(F16, F32, same)
    ROW_CONVERT(F16, BF16, same) ROW_CONVERT(BF16, F32, same) ROW_CONVERT(BF16, F16, same)
#define QUANTIZE_AND_BACK(Q)                                                                       \
    ROW_CONVERT(Q, F32, divide)                                                                    \
    ROW_CONVERT(Q, F16, divide)                                                                    \
    ROW_CONVERT(Q, BF16, divide) ROW_CONVERT(F32, Q, multiply) ROW_CONVERT(F16, Q, multiply)       \
        ROW_CONVERT(BF16, Q, multiply)
        QUANTIZED(QUANTIZE_AND_BACK) ROW_AMAX(F32) ROW_AMAX(F16) ROW_AMAX(BF16)

#define ENTRY(TO, FROM) [TENON_NUMBER_##TO][TENON_NUMBER_##FROM] = from_##FROM##_to_##TO,
#define QUANTIZED_ENTRIES(Q)                                                                       \
    ENTRY(Q, F32) ENTRY(Q, F16) ENTRY(Q, BF16) ENTRY(F32, Q) ENTRY(F16, Q) ENTRY(BF16, Q)
#define ROW_CONVERTERS(name)                                                                       \
    const tenon_row_converters name = {                                                            \
        .to_from = {ENTRY(F32, F32) ENTRY(F32, F16) ENTRY(F32, BF16) ENTRY(F16, F32)               \
                        ENTRY(F16, F16) ENTRY(F16, BF16) ENTRY(BF16, F32) ENTRY(BF16, F16)         \
                            ENTRY(BF16, BF16) QUANTIZED(QUANTIZED_ENTRIES)},                       \
        .amax = {[TENON_NUMBER_F32] = amax_F32,                                                    \
                 [TENON_NUMBER_F16] = amax_F16,                                                    \
                 [TENON_NUMBER_BF16] = amax_BF16}}
