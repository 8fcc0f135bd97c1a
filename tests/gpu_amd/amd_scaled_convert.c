/* SPDX-License-Identifier: Apache-2.0
 *
 * v_cvt_scalef32_*: conversions of gfx950 between small and wide floats with a power-of-two scale,
 * which is the exponent field of a single-precision source: small to wide multiplies by it, wide to
 * small divides first. Operand shapes, and which op_sel bit names which part: LLVM's assembler (its
 * tests of gfx950's VOP3).
 */
#include "amd_vector.h"

#define HANDLER(name) static void name(amd_wave *wave, const amd_instruction *inst)

/* detail: small format, wide format */
enum { WIDE_F32 = 0, WIDE_F16 = 16, WIDE_BF16 = 32, WIDE = 48, SMALL = 15 };

static amd_small small_of(const amd_instruction *inst) {
    return (amd_small)(inst->opcode->detail & SMALL);
}
static int wide_of(const amd_instruction *inst) {
    return inst->opcode->detail & WIDE;
}
static int bits_of(amd_small format) {
    return format == AMD_E2M1 ? 4 : format == AMD_E2M3 || format == AMD_E3M2 ? 6 : 8;
}
static bool saturates(const amd_wave *wave) {
    return wave->mode >> 23 & 1;
}

static uint32_t wide_bits(int wide, float value) {
    return wide == WIDE_F32   ? amd_bits(value)
           : wide == WIDE_F16 ? amd_half_bits(value)
                              : amd_bfloat_bits(value);
}

static float wide_value(int wide, uint32_t bits) {
    return wide == WIDE_F32   ? amd_float(bits)
           : wide == WIDE_F16 ? amd_half(bits & 0xffff)
                              : amd_bfloat(bits & 0xffff);
}

static const uint32_t *source(amd_wave *wave, const amd_instruction *inst, int operand, int part,
                              amd_row scratch) {
    return amd_prepare_part(wave, inst, operand, part, scratch);
}

static float scale_of(uint32_t bits) {
    return amd_scale(bits >> 23);
}

/* Two elements: op_sel[1:0] names the byte of FP4, op_sel[0] the half of 8-bit formats. */
HANDLER(from_pair) {
    amd_row scratch[2], low, high;
    amd_small format = small_of(inst);
    const uint32_t *codes = source(wave, inst, 1, 0, scratch[0]),
                   *scales = source(wave, inst, 2, 0, scratch[1]);
    int bits = bits_of(format),
        shift = bits == 4 ? 8 * (inst->op_sel & 3) : 16 * (inst->op_sel & 1);
    AMD_EACH_LANE(lane) {
        float scale = scale_of(scales[lane]);
        uint32_t code = codes[lane] >> shift, mask = (1u << bits) - 1;
        low[lane] = wide_bits(wide_of(inst), amd_small_values[format][code & mask] * scale);
        high[lane] =
            wide_bits(wide_of(inst), amd_small_values[format][code >> bits & mask] * scale);
        if (wide_of(inst) != WIDE_F32) low[lane] |= high[lane] << 16;
    }
    amd_write_part(wave, inst, 0, 0, low);
    if (wide_of(inst) == WIDE_F32) amd_write_part(wave, inst, 0, 1, high);
}

/* One element of the byte that op_sel[1:0] names; op_sel[2] says which half of the result, the
 * other one stays. */
HANDLER(from_one) {
    amd_row scratch[2], result;
    const uint32_t *codes = source(wave, inst, 1, 0, scratch[0]),
                   *scales = source(wave, inst, 2, 0, scratch[1]);
    const uint32_t *old = wave->vector[inst->operand[0].first];
    int shift = 8 * (inst->op_sel & 3), to = inst->op_sel & 4 ? 16 : 0;
    AMD_EACH_LANE(lane) {
        float value =
            amd_small_values[small_of(inst)][codes[lane] >> shift & 255] * scale_of(scales[lane]);
        uint32_t bits = wide_bits(wide_of(inst), value);
        result[lane] =
            wide_of(inst) == WIDE_F32 ? bits : (old[lane] & ~(0xffffu << to)) | bits << to;
    }
    amd_write(wave, inst, result);
}

/* Two elements into a byte (FP4: op_sel[3:2]) or half (op_sel[3], or [2] when one register brings
 * both). */
HANDLER(to_pair) {
    amd_row scratch[3], result;
    amd_small format = small_of(inst);
    int wide = wide_of(inst), bits = bits_of(format), scale_operand = wide == WIDE_F32 ? 3 : 2;
    const uint32_t *first = source(wave, inst, 1, 0, scratch[0]),
                   *second = wide == WIDE_F32 ? source(wave, inst, 2, 0, scratch[1]) : first;
    const uint32_t *scales = source(wave, inst, scale_operand, 0, scratch[2]),
                   *old = wave->vector[inst->operand[0].first];
    int half = wide == WIDE_F32 ? inst->op_sel >> 3 & 1 : inst->op_sel >> 2 & 1;
    int shift = bits == 4 ? 8 * (inst->op_sel >> 2 & 3) : 16 * half;
    uint32_t field = (1u << 2 * bits) - 1;
    AMD_EACH_LANE(lane) {
        float scale = scale_of(scales[lane]);
        uint32_t upper = wide == WIDE_F32 ? second[lane] : first[lane] >> 16;
        uint32_t pair =
            amd_small_bits(format, wide_value(wide, first[lane]) / scale, saturates(wave)) |
            amd_small_bits(format, wide_value(wide, upper) / scale, saturates(wave)) << bits;
        result[lane] = (old[lane] & ~(field << shift)) | pair << shift;
    }
    amd_write(wave, inst, result);
}

