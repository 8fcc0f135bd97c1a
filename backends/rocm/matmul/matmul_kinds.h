/* SPDX-License-Identifier: Apache-2.0 */
/* What the fast kernels multiply, and how a lane gets its operands of the matrix instructions.
 *
 * A chunk is 128 columns. Products of a chunk are exact and are summed in f32 by the matrix
 * instructions; chunk sums, times their scales, are added in order of k by fused multiply-adds.
 * Every kernel of a kind does just this, whatever it does at the same time, so that all give the
 * same bits.
 *
 * In an instruction lane 16 g + c holds w row c (first operand) and x row c (second), and as many
 * columns in both as it takes; which columns these are is free, as long as both agree. A piece is
 * 16 bytes of a row of x; step j of a chunk uses piece x_piece(kind, j, g). It is chosen such that
 * a lane reads its columns of w in 16 bytes:
 *
 *   16 bits    step j: columns 32 j + 8 g ..     piece 4 j + g
 *   int4, e2m1 step j: columns 32 g + 8 j ..     piece 4 g + j       16 bytes: the lane's chunk
 *   words k    as 16 bits: a word holds eight columns of a row (GPTQ)
 *   fp8        step j: columns 64 (j/2) + 16 g + 8 (j mod 2) ..    16 bytes: two steps
 *   fp8, x too step j: columns 64 j + 16 g ..    piece 4 j + g
 *   MXFP8      one step: pieces g and 4 + g
 *   MXFP4      one step: piece g */
#ifndef TENON_MATMUL_KINDS_H
#define TENON_MATMUL_KINDS_H

#include "matmul_decode.h"
#include "matmul_finish.h"

enum { CHUNK = 128 };
typedef enum matmul_kind {
    KIND_HALF,    /* w as x */
    KIND_INT4,    /* nibbles along k in rows, scales and zero points per 128 n columns */
    KIND_INT4_K,  /* GPTQ words */
    KIND_MXFP4_W, /* e2m1 with a power of two per 32, in bf16 */
    KIND_FP8_W,   /* e4m3, scales per 128 n columns */
    KIND_FP8,     /* e4m3 both, in the encoding of the target */
    KIND_MXFP8,   /* both, gfx950 */
    KIND_MXFP4    /* both, gfx950 */
} matmul_kind;

typedef short s16x4 __attribute__((ext_vector_type(4)));
typedef _Float16 f16x4 __attribute__((ext_vector_type(4)));
typedef _Float16 f16x8 __attribute__((ext_vector_type(8)));
typedef _Float16 f16x2 __attribute__((ext_vector_type(2)));
typedef __bf16 bf16x8 __attribute__((ext_vector_type(8)));
typedef int i32x8 __attribute__((ext_vector_type(8)));
typedef float f32x2 __attribute__((ext_vector_type(2)));

/* Pieces of a chunk in a row of x; steps of a chunk. */
DEVICE uint32_t kind_pieces(const matmul_kind kind) {
    return kind == KIND_MXFP4 ? 4 : kind == KIND_FP8 || kind == KIND_MXFP8 ? 8 : 16;
}
DEVICE uint32_t kind_steps(const matmul_kind kind) {
    return kind == KIND_MXFP4 || kind == KIND_MXFP8 ? 1 : kind == KIND_FP8 ? 2 : 4;
}
DEVICE uint32_t x_piece(const matmul_kind kind, const uint32_t j, uint32_t g) {
    if (kind == KIND_INT4 || kind == KIND_MXFP4_W) return 4 * g + j;
    if (kind == KIND_FP8_W) return 8 * (j / 2) + 2 * g + j % 2;
    return 4 * j + g;
}
/* Columns of a 16-byte piece of x. */
DEVICE uint32_t piece_columns(const matmul_kind kind) {
    return CHUNK / kind_pieces(kind);
}

/* What a lane reads of one row of w in a chunk. */
typedef struct w_raw {
    u32x4 q[4];
    uint32_t scale; /* e8m0 code of the lane's 32 columns */
    float zero;
} w_raw;

