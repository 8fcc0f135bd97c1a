/* SPDX-License-Identifier: Apache-2.0
 *
 * Single precision; the plain rows are in vector_float.def. Source: "CDNA3 Instruction Set
 * Architecture", VOP1, VOP2, VOP3. The approximations (exp, log, rcp, rsq, sqrt, sin, cos) are
 * exact to the last bit here; hardware is within 1 ulp of that.
 */
#include "amd_vector.h"

static inline float median(float a, float b, float c) {
    if (a != a || b != b || c != c) return amd_ieee_min(amd_ieee_min(a, b), c);
    return amd_max(amd_min(a, b), amd_min(amd_max(a, b), c));
}

/* IEEE 754-2019 minimum and maximum: a NaN stays. */
static inline float minimum(float a, float b) {
    return a != a ? a : b != b ? b : amd_min(a, b);
}
static inline float maximum(float a, float b) {
    return a != a ? a : b != b ? b : amd_max(a, b);
}

/* Not fused, without denormals. */
static inline float multiplied_added(float a, float b, float c) {
    return amd_flush(amd_flush(amd_flush(a) * amd_flush(b)) + amd_flush(c));
}

static inline float fraction(float a) {
    float rest = a - floorf(a);
    return rest < 0x1.fffffep-1f ? rest : rest >= 1.0f ? 0x1.fffffep-1f : rest;
}

static inline float mantissa(float a) {
    int ignored;
    return isinf(a) || a != a ? a : frexpf(a, &ignored);
}

static inline uint32_t exponent(float a) {
    int result = 0;
    if (!isinf(a) && a == a) frexpf(a, &result);
    return (uint32_t)result;
}

static inline float scaled(float a, int32_t by) {
    return ldexpf(a, by > 1000 ? 1000 : by < -1000 ? -1000 : by);
}

/* v_div_fixup: quotient of the refined division, or the special cases of numerator c over
 * denominator b. */
static inline float divided(float quotient, float b, float c) {
    uint32_t sign = (amd_bits(b) ^ amd_bits(c)) & 0x80000000u;
    if (c != c) return c;
    if (b != b) return b;
    if ((c == 0 && b == 0) || (isinf(c) && isinf(b))) return NAN;
    if (b == 0 || isinf(c)) return amd_float(sign | 0x7f800000u);
    if (c == 0 || isinf(b)) return amd_float(sign);
    int exponent_c = (int)(amd_bits(c) >> 23 & 255), exponent_b = (int)(amd_bits(b) >> 23 & 255);
    if (exponent_c - exponent_b < -150) return amd_float(sign);
    /* The refinement of an overflowing quotient ends in infinity less infinity. */
    if (exponent_b == 255 || quotient != quotient) return amd_float(sign | 0x7f800000u);
    return amd_float((amd_bits(quotient) & 0x7fffffffu) | sign);
}

#define HANDLER(name) static void name(amd_wave *wave, const amd_instruction *inst)
#define SOURCE(x, operand)                                                                         \
    amd_row scratch_##x;                                                                           \
    const uint32_t *row_##x = amd_source_f32(wave, inst, operand, scratch_##x)
#define START                                                                                      \
    amd_row result;                                                                                \
    SOURCE(a, 1)

#define F1(name, expression)                                                                       \
    HANDLER(name) {                                                                                \
        START;                                                                                     \
        AMD_EACH_LANE(lane) {                                                                      \
            float a = amd_float(row_a[lane]);                                                      \
            result[lane] = amd_bits(expression);                                                   \
        }                                                                                          \
        amd_write_f32(wave, inst, result);                                                         \
    }
#define T1(name, expression)                                                                       \
    HANDLER(name) {                                                                                \
        START;                                                                                     \
        AMD_EACH_LANE(lane) {                                                                      \
            float a = amd_flush(amd_float(row_a[lane]));                                           \
            result[lane] = amd_bits(amd_flush(expression));                                        \
        }                                                                                          \
        amd_write_f32(wave, inst, result);                                                         \
    }
