/* SPDX-License-Identifier: Apache-2.0 */
/* How the headers of this folder say an instruction: as PTX where nvcc reads them, as a call of the
 * emulator (tests/gpu_simt) where a host's compiler does. And addresses in shared memory, which
 * these instructions take as 32 bits. Source of all: "PTX ISA", version 8.7. */
#ifndef TENON_DEVICE_PTX_H
#define TENON_DEVICE_PTX_H

#include "device/device_memory.h"

#if defined(__CUDACC__)
#    define PTX_OR(emulated, ...) asm volatile(__VA_ARGS__)
#else
#    include "simt_device.h"
#    define PTX_OR(emulated, ...) emulated
#endif

typedef uint32_t shared_address;

DEVICE shared_address shared_address_of(const SHARED void *p) {
#if defined(__CUDACC__)
    return (uint32_t)__cvta_generic_to_shared(p);
#else
    return simt_shared_address(p);
#endif
}

/* Shared memory whose size the launch gives; begins at a multiple of 1,024 bytes where the kernel
 * has no SHARED_ARRAY. */
DEVICE SHARED uint8_t *dynamic_shared(void) {
#if defined(__CUDACC__)
    extern __shared__ __align__(1024) uint8_t tenon_dynamic_shared[];
    return tenon_dynamic_shared;
#else
    return simt_dynamic_shared();
#endif
}

DEVICE u32x4 load_shared_16(shared_address p) {
    u32x4 x;
    PTX_OR(simt_load_shared(&x, p, 16), "ld.shared.v4.b32 {%0, %1, %2, %3}, [%4];" : "=r"(x[0]),
           "=r"(x[1]), "=r"(x[2]), "=r"(x[3]) : "r"(p) : "memory");
    return x;
}
DEVICE u32x2 load_shared_8(shared_address p) {
    u32x2 x;
    PTX_OR(simt_load_shared(&x, p, 8), "ld.shared.v2.b32 {%0, %1}, [%2];" : "=r"(x[0]),
           "=r"(x[1]) : "r"(p) : "memory");
    return x;
}
DEVICE uint32_t load_shared_4(shared_address p) {
    uint32_t x;
    PTX_OR(simt_load_shared(&x, p, 4), "ld.shared.b32 %0, [%1];" : "=r"(x) : "r"(p) : "memory");
    return x;
}
DEVICE void store_shared_16(shared_address p, u32x4 x) {
    PTX_OR(simt_store_shared(p, &x, 16), "st.shared.v4.b32 [%0], {%1, %2, %3, %4};" ::"r"(p),
           "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3]) : "memory");
}
DEVICE void store_shared_8(shared_address p, u32x2 x) {
    PTX_OR(simt_store_shared(p, &x, 8), "st.shared.v2.b32 [%0], {%1, %2};" ::"r"(p), "r"(x[0]),
           "r"(x[1]) : "memory");
}
DEVICE void store_shared_4(shared_address p, uint32_t x) {
    PTX_OR(simt_store_shared(p, &x, 4), "st.shared.b32 [%0], %1;" ::"r"(p), "r"(x) : "memory");
}

/* 16 bytes that are read once: they pass by the first cache. */
DEVICE u32x4 load_16_once(tenon_device_const_bytes p) {
#if defined(__CUDACC__)
    u32x4 x;
    asm volatile("ld.global.nc.L1::no_allocate.v4.b32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
                 : "l"(p));
    return x;
#else
    return load_16(p);
#endif
}

/* Barrier 1 to 15 (0 is workgroup_barrier's), of `lanes` lanes: whole warps. */
DEVICE void named_barrier(uint32_t barrier, uint32_t lanes) {
    PTX_OR(simt_barrier(barrier, lanes, true), "bar.sync %0, %1;" ::"r"(barrier),
           "r"(lanes) : "memory");
}
/* The same without waiting: what came before is seen by those who wait. */
DEVICE void named_barrier_arrive(uint32_t barrier, uint32_t lanes) {
    PTX_OR(simt_barrier(barrier, lanes, false), "bar.arrive %0, %1;" ::"r"(barrier),
           "r"(lanes) : "memory");
}

#endif /* TENON_DEVICE_PTX_H */
