/* SPDX-License-Identifier: Apache-2.0 */
/* Codes, scales and values of a unit as vectors of V_LANES columns from `col` on. Include a
 * simd_*.h first. All integer arguments but pointers are constants at each use. */
#ifndef TENON_PANEL_DECODE_H
#define TENON_PANEL_DECODE_H

#include "panel_kernels.h"
#include "simd/simd_float8.h"

/* Where things lie in a unit (panel_layout.h). */
enum {
    PANEL_VECTOR_BYTES = 128, /* a code vector: 32 columns x 4 bytes */
    PANEL_Q4_SCALES = 512,
    PANEL_Q4_MINS = 576,
    PANEL_MXFP4_SCALES = 512,
    PANEL_NVFP4_SCALES = 512,
    PANEL_MXFP8_SCALES = 1024,
    PANEL_INT4_ZEROS = 576,
    PANEL_INT4_OFFSETS = 640,
    PANEL_Q8_SCALES = 1024,
    PANEL_INT8_OFFSETS = 1152,
    PANEL_INT4_128_SCALES = 2048,
    PANEL_INT4_128_ZEROS = 2112,
    PANEL_INT4_128_OFFSETS = 2176,
    PANEL_INT8_128_SCALES = 4096,
    PANEL_INT8_128_OFFSETS = 4224,
    PANEL_Q4K_PARTS = 128,
    PANEL_Q4K_PART_BYTES = 1152,
    PANEL_Q6K_PARTS = 64,
    PANEL_Q6K_PART_BYTES = 3328,
    PANEL_Q6K_UPPER = 2048,
    PANEL_Q6K_SCALES = 3072
};

/* Groups of a unit are walked in parts, so that what depends on the group within its part is
 * constant. */
V_INLINE int panel_parts(tenon_panel_kind kind) {
    return kind == TENON_PANEL_Q4_K ? 4 : kind == TENON_PANEL_Q6_K ? 2 : 1;
}
V_INLINE int panel_groups_per_part(tenon_panel_kind kind) {
    return kind == TENON_PANEL_Q4_K ? 2 : kind == TENON_PANEL_Q6_K ? 4 : 1;
}
V_INLINE const uint8_t *panel_part(tenon_panel_kind kind, const uint8_t *unit, int part) {
    return kind == TENON_PANEL_Q4_K   ? unit + PANEL_Q4K_PARTS + part * PANEL_Q4K_PART_BYTES
           : kind == TENON_PANEL_Q6_K ? unit + PANEL_Q6K_PARTS + part * PANEL_Q6K_PART_BYTES
                                      : unit;
}

/* Byte b of each lane as f32. */
V_INLINE vf32 panel_byte(vi32 codes, int b) {
    return vf32_from_i32(b == 3 ? vi32_srl(codes, 24)
                                : vi32_and(b == 0   ? codes
                                           : b == 1 ? vi32_srl(codes, 8)
                                                    : vi32_srl(codes, 16),
                                           vi32_set1(0xff)));
}

/* The codes of step s (four k) of group g of a part, one byte each. */
V_INLINE vi32 panel_codes(tenon_panel_kind kind, const uint8_t *part, int g, int s, int col) {
    const vi32 nibble = vi32_set1(0x0f0f0f0f);
    if (tenon_panel_is_wide_code(kind)) return vi32_load(part + s * PANEL_VECTOR_BYTES + col * 4);
    if (kind == TENON_PANEL_Q4_K) {
        const vi32 v = vi32_load(part + s * PANEL_VECTOR_BYTES + col * 4);
        return vi32_and(g ? vi32_srl(v, 4) : v, nibble);
    }
    if (kind == TENON_PANEL_Q6_K) {
        const vi32 upper = vi32_set1(0x30303030);
        vi32 low = vi32_load(part + ((g & 1) * 8 + s) * PANEL_VECTOR_BYTES + col * 4);
        vi32 high = vi32_load(part + PANEL_Q6K_UPPER + s * PANEL_VECTOR_BYTES + col * 4);
        if (g >= 2) low = vi32_srl(low, 4);
        high = g == 0   ? vi32_sll(high, 4)
               : g == 1 ? vi32_sll(high, 2)
               : g == 2 ? high
                        : vi32_srl(high, 2);
        return vi32_or(vi32_and(low, nibble), vi32_and(high, upper));
    }
    vi32 v = vi32_load(part + (s & 3) * PANEL_VECTOR_BYTES + col * 4);
    v = vi32_and(s >= 4 ? vi32_srl(v, 4) : v, nibble);
    if (kind == TENON_PANEL_MXFP4 || kind == TENON_PANEL_NVFP4) {
        /* 12 + twice the e2m1 of each code. */
        static const uint8_t table[16] = {12, 13, 14, 15, 16, 18, 20, 24,
                                          12, 11, 10, 9,  8,  6,  4,  0};
        v = vi32_shuffle16(vi32_table16(table), v);
    }
    return v;
}

