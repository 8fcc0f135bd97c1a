/* SPDX-License-Identifier: Apache-2.0
 *
 * What stands behind the handles of gpu_amd.h.
 */
#ifndef AMD_MODULE_H
#define AMD_MODULE_H

#include "amd_decode.h"
#include "amd_elf.h"
#include "amd_metadata.h"

#include <pthread.h>

struct gpu_amd_device {
    amd_target target;
    pthread_mutex_t lock; /* ranges and counters */
    amd_range *ranges;    /* sorted */
    size_t range_count, range_capacity;
};

/* The kernel descriptor: 64 bytes of the image (LLVM, "User Guide for AMDGPU Backend"). */
typedef struct amd_descriptor {
    uint32_t lds_bytes, scratch_bytes, argument_bytes;
    uint64_t entry; /* code offset */
    uint32_t resources[3];
    uint16_t properties, preload;
    uint32_t vgprs, agprs; /* allocated; accumulators begin after the vgprs */
} amd_descriptor;

struct gpu_amd_kernel {
    struct gpu_amd_module *module;
    amd_kernel_metadata metadata;
    amd_descriptor descriptor;
    long entry; /* index of an instruction, -1: none */
    gpu_amd_counters counters;
};

struct gpu_amd_module {
    gpu_amd_device *device;
    uint8_t *file, *image;
    uint64_t image_bytes;
    amd_elf elf;
    amd_program program;
    gpu_amd_kernel *kernels;
    size_t kernel_count;
};

/* One workgroup from its first instruction to its last; on a fault group->escape is taken. */
typedef struct amd_worker {
    amd_workgroup group;
    amd_wave *waves;
    amd_row *rows; /* of all waves */
    amd_outstanding *outstanding;
    uint8_t *lds;
} amd_worker;

bool amd_worker_make(amd_worker *worker, const amd_launch_state *launch, uint32_t wave_count);
void amd_worker_free(amd_worker *worker);
void amd_run_workgroup(amd_worker *worker, const uint32_t id[3]);

#endif
