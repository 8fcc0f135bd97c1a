/* SPDX-License-Identifier: Apache-2.0 */
/* What the CUDA backend keeps for each context: the driver and the devices. */
#ifndef TENON_CUDA_BACKEND_H
#define TENON_CUDA_BACKEND_H

#include <pthread.h>

#include "cuda_module.h"
#include "cuda_target.h"
#include "gpu_launch.h"

typedef struct tenon_cuda_device {
    int32_t id;
    int handle;        /* CUdevice */
    uint64_t features; /* 0: there is no code for it */
    uint64_t memory_bytes;
    int32_t n_units, shared_bytes; /* multiprocessors; most shared memory of a block */
    int major, minor;
    char name[96];
    /* The primary context, which CUDA's run time and all its users share; retained when a plan
     * first needs it, until the context of Tenon is closed. */
    tenon_cuda_context *primary;
    tenon_cuda_module **modules; /* one for each embedded image; NULL: not loaded yet */
} tenon_cuda_device;

typedef struct tenon_cuda_state {
    const tenon_gpu_vendor *vendor;
    const tenon_cuda_driver *driver;
    pthread_mutex_t lock; /* of primary and modules; plans only */
    size_t bytes;
    int32_t n_devices;
    tenon_cuda_device device[];
} tenon_cuda_state;

/* The device of a problem; NULL: there is none of that number. */
static inline tenon_cuda_device *tenon_cuda_device_of(const tenon_problem *problem) {
    tenon_cuda_state *state = (tenon_cuda_state *)problem->backend_state;
    return problem->device_id >= 0 && problem->device_id < state->n_devices
               ? &state->device[problem->device_id]
               : NULL;
}

#endif /* TENON_CUDA_BACKEND_H */
