/* SPDX-License-Identifier: Apache-2.0
 *
 * Double precision. Source: "CDNA3 Instruction Set Architecture". No packed or matrix forms: no
 * kernel here needs them.
 */
#include "amd_vector.h"

static void finish(amd_wave *wave, const amd_instruction *inst, amd_row64 result) {
    static const double factor[4] = {1.0, 2.0, 4.0, 0.5};
    if (inst->result_scale) AMD_EACH_LANE(lane)
    result[lane] = amd_double_bits(amd_double(result[lane]) * factor[inst->result_scale]);
    if (inst->clamp) AMD_EACH_LANE(lane) {
            double value = amd_double(result[lane]);
            result[lane] = amd_double_bits(value > 0.0 ? value < 1.0 ? value : 1.0 : 0.0);
        }
    amd_write64(wave, inst, 0, result);
}

#define HANDLER(name) static void name(amd_wave *wave, const amd_instruction *inst)
#define SOURCE(x, operand)                                                                         \
    amd_row64 row_##x;                                                                             \
    amd_source64(wave, inst, operand, row_##x)
#define ONE(name, expression)                                                                      \
    HANDLER(name) {                                                                                \
        SOURCE(a, 1);                                                                              \
        AMD_EACH_LANE(lane) {                                                                      \
            double a = amd_double(row_a[lane]);                                                    \
            row_a[lane] = amd_double_bits(expression);                                             \
        }                                                                                          \
        finish(wave, inst, row_a);                                                                 \
    }
#define TWO(name, expression)                                                                      \
    HANDLER(name) {                                                                                \
        SOURCE(a, 1);                                                                              \
        SOURCE(b, 2);                                                                              \
        AMD_EACH_LANE(lane) {                                                                      \
            double a = amd_double(row_a[lane]), b = amd_double(row_b[lane]);                       \
            row_a[lane] = amd_double_bits(expression);                                             \
        }                                                                                          \
        finish(wave, inst, row_a);                                                                 \
    }
#define FROM_32(name, expression)                                                                  \
    HANDLER(name) {                                                                                \
        amd_row scratch;                                                                           \
        amd_row64 result;                                                                          \
        const uint32_t *row = amd_source(wave, inst, 1, scratch);                                  \
        AMD_EACH_LANE(lane) {                                                                      \
            uint32_t a = row[lane];                                                                \
            result[lane] = amd_double_bits(expression);                                            \
        }                                                                                          \
        finish(wave, inst, result);                                                                \
    }
#define TO_32(name, expression)                                                                    \
    HANDLER(name) {                                                                                \
        amd_row result;                                                                            \
        SOURCE(a, 1);                                                                              \
        AMD_EACH_LANE(lane) {                                                                      \
            double a = amd_double(row_a[lane]);                                                    \
            result[lane] = (expression);                                                           \
        }                                                                                          \
        amd_write(wave, inst, result);                                                             \
    }

TWO(v_add_f64, a + b)
TWO(v_mul_f64, a *b)
TWO(v_max_f64, fmax(a, b))
TWO(v_min_f64, fmin(a, b))
ONE(v_rcp_f64, 1.0 / a)
ONE(v_rsq_f64, 1.0 / sqrt(a))
ONE(v_sqrt_f64, sqrt(a))
ONE(v_floor_f64, floor(a))
ONE(v_ceil_f64, ceil(a))
ONE(v_trunc_f64, trunc(a))
ONE(v_rndne_f64, rint(a))
ONE(v_fract_f64, a - floor(a) < 1.0 ? a - floor(a) : 0x1.fffffffffffffp-1)
FROM_32(v_cvt_f64_f32, (double)amd_float(a))
FROM_32(v_cvt_f64_u32, (double)a)
FROM_32(v_cvt_f64_i32, (double)(int32_t)a)
TO_32(v_cvt_f32_f64, amd_bits((float)a))
TO_32(v_cvt_u32_f64, a >= 4294967295.0 ? ~0u : a > 0 ? (uint32_t)a : 0u)
TO_32(v_cvt_i32_f64, a >= 2147483647.0    ? 0x7fffffffu
                     : a <= -2147483648.0 ? 0x80000000u
                     : a == a             ? (uint32_t)(int32_t)a
                                          : 0u)

HANDLER(v_fma_f64) {
    SOURCE(a, 1);
    SOURCE(b, 2);
    SOURCE(c, 3);
    AMD_EACH_LANE(lane)
    row_a[lane] = amd_double_bits(
        fma(amd_double(row_a[lane]), amd_double(row_b[lane]), amd_double(row_c[lane])));
    finish(wave, inst, row_a);
}

HANDLER(v_fmac_f64) {
    SOURCE(a, 1);
    SOURCE(b, 2);
    SOURCE(c, 0);
    AMD_EACH_LANE(lane)
    row_a[lane] = amd_double_bits(
        fma(amd_double(row_a[lane]), amd_double(row_b[lane]), amd_double(row_c[lane])));
    finish(wave, inst, row_a);
}

HANDLER(v_ldexp_f64) {
    amd_row scratch;
    SOURCE(a, 1);
    const uint32_t *by = amd_prepare_part(wave, inst, 2, 0, scratch);
    AMD_EACH_LANE(lane) {
        int32_t amount = (int32_t)by[lane];
        row_a[lane] = amd_double_bits(ldexp(amd_double(row_a[lane]), amount > 5000    ? 5000
                                                                     : amount < -5000 ? -5000
                                                                                      : amount));
    }
    finish(wave, inst, row_a);
}

#define ROW(name, unit, modifiers) {#name, name, unit, AMD_F64, 1, modifiers, 0},
#define PLAIN(name) ROW(name, GPU_AMD_VECTOR, AMD_MOD_SIGN | AMD_MOD_CLAMP | AMD_MOD_SCALE)
#define SLOW(name)  ROW(name, GPU_AMD_TRANSCENDENTAL, AMD_MOD_SIGN | AMD_MOD_CLAMP | AMD_MOD_SCALE)
/* The source has 32 bits: a constant with a point is single precision. */
#define WIDENING(name)                                                                             \
    {#name, name, GPU_AMD_VECTOR, AMD_F32, 1, AMD_MOD_SIGN | AMD_MOD_CLAMP | AMD_MOD_SCALE, 0},

static const amd_opcode rows[] = {
    PLAIN(v_add_f64) PLAIN(v_mul_f64) PLAIN(v_max_f64) PLAIN(v_min_f64) PLAIN(v_fma_f64)
        PLAIN(v_fmac_f64) PLAIN(v_ldexp_f64) PLAIN(v_floor_f64) PLAIN(v_ceil_f64) PLAIN(v_trunc_f64)
            PLAIN(v_rndne_f64) PLAIN(v_fract_f64) SLOW(v_rcp_f64) SLOW(v_rsq_f64) SLOW(v_sqrt_f64)
                PLAIN(v_cvt_f32_f64) PLAIN(v_cvt_u32_f64) PLAIN(v_cvt_i32_f64)
                    WIDENING(v_cvt_f64_f32) WIDENING(v_cvt_f64_u32) WIDENING(v_cvt_f64_i32)};
const amd_opcode_table amd_vector_double_table = {rows, sizeof rows / sizeof *rows};
