/* SPDX-License-Identifier: Apache-2.0
 *
 * ds_read, ds_write and LDS atomics. Source: "CDNA3 Instruction Set Architecture", LDS; 64 banks on
 * gfx950: "CDNA4 Instruction Set Architecture" and rocjitsu's description of that target.
 */
#include "amd_lds.h"
#include "amd_atomic.h"
#include "amd_pending.h"
#include "amd_race.h"
#include "amd_transfer.h"
#include "amd_vector.h"

#define HANDLER(name) static void name(amd_wave *wave, const amd_instruction *inst)

void amd_lds_addresses(amd_wave *wave, const amd_instruction *inst, const uint32_t *base,
                       uint32_t offset, uint32_t size, amd_row out) {
    amd_workgroup *group = wave->group;
    uint64_t lanes = amd_exec(wave);
    uint32_t alignment = size >= 4 ? 4 : size, highest = 0, odd = 0;
    (void)inst;
    AMD_EACH_LANE(lane) {
        uint32_t on = (uint32_t)0 - (uint32_t)(lanes >> lane & 1);
        out[lane] = base[lane] + offset;
        /* An address that wraps is far outside as well. */
        uint32_t last = base[lane] > 0xfff00000u ? ~0u : out[lane];
        highest = (last & on) > highest ? (last & on) : highest;
        odd |= out[lane] & on;
    }
    if (!lanes) return;
    if (highest > group->lds_bytes || group->lds_bytes - highest < size) AMD_EACH_LANE(lane)
    if ((lanes >> lane & 1) && (base[lane] > 0xfff00000u || out[lane] > group->lds_bytes ||
                                group->lds_bytes - out[lane] < size))
        amd_stop(wave, GPU_AMD_LDS_BOUNDS, lane, "touches %u bytes at LDS address %u of %u", size,
                 out[lane], group->lds_bytes);
    group->counters->lds_misaligned += (odd & (alignment - 1)) != 0;
}

/* Cycles: the lanes are served in groups that could fill all banks once; a group takes as long as
 * its busiest bank. */
static uint32_t bank_cycles(const amd_row address, uint64_t lanes, uint32_t size, uint32_t banks) {
    uint32_t dwords = (size + 3) / 4, group_lanes = banks / dwords ? banks / dwords : 1, cycles = 0;
    if (dwords == 3) group_lanes = banks / 4;
    for (uint32_t first = 0; first < AMD_LANES; first += group_lanes) {
        uint32_t held[64][8], in_bank[64] = {0}, busiest = 0;
        for (uint32_t lane = first; lane < first + group_lanes && lane < AMD_LANES; lane++) {
            if (!(lanes >> lane & 1)) continue;
            for (uint32_t part = 0; part < dwords; part++) {
                uint32_t dword = address[lane] / 4 + part, bank = dword % banks, i = 0;
                while (i < in_bank[bank] && i < 8 && held[bank][i] != dword) i++;
                if (i < in_bank[bank] && i < 8) continue;
                if (in_bank[bank] < 8) held[bank][in_bank[bank]] = dword;
                if (++in_bank[bank] > busiest) busiest = in_bank[bank];
            }
        }
        cycles += busiest;
    }
    return cycles;
}

