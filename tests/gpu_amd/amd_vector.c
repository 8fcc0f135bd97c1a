/* SPDX-License-Identifier: Apache-2.0
 *
 * Sources and results with modifiers. DPP and SDWA: "CDNA3 Instruction Set Architecture", sections
 * on data-parallel primitives and sub-dword addressing; LLVM's AMDGPUModifierSyntax for the
 * controls.
 */
#include "amd_vector.h"

int amd_dpp_source(uint32_t control, int lane) {
    int in_row = lane & 15, row = lane & ~15, by = (int)(control & 15);
    if (control < 0x100) return (lane & ~3) | (int)(control >> 2 * (lane & 3) & 3); /* quad_perm */
    if (control >= 0x101 && control <= 0x10f)
        return in_row + by < 16 ? lane + by : -1;                                   /* row_shl */
    if (control >= 0x111 && control <= 0x11f) return in_row >= by ? lane - by : -1; /* row_shr */
    if (control >= 0x121 && control <= 0x12f) return row | ((in_row - by) & 15);    /* row_ror */
    if (control >= 0x150 && control <= 0x15f) return row | by; /* row_newbcast */
    switch (control) {
    case 0x130:
        return lane < 63 ? lane + 1 : -1; /* wave_shl:1 */
    case 0x134:
        return (lane + 1) & 63; /* wave_rol:1 */
    case 0x138:
        return lane ? lane - 1 : -1; /* wave_shr:1 */
    case 0x13c:
        return (lane + 63) & 63; /* wave_ror:1 */
    case 0x140:
        return row | (15 - in_row); /* row_mirror */
    case 0x141:
        return (lane & ~7) | (7 - (lane & 7)); /* row_half_mirror */
    case 0x142:
        return lane >= 16 ? row - 1 : -1; /* row_bcast:15: the last lane of the row before */
    case 0x143:
        return lane >= 32 ? 31 : -1; /* row_bcast:31 */
    default:
        return -2;
    }
}

static bool dpp_valid(const amd_wave *wave, const amd_instruction *inst, int lane, int *source) {
    *source = amd_dpp_source(inst->dpp_control, lane);
    return *source >= 0 && (amd_exec(wave) >> *source & 1);
}

uint64_t amd_dpp_lanes(const amd_wave *wave, const amd_instruction *inst) {
    uint64_t lanes = 0;
    AMD_EACH_LANE(lane) {
        int source;
        bool enabled =
            (inst->row_mask >> (lane >> 4) & 1) && (inst->bank_mask >> (lane >> 2 & 3) & 1);
        if (enabled && (inst->bound_control || dpp_valid(wave, inst, lane, &source)))
            lanes |= (uint64_t)1 << lane;
    }
    return lanes & amd_exec(wave);
}

static void move_lanes(const amd_wave *wave, const amd_instruction *inst, const amd_row from,
                       amd_row to) {
    amd_row moved;
    AMD_EACH_LANE(lane) {
        int source;
        moved[lane] = dpp_valid(wave, inst, lane, &source) ? from[source] : 0;
    }
    memcpy(to, moved, sizeof moved);
}

static uint32_t selected(uint32_t value, unsigned select, bool sign_extend) {
    switch (select) {
    case AMD_DWORD:
        return value;
    case AMD_WORD_0:
    case AMD_WORD_1:
        value = value >> 16 * (select - AMD_WORD_0) & 0xffff;
        return sign_extend ? (uint32_t)(int32_t)(int16_t)value : value;
    default:
        value = value >> 8 * select & 0xff;
        return sign_extend ? (uint32_t)(int32_t)(int8_t)value : value;
    }
}

static void spread(amd_row row, uint32_t value) {
    AMD_EACH_LANE(lane) row[lane] = value;
}

const uint32_t *amd_prepare_part(amd_wave *wave, const amd_instruction *inst, int operand, int part,
                                 amd_row scratch) {
    const amd_operand *source = &inst->operand[operand];
    switch (source->kind) {
    case AMD_VECTOR:
        return wave->vector[source->first + part];
    case AMD_SCALAR:
        spread(scratch, wave->scalar[source->first + part]);
        return scratch;
    case AMD_CONSTANT:
        spread(scratch, (uint32_t)(source->value >> 32 * part));
        return scratch;
    case AMD_SCC:
        spread(scratch, part ? 0 : wave->scc);
        return scratch;
    default:
        amd_stop(wave, GPU_AMD_UNKNOWN_INSTRUCTION, -1, "operand %d is no source", operand);
    }
}

const uint32_t *amd_prepare(amd_wave *wave, const amd_instruction *inst, int operand,
                            amd_row scratch) {
    const amd_operand *source = &inst->operand[operand];
    int place = operand - inst->first_source;
    const uint32_t *row = amd_prepare_part(wave, inst, operand, 0, scratch);
    if (row != scratch) memcpy(scratch, row, sizeof(amd_row));
    if (inst->has_dpp && place == 0) move_lanes(wave, inst, scratch, scratch);
    if (inst->has_sdwa && place >= 0 && place < 2 && inst->source_select[place] != AMD_DWORD)
        AMD_EACH_LANE(lane)
    scratch[lane] = selected(scratch[lane], inst->source_select[place], source->sign_extend);
    if ((inst->opcode->modifiers & AMD_MOD_HALF) && (inst->op_sel >> place & 1))
        AMD_EACH_LANE(lane) scratch[lane] >>= 16;
    if (!(inst->opcode->modifiers & AMD_MOD_SIGN)) return scratch;
    uint32_t sign = inst->opcode->number == AMD_F32 ? 0x80000000u : 0x8000u;
    if (source->absolute) AMD_EACH_LANE(lane) scratch[lane] &= ~sign;
    if (source->negate) AMD_EACH_LANE(lane) scratch[lane] ^= sign;
    return scratch;
}

