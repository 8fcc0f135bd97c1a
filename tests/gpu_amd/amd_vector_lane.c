/* SPDX-License-Identifier: Apache-2.0
 *
 * Vector instructions that cross lanes or pick by a mask. Source: "CDNA3 Instruction Set
 * Architecture"; the row swaps of gfx950: LLVM's description of llvm.amdgcn.permlane16.swap and
 * permlane32.swap.
 */
#include "amd_vector.h"

#define HANDLER(name) static void name(amd_wave *wave, const amd_instruction *inst)

HANDLER(select_by_mask) {
    amd_row scratch_a, scratch_b, result;
    const uint32_t *a = amd_source(wave, inst, 1, scratch_a),
                   *b = amd_source(wave, inst, 2, scratch_b);
    uint64_t mask =
        inst->operand_count > 3 ? amd_scalar64(wave, inst, 3) : amd_get64(wave, AMD_VCC);
    uint32_t low = (uint32_t)mask, high = (uint32_t)(mask >> 32);
    for (int lane = 0; lane < 32; lane++) result[lane] = low >> lane & 1 ? b[lane] : a[lane];
    for (int lane = 0; lane < 32; lane++)
        result[32 + lane] = high >> lane & 1 ? b[32 + lane] : a[32 + lane];
    amd_write(wave, inst, result);
}

HANDLER(read_first_lane) {
    uint64_t exec = amd_exec(wave);
    int lane = exec ? __builtin_ctzll(exec) : 0;
    amd_row scratch;
    wave->scalar[inst->operand[0].first] = amd_source(wave, inst, 1, scratch)[lane];
}

HANDLER(read_lane) {
    uint32_t lane = amd_scalar(wave, inst, 2) & 63;
    wave->scalar[inst->operand[0].first] = wave->vector[inst->operand[1].first][lane];
}

HANDLER(write_lane) {
    uint32_t lane = amd_scalar(wave, inst, 2) & 63;
    wave->vector[inst->operand[0].first][lane] = amd_scalar(wave, inst, 1);
}

/* Set bits of the mask below the lane, plus b. */
HANDLER(count_below_low) {
    amd_row scratch_a, scratch_b, result;
    const uint32_t *a = amd_source(wave, inst, 1, scratch_a),
                   *b = amd_source(wave, inst, 2, scratch_b);
    AMD_EACH_LANE(lane)
    result[lane] =
        (uint32_t)__builtin_popcount(lane < 32 ? a[lane] & ((1u << lane) - 1) : a[lane]) + b[lane];
    amd_write(wave, inst, result);
}

HANDLER(count_below_high) {
    amd_row scratch_a, scratch_b, result;
    const uint32_t *a = amd_source(wave, inst, 1, scratch_a),
                   *b = amd_source(wave, inst, 2, scratch_b);
    AMD_EACH_LANE(lane)
    result[lane] =
        (uint32_t)__builtin_popcount(lane > 32 ? a[lane] & ((1u << (lane - 32)) - 1) : 0) + b[lane];
    amd_write(wave, inst, result);
}

/* Exchanges the odd rows of the first register with the even rows of the second; detail: lanes of a
 * row. */
HANDLER(swap_rows) {
    uint32_t *first = wave->vector[inst->operand[0].first],
             *second = wave->vector[inst->operand[1].first];
    int rows = inst->opcode->detail;
    uint64_t exec = amd_exec(wave);
    for (int lane = 0; lane < AMD_LANES; lane++) {
        if (!(lane & rows)) continue;
        int other = lane - rows;
        if (!(exec >> lane & 1) || !(exec >> other & 1))
            amd_stop(wave, GPU_AMD_UNKNOWN_INSTRUCTION, lane,
                     "a row swap with inactive lanes is not defined");
        uint32_t kept = first[lane];
        first[lane] = second[other];
        second[other] = kept;
    }
}

#define ROW(name, execute, written, modifiers, detail)                                             \
    {name, execute, GPU_AMD_VECTOR, AMD_F32, written, modifiers, detail},

static const amd_opcode rows[] = {
    ROW("v_cndmask_b32", select_by_mask, 1, AMD_MOD_SIGN | AMD_MODS_INTEGER, 0)
        ROW("v_readfirstlane_b32", read_first_lane, 1, 0, 0)
            ROW("v_readlane_b32", read_lane, 1, 0, 0) ROW("v_writelane_b32", write_lane, 1, 0, 0)
                ROW("v_mbcnt_lo_u32_b32", count_below_low, 1, 0, 0)
                    ROW("v_mbcnt_hi_u32_b32", count_below_high, 1, 0, 0)
                        ROW("v_permlane16_swap_b32", swap_rows, 2, 0, 16)
                            ROW("v_permlane32_swap_b32", swap_rows, 2, 0, 32)};
const amd_opcode_table amd_vector_lane_table = {rows, sizeof rows / sizeof *rows};
