/* SPDX-License-Identifier: Apache-2.0 */
/* Global memory in the units that reach its bandwidth: 16 bytes for each lane, neighbouring lanes
 * side by side. */
#ifndef TENON_DEVICE_MEMORY_H
#define TENON_DEVICE_MEMORY_H

#include "device_lane.h"

#if defined(__CUDACC__)
/* As C's vectors: members by number. */
template <typename type, int n> struct __align__(sizeof(type) * n) device_vector {
    type element[n];
    __device__ __forceinline__ type &operator[](int i) { return element[i]; }
    __device__ __forceinline__ const type &operator[](int i) const { return element[i]; }
};
typedef device_vector<uint32_t, 2> u32x2;
typedef device_vector<uint32_t, 4> u32x4;
typedef device_vector<float, 4> f32x4;
#elif defined(__AMDGCN__)
typedef uint32_t u32x2 __attribute__((ext_vector_type(2)));
typedef uint32_t u32x4 __attribute__((ext_vector_type(4)));
typedef float f32x4 __attribute__((ext_vector_type(4)));
#else
typedef uint32_t u32x2 __attribute__((vector_size(8)));
typedef uint32_t u32x4 __attribute__((vector_size(16)));
typedef float f32x4 __attribute__((vector_size(16)));
#endif

/* The address must be a multiple of the size. */
DEVICE u32x4 load_16(tenon_device_const_bytes p) {
    return *(TENON_GLOBAL const u32x4 *)p;
}
DEVICE u32x2 load_8(tenon_device_const_bytes p) {
    return *(TENON_GLOBAL const u32x2 *)p;
}
DEVICE uint32_t load_4(tenon_device_const_bytes p) {
    return *(TENON_GLOBAL const uint32_t *)p;
}
DEVICE uint16_t load_2(tenon_device_const_bytes p) {
    return *(TENON_GLOBAL const uint16_t *)p;
}
DEVICE void store_16(tenon_device_bytes p, u32x4 x) {
    *(TENON_GLOBAL u32x4 *)p = x;
}
DEVICE void store_8(tenon_device_bytes p, u32x2 x) {
    *(TENON_GLOBAL u32x2 *)p = x;
}
DEVICE void store_4(tenon_device_bytes p, uint32_t x) {
    *(TENON_GLOBAL uint32_t *)p = x;
}
DEVICE void store_2(tenon_device_bytes p, uint16_t x) {
    *(TENON_GLOBAL uint16_t *)p = x;
}

/* Entry of an index tensor, i32 or i64. */
DEVICE int64_t load_index(tenon_device_const_bytes base, int64_t i, bool is_64) {
    return is_64 ? ((TENON_GLOBAL const int64_t *)base)[i]
                 : ((TENON_GLOBAL const int32_t *)base)[i];
}
DEVICE void store_index(tenon_device_bytes base, int64_t i, bool is_64, int64_t value) {
    if (is_64)
        ((TENON_GLOBAL int64_t *)base)[i] = value;
    else
        ((TENON_GLOBAL int32_t *)base)[i] = (int32_t)value;
}

#endif /* TENON_DEVICE_MEMORY_H */
