/* SPDX-License-Identifier: Apache-2.0
 *
 * v_cmp and v_cmpx of every type: a bit per lane into a scalar pair (and into exec), 0 for inactive
 * lanes.
 */
#include "amd_vector.h"

static void put(amd_wave *wave, const amd_instruction *inst, const uint8_t truth[AMD_LANES]) {
    uint64_t bits = amd_gather_bits(truth) & amd_exec(wave);
    amd_set64(wave, inst->operand[0].first, bits);
    if (inst->opcode->detail) amd_set64(wave, AMD_EXEC, bits);
}

#define COMPARE32(name, source, type, convert, test)                                               \
    static void name(amd_wave *wave, const amd_instruction *inst) {                                \
        amd_row scratch_a, scratch_b;                                                              \
        const uint32_t *row_a = source(wave, inst, 1, scratch_a),                                  \
                       *row_b = source(wave, inst, 2, scratch_b);                                  \
        uint8_t truth[AMD_LANES];                                                                  \
        AMD_EACH_LANE(lane) {                                                                      \
            type a = convert(row_a[lane]), b = convert(row_b[lane]);                               \
            (void)a;                                                                               \
            (void)b;                                                                               \
            truth[lane] = (test);                                                                  \
        }                                                                                          \
        put(wave, inst, truth);                                                                    \
    }
#define COMPARE64(name, type, convert, test)                                                       \
    static void name(amd_wave *wave, const amd_instruction *inst) {                                \
        amd_row64 row_a, row_b;                                                                    \
        amd_source64(wave, inst, 1, row_a);                                                        \
        amd_source64(wave, inst, 2, row_b);                                                        \
        uint8_t truth[AMD_LANES];                                                                  \
        AMD_EACH_LANE(lane) {                                                                      \
            type a = convert(row_a[lane]), b = convert(row_b[lane]);                               \
            (void)a;                                                                               \
            (void)b;                                                                               \
            truth[lane] = (test);                                                                  \
        }                                                                                          \
        put(wave, inst, truth);                                                                    \
    }

#define AS_I32(bits)    (int32_t)(bits)
#define AS_U32(bits)    (bits)
#define AS_I16(bits)    (int16_t)(bits)
#define AS_U16(bits)    (uint16_t)(bits)
#define AS_I64(bits)    (int64_t)(bits)
#define AS_U64(bits)    (bits)
#define I32(name, test) COMPARE32(name##_i32, amd_source, int32_t, AS_I32, test)
#define U32(name, test) COMPARE32(name##_u32, amd_source, uint32_t, AS_U32, test)
#define I16(name, test) COMPARE32(name##_i16, amd_source, int16_t, AS_I16, test)
#define U16(name, test) COMPARE32(name##_u16, amd_source, uint16_t, AS_U16, test)
#define F32(name, test) COMPARE32(name##_f32, amd_source_f32, float, amd_float, test)
#define F16(name, test) COMPARE32(name##_f16, amd_source, float, amd_half, test)
#define I64(name, test) COMPARE64(name##_i64, int64_t, AS_I64, test)
#define U64(name, test) COMPARE64(name##_u64, uint64_t, AS_U64, test)
#define F64(name, test) COMPARE64(name##_f64, double, amd_double, test)

/* Name and test, for integers and for floats; n.. tests hold for NaN too. */
#define INTEGER_TESTS(type)                                                                        \
    type(f, 0) type(lt, a < b) type(eq, a == b) type(le, a <= b) type(gt, a > b) type(ne, a != b)  \
        type(ge, a >= b) type(t, 1)
#define FLOAT_TESTS(type)                                                                          \
    type(f, 0) type(lt, a < b) type(eq, a == b) type(le, a <= b) type(gt, a > b)                   \
        type(lg, a<b || a> b) type(ge, a >= b) type(o, a == a && b == b) type(u, a != a || b != b) \
            type(nge, !(a >= b)) type(nlg, !(a < b || a > b)) type(ngt, !(a > b))                  \
                type(nle, !(a <= b)) type(neq, !(a == b)) type(nlt, !(a < b)) type(tru, 1)

INTEGER_TESTS(I32)
INTEGER_TESTS(U32)
INTEGER_TESTS(I16)
INTEGER_TESTS(U16)
INTEGER_TESTS(I64)
INTEGER_TESTS(U64)
FLOAT_TESTS(F32)
FLOAT_TESTS(F16)
FLOAT_TESTS(F64)

#undef I32
#undef U32
#undef I16
#undef U16
#undef F32
#undef F16
#undef I64
#undef U64
#undef F64

