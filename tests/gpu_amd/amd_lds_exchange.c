/* SPDX-License-Identifier: Apache-2.0
 *
 * LDS instructions that move data between lanes: permutes, swizzles, and the transposing reads of
 * gfx950.
 */
#include "amd_lds.h"
#include "amd_pending.h"
#include "amd_race.h"
#include "amd_vector.h"

#define HANDLER(name) static void name(amd_wave *wave, const amd_instruction *inst)

static void finish(amd_wave *wave, const amd_instruction *inst, const amd_row result) {
    amd_blend(wave->vector[inst->operand[0].first], result, amd_exec(wave));
    amd_issue(wave, AMD_QUEUE_LDS, inst, inst->operand[0].first, 1);
}

/* Lane i reads lane (address / 4) % 64; an inactive source gives 0. */
HANDLER(pull) {
    amd_row result;
    const uint32_t *address = wave->vector[inst->operand[1].first],
                   *data = wave->vector[inst->operand[2].first];
    uint64_t active = amd_exec(wave);
    AMD_EACH_LANE(lane) {
        uint32_t source = (address[lane] + (uint32_t)inst->offset) / 4 % AMD_LANES;
        result[lane] = active >> source & 1 ? data[source] : 0;
    }
    finish(wave, inst, result);
}

/* Lane i sends to lane (address / 4) % 64; the highest sender wins, lanes that nobody sends to get
 * 0. */
HANDLER(push) {
    amd_row result = {0};
    const uint32_t *address = wave->vector[inst->operand[1].first],
                   *data = wave->vector[inst->operand[2].first];
    uint64_t active = amd_exec(wave);
    AMD_EACH_LANE(lane)
    if (active >> lane & 1)
        result[(address[lane] + (uint32_t)inst->offset) / 4 % AMD_LANES] = data[lane];
    finish(wave, inst, result);
}

/* immediate: bit 15 set, quad permutation in bits 7:0; else and, or, xor masks of 5 bits for each
 * half of the wave. */
HANDLER(swizzle) {
    amd_row result;
    const uint32_t *data = wave->vector[inst->operand[1].first];
    uint64_t active = amd_exec(wave);
    uint32_t control = inst->immediate & 0xffff;
    if ((control & 0xe000) == 0xe000 || (control & 0xe000) == 0xc000)
        amd_stop(wave, GPU_AMD_UNKNOWN_INSTRUCTION, -1, "swizzle mode 0x%x is not implemented",
                 control);
    AMD_EACH_LANE(lane) {
        uint32_t source;
        if (control & 0x8000)
            source = ((uint32_t)lane & ~3u) | (control >> 2 * (lane & 3) & 3);
        else
            source =
                ((uint32_t)lane & 32) |
                ((((uint32_t)lane & control & 31) | (control >> 5 & 31)) ^ (control >> 10 & 31));
        result[lane] = active >> source & 1 ? data[source] : 0;
    }
    finish(wave, inst, result);
}

/* Transposing reads; detail: bits of an element. Every 16 lanes read a tile of 16 columns, row by
 * row: each lane brings 64 bits (96 for 6-bit elements), and gets a column. Row n is spread over 16
 * * bits / (bits of a lane) lanes. 16 and 8 bits: rocjitsu's cdna4 ds.cpp (16 bits: source lane (l
 * & ~15) | ((l >> 2) & 3) + 4n, half l & 3; 8 bits: lane (l & ~15) | ((l >> 3) & 1) + 2n, byte l &
 * 7) and HipKittens' addressing of the 16-bit form, which ran on hardware. */
HANDLER(read_transposed) {
    amd_row address, result[3];
    uint32_t bits = (uint32_t)inst->opcode->detail, size = bits == 6 ? 12 : 8;
    uint32_t per_lane = 8 * size / bits, lanes_of_row = 16 / per_lane;
    int first = inst->operand[0].first;
    if (amd_exec(wave) != ~(uint64_t)0)
        amd_stop(wave, GPU_AMD_UNKNOWN_INSTRUCTION, -1,
                 "a transposing read with inactive lanes is not defined");
    amd_lds_addresses(wave, inst, wave->vector[inst->operand[1].first], (uint32_t)inst->offset,
                      size, address);
    amd_touch_lds(wave, AMD_TOUCH_READ, address, amd_exec(wave), size, NULL);
    amd_count_lds(wave, inst, address, size, 0);
    memset(result, 0, sizeof result);
    AMD_EACH_LANE(lane) {
        uint32_t column = (uint32_t)lane & 15;
        for (uint32_t row = 0; row < per_lane; row++) {
            uint32_t source = ((uint32_t)lane & ~15u) + row * lanes_of_row + column / per_lane;
            uint32_t from = column % per_lane * bits, to = row * bits;
            uint64_t low = 0;
            uint32_t begin = from / 8;
            memcpy(&low, wave->group->lds + address[source] + begin,
                   begin + 4 <= size ? 4 : size - begin);
            uint64_t element = (low >> from % 8 & (((uint64_t)1 << bits) - 1)) << to % 32;
            result[to / 32][lane] |= (uint32_t)element;
            if (to / 32 + 1 < size / 4) result[to / 32 + 1][lane] |= (uint32_t)(element >> 32);
        }
    }
    for (uint32_t part = 0; part < size / 4; part++)
        memcpy(wave->vector[first + (int)part], result[part], sizeof(amd_row));
    amd_issue_lds(wave, inst, first, (int)size / 4, address, size, AMD_TOUCH_READ);
}

#define ROW(name, execute, modifiers, detail)                                                      \
    {name, execute, GPU_AMD_LDS, AMD_F32, 1, modifiers, detail},

static const amd_opcode rows[] = {
    ROW("ds_bpermute_b32", pull, AMD_MOD_OFFSET, 0) ROW("ds_permute_b32", push, AMD_MOD_OFFSET, 0)
        ROW("ds_swizzle_b32", swizzle, AMD_MOD_OFFSET, 0)
            ROW("ds_read_b64_tr_b16", read_transposed, AMD_MOD_OFFSET, 16)
                ROW("ds_read_b64_tr_b8", read_transposed, AMD_MOD_OFFSET, 8)
                    ROW("ds_read_b64_tr_b4", read_transposed, AMD_MOD_OFFSET, 4)
                        ROW("ds_read_b96_tr_b6", read_transposed, AMD_MOD_OFFSET, 6)};
const amd_opcode_table amd_lds_exchange_table = {rows, sizeof rows / sizeof *rows};