#define F2(name, expression)                                                                       \
    HANDLER(name) {                                                                                \
        START;                                                                                     \
        SOURCE(b, 2);                                                                              \
        AMD_EACH_LANE(lane) {                                                                      \
            float a = amd_float(row_a[lane]), b = amd_float(row_b[lane]);                          \
            result[lane] = amd_bits(expression);                                                   \
        }                                                                                          \
        amd_write_f32(wave, inst, result);                                                         \
    }
#define F3(name, expression)                                                                       \
    HANDLER(name) {                                                                                \
        START;                                                                                     \
        SOURCE(b, 2);                                                                              \
        SOURCE(c, 3);                                                                              \
        AMD_EACH_LANE(lane) {                                                                      \
            float a = amd_float(row_a[lane]), b = amd_float(row_b[lane]),                          \
                  c = amd_float(row_c[lane]);                                                      \
            result[lane] = amd_bits(expression);                                                   \
        }                                                                                          \
        amd_write_f32(wave, inst, result);                                                         \
    }
#define ACCUMULATE(name, expression)                                                               \
    HANDLER(name) {                                                                                \
        START;                                                                                     \
        SOURCE(b, 2);                                                                              \
        const uint32_t *row_d = wave->vector[inst->operand[0].first];                              \
        AMD_EACH_LANE(lane) {                                                                      \
            float a = amd_float(row_a[lane]), b = amd_float(row_b[lane]),                          \
                  d = amd_float(row_d[lane]);                                                      \
            if (wave->flush_f32) d = amd_flush(d);                                                 \
            result[lane] = amd_bits(expression);                                                   \
        }                                                                                          \
        amd_write_f32(wave, inst, result);                                                         \
    }
#define FI(name, expression)                                                                       \
    HANDLER(name) {                                                                                \
        START;                                                                                     \
        amd_row scratch_i;                                                                         \
        const uint32_t *row_i = amd_prepare_part(wave, inst, 2, 0, scratch_i);                     \
        AMD_EACH_LANE(lane) {                                                                      \
            float a = amd_float(row_a[lane]);                                                      \
            uint32_t i = row_i[lane];                                                              \
            result[lane] = amd_bits(expression);                                                   \
        }                                                                                          \
        amd_write_f32(wave, inst, result);                                                         \
    }
#define TO_INTEGER(name, expression)                                                               \
    HANDLER(name) {                                                                                \
        START;                                                                                     \
        AMD_EACH_LANE(lane) {                                                                      \
            float a = amd_float(row_a[lane]);                                                      \
            result[lane] = (expression);                                                           \
        }                                                                                          \
        amd_write(wave, inst, result);                                                             \
    }
#define FROM_INTEGER(name, expression)                                                             \
    HANDLER(name) {                                                                                \
        amd_row result, scratch;                                                                   \
        const uint32_t *row = amd_source(wave, inst, 1, scratch);                                  \
        AMD_EACH_LANE(lane) {                                                                      \
            uint32_t i = row[lane];                                                                \
            result[lane] = amd_bits(expression);                                                   \
        }                                                                                          \
        amd_write_f32(wave, inst, result);                                                         \
    }
#include "vector_float.def"
#undef F1
#undef T1
#undef F2
#undef F3
#undef ACCUMULATE
#undef FI
#undef TO_INTEGER
#undef FROM_INTEGER

static inline bool is_denormal(float value) {
    return value != 0 && fabsf(value) < 0x1p-126f;
}

/* v_div_scale d, flags, s, denominator, numerator: s is one of the two; moves it where the
 * refinement stays exact. */
