/* SPDX-License-Identifier: Apache-2.0 */
/* device_lane.h of the emulator, and the few functions that are instructions elsewhere. */
#ifndef TENON_LANE_SIMT_H
#define TENON_LANE_SIMT_H

#include <math.h>
#include <string.h>

#include "device/device_arguments.h"
#include "simt_device.h"

enum { WAVE_LANES = 32 };

#define DEVICE static inline __attribute__((always_inline, unused))
#define SHARED
#define DEVICE_ARGUMENT const

/* The arrays of this file: a block gets them from the emulator, as addresses. */
static simt_file simt_this_file __attribute__((used));
/* Of the struct of its kernels, where CMake wrote it behind the source (kernels_simt.c.in). */
static const uint32_t simt_argument_bytes __attribute__((used));

#define SHARED_ARRAY(type, name, n)                                                                \
    static _Thread_local type *name;                                                               \
    static void *simt_slot_of_##name(void) {                                                       \
        return &name;                                                                              \
    }                                                                                              \
    __attribute__((constructor)) static void simt_register_##name(void) {                          \
        static simt_array array;                                                                   \
        array.slot = simt_slot_of_##name;                                                          \
        array.bytes = sizeof(type) * (n);                                                          \
        array.next = simt_this_file.arrays;                                                        \
        simt_this_file.arrays = &array;                                                            \
    }                                                                                              \
    struct simt_array

/* Bounds may say more than the lanes: they are the first. */
#define SIMT_FIRST(...) SIMT_FIRST_OF(__VA_ARGS__, 0)
#define SIMT_FIRST_OF(first, ...) (first)

/* A row of the table that simt_find reads: the linker collects the section. */
#define DEVICE_KERNEL(name, block_lanes)                                                           \
    static const uint64_t simt_lanes_of_##name __attribute__((used)) =                             \
        SIMT_FIRST(block_lanes);                                                                   \
    __asm__(".pushsection .rodata.tenon_simt,\"a\"\n771: .asciz \"" #name "\"\n.popsection\n"      \
            ".pushsection tenon_simt_kernels,\"aw\"\n.balign 8\n"                                  \
            ".quad 771b, " #name ", simt_this_file, simt_lanes_of_" #name                          \
            ", simt_argument_bytes\n.popsection\n");                                               \
    __attribute__((used, noinline)) static void name

DEVICE uint32_t block_x(void) {
    return simt_here->block[0];
}
DEVICE uint32_t block_y(void) {
    return simt_here->block[1];
}
DEVICE uint32_t block_z(void) {
    return simt_here->block[2];
}
DEVICE uint32_t thread_x(void) {
    return simt_here->thread;
}
DEVICE uint32_t lane_id(void) {
    return thread_x() % WAVE_LANES;
}
DEVICE uint32_t wave_id(void) {
    return thread_x() / WAVE_LANES;
}
DEVICE void workgroup_barrier(void) {
    simt_barrier(0, simt_here->lanes, true);
}
DEVICE void wave_barrier(void) {
    simt_warp_barrier();
}
DEVICE uint64_t wave_ballot(bool condition) {
    return simt_ballot(condition);
}
DEVICE uint32_t wave_count_below(uint64_t ballot) {
    return (uint32_t)__builtin_popcount((uint32_t)ballot & ((1u << lane_id()) - 1));
}
DEVICE uint32_t wave_read_lane(uint32_t value, uint32_t lane) {
    return simt_shuffle(0xffffffffu, value, lane);
}
DEVICE uint32_t wave_first(uint32_t value) {
    return simt_shuffle(0xffffffffu, value, 0);
}
DEVICE uint32_t wave_value_of(uint32_t value, uint32_t lane) {
    return simt_shuffle(0xffffffffu, value, lane);
}
DEVICE uint32_t group_swap(uint32_t value, uint32_t mask, uint32_t lanes) {
    const uint32_t members =
        lanes >= 32 ? 0xffffffffu : ((1u << lanes) - 1) << (lane_id() & ~(lanes - 1));
    return simt_shuffle(members, value, lane_id() ^ mask);
}
DEVICE void shared_add_u32(uint32_t *p, uint32_t value) {
    (void)simt_shared_add(p, value);
}

DEVICE uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    return bits;
}
DEVICE float float_of(uint32_t bits) {
    float x;
    memcpy(&x, &bits, 4);
    return x;
}
DEVICE float exp2_f32(float x) {
    return exp2f(x);
}
DEVICE float log2_f32(float x) {
    return log2f(x);
}
DEVICE float reciprocal_f32(float x) {
    return 1 / x;
}
DEVICE float f16_to_f32(uint16_t code) {
    return simt_f16_to_f32(code);
}
DEVICE uint16_t f32_to_f16(float x) {
    return simt_f32_to_f16(x);
}

#endif /* TENON_LANE_SIMT_H */
