/* SPDX-License-Identifier: Apache-2.0
 *
 * Two values per register or register pair (VOP3P), mixed precision, dot products. op_sel picks the
 * half that goes into the low result, op_sel_hi the one for the high result; neg_lo and neg_hi
 * negate them. Source: "CDNA3 Instruction Set Architecture", VOP3P.
 */
#include "amd_vector.h"

#define HANDLER(name) static void name(amd_wave *wave, const amd_instruction *inst)

typedef struct halves {
    amd_row low, high;
} halves;

/* Both halves of source number place (0, 1, 2), selected and negated. */
static void split(amd_wave *wave, const amd_instruction *inst, int place, bool is_float,
                  halves *out) {
    amd_row scratch;
    const uint32_t *row = amd_prepare_part(wave, inst, inst->first_source + place, 0, scratch);
    int low = inst->op_sel >> place & 1 ? 16 : 0, high = inst->op_sel_hi >> place & 1 ? 16 : 0;
    uint32_t flip_low = is_float && (inst->neg_lo >> place & 1) ? 0x8000 : 0;
    uint32_t flip_high = is_float && (inst->neg_hi >> place & 1) ? 0x8000 : 0;
    AMD_EACH_LANE(lane) {
        uint32_t value = row[lane];
        out->low[lane] = (value >> low & 0xffff) ^ flip_low;
        out->high[lane] = (value >> high & 0xffff) ^ flip_high;
    }
}

#define JOIN(expression)                                                                           \
    for (int half = 0; half < 2; half++) {                                                         \
        const uint32_t *row_a = half ? s[0].high : s[0].low, *row_b = half ? s[1].high : s[1].low; \
        const uint32_t *row_c = half ? s[2].high : s[2].low;                                       \
        AMD_EACH_LANE(lane) {                                                                      \
            uint32_t a = row_a[lane], b = row_b[lane], c = row_c[lane], r = (expression) & 0xffff; \
            (void)c;                                                                               \
            result[lane] = half ? result[lane] | r << 16 : r;                                      \
        }                                                                                          \
    }
#define PACKED(name, sources, is_float, expression)                                                \
    HANDLER(name) {                                                                                \
        halves s[3];                                                                               \
        amd_row result;                                                                            \
        for (int place = 0; place < (sources); place++)                                            \
            split(wave, inst, place, is_float, &s[place]);                                         \
        if ((sources) == 2) memset(&s[2], 0, sizeof s[2]);                                         \
        JOIN(expression)                                                                           \
        amd_write(wave, inst, result);                                                             \
    }

static inline uint32_t in_unit_range(const amd_instruction *inst, uint32_t half) {
    if (!inst->clamp) return half;
    float value = amd_half(half);
    return amd_half_bits(value > 0.0f ? value < 1.0f ? value : 1.0f : 0.0f);
}

static inline uint32_t fused(uint32_t a, uint32_t b, uint32_t c) {
    return amd_half_bits_of_double((double)amd_half(a) * (double)amd_half(b) + (double)amd_half(c));
}

static inline float minimum(float a, float b) {
    return a != a ? a : b != b ? b : amd_min(a, b);
}
static inline float maximum(float a, float b) {
    return a != a ? a : b != b ? b : amd_max(a, b);
}

static inline uint32_t limited(const amd_instruction *inst, int32_t value, int32_t lowest,
                               int32_t highest) {
    if (inst->clamp) value = value < lowest ? lowest : value > highest ? highest : value;
    return (uint32_t)value;
}

PACKED(v_pk_add_f16, 2, true, in_unit_range(inst, amd_half_bits(amd_half(a) + amd_half(b))))
PACKED(v_pk_mul_f16, 2, true, in_unit_range(inst, amd_half_bits(amd_half(a) * amd_half(b))))
PACKED(v_pk_max_f16, 2, true, in_unit_range(inst, amd_half_bits(amd_max(amd_half(a), amd_half(b)))))
PACKED(v_pk_min_f16, 2, true, in_unit_range(inst, amd_half_bits(amd_min(amd_half(a), amd_half(b)))))
PACKED(v_pk_fma_f16, 3, true, in_unit_range(inst, fused(a, b, c)))
PACKED(v_pk_minimum3_f16, 3, true,
       amd_half_bits(minimum(minimum(amd_half(a), amd_half(b)), amd_half(c))))
PACKED(v_pk_maximum3_f16, 3, true,
       amd_half_bits(maximum(maximum(amd_half(a), amd_half(b)), amd_half(c))))
