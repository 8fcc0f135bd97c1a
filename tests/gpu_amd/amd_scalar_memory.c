/* SPDX-License-Identifier: Apache-2.0
 *
 * Scalar loads: s_load from an address, s_buffer_load from a descriptor. detail: dwords. They come
 * back in any order.
 */
#include "amd_memory.h"
#include "amd_pending.h"
#include "amd_vector.h"

#define HANDLER(name) static void name(amd_wave *wave, const amd_instruction *inst)

static void enter(amd_wave *wave, const amd_instruction *inst) {
    amd_issue(wave, AMD_QUEUE_SCALAR, inst, inst->operand[0].first, inst->opcode->detail);
}

HANDLER(load) {
    uint32_t dwords = (uint32_t)inst->opcode->detail;
    int64_t offset = inst->operand[2].kind == AMD_CONSTANT ? (int64_t)inst->operand[2].value
                                                           : amd_scalar(wave, inst, 2);
    uint64_t address =
        (amd_scalar64(wave, inst, 1) + (uint64_t)offset + (uint64_t)(int64_t)inst->offset) &
        ~(uint64_t)3;
    memcpy(&wave->scalar[inst->operand[0].first], amd_check_scalar(wave, address, 4 * dwords),
           4 * dwords);
    enter(wave, inst);
}

/* A dword beyond the descriptor's end is 0. */
HANDLER(load_buffer) {
    const uint32_t *descriptor = &wave->scalar[inst->operand[1].first];
    uint64_t base = (descriptor[0] | (uint64_t)descriptor[1] << 32) & 0xffffffffffffu;
    uint64_t offset = (inst->operand[2].kind == AMD_CONSTANT ? inst->operand[2].value
                                                             : amd_scalar(wave, inst, 2)) +
                      (uint64_t)(int64_t)inst->offset;
    uint32_t result[16];
    offset &= ~(uint64_t)3;
    if (descriptor[1] >> 16 & 0x3fff)
        amd_stop(wave, GPU_AMD_UNKNOWN_INSTRUCTION, -1,
                 "descriptors with a stride are not implemented here");
    for (int dword = 0; dword < inst->opcode->detail; dword++, offset += 4) {
        result[dword] = 0;
        if (offset + 4 <= descriptor[2])
            memcpy(&result[dword], amd_check_scalar(wave, base + offset, 4), 4);
    }
    memcpy(&wave->scalar[inst->operand[0].first], result, 4 * (size_t)inst->opcode->detail);
    enter(wave, inst);
}

#define LOAD(name, dwords)                                                                         \
    {"s_load_" name, load, GPU_AMD_SCALAR_MEMORY, AMD_F32, 1, AMD_MOD_OFFSET | AMD_MOD_CACHE,      \
     dwords},
#define LOAD_BUFFER(name, dwords)                                                                  \
    {"s_buffer_load_" name,          load_buffer, GPU_AMD_SCALAR_MEMORY, AMD_F32, 1,               \
     AMD_MOD_OFFSET | AMD_MOD_CACHE, dwords},

static const amd_opcode rows[] = {
    LOAD("dword", 1) LOAD("dwordx2", 2) LOAD("dwordx4", 4) LOAD("dwordx8", 8) LOAD("dwordx16", 16)
        LOAD_BUFFER("dword", 1) LOAD_BUFFER("dwordx2", 2) LOAD_BUFFER("dwordx4", 4)
            LOAD_BUFFER("dwordx8", 8) LOAD_BUFFER("dwordx16", 16)};
const amd_opcode_table amd_scalar_memory_table = {rows, sizeof rows / sizeof *rows};
