/* SPDX-License-Identifier: Apache-2.0 */
/* A function of a module, between loading and launching. */
#ifndef TENON_FAKE_HIP_LAUNCH_H
#define TENON_FAKE_HIP_LAUNCH_H

#include "gpu_amd.h"

struct fake_function {
    gpu_amd_kernel *kernel;
    int device;
    uint32_t latest_threads, latest_dynamic_lds_bytes; /* of a workgroup */
    struct fake_function *next;
};

#endif /* TENON_FAKE_HIP_LAUNCH_H */
