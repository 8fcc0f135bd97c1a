/* SPDX-License-Identifier: Apache-2.0 */
/* Who I am, and how the lanes of a wave and the waves of a workgroup meet. */
#ifndef TENON_DEVICE_LANE_H
#define TENON_DEVICE_LANE_H

#include <stdbool.h>

#include "device_arguments.h"

#if defined(__GFX12__)
enum { WAVE_LANES = 32 };
#else
enum { WAVE_LANES = 64 };
#endif

#define DEVICE static inline __attribute__((always_inline))
#define SHARED __attribute__((address_space(3)))
/* LDS holds anything when a workgroup begins. */
#define SHARED_ARRAY(type, name, n)                                                                \
    static SHARED type name[n] __attribute__((loader_uninitialized, aligned(16)))

/* An entry that the host launches with exactly this many lanes in a workgroup. */
#define DEVICE_KERNEL(name, block_lanes)                                                           \
    __attribute__((amdgpu_kernel, visibility("protected"),                                         \
                   amdgpu_flat_work_group_size(block_lanes, block_lanes))) void name

DEVICE uint32_t block_x(void) {
    return __builtin_amdgcn_workgroup_id_x();
}
DEVICE uint32_t block_y(void) {
    return __builtin_amdgcn_workgroup_id_y();
}
DEVICE uint32_t block_z(void) {
    return __builtin_amdgcn_workgroup_id_z();
}
/* Place in the workgroup. */
DEVICE uint32_t thread_x(void) {
    return __builtin_amdgcn_workitem_id_x();
}
/* Place in the wave. */
DEVICE uint32_t lane_id(void) {
    return thread_x() % WAVE_LANES;
}
/* The wave's place in the workgroup: the same in all lanes, so that what follows from it is scalar.
 */
DEVICE uint32_t wave_id(void) {
    return (uint32_t)__builtin_amdgcn_readfirstlane((int)(thread_x() / WAVE_LANES));
}

/* All waves arrive, and see each other's LDS and global writes. */
DEVICE void workgroup_barrier(void) {
    __builtin_amdgcn_fence(__ATOMIC_RELEASE, "workgroup");
    __builtin_amdgcn_s_barrier();
    __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "workgroup");
}

/* Bit l: condition of lane l. */
DEVICE uint64_t wave_ballot(bool condition) {
#if defined(__GFX12__)
    return __builtin_amdgcn_ballot_w32(condition);
#else
    return __builtin_amdgcn_ballot_w64(condition);
#endif
}
/* How many lanes below me have their bit set. */
DEVICE uint32_t wave_count_below(uint64_t ballot) {
    const uint32_t low = __builtin_amdgcn_mbcnt_lo((uint32_t)ballot, 0);
#if defined(__GFX12__)
    return low;
#else
    return __builtin_amdgcn_mbcnt_hi((uint32_t)(ballot >> 32), low);
#endif
}

DEVICE uint32_t bits_of(float x) {
    return __builtin_bit_cast(uint32_t, x);
}
DEVICE float float_of(uint32_t bits) {
    return __builtin_bit_cast(float, bits);
}

/* Value of another lane, by the LDS crossbar; no LDS is used. */
DEVICE uint32_t wave_read_lane(uint32_t value, uint32_t lane) {
    return (uint32_t)__builtin_amdgcn_ds_bpermute((int)(lane * 4), (int)value);
}
/* Value of the first active lane, as a scalar. */
DEVICE uint32_t wave_first(uint32_t value) {
    return (uint32_t)__builtin_amdgcn_readfirstlane((int)value);
}

#endif /* TENON_DEVICE_LANE_H */
