/* SPDX-License-Identifier: Apache-2.0 */
/* tenon_report_fault of backend.h on the device. The slot is memory that device and host see
 * (hipHostMalloc, or managed memory): its first event wins among all devices and the host, and the
 * code is stored last. */
#ifndef TENON_DEVICE_FAULT_H
#define TENON_DEVICE_FAULT_H

#include "device_lane.h"
#include "tenon.h"

DEVICE void report_fault(tenon_device_fault slot, int32_t op, int32_t code, int64_t position,
                         int64_t value, int64_t limit) {
    if (!slot) return;
    TENON_GLOBAL tenon_fault *fault = (TENON_GLOBAL tenon_fault *)slot;
    int32_t expected = TENON_FAULT_NONE;
    /* -1 claims the slot while it is being filled. */
    if (!__scoped_atomic_compare_exchange_n(&fault->code, &expected, -1, false, __ATOMIC_ACQ_REL,
                                            __ATOMIC_RELAXED, __MEMORY_SCOPE_SYSTEM))
        return;
    fault->op = op;
    fault->position = position;
    fault->value = value;
    fault->limit = limit;
    __scoped_atomic_store_n(&fault->code, code, __ATOMIC_RELEASE, __MEMORY_SCOPE_SYSTEM);
}

#endif /* TENON_DEVICE_FAULT_H */
