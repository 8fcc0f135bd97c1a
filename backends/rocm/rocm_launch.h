/* SPDX-License-Identifier: Apache-2.0 */
/* What a row does with its device code: why a device cannot run it, loading when it is planned,
 * launching when it runs. */
#ifndef TENON_ROCM_LAUNCH_H
#define TENON_ROCM_LAUNCH_H

#include "rocm_backend.h"

/* First thing in a row's why_not: the problem's device exists and has what the row needs. */
const char *tenon_rocm_why_not(const tenon_problem *problem, uint64_t needs, tenon_reason *reason);

/* A row's why_not from what the device needs and the row's own declines(problem, reason). */
#define TENON_ROCM_WHY_NOT(name, needs, declines)                                                  \
    static const char *name(const tenon_problem *problem, tenon_reason *reason) {                  \
        const char *why = tenon_rocm_why_not(problem, needs, reason);                              \
        return why ? why : declines(problem, reason);                                              \
    }

/* The functions of a plan, in the order in which they were asked for: plan->state of every row. */
typedef struct tenon_rocm_functions {
    size_t bytes;
    uint32_t count;
    tenon_hip_function *function[];
} tenon_rocm_functions;

/* Loads the object for the problem's device, unless the context already has, and finds its kernels.
 * symbols: NULL at the end. */
int32_t tenon_rocm_load(tenon_kernel_plan *plan, const char *object, const char *const *symbols,
                        tenon_error *error);
void tenon_rocm_release(tenon_kernel_plan *plan);

/* Enqueues function[index] with its argument struct, which is copied. No blocks: nothing to do. */
typedef tenon_gpu_grid tenon_rocm_grid;
int32_t tenon_rocm_launch(const tenon_kernel_plan *plan, uint32_t index, tenon_rocm_grid grid,
                          void *stream, const void *arguments, tenon_error *error);

/* Lanes of a wave of the plan's device. */
static inline uint32_t tenon_rocm_wave_lanes(const tenon_kernel_plan *plan) {
    return tenon_rocm_device_of(&plan->problem)->features & TENON_ROCM_WAVE32 ? 32 : 64;
}

/* Blocks of block_lanes lanes that hold n_lanes. */
static inline uint32_t tenon_rocm_blocks(uint64_t n_lanes, uint32_t block_lanes) {
    return tenon_gpu_blocks(n_lanes, block_lanes);
}

/* How shared launchers reach this backend. */
extern const tenon_gpu_vendor tenon_rocm_vendor;

/* A failure of HIP in the words of the ABI. */
int32_t tenon_rocm_fail(const tenon_kernel_plan *plan, int hip_error, const char *what,
                        tenon_error *error);

#endif /* TENON_ROCM_LAUNCH_H */
