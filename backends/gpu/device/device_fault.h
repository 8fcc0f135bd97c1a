/* SPDX-License-Identifier: Apache-2.0 */
/* tenon_report_fault of backend.h on the device. The slot is memory that device and host see
 * (pinned by hipHostMalloc or cuMemHostAlloc, or managed): its first event wins among all devices
 * and the host, and the code is stored last. */
#ifndef TENON_DEVICE_FAULT_H
#define TENON_DEVICE_FAULT_H

#include "device_lane.h"
#include "tenon.h"

DEVICE void report_fault(tenon_device_fault slot, int32_t op, int32_t code, int64_t position,
                         int64_t value, int64_t limit) {
    if (!slot) return;
    TENON_GLOBAL tenon_fault *fault = (TENON_GLOBAL tenon_fault *)slot;
    /* -1 claims the slot while it is being filled. */
#if defined(__CUDACC__)
    if (atomicCAS_system(&fault->code, TENON_FAULT_NONE, -1) != TENON_FAULT_NONE) return;
#elif !defined(__AMDGCN__)
    int32_t expected = TENON_FAULT_NONE;
    if (!__atomic_compare_exchange_n(&fault->code, &expected, -1, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_RELAXED))
        return;
#else
    int32_t expected = TENON_FAULT_NONE;
    if (!__scoped_atomic_compare_exchange_n(&fault->code, &expected, -1, false, __ATOMIC_ACQ_REL,
                                            __ATOMIC_RELAXED, __MEMORY_SCOPE_SYSTEM))
        return;
#endif
    fault->op = op;
    fault->position = position;
    fault->value = value;
    fault->limit = limit;
#if defined(__CUDACC__)
    __threadfence_system();
    (void)atomicExch_system(&fault->code, code);
#elif !defined(__AMDGCN__)
    __atomic_store_n(&fault->code, code, __ATOMIC_RELEASE);
#else
    __scoped_atomic_store_n(&fault->code, code, __ATOMIC_RELEASE, __MEMORY_SCOPE_SYSTEM);
#endif
}

#endif /* TENON_DEVICE_FAULT_H */
