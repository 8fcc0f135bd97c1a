/* SPDX-License-Identifier: Apache-2.0 */
/* Copies from global to shared memory that go on while the lane does other work. Each lane has its
 * own groups, oldest first; after copy_wait the lane sees its own copies, the others after a
 * barrier that follows. Both addresses are multiples of the size. */
#ifndef TENON_DEVICE_COPY_H
#define TENON_DEVICE_COPY_H

#include "device_ptx.h"

/* 16 bytes, past the first cache. The first `valid` bytes are read, the rest become 0: with 0 the
 * address is not read at all. */
DEVICE void copy_16(shared_address to, tenon_device_const_bytes from) {
    PTX_OR(simt_copy_async(to, from, 16, 16), "cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to),
           "l"(from) : "memory");
}
DEVICE void copy_16_part(shared_address to, tenon_device_const_bytes from, uint32_t valid) {
    PTX_OR(simt_copy_async(to, from, 16, valid),
           "cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from),
           "r"(valid) : "memory");
}
DEVICE void copy_8_part(shared_address to, tenon_device_const_bytes from, uint32_t valid) {
    PTX_OR(simt_copy_async(to, from, 8, valid),
           "cp.async.ca.shared.global [%0], [%1], 8, %2;" ::"r"(to), "l"(from),
           "r"(valid) : "memory");
}
DEVICE void copy_4_part(shared_address to, tenon_device_const_bytes from, uint32_t valid) {
    PTX_OR(simt_copy_async(to, from, 4, valid),
           "cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(to), "l"(from),
           "r"(valid) : "memory");
}
/* What was copied since the last commit is a group, perhaps an empty one. */
DEVICE void copy_commit(void) {
    PTX_OR(simt_copy_commit(), "cp.async.commit_group;" :: : "memory");
}
/* Until at most so many of the newest groups are under way: `newest` is a constant. */
#if defined(__CUDACC__)
#    define copy_wait(newest) asm volatile("cp.async.wait_group %0;" ::"n"(newest) : "memory")
#else
#    define copy_wait(newest) simt_copy_wait(newest)
#endif

#endif /* TENON_DEVICE_COPY_H */