/* 16 less the zero point of each column; the same in each byte of a lane. */
V_INLINE vi32 panel_zeros(tenon_panel_kind kind, const uint8_t *part, int col) {
    return vi32_load_u8(part +
                        (tenon_panel_is_128(kind) ? PANEL_INT4_128_ZEROS : PANEL_INT4_ZEROS) + col);
}
V_INLINE vi32 panel_zero_shift(tenon_panel_kind kind, const uint8_t *part, int col) {
    vi32 z = panel_zeros(kind, part, col);
    z = vi32_or(z, vi32_sll(z, 8));
    return vi32_or(z, vi32_sll(z, 16));
}

/* 2^(e - 127), subnormal for e = 0, NaN for e = 255. */
V_INLINE vf32 panel_load_e8m0(const uint8_t *p) {
    const vi32 e = vi32_load_u8(p), nan = vi32_srl(vi32_add(e, vi32_set1(1)), 8);
    return vf32_from_bits(
        vi32_or(vi32_max(vi32_sll(e, 23), vi32_set1(0x00400000)), vi32_sll(nan, 22)));
}

V_INLINE vf32 panel_load_f32(const uint8_t *plane, int col) {
    return vf32_load((const float *)(const void *)plane + col);
}
V_INLINE vf32 panel_load_16(tenon_panel_type type, const uint8_t *p) {
    return type == TENON_PANEL_TYPE_BF16 ? vf32_load_bf16(p) : vf32_load_f16(p);
}

/* Scale number i of group g of a part. */
V_INLINE vf32 panel_scale(tenon_panel_kind kind, tenon_panel_type type, const uint8_t *unit,
                          const uint8_t *part, int g, int i, int col) {
    switch (kind) {
    case TENON_PANEL_Q8_0:
        return panel_load_16(type, part + PANEL_Q8_SCALES + 2 * col);
    case TENON_PANEL_Q4_0:
    case TENON_PANEL_INT4_ZERO:
        return panel_load_16(type, part + PANEL_Q4_SCALES + 2 * col);
    case TENON_PANEL_INT4_128:
    case TENON_PANEL_INT4_ZERO_128:
        return panel_load_16(type, part + PANEL_INT4_128_SCALES + 2 * col);
    case TENON_PANEL_INT4_AFFINE_128:
        return panel_load_f32(part + PANEL_INT4_128_SCALES, col);
    case TENON_PANEL_INT8_128:
    case TENON_PANEL_INT8_AFFINE_128:
        return panel_load_f32(part + PANEL_INT8_128_SCALES, col);
    case TENON_PANEL_MXFP4:
        return panel_load_e8m0(part + PANEL_MXFP4_SCALES + col);
    case TENON_PANEL_NVFP4:
        return decode_float8(vi32_load_u8(part + PANEL_NVFP4_SCALES + 32 * i + col), 3, 7, 0x7f,
                             false);
    case TENON_PANEL_INT4_AFFINE:
        return panel_load_f32(part + PANEL_Q4_SCALES, col);
    case TENON_PANEL_INT8_AFFINE:
        return panel_load_f32(part + PANEL_Q8_SCALES, col);
    default:
        break;
    }
    if (kind == TENON_PANEL_Q4_K)
        return vf32_mul(vf32_load_f16(unit + 2 * col),
                        vf32_from_i32(vi32_load_u8(part + 1024 + 32 * g + col)));
    if (kind == TENON_PANEL_Q6_K)
        return vf32_mul(
            vf32_load_f16(unit + 2 * col),
            vf32_from_i32(vi32_load_s8(part + PANEL_Q6K_SCALES + 32 * (2 * g + i) + col)));
    return vf32_load_f16(part + PANEL_Q4_SCALES + 2 * col);
}

V_INLINE vf32 panel_offset(tenon_panel_kind kind, const uint8_t *unit, const uint8_t *part, int g,
                           int col) {
    if (kind == TENON_PANEL_Q4_K)
        return vf32_mul(vf32_sub(vf32_zero(), vf32_load_f16(unit + 64 + 2 * col)),
                        vf32_from_i32(vi32_load_u8(part + 1088 + 32 * g + col)));
    if (kind == TENON_PANEL_INT4_AFFINE) return panel_load_f32(part + PANEL_INT4_OFFSETS, col);
    if (kind == TENON_PANEL_INT8_AFFINE) return panel_load_f32(part + PANEL_INT8_OFFSETS, col);
    if (kind == TENON_PANEL_INT4_AFFINE_128)
        return panel_load_f32(part + PANEL_INT4_128_OFFSETS, col);
    if (kind == TENON_PANEL_INT8_AFFINE_128)
        return panel_load_f32(part + PANEL_INT8_128_OFFSETS, col);
    return vf32_load_f16(part + PANEL_Q4_MINS + 2 * col);
}

V_INLINE void panel_prefetch(const uint8_t *p, int bytes) {
    /* About 4.6 KB ahead: with one stream per thread the hardware prefetcher alone loses 5 to 10 %.
     */
    V_UNROLL(64)
    for (int i = 0; i < bytes; i += 64) v_prefetch(p + 4608 + i);
}

#endif
