/* SPDX-License-Identifier: Apache-2.0
 *
 * The scalar unit; its rows are in scalar.def. Source: "CDNA3 Instruction Set Architecture", SOP1,
 * SOP2, SOPC, SOPK.
 */
#include "amd_vector.h"

/* Fields of s_bfe: offset in bits 4:0 (5:0 for 64 bits), width in bits 22:16. */
static uint32_t bit_field(uint32_t value, uint32_t control) {
    uint32_t offset = control & 31, width = control >> 16 & 127;
    if (width == 0) return 0;
    value >>= offset;
    return width >= 32 ? value : value & ((1u << width) - 1);
}

static uint32_t signed_bit_field(uint32_t value, uint32_t control) {
    uint32_t width = control >> 16 & 127;
    if (width == 0) return 0;
    if (width > 32 - (control & 31)) width = 32 - (control & 31);
    uint32_t field = value >> (control & 31);
    return (uint32_t)((int32_t)(field << (32 - width)) >> (32 - width));
}

static uint64_t wide_bit_field(uint64_t value, uint32_t control) {
    uint32_t width = control >> 16 & 127;
    if (width == 0) return 0;
    value >>= control & 63;
    return width >= 64 ? value : value & (((uint64_t)1 << width) - 1);
}

static uint32_t reversed(uint32_t value) {
    uint32_t result = 0;
    for (int bit = 0; bit < 32; bit++) result |= (value >> bit & 1) << (31 - bit);
    return result;
}

static uint32_t leading_sign_bits(uint32_t value) {
    uint32_t differing = (int32_t)value < 0 ? ~value : value;
    return differing ? (uint32_t)__builtin_clz(differing) : ~0u;
}

static uint64_t whole_quads(uint64_t mask) {
    uint64_t result = 0;
    for (int quad = 0; quad < 16; quad++)
        if (mask >> 4 * quad & 15) result |= (uint64_t)15 << 4 * quad;
    return result;
}

#define HANDLER(name) static void name(amd_wave *wave, const amd_instruction *inst)
#define CARRY                                                                                      \
    uint32_t carry = wave->scc;                                                                    \
    (void)carry
#define TWO_SOURCES(read)                                                                          \
    CARRY;                                                                                         \
    uint32_t a = amd_scalar(wave, inst, 1), b = amd_scalar(wave, inst, 2)
#define TWO_WIDE                                                                                   \
    CARRY;                                                                                         \
    uint64_t a = amd_scalar64(wave, inst, 1), b = amd_scalar64(wave, inst, 2)
#define PUT(value)   wave->scalar[inst->operand[0].first] = (value)
#define PUT64(value) amd_set64(wave, inst->operand[0].first, (value))

#define S32(name, result, test)                                                                    \
    HANDLER(name) {                                                                                \
        TWO_SOURCES();                                                                             \
        uint32_t r = (result);                                                                     \
        wave->scc = (test);                                                                        \
        PUT(r);                                                                                    \
    }
#define S32_KEEP(name, result)                                                                     \
    HANDLER(name) {                                                                                \
        TWO_SOURCES();                                                                             \
        PUT(result);                                                                               \
    }
#define S64(name, result, test)                                                                    \
    HANDLER(name) {                                                                                \
        TWO_WIDE;                                                                                  \
        uint64_t r = (result);                                                                     \
        wave->scc = (test);                                                                        \
        PUT64(r);                                                                                  \
    }
#define S64_KEEP(name, result)                                                                     \
    HANDLER(name) {                                                                                \
        TWO_WIDE;                                                                                  \
        PUT64(result);                                                                             \
    }
#define S64_BY_32(name, result, test)                                                              \
    HANDLER(name) {                                                                                \
        uint64_t a = amd_scalar64(wave, inst, 1);                                                  \
        uint32_t b = amd_scalar(wave, inst, 2);                                                    \
        uint64_t r = (result);                                                                     \
        wave->scc = (test);                                                                        \
        PUT64(r);                                                                                  \
    }
#define U32(name, result, test)                                                                    \
    HANDLER(name) {                                                                                \
        uint32_t a = amd_scalar(wave, inst, 1), r = (result);                                      \
        wave->scc = (test);                                                                        \
        PUT(r);                                                                                    \
    }