/* A lane's row of w. */
typedef struct w_row {
    tenon_device_const_bytes data;
    tenon_device_const_bytes zero, scale; /* of the first group; scale: e8m0 of the first block */
    uint32_t zero_shift;
} w_row;

DEVICE w_row w_row_of(const matmul_arguments *a, const matmul_kind kind, uint32_t expert,
                      uint32_t v) {
    const uint32_t row = weight_row(a, v < a->n ? v : a->n - 1);
    w_row r = {.data = a->w.data + expert * a->w.expert_stride + row * a->w.row_stride};
    if (kind == KIND_MXFP4_W || kind == KIND_MXFP4 || kind == KIND_MXFP8)
        r.scale = a->w.scale.data + expert * a->w.scale.expert_stride + row * a->w.scale.row_stride;
    if ((kind == KIND_INT4 || kind == KIND_INT4_K) && a->w.zero.data) {
        const bool words = a->w.zero.number == TENON_NUMBER_I32;
        const int64_t at =
            expert * a->w.zero.expert_stride + (words ? row / 8 : row) * a->w.zero.row_stride;
        r.zero = a->w.zero.data + (words ? 4 * at : at);
        r.zero_shift = words ? row % 8 * 4 : 0;
    }
    return r;
}

DEVICE u32x4 load_16_if(bool there, tenon_device_const_bytes p) {
    return there ? load_16(p) : (u32x4){0, 0, 0, 0};
}

/* Loads what step j is the first to use: called for all steps, everything is there. */
DEVICE void load_w(const matmul_arguments *a, const matmul_kind kind, const w_row *r,
                   uint32_t chunk, const uint32_t j, w_raw *raw) {
    const uint32_t g = lane_id() / 16, k0 = chunk * CHUNK;
    switch (kind) {
    case KIND_HALF:
        raw->q[j] = load_16_if(k0 + 32 * j + 8 * g < a->k, r->data + 2 * (k0 + 32 * j + 8 * g));
        break;
    case KIND_INT4:
    case KIND_MXFP4_W:
    case KIND_MXFP4:
        if (j) break;
        raw->q[0] = load_16_if(k0 + 32 * g < a->k, r->data + (k0 + 32 * g) / 2);
        break;
    case KIND_INT4_K: {
        const uint32_t k = k0 + 32 * j + 8 * g;
        raw->q[0][j] = k < a->k ? load_4(r->data + k / 8 * a->w.k_stride) : 0;
        break;
    }
    case KIND_FP8_W:
        if (j % 2) break;
        raw->q[j / 2] = load_16_if(k0 + 32 * j + 16 * g < a->k, r->data + k0 + 32 * j + 16 * g);
        break;
    case KIND_FP8:
        raw->q[j] = load_16_if(k0 + 64 * j + 16 * g < a->k, r->data + k0 + 64 * j + 16 * g);
        break;
    case KIND_MXFP8:
        for (uint32_t i = 0; i < 2; i++)
            raw->q[i] = load_16_if(k0 + 64 * i + 16 * g < a->k, r->data + k0 + 64 * i + 16 * g);
        break;
    }
    if (j) return;
    if (kind == KIND_MXFP4_W || kind == KIND_MXFP4 || kind == KIND_MXFP8)
        raw->scale = k0 + 32 * g < a->k ? r->scale[(k0 / 32 + g) * a->w.scale.col_stride] : 127;
    if (kind == KIND_INT4 || kind == KIND_INT4_K) {
        uint32_t zero = 8;
        if (a->w.zero.data && k0 < a->k) {
            const int64_t at = k0 / a->w.group_cols * a->w.zero.col_stride;
            zero = a->w.zero.number == TENON_NUMBER_I32
                       ? (load_4(r->zero + 4 * at) >> r->zero_shift & 15) + a->w.gptq
                       : r->zero[at];
        }
        raw->zero = (float)zero;
    }
}