void amd_count_lds(amd_wave *wave, const amd_instruction *inst, const amd_row address,
                   uint32_t size, int which) {
    gpu_amd_counters *counters = wave->group->counters;
    uint64_t lanes = amd_exec(wave);
    if (!lanes) return;
    uint32_t banks = wave->target == AMD_GFX950 ? 64 : 32,
             active = (uint32_t)__builtin_popcountll(lanes);
    uint32_t bytes = active * size, dwords = (size + 3) / 4;
    /* A loop has the same pattern every time, only moved: remember it per instruction. */
    amd_bank_pattern *known =
        &wave->group->patterns[2 * (inst - wave->group->launch->program) + which];
    uint32_t origin = address[__builtin_ctzll(lanes)], place = origin % (banks * 4);
    uint32_t differs =
        !known->valid || known->lanes != lanes || known->place != place || known->size != size;
    if (!differs) AMD_EACH_LANE(lane) differs |= (address[lane] - origin) ^ known->relative[lane];
    if (differs) {
        known->valid = true;
        known->lanes = lanes;
        known->place = place;
        known->size = size;
        AMD_EACH_LANE(lane) known->relative[lane] = address[lane] - origin;
        known->cycles = bank_cycles(address, lanes, size, banks);
    }
    counters->lds_accesses++;
    counters->lds_bytes += bytes;
    counters->lds_cycles += known->cycles;
    counters->lds_cycles_ideal += (active * dwords + banks - 1) / banks;
}

void amd_issue_lds(amd_wave *wave, const amd_instruction *inst, int first, int count,
                   const amd_row address, uint32_t size, int touch) {
    amd_outstanding *entry = amd_issue(wave, AMD_QUEUE_LDS, inst, first, count);
    entry->touches_lds = true;
    entry->touch = (uint8_t)touch;
    entry->size = (uint8_t)size;
    entry->lanes = amd_exec(wave);
    memcpy(entry->address, address, sizeof entry->address);
}

static void read_lanes(amd_wave *wave, const amd_row address, int first, int detail) {
    uint32_t size = detail & AMD_SIZE;
    const uint8_t *lds = wave->group->lds;
    uint64_t lanes = amd_exec(wave);
    for (int part = 0; part < amd_registers(detail); part++) {
        uint32_t *row = wave->vector[first + part];
        if (size >= 4 && lanes == ~(uint64_t)0) {
            AMD_EACH_LANE(lane) memcpy(&row[lane], lds + address[lane] + 4 * part, 4);
            continue;
        }
        for (uint64_t left = lanes; left; left &= left - 1) {
            int lane = __builtin_ctzll(left);
            uint32_t value = 0;
            memcpy(&value, lds + address[lane] + 4 * part, size < 4 ? size : 4);
            row[lane] = amd_into_register(value, row[lane], detail);
        }
    }
}

static void write_lanes(amd_wave *wave, const amd_row address, int first, int detail) {
    uint32_t size = detail & AMD_SIZE;
    const uint32_t *values[4] = {NULL};
    amd_row upper;
    for (int part = 0; part < 4 && part < amd_registers(detail); part++)
        values[part] = wave->vector[first + part];
    if (detail & AMD_HIGH_HALF) {
        AMD_EACH_LANE(lane) upper[lane] = values[0][lane] >> 16;
        values[0] = upper;
    }
    amd_touch_lds(wave, AMD_TOUCH_WRITE, address, amd_exec(wave), size, values);
    for (int part = 0; part < amd_registers(detail); part++)
        for (uint64_t left = amd_exec(wave); left; left &= left - 1) {
            int lane = __builtin_ctzll(left);
            memcpy(wave->group->lds + address[lane] + 4 * part, &values[part][lane],
                   size < 4 ? size : 4);
        }
}

/* Of a pair: offsets count in elements, or in 64 of them. */
enum { BY_64 = 256 };

static uint32_t pair_offset(const amd_instruction *inst, uint32_t offset) {
    return offset * (inst->opcode->detail & AMD_SIZE) * (inst->opcode->detail & BY_64 ? 64 : 1);
}

HANDLER(read) {
    amd_row address;
    int detail = inst->opcode->detail, size = detail & AMD_SIZE, first = inst->operand[0].first;
    amd_lds_addresses(wave, inst, wave->vector[inst->operand[1].first], (uint32_t)inst->offset,
                      (uint32_t)size, address);
    amd_touch_lds(wave, AMD_TOUCH_READ, address, amd_exec(wave), (uint32_t)size, NULL);
    amd_count_lds(wave, inst, address, (uint32_t)size, 0);
    read_lanes(wave, address, first, detail);
    amd_issue_lds(wave, inst, first, amd_registers(detail), address, (uint32_t)size,
                  AMD_TOUCH_READ);
}

