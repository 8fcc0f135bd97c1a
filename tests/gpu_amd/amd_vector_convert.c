/* SPDX-License-Identifier: Apache-2.0
 *
 * Conversions between float formats. FP8 and BF8 are FNUZ on gfx942 and OCP on gfx950. Overflow
 * gives NaN or infinity unless MODE.FP16_OVFL is set, then the largest number. Sources: "CDNA3
 * Instruction Set Architecture" and "CDNA4 Instruction Set Architecture", VOP1 and VOP3; LLVM's
 * descriptions of llvm.amdgcn.cvt.*.
 */
#include "amd_vector.h"

#define HANDLER(name) static void name(amd_wave *wave, const amd_instruction *inst)
#define SOURCE(x, operand)                                                                         \
    amd_row scratch_##x;                                                                           \
    const uint32_t *row_##x = amd_source(wave, inst, operand, scratch_##x)
#define SOURCE_F32(x, operand)                                                                     \
    amd_row scratch_##x;                                                                           \
    const uint32_t *row_##x = amd_source_f32(wave, inst, operand, scratch_##x)

enum { FP8 = 0, BF8 = 1 };

static amd_small format_of(const amd_wave *wave, int which) {
    bool fnuz = wave->target == AMD_GFX942;
    if (which == FP8) return fnuz ? AMD_E4M3_NUZ : AMD_E4M3;
    return fnuz ? AMD_E5M2_NUZ : AMD_E5M2;
}

static bool saturates(const amd_wave *wave) {
    return wave->mode >> 23 & 1;
}

/* Towards zero. */
static uint32_t half_towards_zero(float value) {
    uint32_t half = amd_half_bits(value);
    if ((half & 0x7c00) == 0x7c00) return isinf(value) || value != value ? half : half - 1;
    return fabsf(amd_half(half)) > fabsf(value) ? half - 1 : half;
}

static uint32_t normalized(float value, float scale, float lowest) {
    float clipped = value > 1.0f ? 1.0f : value > lowest ? value : value != value ? 0.0f : lowest;
    return (uint32_t)(int32_t)rintf(clipped * scale) & 0xffff;
}

#define FROM_F32(name, expression)                                                                 \
    HANDLER(name) {                                                                                \
        amd_row result;                                                                            \
        SOURCE_F32(a, 1);                                                                          \
        AMD_EACH_LANE(lane) {                                                                      \
            float a = amd_float(row_a[lane]);                                                      \
            result[lane] = (expression);                                                           \
        }                                                                                          \
        amd_write(wave, inst, result);                                                             \
    }
#define TWO_F32(name, expression)                                                                  \
    HANDLER(name) {                                                                                \
        amd_row result;                                                                            \
        SOURCE_F32(a, 1);                                                                          \
        SOURCE_F32(b, 2);                                                                          \
        AMD_EACH_LANE(lane) {                                                                      \
            float a = amd_float(row_a[lane]), b = amd_float(row_b[lane]);                          \
            result[lane] = (expression);                                                           \
        }                                                                                          \
        amd_write(wave, inst, result);                                                             \
    }
#define TO_F32(name, expression)                                                                   \
    HANDLER(name) {                                                                                \
        amd_row result;                                                                            \
        SOURCE(a, 1);                                                                              \
        AMD_EACH_LANE(lane) {                                                                      \
            uint32_t a = row_a[lane];                                                              \
            result[lane] = amd_bits(expression);                                                   \
        }                                                                                          \
        amd_write_f32(wave, inst, result);                                                         \
    }

static float clamped(const amd_instruction *inst, float value) {
    static const float factor[4] = {1.0f, 2.0f, 4.0f, 0.5f};
    value *= factor[inst->result_scale];
    return inst->clamp ? value > 0.0f ? value < 1.0f ? value : 1.0f : 0.0f : value;
}

FROM_F32(v_cvt_f16_f32, amd_half_bits(clamped(inst, a)))
TO_F32(v_cvt_f32_f16, amd_half(a & 0xffff))
TO_F32(v_cvt_f32_bf16, amd_bfloat(a & 0xffff))
TWO_F32(v_cvt_pkrtz_f16_f32, half_towards_zero(a) | half_towards_zero(b) << 16)
TWO_F32(v_cvt_pk_f16_f32, amd_half_bits(a) | amd_half_bits(b) << 16)
TWO_F32(v_cvt_pk_bf16_f32, amd_bfloat_bits(a) | amd_bfloat_bits(b) << 16)
TWO_F32(v_cvt_pknorm_i16_f32, normalized(a, 32767.0f, -1.0f) | normalized(b, 32767.0f, -1.0f) << 16)
TWO_F32(v_cvt_pknorm_u16_f32, normalized(a, 65535.0f, 0.0f) | normalized(b, 65535.0f, 0.0f) << 16)

/* Byte number b of c replaced by a. */
HANDLER(v_cvt_pk_u8_f32) {
    amd_row result;
    SOURCE_F32(a, 1);
    amd_row scratch_b, scratch_c;
    const uint32_t *row_b = amd_prepare_part(wave, inst, 2, 0, scratch_b),
                   *row_c = amd_prepare_part(wave, inst, 3, 0, scratch_c);
    AMD_EACH_LANE(lane) {
        float value = rintf(amd_float(row_a[lane]));
        uint32_t byte = value >= 255.0f ? 255
                        : value > 0.0f  ? (uint32_t)value
                                        : 0,
                 shift = 8 * (row_b[lane] & 3);
        result[lane] = (row_c[lane] & ~(255u << shift)) | byte << shift;
    }
    amd_write(wave, inst, result);
}