#define U32_KEEP(name, result)                                                                     \
    HANDLER(name) {                                                                                \
        uint32_t a = amd_scalar(wave, inst, 1);                                                    \
        PUT(result);                                                                               \
    }
#define U64(name, result, test)                                                                    \
    HANDLER(name) {                                                                                \
        uint64_t a = amd_scalar64(wave, inst, 1), r = (result);                                    \
        wave->scc = (test);                                                                        \
        PUT64(r);                                                                                  \
    }
#define U64_KEEP(name, result)                                                                     \
    HANDLER(name) {                                                                                \
        uint64_t a = amd_scalar64(wave, inst, 1);                                                  \
        PUT64(result);                                                                             \
    }
#define U64_TO_32(name, result, test)                                                              \
    HANDLER(name) {                                                                                \
        CARRY;                                                                                     \
        uint64_t a = amd_scalar64(wave, inst, 1);                                                  \
        uint32_t r = (result);                                                                     \
        wave->scc = (test);                                                                        \
        PUT(r);                                                                                    \
    }
#define MASK(name, result)                                                                         \
    HANDLER(name) {                                                                                \
        uint64_t a = amd_scalar64(wave, inst, 1), e = amd_exec(wave), r = (result);                \
        PUT64(e);                                                                                  \
        amd_set64(wave, AMD_EXEC, r);                                                              \
        wave->scc = r != 0;                                                                        \
    }
#define COMPARE(name, type, test)                                                                  \
    HANDLER(name) {                                                                                \
        type a = (type)amd_scalar(wave, inst, 0), b = (type)amd_scalar(wave, inst, 1);             \
        wave->scc = (test);                                                                        \
    }
#define COMPARE64(name, test)                                                                      \
    HANDLER(name) {                                                                                \
        uint64_t a = amd_scalar64(wave, inst, 0), b = amd_scalar64(wave, inst, 1);                 \
        wave->scc = (test);                                                                        \
    }
#define COMPARE_IMMEDIATE(name, type, immediate, test)                                             \
    HANDLER(name) {                                                                                \
        type a = (type)amd_scalar(wave, inst, 0), b = (type)(immediate)amd_scalar(wave, inst, 1);  \
        wave->scc = (test);                                                                        \
    }
#define IMMEDIATE(name, result, test)                                                              \
    HANDLER(name) {                                                                                \
        CARRY;                                                                                     \
        uint32_t d = wave->scalar[inst->operand[0].first];                                         \
        uint32_t b = (uint32_t)(int32_t)(int16_t)amd_scalar(wave, inst, 1), r = (result);          \
        wave->scc = (test);                                                                        \
        PUT(r);                                                                                    \
    }
#include "scalar.def"
#undef S32
#undef S32_KEEP
#undef S64
#undef S64_KEEP
#undef S64_BY_32
#undef U32
#undef U32_KEEP
#undef U64
#undef U64_KEEP
#undef U64_TO_32
#undef MASK
#undef COMPARE
#undef COMPARE64
#undef COMPARE_IMMEDIATE
#undef IMMEDIATE

#define ROW(name, written)            {#name, name, GPU_AMD_SCALAR, AMD_F32, written, 0, 0},
#define S32(name, result, test)       ROW(name, 1)
#define S32_KEEP(name, result)        ROW(name, 1)
#define S64(name, result, test)       ROW(name, 1)
#define S64_KEEP(name, result)        ROW(name, 1)
#define S64_BY_32(name, result, test) ROW(name, 1)
#define U32(name, result, test)       ROW(name, 1)
#define U32_KEEP(name, result)        ROW(name, 1)
#define U64(name, result, test)       ROW(name, 1)
#define U64_KEEP(name, result)        ROW(name, 1)
#define U64_TO_32(name, result, test) ROW(name, 1)
#define MASK(name, result)            ROW(name, 1)
#define COMPARE(name, type, test)     ROW(name, 0)
#define COMPARE64(name, test)         ROW(name, 0)
#define COMPARE_IMMEDIATE(name, type, immediate, test) ROW(name, 0)
#define IMMEDIATE(name, result, test)                  ROW(name, 1)

static const amd_opcode rows[] = {
#include "scalar.def"
};
const amd_opcode_table amd_scalar_table = {rows, sizeof rows / sizeof *rows};