PACKED(v_pk_add_u16, 2, false, limited(inst, (int32_t)(a + b), 0, 0xffff))
PACKED(v_pk_sub_u16, 2, false, limited(inst, (int32_t)a - (int32_t)b, 0, 0xffff))
PACKED(v_pk_add_i16, 2, false, limited(inst, (int16_t)a + (int16_t)b, -32768, 32767))
PACKED(v_pk_sub_i16, 2, false, limited(inst, (int16_t)a - (int16_t)b, -32768, 32767))
PACKED(v_pk_mul_lo_u16, 2, false, a *b)
PACKED(v_pk_mad_u16, 3, false, a *b + c)
PACKED(v_pk_mad_i16, 3, false, a *b + c)
PACKED(v_pk_max_u16, 2, false, a > b ? a : b)
PACKED(v_pk_min_u16, 2, false, a < b ? a : b)
PACKED(v_pk_max_i16, 2, false, (int16_t)a > (int16_t)b ? a : b)
PACKED(v_pk_min_i16, 2, false, (int16_t)a < (int16_t)b ? a : b)
PACKED(v_pk_lshlrev_b16, 2, false, b << (a & 15))
PACKED(v_pk_lshrrev_b16, 2, false, b >> (a & 15))
PACKED(v_pk_ashrrev_i16, 2, false, (uint32_t)((int16_t)b >> (a & 15)))

/* ---- pairs of single precision ---- */

/* Row that source number place gives to the low or high result. */
static const uint32_t *pick(amd_wave *wave, const amd_instruction *inst, int place, bool high,
                            bool is_float, amd_row scratch) {
    int operand = inst->first_source + place;
    int part = (high ? inst->op_sel_hi : inst->op_sel) >> place & 1;
    const amd_operand *source = &inst->operand[operand];
    if (source->kind == AMD_CONSTANT && part == 1 && source->value != 0)
        amd_stop(wave, GPU_AMD_UNKNOWN_INSTRUCTION, -1,
                 "the upper half of a constant in a packed 64-bit operand is not defined here");
    const uint32_t *row = amd_prepare_part(wave, inst, operand, part, scratch);
    if (is_float && ((high ? inst->neg_hi : inst->neg_lo) >> place & 1)) {
        AMD_EACH_LANE(lane) scratch[lane] = row[lane] ^ 0x80000000u;
        row = scratch;
    }
    if (is_float && wave->flush_f32) {
        AMD_EACH_LANE(lane) scratch[lane] = amd_bits(amd_flush(amd_float(row[lane])));
        row = scratch;
    }
    return row;
}

#define PAIR(name, sources, expression)                                                            \
    HANDLER(name) {                                                                                \
        amd_row scratch[3], result[2];                                                             \
        for (int half = 0; half < 2; half++) {                                                     \
            const uint32_t *row_a = pick(wave, inst, 0, half, true, scratch[0]);                   \
            const uint32_t *row_b = pick(wave, inst, 1, half, true, scratch[1]);                   \
            const uint32_t *row_c =                                                                \
                (sources) == 3 ? pick(wave, inst, 2, half, true, scratch[2]) : row_a;              \
            AMD_EACH_LANE(lane) {                                                                  \
                float a = amd_float(row_a[lane]), b = amd_float(row_b[lane]),                      \
                      c = amd_float(row_c[lane]);                                                  \
                (void)c;                                                                           \
                result[half][lane] = amd_bits(expression);                                         \
            }                                                                                      \
            if (wave->flush_f32 || inst->clamp) amd_finish_float(wave, inst, result[half]);        \
        }                                                                                          \
        amd_write_part(wave, inst, 0, 0, result[0]);                                               \
        amd_write_part(wave, inst, 0, 1, result[1]);                                               \
    }
PAIR(v_pk_add_f32, 2, a + b)
PAIR(v_pk_mul_f32, 2, a *b)
PAIR(v_pk_fma_f32, 3, fmaf(a, b, c))

/* The low result comes from source 0, the high one from source 1. */
HANDLER(v_pk_mov_b32) {
    amd_row scratch[2], result[2];
    memcpy(result[0], amd_prepare_part(wave, inst, 1, inst->op_sel & 1, scratch[0]),
           sizeof(amd_row));
    memcpy(result[1], amd_prepare_part(wave, inst, 2, inst->op_sel >> 1 & 1, scratch[1]),
           sizeof(amd_row));
    amd_write_part(wave, inst, 0, 0, result[0]);
    amd_write_part(wave, inst, 0, 1, result[1]);
}

/* ---- mixed precision: op_sel_hi says that a source is half precision, op_sel which half ---- */

