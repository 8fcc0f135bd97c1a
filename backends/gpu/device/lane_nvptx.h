/* SPDX-License-Identifier: Apache-2.0 */
/* device_lane.h on NVIDIA: a wave is a warp, a workgroup is a block. */
#ifndef TENON_LANE_NVPTX_H
#define TENON_LANE_NVPTX_H

#include "device_arguments.h"

enum { WAVE_LANES = 32 };

#define DEVICE static __device__ __forceinline__
#define SHARED
#define SHARED_ARRAY(type, name, n) static __shared__ __align__(16) type name[n]
#define DEVICE_KERNEL(name, block_lanes)                                                           \
    extern "C" __global__ void __launch_bounds__(block_lanes) name
/* Read where the launch put it, never copied to local memory. */
#define DEVICE_ARGUMENT const __grid_constant__

DEVICE uint32_t block_x(void) {
    return blockIdx.x;
}
DEVICE uint32_t block_y(void) {
    return blockIdx.y;
}
DEVICE uint32_t block_z(void) {
    return blockIdx.z;
}
DEVICE uint32_t thread_x(void) {
    return threadIdx.x;
}
DEVICE uint32_t lane_id(void) {
    return thread_x() % WAVE_LANES;
}
DEVICE uint32_t wave_id(void) {
    return __shfl_sync(0xffffffffu, thread_x() / WAVE_LANES, 0);
}
DEVICE void workgroup_barrier(void) {
    __syncthreads();
}
DEVICE void wave_barrier(void) {
    __syncwarp();
}
DEVICE uint64_t wave_ballot(bool condition) {
    return __ballot_sync(0xffffffffu, condition);
}
DEVICE uint32_t wave_count_below(uint64_t ballot) {
    return (uint32_t)__popc((uint32_t)ballot & ((1u << lane_id()) - 1));
}
DEVICE uint32_t bits_of(float x) {
    return __float_as_uint(x);
}
DEVICE float float_of(uint32_t bits) {
    return __uint_as_float(bits);
}
DEVICE uint32_t wave_read_lane(uint32_t value, uint32_t lane) {
    return __shfl_sync(0xffffffffu, value, (int)lane);
}
DEVICE uint32_t wave_first(uint32_t value) {
    return __shfl_sync(0xffffffffu, value, 0);
}
DEVICE uint32_t wave_value_of(uint32_t value, uint32_t lane) {
    return __shfl_sync(0xffffffffu, value, (int)lane);
}
/* Of the lane whose number differs in the bits of `mask`, within `lanes` neighbours that are here.
 */
DEVICE uint32_t group_swap(uint32_t value, uint32_t mask, uint32_t lanes) {
    const uint32_t members =
        lanes >= 32 ? 0xffffffffu : ((1u << lanes) - 1) << (lane_id() & ~(lanes - 1));
    return __shfl_xor_sync(members, value, (int)mask);
}
DEVICE void shared_add_u32(uint32_t *p, uint32_t value) {
    atomicAdd(p, value);
}

#endif /* TENON_LANE_NVPTX_H */
