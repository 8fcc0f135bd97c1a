/* SPDX-License-Identifier: Apache-2.0
 *
 * Integer vector instructions; the plain rows are in vector_integer.def, those with carries and
 * wide results here. Source: "CDNA3 Instruction Set Architecture", VOP1, VOP2, VOP3.
 */
#include "amd_vector.h"

static inline uint32_t reversed(uint32_t value) {
    value = (value >> 1 & 0x55555555u) | (value & 0x55555555u) << 1;
    value = (value >> 2 & 0x33333333u) | (value & 0x33333333u) << 2;
    value = (value >> 4 & 0x0f0f0f0fu) | (value & 0x0f0f0f0fu) << 4;
    return __builtin_bswap32(value);
}

static inline uint32_t leading_sign_bits(uint32_t value) {
    uint32_t differing = (int32_t)value < 0 ? ~value : value;
    return differing ? (uint32_t)__builtin_clz(differing) : ~0u;
}

static inline uint32_t saturate_u8(uint32_t half) {
    int32_t value = (int16_t)half;
    return value < 0 ? 0 : value > 255 ? 255 : (uint32_t)value;
}

static inline uint32_t saturate_u32(uint64_t value) {
    return value > 0xffffffffu ? 0xffffffffu : (uint32_t)value;
}

static inline uint32_t saturate_i32(int64_t value) {
    return value > INT32_MAX ? 0x7fffffffu : value < INT32_MIN ? 0x80000000u : (uint32_t)value;
}

static inline uint32_t saturate_i16(int32_t value) {
    return (uint32_t)(value > 32767 ? 32767 : value < -32768 ? -32768 : value);
}

static inline int64_t signed24(uint32_t value) {
    return (int32_t)(value << 8) >> 8;
}
static inline uint32_t least(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}
static inline uint32_t most(uint32_t a, uint32_t b) {
    return a > b ? a : b;
}
static inline int32_t least_signed(int32_t a, int32_t b) {
    return a < b ? a : b;
}
static inline int32_t most_signed(int32_t a, int32_t b) {
    return a > b ? a : b;
}

static inline uint32_t signed_field(uint32_t value, uint32_t offset, uint32_t width) {
    if (width == 0) return 0;
    uint32_t above = offset + width < 32 ? 32 - offset - width : 0;
    return (uint32_t)((int32_t)(value << above) >> (offset + width < 32 ? 32 - width : offset));
}

/* Selectors 0-3 take bytes of b, 4-7 of a; 8-11 the sign of a 16-bit half; 12 zero; above all ones.
 */
static inline uint32_t permuted_bytes(uint32_t a, uint32_t b, uint32_t selectors) {
    uint64_t data = (uint64_t)a << 32 | b;
    uint32_t result = 0;
    for (int byte = 0; byte < 4; byte++) {
        uint32_t selector = selectors >> 8 * byte & 255;
        uint32_t picked = (uint32_t)(data >> 8 * (selector & 7)) & 255;
        uint32_t sign = data >> (16 * (selector & 3) + 15) & 1 ? 255 : 0;
        picked = selector < 8 ? picked : selector < 12 ? sign : selector == 12 ? 0 : 255;
        result |= picked << 8 * byte;
    }
    return result;
}

static inline uint32_t sad_bytes(uint32_t a, uint32_t b) {
    uint32_t sum = 0;
    for (int byte = 0; byte < 4; byte++) {
        int32_t difference = (int32_t)(a >> 8 * byte & 255) - (int32_t)(b >> 8 * byte & 255);
        sum += (uint32_t)(difference < 0 ? -difference : difference);
    }
    return sum;
}

static inline uint32_t shifted_byte_signed(uint32_t value, uint32_t amount) {
    int32_t shifted = (int32_t)value >> (amount & 31);
    return (uint32_t)(shifted > 127 ? 127 : shifted < -128 ? -128 : shifted) & 255;
}

static inline uint32_t shifted_byte(uint32_t value, uint32_t amount) {
    int32_t shifted = (int32_t)value >> (amount & 31);
    return (uint32_t)(shifted > 255 ? 255 : shifted < 0 ? 0 : shifted);
}

#define HANDLER(name) static void name(amd_wave *wave, const amd_instruction *inst)
#define SOURCE(x, operand)                                                                         \
    amd_row scratch_##x;                                                                           \
    const uint32_t *row_##x = amd_source(wave, inst, operand, scratch_##x)
