/* SPDX-License-Identifier: Apache-2.0
 */
#include "amd_module.h"

static const char *const class_names[GPU_AMD_CLASSES] = {
    [GPU_AMD_SCALAR] = "scalar",
    [GPU_AMD_SCALAR_MEMORY] = "scalar memory",
    [GPU_AMD_VECTOR] = "vector",
    [GPU_AMD_TRANSCENDENTAL] = "transcendental",
    [GPU_AMD_MATRIX] = "matrix",
    [GPU_AMD_GLOBAL_LOAD] = "global load",
    [GPU_AMD_GLOBAL_STORE] = "global store",
    [GPU_AMD_GLOBAL_ATOMIC] = "global atomic",
    [GPU_AMD_GLOBAL_TO_LDS] = "global to LDS",
    [GPU_AMD_LDS] = "LDS",
    [GPU_AMD_BRANCH] = "branch",
    [GPU_AMD_WAIT] = "wait",
    [GPU_AMD_BARRIER] = "barrier",
    [GPU_AMD_OTHER] = "other",
};

static const char *const fault_names[] = {
    [GPU_AMD_NO_FAULT] = "none",
    [GPU_AMD_BAD_LAUNCH] = "bad launch",
    [GPU_AMD_UNKNOWN_INSTRUCTION] = "unknown instruction",
    [GPU_AMD_PENDING_REGISTER] = "register not waited for",
    [GPU_AMD_PENDING_LDS] = "LDS not waited for",
    [GPU_AMD_GLOBAL_BOUNDS] = "global memory bounds",
    [GPU_AMD_LDS_BOUNDS] = "LDS bounds",
    [GPU_AMD_MISALIGNED] = "misaligned",
    [GPU_AMD_LDS_RACE] = "LDS race",
    [GPU_AMD_REGISTER_RANGE] = "register range",
    [GPU_AMD_NO_CODE] = "no code",
    [GPU_AMD_TRAP] = "trap",
    [GPU_AMD_HUNG] = "hung",
};

const char *gpu_amd_class_name(gpu_amd_class instruction_class) {
    return instruction_class < GPU_AMD_CLASSES ? class_names[instruction_class] : "?";
}

const char *gpu_amd_fault_name(gpu_amd_fault_kind kind) {
    return kind <= GPU_AMD_HUNG ? fault_names[kind] : "?";
}

void gpu_amd_add_counters(gpu_amd_counters *sum, const gpu_amd_counters *more) {
    uint64_t *to = (uint64_t *)sum;
    const uint64_t *from = (const uint64_t *)more;
    for (size_t i = 0; i < sizeof *sum / sizeof *to; i++) to[i] += from[i];
}

void gpu_amd_get_counters(const gpu_amd_kernel *kernel, gpu_amd_counters *out) {
    pthread_mutex_lock(&kernel->module->device->lock);
    *out = kernel->counters;
    pthread_mutex_unlock(&kernel->module->device->lock);
}

void gpu_amd_reset_counters(gpu_amd_kernel *kernel) {
    pthread_mutex_lock(&kernel->module->device->lock);
    memset(&kernel->counters, 0, sizeof kernel->counters);
    pthread_mutex_unlock(&kernel->module->device->lock);
}