/* The scales of 128 columns: f32, f16, bf16 or e8m0. base: of the row, as scale_base has it. */
DEVICE bool kind_has_scales(const matmul_kind kind) {
    return kind == KIND_INT4 || kind == KIND_INT4_K || kind == KIND_FP8_W || kind == KIND_FP8;
}
DEVICE uint32_t scale_base(const matmul_operand *o, uint32_t expert, uint32_t row) {
    return (uint32_t)(expert * o->scale.expert_stride + row / o->group_rows * o->scale.row_stride);
}
DEVICE float chunk_scale(const matmul_operand *o, uint32_t base, uint32_t chunk) {
    if (!o->scale.data) return 1;
    const uint32_t at = base + chunk * CHUNK / o->group_cols * (uint32_t)o->scale.col_stride;
    return o->scale.number == TENON_NUMBER_E8M0 ? e8m0_to_f32(o->scale.data[at])
                                                : load_float(o->scale.data, at, o->scale.number);
}

/* ---- e4m3fn on gfx942, whose instructions read e4m3fnuz ----
 * A code of one is half as much in the other, but for minus zero and the NaNs: these are moved, and
 * the scales doubled. */
DEVICE bool is_foreign_fp8(const matmul_operand *o) {
#if defined(__gfx942__)
    return o->number == TENON_NUMBER_E4M3FN;
#else
    (void)o;
    return false;
#endif
}
DEVICE uint32_t fnuz_codes(uint32_t codes) {
    const uint32_t tops = 0x80808080u, magnitude = codes & ~tops;
    const uint32_t nonzero = (magnitude + 0x7f7f7f7fu) & tops;
    const uint32_t nan = (magnitude + 0x01010101u) & tops;
    return ((magnitude | (codes & nonzero)) & ~(nan - (nan >> 7))) | nan;
}
DEVICE u32x4 native_fp8(const matmul_operand *o, u32x4 codes) {
    if (!is_foreign_fp8(o)) return codes;
#pragma unroll
    for (int i = 0; i < 4; i++) codes[i] = fnuz_codes(codes[i]);
    return codes;
}

/* ---- eight numbers of 16 bits ---- */

DEVICE uint32_t pack_exact(const uint32_t number, float low, float high) {
    if (number == TENON_NUMBER_F16)
        return __builtin_bit_cast(uint32_t, (f16x2){(_Float16)low, (_Float16)high});
    return __builtin_amdgcn_perm(bits_of(high), bits_of(low), 0x07060302); /* upper halves */
}

DEVICE u32x4 decode_int4(const uint32_t number, uint32_t word, float zero) {
    u32x4 out;
    if (number == TENON_NUMBER_F16) {
        const f16x2 base = {(_Float16)(1024 + zero), (_Float16)(1024 + zero)};
#pragma unroll
        for (uint32_t p = 0; p < 4; p++) { /* 0x6400 + q is 1024 + q */
            const uint32_t two = word >> (8 * p);
            const uint32_t codes = (two & 0xfu) | (two & 0xf0u) << 12 | 0x64006400u;
            out[p] = __builtin_bit_cast(uint32_t, __builtin_bit_cast(f16x2, codes) - base);
        }
        return out;
    }
    const uint32_t even = word & 0x0f0f0f0fu, odd = word >> 4 & 0x0f0f0f0fu;
#pragma unroll
    for (uint32_t p = 0; p < 4; p++)
        out[p] = pack_exact(number, (float)(even >> (8 * p) & 0xffu) - zero,
                            (float)(odd >> (8 * p) & 0xffu) - zero);
    return out;
}

/* e2m1 times a power of two, in bf16: exact. The bits, moved into place, are an f32 that is 2^126
 * too small. */
