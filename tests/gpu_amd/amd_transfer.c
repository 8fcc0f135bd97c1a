/* SPDX-License-Identifier: Apache-2.0
 */
#include "amd_transfer.h"
#include "amd_atomic.h"
#include "amd_pending.h"
#include "amd_race.h"

void amd_load_lanes(amd_wave *wave, const amd_instruction *inst, const amd_addresses *from,
                    int first) {
    int detail = inst->opcode->detail;
    uint32_t size = detail & AMD_SIZE;
    amd_check_global(wave, from, size, GPU_AMD_READ);
    for (int part = 0; part < amd_registers(detail); part++) {
        uint32_t *row = wave->vector[first + part];
        if (size >= 4 && from->lanes == ~(uint64_t)0) {
            AMD_EACH_LANE(lane)
            memcpy(&row[lane], (const uint8_t *)amd_host(from->at[lane]) + 4 * part, 4);
            continue;
        }
        for (uint64_t left = from->lanes; left; left &= left - 1) {
            int lane = __builtin_ctzll(left);
            uint32_t value = 0;
            memcpy(&value, (const uint8_t *)amd_host(from->at[lane]) + 4 * part,
                   size < 4 ? size : 4);
            row[lane] = amd_into_register(value, row[lane], detail);
        }
    }
}

void amd_store_lanes(amd_wave *wave, const amd_instruction *inst, const amd_addresses *to,
                     int first) {
    int detail = inst->opcode->detail;
    uint32_t size = detail & AMD_SIZE;
    amd_check_global(wave, to, size, GPU_AMD_WRITE);
    for (int part = 0; part < amd_registers(detail); part++) {
        const uint32_t *row = wave->vector[first + part];
        for (uint64_t left = to->lanes; left; left &= left - 1) {
            int lane = __builtin_ctzll(left);
            uint32_t value = detail & AMD_HIGH_HALF ? row[lane] >> 16 : row[lane];
            memcpy((uint8_t *)amd_host(to->at[lane]) + 4 * part, &value, size < 4 ? size : 4);
        }
    }
}

void amd_atomic_lanes(amd_wave *wave, const amd_instruction *inst, const amd_addresses *at,
                      int data, int returned) {
    amd_atomic operation = (amd_atomic)(inst->opcode->detail & AMD_ATOMIC_MASK);
    bool wide = inst->opcode->detail & AMD_ATOMIC_WIDE;
    int words = wide ? 2 : 1, compare = data + words;
    amd_check_global(wave, at, wide ? 8 : 4, GPU_AMD_READ | GPU_AMD_WRITE);
    for (uint64_t left = at->lanes; left; left &= left - 1) {
        int lane = __builtin_ctzll(left);
        uint64_t value = wave->vector[data][lane], expected = 0, old64;
        if (at->at[lane] & (wide ? 7 : 3))
            amd_stop(wave, GPU_AMD_MISALIGNED, lane, "an atomic at 0x%llx",
                     (unsigned long long)at->at[lane]);
        if (operation == AMD_ATOMIC_COMPARE_SWAP) expected = wave->vector[compare][lane];
        if (wide) {
            value |= (uint64_t)wave->vector[data + 1][lane] << 32;
            if (operation == AMD_ATOMIC_COMPARE_SWAP)
                expected |= (uint64_t)wave->vector[compare + 1][lane] << 32;
            uint64_t *memory = amd_host(at->at[lane]);
            old64 = __atomic_load_n(memory, __ATOMIC_RELAXED);
            while (!__atomic_compare_exchange_n(
                memory, &old64, amd_atomic_result64(operation, old64, value, expected), true,
                __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
            }
        } else {
            uint32_t *memory = amd_host(at->at[lane]),
                     old = __atomic_load_n(memory, __ATOMIC_RELAXED);
            while (!__atomic_compare_exchange_n(
                memory, &old,
                amd_atomic_result(operation, old, (uint32_t)value, (uint32_t)expected), true,
                __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
            }
            old64 = old;
        }
        if (returned < 0) continue;
        wave->vector[returned][lane] = (uint32_t)old64;
        if (wide) wave->vector[returned + 1][lane] = (uint32_t)(old64 >> 32);
    }
}

void amd_load_to_lds(amd_wave *wave, const amd_instruction *inst, const amd_addresses *from,
                     uint32_t lds_offset) {
    uint32_t size = inst->opcode->detail & AMD_SIZE,
             base = (wave->scalar[AMD_M0] & 0xffff) + lds_offset;
    uint32_t slot = size < 4 ? 4 : size;
    amd_workgroup *group = wave->group;
    amd_check_global(wave, from, size, GPU_AMD_READ);
    amd_outstanding *entry = amd_issue(wave, AMD_QUEUE_VECTOR, inst, 0, 0);
    entry->lanes = amd_exec(wave);
    entry->size = (uint8_t)slot;
    entry->touch = AMD_TOUCH_WRITE;
    AMD_EACH_LANE(lane) {
        entry->address[lane] = base + (uint32_t)lane * slot;
        if ((entry->lanes >> lane & 1) && entry->address[lane] + slot > group->lds_bytes)
            amd_stop(wave, GPU_AMD_LDS_BOUNDS, lane, "fills LDS bytes %u to %u of %u",
                     entry->address[lane], entry->address[lane] + slot - 1, group->lds_bytes);
    }
    amd_fill_issued(wave, entry, slot);
    entry->touches_lds = entry->fills_lds = true;
    for (uint64_t left = entry->lanes; left; left &= left - 1) {
        int lane = __builtin_ctzll(left);
        uint8_t *to = group->lds + entry->address[lane];
        uint32_t value = 0;
        if (!(from->lanes >> lane & 1)) {
            memset(to, 0, slot); /* beyond a buffer's end */
        } else if (size >= 4) {
            memcpy(to, amd_host(from->at[lane]), size);
        } else {
            memcpy(&value, amd_host(from->at[lane]), size);
            value = amd_into_register(value, 0, inst->opcode->detail);
            memcpy(to, &value, 4);
        }
    }
    group->counters->lds_bytes += (uint64_t)__builtin_popcountll(entry->lanes) * slot;
}