HANDLER(scale_division) {
    amd_row result;
    SOURCE(s, 2);
    SOURCE(b, 3);
    SOURCE(c, 4);
    uint64_t flags = 0;
    AMD_EACH_LANE(lane) {
        float s = amd_float(row_s[lane]), b = amd_float(row_b[lane]), c = amd_float(row_c[lane]),
              value = s;
        int exponent_b = (int)(row_b[lane] >> 23 & 255),
            exponent_c = (int)(row_c[lane] >> 23 & 255);
        bool flag = false;
        if (b == 0 || c == 0) {
            value = NAN;
        } else if (exponent_c - exponent_b >= 96) {
            flag = true;
            if (s == b) value = s * 0x1p64f;
        } else if (is_denormal(b)) {
            value = s * 0x1p64f;
        } else if (is_denormal(1.0f / b) && is_denormal(c / b)) {
            flag = true;
            if (s == b) value = s * 0x1p-64f;
        } else if (is_denormal(1.0f / b)) {
            value = s * 0x1p-64f;
        } else if (is_denormal(c / b)) {
            flag = true;
            if (s == c) value = s * 0x1p64f;
        } else if (exponent_c <= 23) {
            value = s * 0x1p64f;
        }
        result[lane] = amd_bits(value);
        flags |= (uint64_t)flag << lane;
    }
    amd_write(wave, inst, result);
    amd_set64(wave, inst->operand[1].first, flags & amd_exec(wave));
}

/* Takes back what v_div_scale did to one side only: by 2^64 up or down, as the estimate c says. */
HANDLER(finish_division) {
    START;
    SOURCE(b, 2);
    SOURCE(c, 3);
    uint64_t flags = amd_get64(wave, AMD_VCC);
    AMD_EACH_LANE(lane) {
        float value = fmaf(amd_float(row_a[lane]), amd_float(row_b[lane]), amd_float(row_c[lane]));
        float factor = (row_c[lane] >> 23 & 255) > 127 ? 0x1p64f : 0x1p-64f;
        result[lane] = amd_bits(flags >> lane & 1 ? value * factor : value);
    }
    amd_write_f32(wave, inst, result);
}

#define ROW(name, unit, modifiers) {#name, name, unit, AMD_F32, 1, modifiers, 0},
#define F1(name, expression)       ROW(name, GPU_AMD_VECTOR, AMD_MODS_FLOAT)
#define T1(name, expression)       ROW(name, GPU_AMD_TRANSCENDENTAL, AMD_MODS_FLOAT)
#define F2(name, expression)       ROW(name, GPU_AMD_VECTOR, AMD_MODS_FLOAT)
#define F3(name, expression) ROW(name, GPU_AMD_VECTOR, AMD_MOD_SIGN | AMD_MOD_CLAMP | AMD_MOD_SCALE)
#define ACCUMULATE(name, expression) ROW(name, GPU_AMD_VECTOR, AMD_MODS_FLOAT)
#define FI(name, expression) ROW(name, GPU_AMD_VECTOR, AMD_MOD_SIGN | AMD_MOD_CLAMP | AMD_MOD_SCALE)
#define TO_INTEGER(name, expression) ROW(name, GPU_AMD_VECTOR, AMD_MOD_SIGN | AMD_MODS_INTEGER)
#define FROM_INTEGER(name, expression)                                                             \
    ROW(name, GPU_AMD_VECTOR, AMD_MODS_INTEGER | AMD_MOD_CLAMP | AMD_MOD_SCALE)

static const amd_opcode rows[] = {
#include "vector_float.def"
    {"v_div_scale_f32", scale_division, GPU_AMD_VECTOR, AMD_F32, 2, AMD_MOD_SIGN, 0},
    {"v_div_fmas_f32", finish_division, GPU_AMD_VECTOR, AMD_F32, 1,
     AMD_MOD_SIGN | AMD_MOD_CLAMP | AMD_MOD_SCALE, 0},
};
const amd_opcode_table amd_vector_float_table = {rows, sizeof rows / sizeof *rows};
