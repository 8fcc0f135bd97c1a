/* SPDX-License-Identifier: Apache-2.0 */
/* What the launchers that ROCm and CUDA share ask of their vendor, and of tensors. */
#ifndef TENON_GPU_LAUNCH_H
#define TENON_GPU_LAUNCH_H

#include "backend.h"

typedef struct tenon_gpu_grid {
    uint32_t blocks, blocks_y, blocks_z; /* 0 in y or z: 1 */
    uint32_t block_lanes;                /* as the kernel declares them */
    uint32_t shared_bytes;               /* beside what the kernel declares */
} tenon_gpu_grid;

/* First member of the state of a GPU backend. */
typedef struct tenon_gpu_vendor {
    int32_t (*load)(tenon_kernel_plan *plan, const char *object, const char *const *symbols,
                    tenon_error *error);
    int32_t (*launch)(const tenon_kernel_plan *plan, uint32_t index, tenon_gpu_grid grid,
                      void *stream, const void *arguments, tenon_error *error);
    void (*release)(tenon_kernel_plan *plan);
    uint32_t (*wave_lanes)(const tenon_kernel_plan *plan);
} tenon_gpu_vendor;

static inline const tenon_gpu_vendor *tenon_gpu_vendor_of(const tenon_kernel_plan *plan) {
    return *(const tenon_gpu_vendor *const *)plan->problem.backend_state;
}

/* Loads the object for the problem's device, unless the context already has, and finds its kernels.
 * symbols: NULL at the end. */
static inline int32_t tenon_gpu_load(tenon_kernel_plan *plan, const char *object,
                                     const char *const *symbols, tenon_error *error) {
    return tenon_gpu_vendor_of(plan)->load(plan, object, symbols, error);
}
/* Enqueues the index-th of the symbols with its argument struct, which is copied. No blocks:
 * nothing to do. */
static inline int32_t tenon_gpu_launch(const tenon_kernel_plan *plan, uint32_t index,
                                       tenon_gpu_grid grid, void *stream, const void *arguments,
                                       tenon_error *error) {
    return tenon_gpu_vendor_of(plan)->launch(plan, index, grid, stream, arguments, error);
}
static inline void tenon_gpu_release(tenon_kernel_plan *plan) {
    tenon_gpu_vendor_of(plan)->release(plan);
}
/* Lanes of a wave of the plan's device. */
static inline uint32_t tenon_gpu_wave_lanes(const tenon_kernel_plan *plan) {
    return tenon_gpu_vendor_of(plan)->wave_lanes(plan);
}

/* What a shared launcher gives to a row of a vendor. */
#define TENON_GPU_ROW(op_, OP, traits_)                                                            \
    .op = TENON_OP_##OP, .traits = TENON_TRAIT_CAPTURE_SAFE | TENON_TRAIT_DETERMINISTIC | traits_, \
    .plan = tenon_gpu_##op_##_plan, .run = tenon_gpu_##op_##_run, .release = tenon_gpu_release

/* Blocks of block_lanes lanes that hold n_lanes. */
static inline uint32_t tenon_gpu_blocks(uint64_t n_lanes, uint32_t block_lanes) {
    return (uint32_t)((n_lanes + block_lanes - 1) / block_lanes);
}

/* Whether every row (all dimensions but the last) begins on a 16-byte boundary, the last dimension
 * being contiguous. */
static inline bool tenon_gpu_rows_aligned(const DLTensor *t) {
    const int64_t bits = t->dtype.bits;
    if ((uintptr_t)tenon_data(t) % 16 || t->strides[t->ndim - 1] != 1) return false;
    for (int32_t i = 0; i < t->ndim - 1; i++)
        if (t->shape[i] > 1 && t->strides[i] * bits % 128) return false;
    return true;
}
/* Lanes that share a row of n elements, `piece` each: a power of two up to `most`. */
static inline uint32_t tenon_gpu_group_lanes(uint32_t n, uint32_t piece, uint32_t most) {
    uint32_t lanes = 1;
    while (lanes < most && lanes * piece < n) lanes *= 2;
    return lanes;
}

#endif /* TENON_GPU_LAUNCH_H */