HANDLER(write) {
    amd_row address;
    int detail = inst->opcode->detail, size = detail & AMD_SIZE;
    amd_lds_addresses(wave, inst, wave->vector[inst->operand[0].first], (uint32_t)inst->offset,
                      (uint32_t)size, address);
    amd_count_lds(wave, inst, address, (uint32_t)size, 0);
    write_lanes(wave, address, inst->operand[1].first, detail);
    amd_issue_lds(wave, inst, 0, 0, address, (uint32_t)size, AMD_TOUCH_WRITE);
}

HANDLER(read_pair) {
    amd_row address[2], base;
    int detail = inst->opcode->detail & AMD_SIZE, first = inst->operand[0].first,
        count = amd_registers(detail);
    memcpy(base, wave->vector[inst->operand[1].first], sizeof base);
    for (int i = 0; i < 2; i++) {
        amd_lds_addresses(wave, inst, base, pair_offset(inst, i ? inst->offset1 : inst->offset0),
                          (uint32_t)detail, address[i]);
        amd_touch_lds(wave, AMD_TOUCH_READ, address[i], amd_exec(wave), (uint32_t)detail, NULL);
        amd_count_lds(wave, inst, address[i], (uint32_t)detail, i);
        read_lanes(wave, address[i], first + i * count, detail);
    }
    amd_issue_lds(wave, inst, first, 2 * count, address[0], (uint32_t)detail, AMD_TOUCH_READ);
}

HANDLER(write_pair) {
    amd_row address;
    int detail = inst->opcode->detail & AMD_SIZE;
    for (int i = 0; i < 2; i++) {
        amd_lds_addresses(wave, inst, wave->vector[inst->operand[0].first],
                          pair_offset(inst, i ? inst->offset1 : inst->offset0), (uint32_t)detail,
                          address);
        amd_count_lds(wave, inst, address, (uint32_t)detail, i);
        write_lanes(wave, address, inst->operand[1 + i].first, detail);
    }
    amd_issue_lds(wave, inst, 0, 0, address, (uint32_t)detail, AMD_TOUCH_WRITE);
}

HANDLER(atomic) {
    amd_row address;
    int detail = inst->opcode->detail, returns = detail & AMD_ATOMIC_RETURNS ? 1 : 0;
    amd_atomic operation = (amd_atomic)(detail & AMD_ATOMIC_MASK);
    bool wide = detail & AMD_ATOMIC_WIDE;
    uint32_t size = wide ? 8 : 4;
    amd_lds_addresses(wave, inst, wave->vector[inst->operand[returns].first],
                      (uint32_t)inst->offset, size, address);
    AMD_EACH_LANE(lane)
    if ((amd_exec(wave) >> lane & 1) && (address[lane] & (size - 1)))
        amd_stop(wave, GPU_AMD_MISALIGNED, lane, "an atomic of %u bytes at LDS address %u", size,
                 address[lane]);
    amd_touch_lds(wave, AMD_TOUCH_ATOMIC, address, amd_exec(wave), size, NULL);
    amd_count_lds(wave, inst, address, size, 0);
    /* ds_cmpst has the compared value first, then the data. */
    int compare = inst->operand[returns + 1].first;
    int data = operation == AMD_ATOMIC_COMPARE_SWAP ? inst->operand[returns + 2].first : compare;
    for (uint64_t left = amd_exec(wave); left; left &= left - 1) {
        int lane = __builtin_ctzll(left);
        uint64_t old = 0, value = wave->vector[data][lane], expected = wave->vector[compare][lane];
        memcpy(&old, wave->group->lds + address[lane], size);
        if (wide) {
            value |= (uint64_t)wave->vector[data + 1][lane] << 32;
            expected |= (uint64_t)wave->vector[compare + 1][lane] << 32;
        }
        uint64_t result =
            wide ? amd_atomic_result64(operation, old, value, expected)
                 : amd_atomic_result(operation, (uint32_t)old, (uint32_t)value, (uint32_t)expected);
        memcpy(wave->group->lds + address[lane], &result, size);
        if (!returns) continue;
        wave->vector[inst->operand[0].first][lane] = (uint32_t)old;
        if (wide) wave->vector[inst->operand[0].first + 1][lane] = (uint32_t)(old >> 32);
    }
    amd_issue_lds(wave, inst, returns ? inst->operand[0].first : 0, returns ? (wide ? 2 : 1) : 0,
                  address, size, AMD_TOUCH_ATOMIC);
}

