/* SPDX-License-Identifier: Apache-2.0 */
/* device_lane.h and the arithmetic of device_math.h in the emulator, as NVIDIA has them. Included
 * in a source that CMake makes for each device source, which says how long its argument struct is.
 */
#ifndef TENON_LANE_SIMT_H
#define TENON_LANE_SIMT_H

#include <math.h>
#include <string.h>

#include "device_arguments.h"
#include "simt.h"

enum { WAVE_LANES = 32 };

#define DEVICE static inline __attribute__((always_inline, unused))
#define SHARED
#define SHARED_ARRAY(type, name, n)                                                                \
    static type name[n] __attribute__((section("simt_shared"), aligned(16)))
static const uint32_t simt_argument_bytes;
#define DEVICE_KERNEL(name, block_lanes)                                                           \
    void name();                                                                                   \
    static const simt_kernel simt_kernel_##name                                                    \
        __attribute__((section("simt_kernels"), used, aligned(32))) = {                            \
            #name, (void (*)(void))name, &simt_argument_bytes, block_lanes};                       \
    void name
#define DEVICE_ARGUMENT const

DEVICE uint32_t block_x(void) {
    return simt_me->block[0];
}
DEVICE uint32_t block_y(void) {
    return simt_me->block[1];
}
DEVICE uint32_t block_z(void) {
    return simt_me->block[2];
}
DEVICE uint32_t thread_x(void) {
    return simt_me->thread;
}
DEVICE uint32_t lane_id(void) {
    return simt_me->thread % WAVE_LANES;
}
DEVICE uint32_t wave_id(void) {
    return simt_me->thread / WAVE_LANES;
}
DEVICE void workgroup_barrier(void) {
    simt_barrier();
}
DEVICE void wave_barrier(void) {
    (void)simt_exchange(5, 0, 0);
}
DEVICE uint64_t wave_ballot(bool condition) {
    return simt_ballot(condition);
}
DEVICE uint32_t wave_count_below(uint64_t ballot) {
    return (uint32_t)__builtin_popcount((uint32_t)ballot & ((1u << lane_id()) - 1));
}
DEVICE uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}
DEVICE float float_of(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}
DEVICE uint32_t wave_read_lane(uint32_t value, uint32_t lane) {
    return simt_exchange(5, value, lane % WAVE_LANES);
}
DEVICE uint32_t wave_first(uint32_t value) {
    return simt_exchange(5, value, 0);
}
DEVICE uint32_t wave_value_of(uint32_t value, uint32_t lane) {
    return simt_exchange(5, value, lane % WAVE_LANES);
}
DEVICE uint32_t group_swap(uint32_t value, uint32_t mask, uint32_t lanes) {
    return simt_exchange((uint32_t)__builtin_ctz(lanes), value, lane_id() ^ mask);
}
DEVICE void shared_add_u32(uint32_t *p, uint32_t value) {
    *p += value; /* lanes change places only where they meet */
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
    _Float16 half;
    memcpy(&half, &code, sizeof half);
    return (float)half;
}
DEVICE uint16_t f32_to_f16(float x) {
    const _Float16 half = (_Float16)x;
    uint16_t code;
    memcpy(&code, &half, sizeof code);
    return code;
}

#endif /* TENON_LANE_SIMT_H */