DEVICE u32x4 decode_mxfp4(uint32_t word, uint32_t scale_code) {
    const float scale = e8m0_to_f32(scale_code);
    u32x4 out;
#pragma unroll
    for (uint32_t p = 0; p < 4; p++) {
        const uint32_t two = word >> (8 * p);
        const f32x2 tiny = {float_of((two & 7u) << 22 | (two & 8u) << 28),
                            float_of((two & 0x70u) << 18 | (two & 0x80u) << 24)};
        const f32x2 x = tiny * 0x1p126f * scale;
        out[p] = pack_exact(TENON_NUMBER_BF16, x[0], x[1]);
    }
    return out;
}

/* e4m3 of either encoding; a NaN stays one. */
DEVICE float e4m3_to_f32(uint32_t code, bool fnuz) {
    const uint32_t magnitude = code & 0x7fu;
    const bool nan = fnuz ? code == 0x80u : magnitude == 0x7fu;
    const float x = float_of((code & 0x80u) << 24 | magnitude << 20) * (fnuz ? 0x1p119f : 0x1p120f);
    return nan ? float_of(0x7fc00000u) : x;
}
DEVICE u32x4 decode_fp8(const uint32_t number, uint32_t low, uint32_t high, bool fnuz) {
    u32x4 out;
#pragma unroll
    for (uint32_t p = 0; p < 4; p++) {
        const uint32_t two = (p < 2 ? low : high) >> (16 * (p % 2));
        out[p] =
            pack_exact(number, e4m3_to_f32(two & 0xffu, fnuz), e4m3_to_f32(two >> 8 & 0xffu, fnuz));
    }
    return out;
}

/* The first operand of step j. */
DEVICE u32x4 decode_w(const matmul_arguments *a, const matmul_kind kind, const uint32_t number,
                      const w_raw *raw, const uint32_t j) {
    switch (kind) {
    case KIND_INT4:
    case KIND_INT4_K:
        return decode_int4(number, raw->q[0][j], raw->zero);
    case KIND_MXFP4_W:
        return decode_mxfp4(raw->q[0][j], raw->scale);
    case KIND_FP8_W:
        return decode_fp8(number, raw->q[j / 2][2 * (j % 2)], raw->q[j / 2][2 * (j % 2) + 1],
                          a->w.number == TENON_NUMBER_E4M3FNUZ);
    case KIND_FP8:
        return native_fp8(&a->w, raw->q[j]);
    default:
        return raw->q[j];
    }
}

/* ---- sums += w . x of one step ---- */

DEVICE f32x4 multiply_halves(const uint32_t number, u32x4 w, u32x4 x, f32x4 sums) {
#if defined(__gfx950__)
    if (number == TENON_NUMBER_F16)
        return __builtin_amdgcn_mfma_f32_16x16x32_f16(__builtin_bit_cast(f16x8, w),
                                                      __builtin_bit_cast(f16x8, x), sums, 0, 0, 0);
    return __builtin_amdgcn_mfma_f32_16x16x32_bf16(__builtin_bit_cast(bf16x8, w),
                                                   __builtin_bit_cast(bf16x8, x), sums, 0, 0, 0);
#else
    const u32x2 w2[2] = {w.xy, w.zw}, x2[2] = {x.xy, x.zw};
#    pragma unroll
    for (int i = 0; i < 2; i++)
        sums = number == TENON_NUMBER_F16
                   ? __builtin_amdgcn_mfma_f32_16x16x16f16(__builtin_bit_cast(f16x4, w2[i]),
                                                           __builtin_bit_cast(f16x4, x2[i]), sums,
                                                           0, 0, 0)
                   : __builtin_amdgcn_mfma_f32_16x16x16bf16_1k(__builtin_bit_cast(s16x4, w2[i]),
                                                               __builtin_bit_cast(s16x4, x2[i]),
                                                               sums, 0, 0, 0);
    return sums;
#endif
}