#define LOOP1(type, expression)                                                                    \
    AMD_EACH_LANE(lane) {                                                                          \
        type a = (type)row_a[lane];                                                                \
        result[lane] = (uint32_t)(expression);                                                     \
    }
#define LOOP2(type, expression)                                                                    \
    AMD_EACH_LANE(lane) {                                                                          \
        type a = (type)row_a[lane], b = (type)row_b[lane];                                         \
        result[lane] = (uint32_t)(expression);                                                     \
    }
#define LOOP3(type, expression)                                                                    \
    AMD_EACH_LANE(lane) {                                                                          \
        type a = (type)row_a[lane], b = (type)row_b[lane], c = (type)row_c[lane];                  \
        result[lane] = (uint32_t)(expression);                                                     \
    }
#define START1                                                                                     \
    amd_row result;                                                                                \
    SOURCE(a, 1)
#define START2                                                                                     \
    START1;                                                                                        \
    SOURCE(b, 2)
#define START3                                                                                     \
    START2;                                                                                        \
    SOURCE(c, 3)

#define I1(name, expression)                                                                       \
    HANDLER(name) {                                                                                \
        START1;                                                                                    \
        LOOP1(uint32_t, expression) amd_write(wave, inst, result);                                 \
    }
#define I2(name, expression)                                                                       \
    HANDLER(name) {                                                                                \
        START2;                                                                                    \
        LOOP2(uint32_t, expression) amd_write(wave, inst, result);                                 \
    }
#define I3(name, expression)                                                                       \
    HANDLER(name) {                                                                                \
        START3;                                                                                    \
        LOOP3(uint32_t, expression) amd_write(wave, inst, result);                                 \
    }
#define I2_CLAMP(name, expression, clamped)                                                        \
    HANDLER(name) {                                                                                \
        START2;                                                                                    \
        if (inst->clamp) {                                                                         \
            LOOP2(uint32_t, clamped)                                                               \
        } else {                                                                                   \
            LOOP2(uint32_t, expression)                                                            \
        }                                                                                          \
        amd_write(wave, inst, result);                                                             \
    }
#define I3_CLAMP(name, expression, clamped)                                                        \
    HANDLER(name) {                                                                                \
        START3;                                                                                    \
        if (inst->clamp) {                                                                         \
            LOOP3(uint32_t, clamped)                                                               \
        } else {                                                                                   \
            LOOP3(uint32_t, expression)                                                            \
        }                                                                                          \
        amd_write(wave, inst, result);                                                             \
    }
#define H2(name, expression)                                                                       \
    HANDLER(name) {                                                                                \
        START2;                                                                                    \
        LOOP2(uint16_t, (expression) & 0xffff) amd_write(wave, inst, result);                      \
    }
#define H2_CLAMP(name, expression, clamped)                                                        \
    HANDLER(name) {                                                                                \
        START2;                                                                                    \
        if (inst->clamp) {                                                                         \
            LOOP2(uint16_t, (clamped) & 0xffff)                                                    \
        } else {                                                                                   \
            LOOP2(uint16_t, (expression) & 0xffff)                                                 \
        }                                                                                          \
        amd_write(wave, inst, result);                                                             \
    }
#define H3(name, expression)                                                                       \
    HANDLER(name) {                                                                                \
        START3;                                                                                    \
        LOOP3(uint16_t, (expression) & 0xffff) amd_write(wave, inst, result);                      \
    }
#define W_SHIFT(name, expression)                                                                  \
    HANDLER(name) {                                                                                \
        SOURCE(a, 1);                                                                              \
        amd_row64 value;                                                                           \
        amd_source64(wave, inst, 2, value);                                                        \
        AMD_EACH_LANE(lane) {                                                                      \
            uint32_t a = row_a[lane];                                                              \
            uint64_t b = value[lane];                                                              \
            value[lane] = (expression);                                                            \
        }                                                                                          \
        amd_write64(wave, inst, 0, value);                                                         \
    }
#include "vector_integer.def"
#undef I1
#undef I2
#undef I3
#undef I2_CLAMP
#undef I3_CLAMP
#undef H2
#undef H2_CLAMP
#undef H3
#undef W_SHIFT