static void mixed_source(amd_wave *wave, const amd_instruction *inst, int place,
                         float out[AMD_LANES]) {
    amd_row scratch;
    const amd_operand *source = &inst->operand[1 + place];
    const uint32_t *row = amd_prepare_part(wave, inst, 1 + place, 0, scratch);
    bool is_half = inst->op_sel_hi >> place & 1;
    if (is_half && source->kind == AMD_CONSTANT && source->is_float)
        amd_stop(wave, GPU_AMD_UNKNOWN_INSTRUCTION, -1,
                 "a constant as half-precision source of a mixed multiplication");
    int shift = inst->op_sel >> place & 1 ? 16 : 0;
    AMD_EACH_LANE(lane) {
        float value = is_half ? amd_half(row[lane] >> shift & 0xffff) : amd_float(row[lane]);
        if (source->absolute) value = fabsf(value);
        out[lane] = source->negate ? -value : value;
    }
}

/* detail: 0 single precision, 1 into the low half, 2 into the high half */
HANDLER(mixed_fma) {
    float a[AMD_LANES], b[AMD_LANES], c[AMD_LANES];
    amd_row result;
    mixed_source(wave, inst, 0, a);
    mixed_source(wave, inst, 1, b);
    mixed_source(wave, inst, 2, c);
    const uint32_t *old = wave->vector[inst->operand[0].first];
    AMD_EACH_LANE(lane) {
        float value = fmaf(a[lane], b[lane], c[lane]);
        if (inst->clamp) value = value > 0.0f ? value < 1.0f ? value : 1.0f : 0.0f;
        uint32_t half = amd_half_bits(value);
        result[lane] = inst->opcode->detail == 0   ? amd_bits(value)
                       : inst->opcode->detail == 1 ? (old[lane] & 0xffff0000u) | half
                                                   : (old[lane] & 0xffffu) | half << 16;
    }
    amd_write(wave, inst, result);
}

/* ---- dot products; c is the third source, or the destination in the "c" forms ---- */

static const uint32_t *addend(amd_wave *wave, const amd_instruction *inst, amd_row scratch) {
    if (inst->operand_count <= 3) return wave->vector[inst->operand[0].first];
    const amd_operand *source = &inst->operand[3];
    const uint32_t *row = amd_prepare_part(wave, inst, 3, 0, scratch);
    if (!source->negate && !(inst->neg_lo & 4)) return row;
    AMD_EACH_LANE(lane) scratch[lane] = row[lane] ^ 0x80000000u;
    return scratch;
}

/* MI200 flushes subnormal inputs and results of these, as of its matrix instructions (PyTorch's
 * notes on numerical accuracy, MIOpen's on MI200). */
static float small_input(const amd_wave *wave, bool is_bfloat, uint32_t bits) {
    float value = is_bfloat ? amd_bfloat(bits) : amd_half(bits);
    bool subnormal = !(bits & (is_bfloat ? 0x7f80u : 0x7c00u));
    return wave->target == AMD_GFX90A && subnormal ? 0.0f : value;
}

/* detail: 1 for bf16 */
HANDLER(dot_of_two) {
    halves a, b;
    amd_row scratch, result;
    bool is_bfloat = inst->opcode->detail, flushes = wave->target == AMD_GFX90A;
    split(wave, inst, 0, true, &a);
    split(wave, inst, 1, true, &b);
    const uint32_t *c = addend(wave, inst, scratch);
    AMD_EACH_LANE(lane) {
        float sum = flushes ? amd_flush(amd_float(c[lane])) : amd_float(c[lane]);
        sum = fmaf(small_input(wave, is_bfloat, a.low[lane]),
                   small_input(wave, is_bfloat, b.low[lane]), sum);
        sum = fmaf(small_input(wave, is_bfloat, a.high[lane]),
                   small_input(wave, is_bfloat, b.high[lane]), sum);
        result[lane] = amd_bits(flushes ? amd_flush(sum) : sum);
    }
    if (inst->clamp) amd_finish_float(wave, inst, result);
    amd_write(wave, inst, result);
}

/* detail: bits of an element, negative when signed */
HANDLER(integer_dot) {
    amd_row scratch[3], result;
    const uint32_t *row_a = amd_prepare_part(wave, inst, 1, 0, scratch[0]),
                   *row_b = amd_prepare_part(wave, inst, 2, 0, scratch[1]);
    const uint32_t *row_c = addend(wave, inst, scratch[2]);
    bool is_signed = inst->opcode->detail < 0;
    int bits = is_signed ? -inst->opcode->detail : inst->opcode->detail;
    AMD_EACH_LANE(lane) {
        int64_t sum = is_signed ? (int64_t)(int32_t)row_c[lane] : (int64_t)row_c[lane];
        for (int at = 0; at < 32; at += bits) {
            uint32_t a = row_a[lane] << (32 - bits - at), b = row_b[lane] << (32 - bits - at);
            sum += is_signed ? (int64_t)((int32_t)a >> (32 - bits)) * ((int32_t)b >> (32 - bits))
                             : (int64_t)(a >> (32 - bits)) * (int64_t)(b >> (32 - bits));
        }
        if (inst->clamp && is_signed)
            sum = sum > INT32_MAX ? INT32_MAX : sum < INT32_MIN ? INT32_MIN : sum;
        if (inst->clamp && !is_signed) sum = sum > (int64_t)UINT32_MAX ? (int64_t)UINT32_MAX : sum;
        result[lane] = (uint32_t)sum;
    }
    amd_write(wave, inst, result);
}

