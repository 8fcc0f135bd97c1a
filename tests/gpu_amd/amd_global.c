/* SPDX-License-Identifier: Apache-2.0
 *
 * global_ instructions: address = scalar base + 32-bit lane offset, or a 64-bit lane address; plus
 * a constant. Source: "CDNA3 Instruction Set Architecture", FLAT, scratch and global.
 */
#include "amd_atomic.h"
#include "amd_pending.h"
#include "amd_transfer.h"
#include "amd_vector.h"

#define HANDLER(name) static void name(amd_wave *wave, const amd_instruction *inst)

static void make_addresses(amd_wave *wave, const amd_instruction *inst, int lane_operand,
                           int base_operand, amd_addresses *out) {
    const amd_operand *base = &inst->operand[base_operand];
    uint64_t offset = (uint64_t)(int64_t)inst->offset;
    if (base->kind == AMD_SCALAR) {
        const uint32_t *lanes = wave->vector[inst->operand[lane_operand].first];
        offset += amd_get64(wave, base->first);
        AMD_EACH_LANE(lane) out->at[lane] = offset + lanes[lane];
    } else {
        const uint32_t *low = wave->vector[inst->operand[lane_operand].first],
                       *high = wave->vector[inst->operand[lane_operand].first + 1];
        AMD_EACH_LANE(lane) out->at[lane] = offset + (low[lane] | (uint64_t)high[lane] << 32);
    }
    out->lanes = amd_exec(wave);
}

HANDLER(load) {
    amd_addresses addresses;
    make_addresses(wave, inst, 1, 2, &addresses);
    amd_load_lanes(wave, inst, &addresses, inst->operand[0].first);
    amd_issue(wave, AMD_QUEUE_VECTOR, inst, inst->operand[0].first,
              amd_registers(inst->opcode->detail));
}

HANDLER(store) {
    amd_addresses addresses;
    make_addresses(wave, inst, 0, 2, &addresses);
    amd_store_lanes(wave, inst, &addresses, inst->operand[1].first);
    amd_issue(wave, AMD_QUEUE_VECTOR, inst, 0, 0);
}

HANDLER(atomic) {
    amd_addresses addresses;
    int returned = inst->sc0 ? inst->operand[0].first : -1, shift = inst->sc0 ? 1 : 0;
    make_addresses(wave, inst, shift, shift + 2, &addresses);
    amd_atomic_lanes(wave, inst, &addresses, inst->operand[shift + 1].first, returned);
    amd_issue(wave, AMD_QUEUE_VECTOR, inst, inst->sc0 ? returned : 0,
              inst->sc0 ? (inst->opcode->detail & AMD_ATOMIC_WIDE ? 2 : 1) : 0);
}

/* The constant offset moves the LDS address as well. */
HANDLER(load_to_lds) {
    amd_addresses addresses;
    make_addresses(wave, inst, 0, 1, &addresses);
    amd_load_to_lds(wave, inst, &addresses, (uint32_t)inst->offset);
}

#define LOAD(name, detail)                                                                         \
    {"global_" name, load, GPU_AMD_GLOBAL_LOAD, AMD_F32, 1, AMD_MOD_OFFSET | AMD_MOD_CACHE, detail},
#define STORE(name, detail)                                                                        \
    {"global_" name, store, GPU_AMD_GLOBAL_STORE, AMD_F32, 0, AMD_MOD_OFFSET | AMD_MOD_CACHE,      \
     detail},
#define ATOMIC(name, detail)                                                                       \
    {"global_" name, atomic, GPU_AMD_GLOBAL_ATOMIC, AMD_F32, 0, AMD_MOD_OFFSET | AMD_MOD_CACHE,    \
     detail},
#define TO_LDS(name, detail)                                                                       \
    {                                                                                              \
        "global_" name, load_to_lds, GPU_AMD_GLOBAL_TO_LDS,                                        \
        AMD_F32,        0,           AMD_MOD_OFFSET | AMD_MOD_CACHE,                               \
        detail},

static const amd_opcode rows[] = {
#include "global_transfers.def"
    TO_LDS("load_lds_dword", 4) TO_LDS("load_lds_dwordx3", 12) TO_LDS("load_lds_dwordx4", 16)
        TO_LDS("load_lds_ubyte", 1) TO_LDS("load_lds_sbyte", 1 | AMD_SIGNED)
            TO_LDS("load_lds_ushort", 2) TO_LDS("load_lds_sshort", 2 | AMD_SIGNED)};
const amd_opcode_table amd_global_table = {rows, sizeof rows / sizeof *rows};
