/* SPDX-License-Identifier: Apache-2.0
 *
 * Half precision, one value per lane; the upper 16 bits of the result are 0 unless op_sel keeps
 * them. Source: "CDNA3 Instruction Set Architecture"; LLVM's zeroesHigh16BitsOfDest for which
 * results clear the upper half.
 */
#include "amd_vector.h"

static inline uint32_t median_bits(uint32_t a, uint32_t b, uint32_t c) {
    float x = amd_half(a), y = amd_half(b), z = amd_half(c);
    if (x != x || y != y || z != z) return amd_half_bits(amd_min(amd_min(x, y), z));
    return amd_half_bits(amd_max(amd_min(x, y), amd_min(amd_max(x, y), z)));
}

static uint32_t finished(const amd_instruction *inst, uint32_t bits) {
    static const float factor[4] = {1.0f, 2.0f, 4.0f, 0.5f};
    float value = amd_half(bits);
    if (inst->result_scale) value *= factor[inst->result_scale];
    if (inst->clamp) value = value > 0.0f ? value < 1.0f ? value : 1.0f : 0.0f;
    return amd_half_bits(value);
}

static void write_half(amd_wave *wave, const amd_instruction *inst, amd_row result) {
    if (inst->clamp || inst->result_scale)
        AMD_EACH_LANE(lane) result[lane] = finished(inst, result[lane]);
    amd_write(wave, inst, result);
}

#define HANDLER(name) static void name(amd_wave *wave, const amd_instruction *inst)
#define SOURCE(x, operand)                                                                         \
    amd_row scratch_##x;                                                                           \
    const uint32_t *row_##x = amd_source(wave, inst, operand, scratch_##x)
#define ONE(name, expression)                                                                      \
    HANDLER(name) {                                                                                \
        amd_row result;                                                                            \
        SOURCE(a, 1);                                                                              \
        AMD_EACH_LANE(lane) {                                                                      \
            float a = amd_half(row_a[lane]);                                                       \
            result[lane] = (expression);                                                           \
        }                                                                                          \
        write_half(wave, inst, result);                                                            \
    }
#define TWO(name, expression)                                                                      \
    HANDLER(name) {                                                                                \
        amd_row result;                                                                            \
        SOURCE(a, 1);                                                                              \
        SOURCE(b, 2);                                                                              \
        AMD_EACH_LANE(lane) {                                                                      \
            float a = amd_half(row_a[lane]), b = amd_half(row_b[lane]);                            \
            result[lane] = amd_half_bits(expression);                                              \
        }                                                                                          \
        write_half(wave, inst, result);                                                            \
    }
#define THREE(name, expression)                                                                    \
    HANDLER(name) {                                                                                \
        amd_row result;                                                                            \
        SOURCE(a, 1);                                                                              \
        SOURCE(b, 2);                                                                              \
        SOURCE(c, 3);                                                                              \
        AMD_EACH_LANE(lane) {                                                                      \
            uint32_t a = row_a[lane], b = row_b[lane], c = row_c[lane];                            \
            result[lane] = (expression);                                                           \
        }                                                                                          \
        write_half(wave, inst, result);                                                            \
    }

/* The exact product and sum fit a double where they matter: no second rounding. */
static inline uint32_t fused(uint32_t a, uint32_t b, uint32_t c) {
    return amd_half_bits_of_double((double)amd_half(a) * (double)amd_half(b) + (double)amd_half(c));
}