/* ---- carries: detail 0 add, 1 subtract, 2 subtract reversed ---- */

/* v_add_co_u32 d, carry out, a, b  and  v_addc_co_u32 d, carry out, a, b, carry in */
HANDLER(add_with_carry) {
    amd_row result;
    SOURCE(a, 2);
    SOURCE(b, 3);
    uint64_t carry_in = inst->operand_count > 4 ? amd_scalar64(wave, inst, 4) : 0, carry_out = 0;
    AMD_EACH_LANE(lane) {
        uint64_t a = row_a[lane], b = row_b[lane], carry = carry_in >> lane & 1, total;
        switch (inst->opcode->detail) {
        case 0:
            total = a + b + carry;
            break;
        case 1:
            total = a - b - carry;
            break;
        default:
            total = b - a - carry;
            break;
        }
        result[lane] = (uint32_t)total;
        carry_out |= (uint64_t)(total >> 32 != 0) << lane;
    }
    amd_write(wave, inst, result);
    amd_set64(wave, inst->operand[1].first, carry_out & amd_exec(wave));
}

/* v_mad_u64_u32 d, carry out, a, b, c: detail 1 for signed factors */
HANDLER(multiply_add_wide) {
    SOURCE(a, 2);
    SOURCE(b, 3);
    amd_row64 sum;
    amd_source64(wave, inst, 4, sum);
    uint64_t carry_out = 0;
    AMD_EACH_LANE(lane) {
        uint64_t product = inst->opcode->detail
                               ? (uint64_t)((int64_t)(int32_t)row_a[lane] * (int32_t)row_b[lane])
                               : (uint64_t)row_a[lane] * row_b[lane];
        uint64_t before = sum[lane];
        sum[lane] += product;
        bool overflow = inst->opcode->detail
                            ? (int64_t)(~(before ^ product) & (before ^ sum[lane])) < 0
                            : sum[lane] < before;
        carry_out |= (uint64_t)overflow << lane;
    }
    amd_write64(wave, inst, 0, sum);
    amd_set64(wave, inst->operand[1].first, carry_out & amd_exec(wave));
}

/* The only instruction that honours s_set_gpr_idx_on: compilers use no other. */
HANDLER(move) {
    amd_row scratch, kept;
    int from = inst->operand[1].first, to = inst->operand[0].first;
    if (!wave->index_mode) {
        amd_write(wave, inst, amd_source(wave, inst, 1, scratch));
        return;
    }
    if (wave->index_mode & 1) from += wave->index_register;
    if (wave->index_mode & 8) to += wave->index_register;
    if (!inst->plain_write || from >= wave->vector_limit || to >= wave->vector_limit)
        amd_stop(wave, GPU_AMD_REGISTER_RANGE, -1, "indexed move of v%d to v%d", from, to);
    if ((wave->vector_pending[from / 64] >> from % 64 | wave->vector_pending[to / 64] >> to % 64) &
        1)
        amd_stop(wave, GPU_AMD_PENDING_REGISTER, -1,
                 "indexed move of v%d to v%d: a load is on the way", from, to);
    const uint32_t *row =
        wave->index_mode & 1 ? wave->vector[from] : amd_source(wave, inst, 1, scratch);
    memcpy(kept, row, sizeof kept);
    amd_blend(wave->vector[to], kept, amd_exec(wave));
}

HANDLER(move_wide) {
    amd_row64 value;
    amd_source64(wave, inst, 1, value);
    amd_write64(wave, inst, 0, value);
}

HANDLER(shift_add_wide) {
    amd_row64 value, addend;
    SOURCE(amount, 2);
    amd_source64(wave, inst, 1, value);
    amd_source64(wave, inst, 3, addend);
    AMD_EACH_LANE(lane) value[lane] = (value[lane] << (row_amount[lane] & 7)) + addend[lane];
    amd_write64(wave, inst, 0, value);
}

