/* SPDX-License-Identifier: Apache-2.0
 *
 * Moving data between lanes and global memory; shared by global_ and buffer_ instructions, which
 * differ in addresses only.
 */
#ifndef AMD_TRANSFER_H
#define AMD_TRANSFER_H

#include "amd_memory.h"

/* detail of a load or store row: bytes of a lane, and how fewer than four sit in the register. */
enum { AMD_SIZE = 31, AMD_SIGNED = 32, AMD_LOW_HALF = 64, AMD_HIGH_HALF = 128 };

/* What small data becomes in the register: extended, or one half of it replaced. */
static inline uint32_t amd_into_register(uint32_t value, uint32_t before, int detail) {
    uint32_t bytes = detail & AMD_SIZE;
    if (detail & AMD_SIGNED)
        value = bytes == 1   ? (uint32_t)(int32_t)(int8_t)value
                : bytes == 2 ? (uint32_t)(int32_t)(int16_t)value
                             : value;
    if (detail & AMD_LOW_HALF) return (before & 0xffff0000u) | (value & 0xffffu);
    if (detail & AMD_HIGH_HALF) return (before & 0xffffu) | value << 16;
    return value;
}

/* 32-bit registers that so many bytes take. */
static inline int amd_registers(int detail) {
    return ((detail & AMD_SIZE) + 3) / 4;
}

/* Checked transfers between memory and the rows that begin at first. */
void amd_load_lanes(amd_wave *wave, const amd_instruction *inst, const amd_addresses *from,
                    int first);
void amd_store_lanes(amd_wave *wave, const amd_instruction *inst, const amd_addresses *to,
                     int first);
/* detail: an operation of amd_atomic.h. returned: row of the old value, -1: none. */
void amd_atomic_lanes(amd_wave *wave, const amd_instruction *inst, const amd_addresses *at,
                      int data, int returned);
/* Direct to LDS: lane i's bytes go to M0 + offset + i * size. */
void amd_load_to_lds(amd_wave *wave, const amd_instruction *inst, const amd_addresses *from,
                     uint32_t lds_offset);

#endif