TWO(v_add_f16, a + b)
TWO(v_sub_f16, a - b)
TWO(v_subrev_f16, b - a)
TWO(v_mul_f16, a *b)
TWO(v_max_f16, amd_max(a, b))
TWO(v_min_f16, amd_min(a, b))
THREE(v_fma_f16, fused(a, b, c))
THREE(v_max3_f16, amd_half_bits(amd_max(amd_max(amd_half(a), amd_half(b)), amd_half(c))))
THREE(v_min3_f16, amd_half_bits(amd_min(amd_min(amd_half(a), amd_half(b)), amd_half(c))))
THREE(v_med3_f16, median_bits(a, b, c))
ONE(v_floor_f16, amd_half_bits(floorf(a)))
ONE(v_ceil_f16, amd_half_bits(ceilf(a)))
ONE(v_trunc_f16, amd_half_bits(truncf(a)))
ONE(v_rndne_f16, amd_half_bits(rintf(a)))
ONE(v_rcp_f16, amd_half_bits(1.0f / a))
ONE(v_rsq_f16, amd_half_bits_of_double(1.0 / sqrt((double)a)))
ONE(v_sqrt_f16, amd_half_bits(sqrtf(a)))
ONE(v_exp_f16, amd_half_bits_of_double(exp2((double)a)))
ONE(v_log_f16, amd_half_bits_of_double(log2((double)a)))
ONE(v_cvt_u16_f16, amd_to_u32(a) > 0xffff ? 0xffff : amd_to_u32(a))
ONE(v_cvt_i16_f16, (uint32_t)(a >= 32767.0f    ? 32767
                              : a <= -32768.0f ? -32768
                                               : (int32_t)amd_to_i32(a)) &
                       0xffff)

HANDLER(v_fmac_f16) {
    amd_row result;
    SOURCE(a, 1);
    SOURCE(b, 2);
    const uint32_t *old = wave->vector[inst->operand[0].first];
    AMD_EACH_LANE(lane) result[lane] = fused(row_a[lane], row_b[lane], old[lane]);
    write_half(wave, inst, result);
}

HANDLER(v_cvt_f16_u16) {
    amd_row result;
    SOURCE(a, 1);
    AMD_EACH_LANE(lane) result[lane] = amd_half_bits((float)(row_a[lane] & 0xffff));
    write_half(wave, inst, result);
}

HANDLER(v_cvt_f16_i16) {
    amd_row result;
    SOURCE(a, 1);
    AMD_EACH_LANE(lane) result[lane] = amd_half_bits((float)(int16_t)row_a[lane]);
    write_half(wave, inst, result);
}

HANDLER(v_ldexp_f16) {
    amd_row result, scratch;
    SOURCE(a, 1);
    const uint32_t *by = amd_prepare_part(wave, inst, 2, 0, scratch);
    AMD_EACH_LANE(lane)
    result[lane] = amd_half_bits_of_double(ldexp((double)amd_half(row_a[lane]), (int16_t)by[lane]));
    write_half(wave, inst, result);
}

#define ROW(name, unit, modifiers) {#name, name, unit, AMD_F16, 1, modifiers, 0},
#define PLAIN(name)                ROW(name, GPU_AMD_VECTOR, AMD_MODS_FLOAT)
#define SLOW(name)                 ROW(name, GPU_AMD_TRANSCENDENTAL, AMD_MODS_FLOAT)
#define WITH_HALVES(name) ROW(name, GPU_AMD_VECTOR, AMD_MOD_SIGN | AMD_MOD_CLAMP | AMD_MOD_HALF)

static const amd_opcode rows[] = {
    PLAIN(v_add_f16) PLAIN(v_sub_f16) PLAIN(v_subrev_f16) PLAIN(v_mul_f16) PLAIN(v_max_f16)
        PLAIN(v_min_f16) PLAIN(v_fmac_f16) PLAIN(v_floor_f16) PLAIN(v_ceil_f16) PLAIN(v_trunc_f16)
            PLAIN(v_rndne_f16) SLOW(v_rcp_f16) SLOW(v_rsq_f16) SLOW(v_sqrt_f16) SLOW(v_exp_f16)
                SLOW(v_log_f16) PLAIN(v_cvt_u16_f16) PLAIN(v_cvt_i16_f16) PLAIN(v_cvt_f16_u16)
                    PLAIN(v_cvt_f16_i16) PLAIN(v_ldexp_f16) WITH_HALVES(v_fma_f16)
                        WITH_HALVES(v_max3_f16) WITH_HALVES(v_min3_f16) WITH_HALVES(v_med3_f16)};
const amd_opcode_table amd_vector_half_table = {rows, sizeof rows / sizeof *rows};
