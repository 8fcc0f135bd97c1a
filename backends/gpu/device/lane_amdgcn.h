/* SPDX-License-Identifier: Apache-2.0 */
/* device_lane.h on AMD: lanes, waves, and what the compiler's builtins are called there. */
#ifndef TENON_LANE_AMDGCN_H
#define TENON_LANE_AMDGCN_H

#include "device_arguments.h"

#if defined(__GFX12__)
enum { WAVE_LANES = 32 };
#else
enum { WAVE_LANES = 64 };
#endif

#define DEVICE static inline __attribute__((always_inline))
#define SHARED __attribute__((address_space(3)))
#define SHARED_ARRAY(type, name, n)                                                                \
    static SHARED type name[n] __attribute__((loader_uninitialized, aligned(16)))
#define DEVICE_KERNEL(name, block_lanes)                                                           \
    __attribute__((amdgpu_kernel, visibility("protected"),                                         \
                   amdgpu_flat_work_group_size(block_lanes, block_lanes))) void name
#define DEVICE_ARGUMENT

DEVICE uint32_t block_x(void) {
    return __builtin_amdgcn_workgroup_id_x();
}
DEVICE uint32_t block_y(void) {
    return __builtin_amdgcn_workgroup_id_y();
}
DEVICE uint32_t block_z(void) {
    return __builtin_amdgcn_workgroup_id_z();
}
DEVICE uint32_t thread_x(void) {
    return __builtin_amdgcn_workitem_id_x();
}
DEVICE uint32_t lane_id(void) {
    return thread_x() % WAVE_LANES;
}
DEVICE uint32_t wave_id(void) {
    return (uint32_t)__builtin_amdgcn_readfirstlane((int)(thread_x() / WAVE_LANES));
}
DEVICE void workgroup_barrier(void) {
    __builtin_amdgcn_fence(__ATOMIC_RELEASE, "workgroup");
    __builtin_amdgcn_s_barrier();
    __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "workgroup");
}
/* The lanes of a wave go in step: only the compiler has to be told. */
DEVICE void wave_barrier(void) {
    __builtin_amdgcn_fence(__ATOMIC_RELEASE, "wavefront");
    __builtin_amdgcn_wave_barrier();
    __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "wavefront");
}
DEVICE uint64_t wave_ballot(bool condition) {
#if defined(__GFX12__)
    return __builtin_amdgcn_ballot_w32(condition);
#else
    return __builtin_amdgcn_ballot_w64(condition);
#endif
}
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
/* By the LDS crossbar; no LDS is used. */
DEVICE uint32_t wave_read_lane(uint32_t value, uint32_t lane) {
    return (uint32_t)__builtin_amdgcn_ds_bpermute((int)(lane * 4), (int)value);
}
DEVICE uint32_t wave_first(uint32_t value) {
    return (uint32_t)__builtin_amdgcn_readfirstlane((int)value);
}
DEVICE uint32_t wave_value_of(uint32_t value, uint32_t lane) {
    return (uint32_t)__builtin_amdgcn_readlane((int)value, (int)lane);
}
DEVICE void shared_add_u32(SHARED uint32_t *p, uint32_t value) {
    __scoped_atomic_fetch_add(p, value, __ATOMIC_RELAXED, __MEMORY_SCOPE_WRKGRP);
}

#endif /* TENON_LANE_AMDGCN_H */