const uint32_t *amd_prepare_flushed(amd_wave *wave, const amd_instruction *inst, int operand,
                                    amd_row scratch) {
    const uint32_t *row = amd_source(wave, inst, operand, scratch);
    AMD_EACH_LANE(lane) scratch[lane] = amd_bits(amd_flush(amd_float(row[lane])));
    return scratch;
}

void amd_blend(uint32_t *row, const amd_row result, uint64_t lanes) {
    if (lanes == ~(uint64_t)0) {
        memmove(row, result, sizeof(amd_row));
        return;
    }
    /* In halves of 32, so that the mask test becomes vector code. */
    uint32_t low = (uint32_t)lanes, high = (uint32_t)(lanes >> 32);
    for (int lane = 0; lane < 32; lane++) row[lane] = low >> lane & 1 ? result[lane] : row[lane];
    for (int lane = 0; lane < 32; lane++)
        row[32 + lane] = high >> lane & 1 ? result[32 + lane] : row[32 + lane];
}

void amd_write_general(amd_wave *wave, const amd_instruction *inst, int operand, int part,
                       const amd_row result) {
    const amd_operand *destination = &inst->operand[operand];
    uint32_t *row = wave->vector[destination->first + part];
    uint64_t lanes = inst->has_dpp ? amd_dpp_lanes(wave, inst) : amd_exec(wave);
    amd_row merged;
    unsigned select = inst->has_sdwa ? inst->destination_select : AMD_DWORD;
    unsigned unused = inst->destination_unused;
    /* VOP3 op_sel of the result: the half that is not written stays. */
    if ((inst->opcode->modifiers & AMD_MOD_HALF) && (inst->op_sel & 8))
        select = AMD_WORD_1, unused = AMD_UNUSED_PRESERVE;
    if (select == AMD_DWORD) {
        amd_blend(row, result, lanes);
        return;
    }
    bool is_byte = select <= AMD_BYTE_3;
    int shift = is_byte ? 8 * (int)select : 16 * ((int)select - AMD_WORD_0);
    uint32_t field = is_byte ? 0xffu : 0xffffu;
    AMD_EACH_LANE(lane) {
        uint32_t value = (result[lane] & field) << shift, rest = row[lane] & ~(field << shift);
        if (unused == AMD_UNUSED_PAD) rest = 0;
        if (unused == AMD_UNUSED_SEXT) {
            uint32_t sign = is_byte ? result[lane] >> 7 & 1 : result[lane] >> 15 & 1;
            uint32_t above = (uint32_t)-((int64_t)1 << (shift + (is_byte ? 8 : 16)));
            rest = sign ? above : 0;
        }
        merged[lane] = value | rest;
    }
    amd_blend(row, merged, lanes);
}

void amd_finish_float(const amd_wave *wave, const amd_instruction *inst, amd_row result) {
    static const float factor[4] = {1.0f, 2.0f, 4.0f, 0.5f};
    float scale = factor[inst->result_scale];
    if (inst->result_scale)
        AMD_EACH_LANE(lane) result[lane] = amd_bits(amd_float(result[lane]) * scale);
    if (inst->clamp) AMD_EACH_LANE(lane) {
            float value = amd_float(result[lane]);
            result[lane] = amd_bits(value > 0.0f ? value < 1.0f ? value : 1.0f
                                                 : 0.0f); /* NaN becomes 0 (DX10_CLAMP) */
        }
    if (wave->flush_f32)
        AMD_EACH_LANE(lane) result[lane] = amd_bits(amd_flush(amd_float(result[lane])));
}

void amd_source64(amd_wave *wave, const amd_instruction *inst, int operand, amd_row64 out) {
    const amd_operand *source = &inst->operand[operand];
    amd_row low, high;
    const uint32_t *lower = amd_prepare_part(wave, inst, operand, 0, low);
    const uint32_t *upper = amd_prepare_part(wave, inst, operand, 1, high);
    if (inst->has_dpp && operand == inst->first_source) {
        move_lanes(wave, inst, lower, low);
        move_lanes(wave, inst, upper, high);
        lower = low, upper = high;
    }
    AMD_EACH_LANE(lane) out[lane] = lower[lane] | (uint64_t)upper[lane] << 32;
    uint64_t sign = (uint64_t)1 << 63;
    if (source->absolute) AMD_EACH_LANE(lane) out[lane] &= ~sign;
    if (source->negate) AMD_EACH_LANE(lane) out[lane] ^= sign;
}

void amd_write64(amd_wave *wave, const amd_instruction *inst, int operand, const amd_row64 result) {
    amd_row low, high;
    AMD_EACH_LANE(lane) {
        low[lane] = (uint32_t)result[lane];
        high[lane] = (uint32_t)(result[lane] >> 32);
    }
    amd_write_part(wave, inst, operand, 0, low);
    amd_write_part(wave, inst, operand, 1, high);
}
