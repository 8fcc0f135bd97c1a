/* SPDX-License-Identifier: Apache-2.0 */
/* What the ROCm backend keeps for each context: the driver and the devices. */
#ifndef TENON_ROCM_BACKEND_H
#define TENON_ROCM_BACKEND_H

#include <pthread.h>

#include "gpu_launch.h"
#include "rocm_module.h"

typedef struct tenon_rocm_device {
    int32_t id;
    tenon_rocm_target target; /* TENON_ROCM_TARGET_COUNT: there is no code for it */
    uint64_t features, memory_bytes;
    int32_t n_units; /* compute units */
    char name[96], arch_name[96];
    tenon_hip_module **modules; /* one for each embedded object; NULL: not loaded yet */
} tenon_rocm_device;

typedef struct tenon_rocm_state {
    const tenon_gpu_vendor *vendor;
    const tenon_rocm_driver *driver;
    pthread_mutex_t lock; /* of the modules; plans only */
    size_t bytes;
    int32_t n_devices;
    tenon_rocm_device device[];
} tenon_rocm_state;

/* The device of a problem; NULL: there is none of that number. */
static inline tenon_rocm_device *tenon_rocm_device_of(const tenon_problem *problem) {
    tenon_rocm_state *state = (tenon_rocm_state *)problem->backend_state;
    return problem->device_id >= 0 && problem->device_id < state->n_devices
               ? &state->device[problem->device_id]
               : NULL;
}

#endif /* TENON_ROCM_BACKEND_H */