#define READ(name, detail) {"ds_read_" name, read, GPU_AMD_LDS, AMD_F32, 1, AMD_MOD_OFFSET, detail},
#define WRITE(name, detail)                                                                        \
    {"ds_write_" name, write, GPU_AMD_LDS, AMD_F32, 0, AMD_MOD_OFFSET, detail},
#define READ_PAIR(name, detail)                                                                    \
    {"ds_read2" name, read_pair, GPU_AMD_LDS, AMD_F32, 1, AMD_MOD_OFFSETS, detail},
#define WRITE_PAIR(name, detail)                                                                   \
    {"ds_write2" name, write_pair, GPU_AMD_LDS, AMD_F32, 0, AMD_MOD_OFFSETS, detail},
#define ATOMIC_ROW(name, written, detail)                                                          \
    {name, atomic, GPU_AMD_LDS, AMD_F32, written, AMD_MOD_OFFSET, detail},
#define ATOMIC(name, type, operation)                                                              \
    ATOMIC_ROW("ds_" name "_" type, 0, operation)                                                  \
    ATOMIC_ROW("ds_" name "_rtn_" type, 1, (operation) | AMD_ATOMIC_RETURNS)

static const amd_opcode rows[] = {
    READ("b32", 4) READ("b64", 8) READ("b96", 12) READ("b128", 16) READ("u8", 1) READ(
        "i8", 1 | AMD_SIGNED) READ("u16", 2) READ("i16", 2 | AMD_SIGNED) READ("u8_d16",
                                                                              1 | AMD_LOW_HALF)
        READ("u8_d16_hi", 1 | AMD_HIGH_HALF) READ("i8_d16", 1 | AMD_SIGNED | AMD_LOW_HALF) READ(
            "i8_d16_hi", 1 | AMD_SIGNED | AMD_HIGH_HALF) READ("u16_d16", 2 | AMD_LOW_HALF)
            READ("u16_d16_hi", 2 | AMD_HIGH_HALF) WRITE("b32", 4) WRITE("b64", 8) WRITE("b96", 12)
                WRITE("b128", 16) WRITE("b8", 1) WRITE("b8_d16_hi", 1 | AMD_HIGH_HALF) WRITE(
                    "b16",
                    2) WRITE("b16_d16_hi",
                             2 | AMD_HIGH_HALF) READ_PAIR("_b32", 4) READ_PAIR("_b64", 8)
                    READ_PAIR("st64_b32", 4 | BY_64) READ_PAIR("st64_b64", 8 | BY_64) WRITE_PAIR(
                        "_b32",
                        4) WRITE_PAIR("_b64",
                                      8) WRITE_PAIR("st64_b32", 4 | BY_64)
                        WRITE_PAIR("st64_b64", 8 | BY_64) ATOMIC("add", "u32", AMD_ATOMIC_ADD) ATOMIC(
                            "sub",
                            "u32",
                            AMD_ATOMIC_SUB) ATOMIC("rsub", "u32", AMD_ATOMIC_REVERSED_SUB)
                            ATOMIC("inc", "u32", AMD_ATOMIC_INCREMENT) ATOMIC("dec", "u32", AMD_ATOMIC_DECREMENT) ATOMIC(
                                "min",
                                "i32",
                                AMD_ATOMIC_SIGNED_MIN) ATOMIC("max", "i32", AMD_ATOMIC_SIGNED_MAX)
                                ATOMIC("min", "u32", AMD_ATOMIC_UNSIGNED_MIN) ATOMIC(
                                    "max",
                                    "u32",
                                    AMD_ATOMIC_UNSIGNED_MAX) ATOMIC("and", "b32", AMD_ATOMIC_AND)
                                    ATOMIC("or", "b32", AMD_ATOMIC_OR) ATOMIC(
                                        "xor",
                                        "b32",
                                        AMD_ATOMIC_XOR) ATOMIC("add", "f32", AMD_ATOMIC_ADD_FLOAT)
                                        ATOMIC("min", "f32", AMD_ATOMIC_MIN_FLOAT) ATOMIC(
                                            "max",
                                            "f32",
                                            AMD_ATOMIC_MAX_FLOAT) ATOMIC("cmpst", "b32", AMD_ATOMIC_COMPARE_SWAP)
                                            ATOMIC("add", "u64", AMD_ATOMIC_ADD | AMD_ATOMIC_WIDE) ATOMIC(
                                                "min",
                                                "u64",
                                                AMD_ATOMIC_UNSIGNED_MIN | AMD_ATOMIC_WIDE)
                                                ATOMIC("max", "u64", AMD_ATOMIC_UNSIGNED_MAX | AMD_ATOMIC_WIDE) ATOMIC(
                                                    "min",
                                                    "i64",
                                                    AMD_ATOMIC_SIGNED_MIN |
                                                        AMD_ATOMIC_WIDE)
                                                    ATOMIC("max", "i64",
                                                           AMD_ATOMIC_SIGNED_MAX |
                                                               AMD_ATOMIC_WIDE)
                                                        ATOMIC("or", "b64", AMD_ATOMIC_OR | AMD_ATOMIC_WIDE) ATOMIC(
                                                            "and",
                                                            "b64",
                                                            AMD_ATOMIC_AND |
                                                                AMD_ATOMIC_WIDE)
                                                            ATOMIC("cmpst", "b64",
                                                                   AMD_ATOMIC_COMPARE_SWAP |
                                                                       AMD_ATOMIC_WIDE)
                                                                ATOMIC_ROW(
                                                                    "ds_wrxchg_rtn_b32",
                                                                    1,
                                                                    AMD_ATOMIC_SWAP |
                                                                        AMD_ATOMIC_RETURNS)
                                                                    ATOMIC_ROW(
                                                                        "ds_wrxchg_rtn_b64", 1,
                                                                        AMD_ATOMIC_SWAP |
                                                                            AMD_ATOMIC_WIDE |
                                                                            AMD_ATOMIC_RETURNS)
                                                                        ATOMIC_ROW(
                                                                            "ds_pk_add_f16",
                                                                            0,
                                                                            AMD_ATOMIC_ADD_TWO_HALVES)
                                                                            ATOMIC_ROW(
                                                                                "ds_pk_add_rtn_"
                                                                                "f16",
                                                                                1,
                                                                                AMD_ATOMIC_ADD_TWO_HALVES |
                                                                                    AMD_ATOMIC_RETURNS)
                                                                                ATOMIC_ROW(
                                                                                    "ds_pk_add_"
                                                                                    "bf16",
                                                                                    0,
                                                                                    AMD_ATOMIC_ADD_TWO_BFLOATS)
                                                                                    ATOMIC_ROW(
                                                                                        "ds_pk_"
                                                                                        "add_"
                                                                                        "rtn_"
                                                                                        "bf16",
                                                                                        1,
                                                                                        AMD_ATOMIC_ADD_TWO_BFLOATS |
                                                                                            AMD_ATOMIC_RETURNS)};
const amd_opcode_table amd_lds_table = {rows, sizeof rows / sizeof *rows};