/* Two selected halves side by side. */
HANDLER(v_pack_b32_f16) {
    amd_row scratch_a, scratch_b, result;
    const uint32_t *a = amd_source(wave, inst, 1, scratch_a),
                   *b = amd_source(wave, inst, 2, scratch_b);
    AMD_EACH_LANE(lane) result[lane] = (a[lane] & 0xffff) | b[lane] << 16;
    amd_write(wave, inst, result);
}

#define ROW(name, execute, number, modifiers, detail)                                              \
    {name, execute, GPU_AMD_VECTOR, number, 1, modifiers, detail},
#define HALVES(name) ROW(#name, name, AMD_F16, AMD_MOD_PACKED | AMD_MOD_CLAMP, 0)
#define PAIRS(name)  ROW(#name, name, AMD_F32, AMD_MOD_PACKED | AMD_MOD_CLAMP, 0)
#define DOT(name, execute, number, detail)                                                         \
    ROW(name, execute, number, AMD_MOD_PACKED | AMD_MOD_CLAMP, detail)
#define DOT_INTO(name, execute, number, detail) ROW(name, execute, number, 0, detail)
#define MIX(name, detail)                                                                          \
    ROW(name, mixed_fma, AMD_F32, AMD_MOD_PACKED | AMD_MOD_SIGN | AMD_MOD_CLAMP, detail)

static const amd_opcode rows[] = {
    HALVES(v_pk_add_f16) HALVES(v_pk_mul_f16) HALVES(v_pk_max_f16) HALVES(v_pk_min_f16) HALVES(
        v_pk_fma_f16) HALVES(v_pk_minimum3_f16) HALVES(v_pk_maximum3_f16) HALVES(v_pk_add_u16)
        HALVES(v_pk_sub_u16) HALVES(v_pk_add_i16) HALVES(v_pk_sub_i16) HALVES(v_pk_mul_lo_u16)
            HALVES(v_pk_mad_u16) HALVES(v_pk_mad_i16) HALVES(v_pk_max_u16) HALVES(
                v_pk_min_u16) HALVES(v_pk_max_i16) HALVES(v_pk_min_i16) HALVES(v_pk_lshlrev_b16)
                HALVES(v_pk_lshrrev_b16) HALVES(v_pk_ashrrev_i16) PAIRS(v_pk_add_f32) PAIRS(
                    v_pk_mul_f32) PAIRS(v_pk_fma_f32) PAIRS(v_pk_mov_b32) MIX("v_fma_mix_f32", 0)
                    MIX("v_fma_mixlo_f16", 1) MIX("v_fma_mixhi_f16", 2) DOT(
                        "v_dot2_f32_f16", dot_of_two, AMD_F16,
                        0) DOT("v_dot2_f32_bf16", dot_of_two, AMD_BF16,
                               1) DOT_INTO("v_dot2c_f32_f16", dot_of_two, AMD_F16,
                                           0) DOT_INTO("v_dot2c_f32_bf16", dot_of_two, AMD_BF16, 1)
                        DOT("v_dot4_i32_i8", integer_dot, AMD_F32, -8)
                            DOT("v_dot4_u32_u8", integer_dot, AMD_F32,
                                8) DOT("v_dot8_i32_i4", integer_dot, AMD_F32,
                                       -4) DOT("v_dot8_u32_u4", integer_dot, AMD_F32,
                                               4) DOT("v_dot2_i32_i16", integer_dot, AMD_F32, -16)
                                DOT("v_dot2_u32_u16", integer_dot, AMD_F32, 16)
                                    DOT_INTO("v_dot4c_i32_i8", integer_dot, AMD_F32, -8)
                                        DOT_INTO("v_dot8c_i32_i4", integer_dot, AMD_F32, -4)
                                            DOT_INTO("v_dot2c_i32_i16", integer_dot, AMD_F32, -16)
                                                ROW("v_pack_b32_f16", v_pack_b32_f16, AMD_F16,
                                                    AMD_MOD_SIGN | AMD_MOD_HALF, 0)};
const amd_opcode_table amd_vector_packed_table = {rows, sizeof rows / sizeof *rows};
