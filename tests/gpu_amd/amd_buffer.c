/* SPDX-License-Identifier: Apache-2.0
 *
 * buffer_ instructions: a descriptor of four scalars gives base, stride and size; what lies beyond
 * the size reads 0 and is not written. Source: "CDNA3 Instruction Set Architecture", buffer
 * addressing; swizzled buffers are refused.
 */
#include "amd_atomic.h"
#include "amd_pending.h"
#include "amd_transfer.h"
#include "amd_vector.h"

#define HANDLER(name) static void name(amd_wave *wave, const amd_instruction *inst)

/* Lanes beyond the end are left out of lanes. partial: lanes whose first dwords are inside only. */
static void make_addresses(amd_wave *wave, const amd_instruction *inst, int place, uint32_t size,
                           amd_addresses *out, uint64_t *partial) {
    const uint32_t *descriptor = &wave->scalar[inst->operand[place + 1].first];
    uint64_t base = (descriptor[0] | (uint64_t)descriptor[1] << 32) & 0xffffffffffffu;
    uint32_t stride = descriptor[1] >> 16 & 0x3fff, records = descriptor[2],
             scalar_offset = amd_scalar(wave, inst, place + 2);
    if (descriptor[1] >> 30 || (descriptor[3] >> 23 & 1))
        amd_stop(wave, GPU_AMD_UNKNOWN_INSTRUCTION, -1,
                 "swizzled buffer descriptors are not implemented (0x%08x 0x%08x)", descriptor[1],
                 descriptor[3]);
    const amd_operand *address = &inst->operand[place];
    const uint32_t *index = inst->idxen ? wave->vector[address->first] : NULL;
    const uint32_t *offset =
        inst->offen ? wave->vector[address->first + (inst->idxen ? 1 : 0)] : NULL;
    out->lanes = *partial = 0;
    AMD_EACH_LANE(lane) {
        uint64_t in_record = (uint64_t)(offset ? offset[lane] : 0) + (uint32_t)inst->offset,
                 row = index ? index[lane] : 0;
        uint64_t from_base = in_record + row * stride;
        bool inside, begins;
        if (stride) {
            inside = begins = row < records && in_record + size <= stride;
        } else {
            from_base += row;
            inside = from_base + scalar_offset + size <= records;
            begins = from_base + scalar_offset + 4 <= records && size > 4;
        }
        out->at[lane] = base + scalar_offset + from_base;
        out->lanes |= (uint64_t)inside << lane;
        *partial |= (uint64_t)(begins && !inside) << lane;
    }
    out->lanes &= amd_exec(wave);
    *partial &= amd_exec(wave);
}

/* Bytes of a lane that lie inside, for the few lanes that end within an access. */
static uint32_t bytes_inside(amd_wave *wave, const amd_instruction *inst, int place,
                             uint64_t address, uint32_t size) {
    const uint32_t *descriptor = &wave->scalar[inst->operand[place + 1].first];
    uint64_t base = (descriptor[0] | (uint64_t)descriptor[1] << 32) & 0xffffffffffffu;
    uint64_t left = descriptor[2] - (address - base);
    return left < size ? (uint32_t)left & ~3u : size;
}

HANDLER(load) {
    amd_addresses addresses;
    uint64_t partial;
    uint32_t size = inst->opcode->detail & AMD_SIZE;
    if (inst->to_lds) {
        make_addresses(wave, inst, 0, size, &addresses, &partial);
        if (partial)
            amd_stop(wave, GPU_AMD_GLOBAL_BOUNDS, __builtin_ctzll(partial),
                     "the buffer ends within a lane of a direct-to-LDS load");
        amd_load_to_lds(wave, inst, &addresses, (uint32_t)inst->offset);
        return;
    }
    make_addresses(wave, inst, 1, size, &addresses, &partial);
    int first = inst->operand[0].first, count = amd_registers(inst->opcode->detail);
    for (uint64_t left = amd_exec(wave) & ~addresses.lanes; left; left &= left - 1) {
        int lane = __builtin_ctzll(left);
        for (int part = 0; part < count; part++) {
            uint32_t *value = &wave->vector[first + part][lane];
            *value = amd_into_register(0, *value, inst->opcode->detail);
        }
        if (!(partial >> lane & 1)) continue;
        uint32_t inside = bytes_inside(wave, inst, 1, addresses.at[lane], size);
        const uint8_t *from = amd_check_scalar(wave, addresses.at[lane], inside);
        for (uint32_t part = 0; part < inside / 4; part++)
            memcpy(&wave->vector[first + (int)part][lane], from + 4 * part, 4);
    }
    amd_load_lanes(wave, inst, &addresses, first);
    amd_issue(wave, AMD_QUEUE_VECTOR, inst, first, count);
}

HANDLER(store) {
    amd_addresses addresses;
    uint64_t partial;
    uint32_t size = inst->opcode->detail & AMD_SIZE;
    make_addresses(wave, inst, 1, size, &addresses, &partial);
    if (partial)
        amd_stop(wave, GPU_AMD_GLOBAL_BOUNDS, __builtin_ctzll(partial),
                 "the buffer ends within a lane of a store");
    amd_store_lanes(wave, inst, &addresses, inst->operand[0].first);
    amd_issue(wave, AMD_QUEUE_VECTOR, inst, 0, 0);
}

HANDLER(atomic) {
    amd_addresses addresses;
    uint64_t partial;
    bool wide = inst->opcode->detail & AMD_ATOMIC_WIDE;
    make_addresses(wave, inst, 1, wide ? 8 : 4, &addresses, &partial);
    int data = inst->operand[0].first;
    amd_atomic_lanes(wave, inst, &addresses, data, inst->sc0 ? data : -1);
    amd_issue(wave, AMD_QUEUE_VECTOR, inst, inst->sc0 ? data : 0, inst->sc0 ? (wide ? 2 : 1) : 0);
}

enum { MODIFIERS = AMD_MOD_OFFSET | AMD_MOD_CACHE | AMD_MOD_BUFFER };

#define LOAD(name, detail)                                                                         \
    {"buffer_" name, load, GPU_AMD_GLOBAL_LOAD, AMD_F32, 1, MODIFIERS, detail},
#define STORE(name, detail)                                                                        \
    {"buffer_" name, store, GPU_AMD_GLOBAL_STORE, AMD_F32, 0, MODIFIERS, detail},
#define ATOMIC(name, detail)                                                                       \
    {"buffer_" name, atomic, GPU_AMD_GLOBAL_ATOMIC, AMD_F32, 0, MODIFIERS, detail},

static const amd_opcode rows[] = {
#include "global_transfers.def"
};
const amd_opcode_table amd_buffer_table = {rows, sizeof rows / sizeof *rows};