/* ---- FP8 and BF8; detail: FP8 or BF8 ---- */

HANDLER(from_small) {
    amd_row result;
    SOURCE(a, 1);
    const float *values = amd_small_values[format_of(wave, inst->opcode->detail)];
    AMD_EACH_LANE(lane) result[lane] = amd_bits(values[row_a[lane] & 255]);
    amd_write_f32(wave, inst, result);
}

HANDLER(from_small_pair) {
    amd_row result[2];
    SOURCE(a, 1);
    const float *values = amd_small_values[format_of(wave, inst->opcode->detail)];
    int shift = inst->op_sel & 1 ? 16 : 0;
    AMD_EACH_LANE(lane) {
        result[0][lane] = amd_bits(values[row_a[lane] >> shift & 255]);
        result[1][lane] = amd_bits(values[row_a[lane] >> (shift + 8) & 255]);
    }
    amd_write_part(wave, inst, 0, 0, result[0]);
    amd_write_part(wave, inst, 0, 1, result[1]);
}

/* Two results into the low half, or the high one by op_sel[2]; the other half stays. */
HANDLER(to_small_pair) {
    amd_row result;
    SOURCE_F32(a, 1);
    SOURCE_F32(b, 2);
    const uint32_t *old = wave->vector[inst->operand[0].first];
    amd_small format = format_of(wave, inst->opcode->detail);
    int shift = inst->op_sel & 4 ? 16 : 0;
    AMD_EACH_LANE(lane) {
        uint32_t pair = amd_small_bits(format, amd_float(row_a[lane]), saturates(wave)) |
                        amd_small_bits(format, amd_float(row_b[lane]), saturates(wave)) << 8;
        result[lane] = (old[lane] & ~(0xffffu << shift)) | pair << shift;
    }
    amd_write(wave, inst, result);
}

/* Stochastic rounding by the bits of b into the byte that op_sel[3:2] names. */
HANDLER(to_small_random) {
    amd_row result, scratch_b;
    SOURCE_F32(a, 1);
    const uint32_t *row_b = amd_prepare_part(wave, inst, 2, 0, scratch_b),
                   *old = wave->vector[inst->operand[0].first];
    amd_small format = format_of(wave, inst->opcode->detail);
    int shift = 8 * (inst->op_sel >> 2 & 3);
    AMD_EACH_LANE(lane) {
        uint32_t byte =
            amd_small_bits_random(format, amd_float(row_a[lane]), row_b[lane], saturates(wave));
        result[lane] = (old[lane] & ~(0xffu << shift)) | byte << shift;
    }
    amd_write(wave, inst, result);
}

#define ROW(name, execute, number, modifiers, detail)                                              \
    {name, execute, GPU_AMD_VECTOR, number, 1, modifiers, detail},
#define PLAIN(name, number) ROW(#name, name, number, AMD_MODS_FLOAT, 0)
#define TWO(name)           ROW(#name, name, AMD_F32, AMD_MOD_SIGN, 0)

static const amd_opcode rows[] = {
    PLAIN(v_cvt_f16_f32, AMD_F32) PLAIN(v_cvt_f32_f16, AMD_F16) PLAIN(v_cvt_f32_bf16, AMD_BF16) TWO(
        v_cvt_pkrtz_f16_f32) TWO(v_cvt_pk_f16_f32) TWO(v_cvt_pk_bf16_f32) TWO(v_cvt_pknorm_i16_f32)
        TWO(v_cvt_pknorm_u16_f32) TWO(v_cvt_pk_u8_f32) ROW("v_cvt_f32_fp8", from_small, AMD_F32,
                                                           AMD_MOD_SDWA, FP8)
            ROW("v_cvt_f32_bf8", from_small, AMD_F32, AMD_MOD_SDWA, BF8) ROW(
                "v_cvt_pk_f32_fp8", from_small_pair, AMD_F32, AMD_MOD_SDWA | AMD_MOD_SELECT, FP8)
                ROW("v_cvt_pk_f32_bf8", from_small_pair, AMD_F32, AMD_MOD_SDWA | AMD_MOD_SELECT,
                    BF8) ROW("v_cvt_pk_fp8_f32", to_small_pair, AMD_F32,
                             AMD_MOD_SIGN | AMD_MOD_SELECT, FP8)
                    ROW("v_cvt_pk_bf8_f32", to_small_pair, AMD_F32, AMD_MOD_SIGN | AMD_MOD_SELECT,
                        BF8) ROW("v_cvt_sr_fp8_f32", to_small_random, AMD_F32,
                                 AMD_MOD_SIGN | AMD_MOD_SELECT, FP8)
                        ROW("v_cvt_sr_bf8_f32", to_small_random, AMD_F32,
                            AMD_MOD_SIGN | AMD_MOD_SELECT, BF8)};
const amd_opcode_table amd_vector_convert_table = {rows, sizeof rows / sizeof *rows};