/* Classes: bit 0 signalling NaN, 1 quiet NaN, 2 -inf, 3 -normal, 4 -denormal, 5 -0, 6 +0, 7
 * +denormal, 8 +normal, 9 +inf. */
static uint32_t class_of(uint32_t sign, uint32_t exponent, uint32_t top, uint64_t fraction,
                         uint64_t quiet) {
    if (exponent == top && fraction) return fraction & quiet ? 1u << 1 : 1u << 0;
    if (exponent == top) return sign ? 1u << 2 : 1u << 9;
    if (exponent) return sign ? 1u << 3 : 1u << 8;
    if (fraction) return sign ? 1u << 4 : 1u << 7;
    return sign ? 1u << 5 : 1u << 6;
}

static void class_f32(amd_wave *wave, const amd_instruction *inst) {
    amd_row scratch_a, scratch_b;
    const uint32_t *a = amd_source(wave, inst, 1, scratch_a),
                   *b = amd_prepare_part(wave, inst, 2, 0, scratch_b);
    uint8_t truth[AMD_LANES];
    AMD_EACH_LANE(lane)
    truth[lane] = (class_of(a[lane] >> 31, a[lane] >> 23 & 255, 255, a[lane] & 0x7fffff, 0x400000) &
                   b[lane]) != 0;
    put(wave, inst, truth);
}

static void class_f16(amd_wave *wave, const amd_instruction *inst) {
    amd_row scratch_a, scratch_b;
    const uint32_t *a = amd_source(wave, inst, 1, scratch_a),
                   *b = amd_prepare_part(wave, inst, 2, 0, scratch_b);
    uint8_t truth[AMD_LANES];
    AMD_EACH_LANE(lane)
    truth[lane] = (class_of(a[lane] >> 15 & 1, a[lane] >> 10 & 31, 31, a[lane] & 0x3ff, 0x200) &
                   b[lane]) != 0;
    put(wave, inst, truth);
}

static void class_f64(amd_wave *wave, const amd_instruction *inst) {
    amd_row64 a;
    amd_row scratch_b;
    amd_source64(wave, inst, 1, a);
    const uint32_t *b = amd_prepare_part(wave, inst, 2, 0, scratch_b);
    uint8_t truth[AMD_LANES];
    AMD_EACH_LANE(lane) {
        uint32_t found = class_of((uint32_t)(a[lane] >> 63), (uint32_t)(a[lane] >> 52) & 2047, 2047,
                                  a[lane] & 0xfffffffffffffu, 0x8000000000000u);
        truth[lane] = (found & b[lane]) != 0;
    }
    put(wave, inst, truth);
}

#define BOTH(test, type, number, modifiers)                                                        \
    {"v_cmp_" #test "_" #type, test##_##type, GPU_AMD_VECTOR, number, 1, modifiers, 0},            \
        {"v_cmpx_" #test "_" #type, test##_##type, GPU_AMD_VECTOR, number, 1, modifiers, 1},
#define I32(name, test) BOTH(name, i32, AMD_F32, AMD_MOD_SDWA)
#define U32(name, test) BOTH(name, u32, AMD_F32, AMD_MOD_SDWA)
#define I16(name, test) BOTH(name, i16, AMD_F16, AMD_MOD_SDWA)
#define U16(name, test) BOTH(name, u16, AMD_F16, AMD_MOD_SDWA)
#define F32(name, test) BOTH(name, f32, AMD_F32, AMD_MOD_SIGN | AMD_MOD_SDWA)
#define F16(name, test) BOTH(name, f16, AMD_F16, AMD_MOD_SIGN | AMD_MOD_SDWA)
#define I64(name, test) BOTH(name, i64, AMD_F32, 0)
#define U64(name, test) BOTH(name, u64, AMD_F32, 0)
#define F64(name, test) BOTH(name, f64, AMD_F64, AMD_MOD_SIGN)

static const amd_opcode rows[] = {
    INTEGER_TESTS(I32) INTEGER_TESTS(U32) INTEGER_TESTS(I16) INTEGER_TESTS(U16) INTEGER_TESTS(I64)
        INTEGER_TESTS(U64) FLOAT_TESTS(F32) FLOAT_TESTS(F16) FLOAT_TESTS(F64)
            BOTH(class, f32, AMD_F32, AMD_MOD_SIGN | AMD_MOD_SDWA)
                BOTH(class, f16, AMD_F16, AMD_MOD_SIGN | AMD_MOD_SDWA)
                    BOTH(class, f64, AMD_F64, AMD_MOD_SIGN)};
const amd_opcode_table amd_compare_table = {rows, sizeof rows / sizeof *rows};