#if defined(__gfx942__) || defined(__gfx950__)
DEVICE f32x4 multiply_fp8(u32x4 w, u32x4 x, f32x4 sums) {
    const u32x2 w2[2] = {w.xy, w.zw}, x2[2] = {x.xy, x.zw};
#    pragma unroll
    for (int i = 0; i < 2; i++)
        sums = __builtin_amdgcn_mfma_f32_16x16x32_fp8_fp8(
            __builtin_bit_cast(long, w2[i]), __builtin_bit_cast(long, x2[i]), sums, 0, 0, 0);
    return sums;
}
#else
DEVICE f32x4 multiply_fp8(u32x4 w, u32x4 x, f32x4 sums) { /* no row for this target */
    (void)w, (void)x;
    return sums;
}
#endif

/* What a lane needs of a row of x besides the pieces: the scales' codes of its 32 columns. */
#if defined(__gfx950__)
enum { FORMAT_E4M3 = 0, FORMAT_E2M1 = 4 }; /* cbsz and blgp of the instruction */
DEVICE f32x4 multiply_scaled(const matmul_kind kind, const w_raw *w, u32x4 x0, u32x4 x1,
                             uint32_t x_scale, f32x4 sums) {
    if (kind == KIND_MXFP4) {
        const i32x8 wi = {
            (int)w->q[0].x, (int)w->q[0].y, (int)w->q[0].z, (int)w->q[0].w, 0, 0, 0, 0};
        const i32x8 xi = {(int)x0.x, (int)x0.y, (int)x0.z, (int)x0.w, 0, 0, 0, 0};
        return __builtin_amdgcn_mfma_scale_f32_16x16x128_f8f6f4(
            wi, xi, sums, FORMAT_E2M1, FORMAT_E2M1, 0, (int)w->scale, 0, (int)x_scale);
    }
    const i32x8 wi = {(int)w->q[0].x, (int)w->q[0].y, (int)w->q[0].z, (int)w->q[0].w,
                      (int)w->q[1].x, (int)w->q[1].y, (int)w->q[1].z, (int)w->q[1].w};
    const i32x8 xi = {(int)x0.x, (int)x0.y, (int)x0.z, (int)x0.w,
                      (int)x1.x, (int)x1.y, (int)x1.z, (int)x1.w};
    return __builtin_amdgcn_mfma_scale_f32_16x16x128_f8f6f4(wi, xi, sums, FORMAT_E4M3, FORMAT_E4M3,
                                                            0, (int)w->scale, 0, (int)x_scale);
}
#else
DEVICE f32x4 multiply_scaled(const matmul_kind kind, const w_raw *w, u32x4 x0, u32x4 x1,
                             uint32_t x_scale, f32x4 sums) { /* no row for this target */
    (void)kind, (void)w, (void)x0, (void)x1, (void)x_scale;
    return sums;
}
#endif

DEVICE bool kind_is_scaled(const matmul_kind kind) {
    return kind == KIND_MXFP8 || kind == KIND_MXFP4;
}

/* Of KIND_FP8: what the instructions make of the codes is to be multiplied with;
 * f32 scales. */
DEVICE float fp8_scale(const matmul_operand *o, uint32_t base, uint32_t chunk) {
    float scale = 1;
    if (o->scale.data)
        scale = ((TENON_GLOBAL const float *)o->scale
                     .data)[base + chunk * CHUNK / o->group_cols * (uint32_t)o->scale.col_stride];
    return is_foreign_fp8(o) ? 2 * scale : scale;
}

/* The scales of a row of x: of chunks, or the code of the lane's 32 columns. */
DEVICE uint32_t x_scale_base(const matmul_arguments *a, uint32_t row) {
    const uint32_t table = a->max_rows ? row / a->max_rows : 0;
    return scale_base(&a->x, table, row - table * a->max_rows);
}
DEVICE uint32_t x_scale_code(const matmul_arguments *a, uint32_t base, uint32_t chunk) {
    const uint32_t block = chunk * 4 + lane_id() / 16;
    return block * 32 < a->k ? a->x.scale.data[base + block * (uint32_t)a->x.scale.col_stride]
                             : 127;
}

#endif /* TENON_MATMUL_KINDS_H */