/* One element with stochastic rounding into the byte that op_sel[3:2] names. */
HANDLER(to_one_random) {
    amd_row scratch[3], result;
    const uint32_t *values = source(wave, inst, 1, 0, scratch[0]),
                   *random = source(wave, inst, 2, 0, scratch[1]);
    const uint32_t *scales = source(wave, inst, 3, 0, scratch[2]),
                   *old = wave->vector[inst->operand[0].first];
    int shift = 8 * (inst->op_sel >> 2 & 3);
    AMD_EACH_LANE(lane) {
        float value = wide_value(wide_of(inst), values[lane]) / scale_of(scales[lane]);
        uint32_t code = amd_small_bits_random(small_of(inst), value, random[lane], saturates(wave));
        result[lane] = (old[lane] & ~(0xffu << shift)) | code << shift;
    }
    amd_write(wave, inst, result);
}

static uint32_t element(const uint32_t words[6], int index) {
    int at = 6 * index, shift = at % 32;
    uint64_t both = words[at / 32] | (uint64_t)(at / 32 < 5 ? words[at / 32 + 1] : 0) << 32;
    return (uint32_t)(both >> shift) & 63;
}

/* 32 elements of 6 bits in six registers. */
HANDLER(from_many) {
    int wide = wide_of(inst);
    amd_row scratch, result[32];
    const uint32_t *scales = source(wave, inst, 2, 0, scratch);
    memset(result, 0, sizeof result);
    AMD_EACH_LANE(lane) {
        uint32_t words[6];
        for (int part = 0; part < 6; part++)
            words[part] = wave->vector[inst->operand[1].first + part][lane];
        float scale = scale_of(scales[lane]);
        for (int i = 0; i < 32; i++) {
            uint32_t bits =
                wide_bits(wide, amd_small_values[small_of(inst)][element(words, i)] * scale);
            if (wide == WIDE_F32)
                result[i][lane] = bits;
            else
                result[i / 2][lane] |= bits << 16 * (i & 1);
        }
    }
    for (int part = 0; part < (wide == WIDE_F32 ? 32 : 16); part++)
        amd_write_part(wave, inst, 0, part, result[part]);
}

/* pk32: 32 packed elements of one operand; 2xpk16: 16 of each of two. */
HANDLER(to_many) {
    int wide = wide_of(inst);
    amd_row scratch, result[6];
    const uint32_t *scales = source(wave, inst, wide == WIDE_F32 ? 3 : 2, 0, scratch);
    memset(result, 0, sizeof result);
    AMD_EACH_LANE(lane) {
        float scale = scale_of(scales[lane]);
        for (int i = 0; i < 32; i++) {
            uint32_t bits =
                wide == WIDE_F32
                    ? wave->vector[inst->operand[1 + i / 16].first + i % 16][lane]
                    : wave->vector[inst->operand[1].first + i / 2][lane] >> 16 * (i & 1);
            uint64_t code = amd_small_bits(small_of(inst), wide_value(wide, bits) / scale, true);
            int at = 6 * i;
            code <<= at % 32;
            result[at / 32][lane] |= (uint32_t)code;
            if (code >> 32) result[at / 32 + 1][lane] |= (uint32_t)(code >> 32);
        }
    }
    for (int part = 0; part < 6; part++) amd_write_part(wave, inst, 0, part, result[part]);
}

#define ROW(name, execute, detail)                                                                 \
    {"v_cvt_scalef32_" name, execute, GPU_AMD_VECTOR, AMD_F32, 1, AMD_MOD_SELECT, detail},
/* name, small format, wide format */
#define EACH_WIDE(form, name, small)                                                               \
    form(name, "f32", (small) | WIDE_F32) form(name, "f16", (small) | WIDE_F16)                    \
        form(name, "bf16", (small) | WIDE_BF16)
#define PAIRS(name, wide, detail)                                                                  \
    ROW("pk_" wide "_" name, from_pair, detail) ROW("pk_" name "_" wide, to_pair, detail)
#define RANDOM(name, wide, detail) ROW("sr_" name "_" wide, to_one_random, detail)
#define UNPACK(name, wide, detail) ROW("pk32_" wide "_" name, from_many, detail)

static const amd_opcode rows[] = {
    EACH_WIDE(PAIRS, "fp8", AMD_E4M3) EACH_WIDE(PAIRS, "bf8", AMD_E5M2)
        EACH_WIDE(PAIRS, "fp4", AMD_E2M1) EACH_WIDE(RANDOM, "fp8", AMD_E4M3)
            EACH_WIDE(RANDOM, "bf8", AMD_E5M2) EACH_WIDE(UNPACK, "fp6", AMD_E2M3)
                EACH_WIDE(UNPACK, "bf6", AMD_E3M2) ROW("f32_fp8", from_one, AMD_E4M3 | WIDE_F32)
                    ROW("f32_bf8", from_one, AMD_E5M2 | WIDE_F32) ROW("f16_fp8", from_one,
                                                                      AMD_E4M3 | WIDE_F16)
                        ROW("f16_bf8", from_one, AMD_E5M2 | WIDE_F16) ROW("2xpk16_fp6_f32", to_many,
                                                                          AMD_E2M3 | WIDE_F32)
                            ROW("2xpk16_bf6_f32", to_many, AMD_E3M2 | WIDE_F32)
                                ROW("pk32_fp6_f16", to_many, AMD_E2M3 | WIDE_F16)
                                    ROW("pk32_fp6_bf16", to_many, AMD_E2M3 | WIDE_BF16)
                                        ROW("pk32_bf6_f16", to_many, AMD_E3M2 | WIDE_F16)
                                            ROW("pk32_bf6_bf16", to_many, AMD_E3M2 | WIDE_BF16)};
const amd_opcode_table amd_scaled_convert_table = {rows, sizeof rows / sizeof *rows};
