/* SPDX-License-Identifier: Apache-2.0
 *
 * Branches, waits, barriers, mode registers.
 */
#include "amd_pending.h"
#include "amd_vector.h"

#define HANDLER(name) static void name(amd_wave *wave, const amd_instruction *inst)

static void jump_if(amd_wave *wave, const amd_instruction *inst, bool condition) {
    if (condition) wave->pc = (uint32_t)inst->target;
}

HANDLER(branch) {
    jump_if(wave, inst, true);
}
HANDLER(branch_scc0) {
    jump_if(wave, inst, !wave->scc);
}
HANDLER(branch_scc1) {
    jump_if(wave, inst, wave->scc);
}
HANDLER(branch_vccz) {
    jump_if(wave, inst, amd_get64(wave, AMD_VCC) == 0);
}
HANDLER(branch_vccnz) {
    jump_if(wave, inst, amd_get64(wave, AMD_VCC) != 0);
}
HANDLER(branch_execz) {
    jump_if(wave, inst, amd_exec(wave) == 0);
}
HANDLER(branch_execnz) {
    jump_if(wave, inst, amd_exec(wave) != 0);
}

HANDLER(nothing) {
    (void)wave;
    (void)inst;
}

HANDLER(end_program) {
    (void)inst;
    wave->ended = true;
}

HANDLER(barrier) {
    (void)inst;
    wave->at_barrier = true;
}

HANDLER(wait) {
    amd_wait(wave, inst->immediate & 255, inst->immediate >> 8 & 255);
}

HANDLER(trap) {
    amd_stop(wave, GPU_AMD_TRAP, -1, "the kernel traps (%u)", inst->immediate);
}

/* hwreg(HW_REG_MODE, offset, bits): immediate holds register, offset, bits - 1. Only MODE and
 * XCC_ID exist here. */
enum { REGISTER_MODE = 1, REGISTER_XCC_ID = 20 };

HANDLER(get_register) {
    uint32_t offset = inst->immediate >> 8 & 31, bits = (inst->immediate >> 16 & 31) + 1, value;
    if ((inst->immediate & 255) == REGISTER_MODE)
        value = wave->mode;
    else
        value = wave->group->id[0] & 7; /* one die after the other takes a workgroup */
    value >>= offset;
    wave->scalar[inst->operand[0].first] = bits < 32 ? value & ((1u << bits) - 1) : value;
}

HANDLER(set_register) {
    uint32_t offset = inst->immediate >> 8 & 31, bits = (inst->immediate >> 16 & 31) + 1;
    uint32_t mask = (bits < 32 ? (1u << bits) - 1 : ~0u) << offset,
             value = amd_scalar(wave, inst, 0);
    if ((inst->immediate & 255) != REGISTER_MODE)
        amd_stop(wave, GPU_AMD_UNKNOWN_INSTRUCTION, -1, "only the register MODE can be set");
    wave->mode = (wave->mode & ~mask) | (value << offset & mask);
    if (wave->mode & 15)
        amd_stop(wave, GPU_AMD_UNKNOWN_INSTRUCTION, -1, "only rounding to nearest is implemented");
    if ((wave->mode >> 6 & 3) != 3)
        amd_stop(wave, GPU_AMD_UNKNOWN_INSTRUCTION, -1, "f16 and f64 denormals cannot be flushed");
    wave->flush_f32 = (wave->mode >> 4 & 3) != 3;
}

/* s_set_gpr_idx_on: v_mov_b32 alone honours it, which is all that compilers use it for. */
HANDLER(index_on) {
    wave->index_register = (uint8_t)amd_scalar(wave, inst, 0);
    wave->index_mode = (uint8_t)inst->immediate;
}

HANDLER(index_off) {
    (void)inst;
    wave->index_mode = 0;
}

static uint64_t clock_ticks(amd_wave *wave) {
    return ~wave->group->budget;
}

HANDLER(read_clock) {
    amd_set64(wave, inst->operand[0].first, clock_ticks(wave));
}

HANDLER(get_pc) {
    amd_set64(wave, inst->operand[0].first,
              wave->group->launch->code_base + inst->code_offset + inst->size_bytes);
}

#define BRANCH(name, execute) {name, execute, GPU_AMD_BRANCH, AMD_F32, 0, 0, 0},
#define OTHER(name, execute, written)                                                              \
    {name, execute, GPU_AMD_OTHER, AMD_F32, written, AMD_MOD_CACHE, 0},

static const amd_opcode rows[] = {
    BRANCH("s_branch", branch) BRANCH("s_cbranch_scc0", branch_scc0)
        BRANCH("s_cbranch_scc1", branch_scc1) BRANCH("s_cbranch_vccz", branch_vccz)
            BRANCH("s_cbranch_vccnz", branch_vccnz) BRANCH("s_cbranch_execz", branch_execz)
                BRANCH("s_cbranch_execnz", branch_execnz){"s_waitcnt", wait, GPU_AMD_WAIT, AMD_F32,
                                                          0, 0, 0},
    {"s_barrier", barrier, GPU_AMD_BARRIER, AMD_F32, 0, 0, 0},
    OTHER("s_endpgm", end_program, 0) OTHER("s_trap", trap, 0) OTHER("s_nop", nothing, 0) OTHER(
        "s_sleep", nothing, 0) OTHER("s_setprio", nothing, 0) OTHER("s_icache_inv", nothing, 0)
        OTHER("s_dcache_inv", nothing, 0) OTHER("s_dcache_wb", nothing, 0)
            OTHER("buffer_wbinvl1", nothing, 0) OTHER("buffer_wbinvl1_vol", nothing, 0) OTHER(
                "buffer_invl2", nothing, 0) OTHER("buffer_wbl2", nothing, 0)
                OTHER("buffer_inv", nothing, 0) OTHER("s_getreg_b32", get_register, 1) OTHER(
                    "s_setreg_b32", set_register, 0) OTHER("s_setreg_imm32_b32", set_register, 0)
                    OTHER("s_set_gpr_idx_on", index_on, 0) OTHER("s_set_gpr_idx_off", index_off, 0)
                        OTHER("s_memtime", read_clock, 1) OTHER("s_memrealtime", read_clock, 1)
                            OTHER("s_getpc_b64", get_pc, 1) OTHER("v_nop", nothing, 0)};
const amd_opcode_table amd_control_table = {rows, sizeof rows / sizeof *rows};