/* Every combination of three bits has its place in the table: bit 4a + 2b + c. */
HANDLER(bit_operation) {
    amd_row result;
    SOURCE(a, 1);
    SOURCE(b, 2);
    SOURCE(c, 3);
    AMD_EACH_LANE(lane) result[lane] = 0;
    for (int place = 0; place < 8; place++) {
        if (!(inst->truth_table >> place & 1)) continue;
        uint32_t flip_a = place & 4 ? 0 : ~0u, flip_b = place & 2 ? 0 : ~0u,
                 flip_c = place & 1 ? 0 : ~0u;
        AMD_EACH_LANE(lane)
        result[lane] |= (row_a[lane] ^ flip_a) & (row_b[lane] ^ flip_b) & (row_c[lane] ^ flip_c);
    }
    if (inst->opcode->detail) AMD_EACH_LANE(lane) result[lane] &= 0xffff;
    amd_write(wave, inst, result);
}

HANDLER(swap_registers) {
    amd_row first, second;
    memcpy(first, wave->vector[inst->operand[0].first], sizeof first);
    memcpy(second, wave->vector[inst->operand[1].first], sizeof second);
    amd_write_part(wave, inst, 0, 0, second);
    amd_write_part(wave, inst, 1, 0, first);
}

#define ROW(name, modifiers)                {#name, name, GPU_AMD_VECTOR, AMD_F32, 1, modifiers, 0},
#define HALF_ROW(name, modifiers)           {#name, name, GPU_AMD_VECTOR, AMD_F16, 1, modifiers, 0},
#define I1(name, expression)                ROW(name, AMD_MODS_INTEGER)
#define I2(name, expression)                ROW(name, AMD_MODS_INTEGER)
#define I3(name, expression)                ROW(name, 0)
#define I2_CLAMP(name, expression, clamped) ROW(name, AMD_MODS_INTEGER | AMD_MOD_CLAMP)
#define I3_CLAMP(name, expression, clamped) ROW(name, AMD_MOD_CLAMP)
#define H2(name, expression)                HALF_ROW(name, AMD_MODS_INTEGER)
#define H2_CLAMP(name, expression, clamped) HALF_ROW(name, AMD_MODS_INTEGER | AMD_MOD_CLAMP)
#define H3(name, expression)                HALF_ROW(name, AMD_MOD_HALF)
#define W_SHIFT(name, expression)           ROW(name, 0)

static const amd_opcode rows[] = {
#include "vector_integer.def"
    {"v_mov_b32", move, GPU_AMD_VECTOR, AMD_F32, 1, AMD_MODS_INTEGER, 0},
    {"v_add_co_u32", add_with_carry, GPU_AMD_VECTOR, AMD_F32, 2, AMD_MODS_INTEGER, 0},
    {"v_addc_co_u32", add_with_carry, GPU_AMD_VECTOR, AMD_F32, 2, AMD_MODS_INTEGER, 0},
    {"v_sub_co_u32", add_with_carry, GPU_AMD_VECTOR, AMD_F32, 2, AMD_MODS_INTEGER, 1},
    {"v_subb_co_u32", add_with_carry, GPU_AMD_VECTOR, AMD_F32, 2, AMD_MODS_INTEGER, 1},
    {"v_subrev_co_u32", add_with_carry, GPU_AMD_VECTOR, AMD_F32, 2, AMD_MODS_INTEGER, 2},
    {"v_subbrev_co_u32", add_with_carry, GPU_AMD_VECTOR, AMD_F32, 2, AMD_MODS_INTEGER, 2},
    {"v_mad_u64_u32", multiply_add_wide, GPU_AMD_VECTOR, AMD_F32, 2, 0, 0},
    {"v_mad_i64_i32", multiply_add_wide, GPU_AMD_VECTOR, AMD_F32, 2, 0, 1},
    {"v_mov_b64", move_wide, GPU_AMD_VECTOR, AMD_F64, 1, AMD_MOD_DPP, 0},
    {"v_lshl_add_u64", shift_add_wide, GPU_AMD_VECTOR, AMD_F32, 1, 0, 0},
    {"v_bitop3_b32", bit_operation, GPU_AMD_VECTOR, AMD_F32, 1, AMD_MOD_TRUTH_TABLE, 0},
    {"v_bitop3_b16", bit_operation, GPU_AMD_VECTOR, AMD_F16, 1, AMD_MOD_TRUTH_TABLE | AMD_MOD_HALF,
     1},
    {"v_swap_b32", swap_registers, GPU_AMD_VECTOR, AMD_F32, 2, 0, 0},
};
const amd_opcode_table amd_vector_integer_table = {rows, sizeof rows / sizeof *rows};
