/* SPDX-License-Identifier: Apache-2.0 */
/* What a row does with its device code: why a device cannot run it, loading when it is planned,
 * launching when it runs. */
#ifndef TENON_CUDA_LAUNCH_H
#define TENON_CUDA_LAUNCH_H

#include "cuda_backend.h"

/* First thing in a row's why_not: the problem's device exists and has what the row needs. */
const char *tenon_cuda_why_not(const tenon_problem *problem, uint64_t needs, tenon_reason *reason);

/* A row's why_not from what the device needs and the row's own declines(problem, reason). */
#define TENON_CUDA_WHY_NOT(name, needs, declines)                                                  \
    static const char *name(const tenon_problem *problem, tenon_reason *reason) {                  \
        const char *why = tenon_cuda_why_not(problem, needs, reason);                              \
        return why ? why : declines(problem, reason);                                              \
    }

/* The functions of a plan, in the order in which they were asked for: plan->state of every row. */
typedef struct tenon_cuda_functions {
    size_t bytes;
    uint32_t count;
    tenon_cuda_function *function[];
} tenon_cuda_functions;

/* Loads the image for the problem's device, unless the context already has, and finds its kernels.
 * symbols: NULL at the end. */
int32_t tenon_cuda_load(tenon_kernel_plan *plan, const char *image, const char *const *symbols,
                        tenon_error *error);
void tenon_cuda_release(tenon_kernel_plan *plan);

/* Once a plan has loaded: lets launches of function[index] ask for up to `bytes` of dynamic shared
 * memory, which is needed above 48 KiB. */
int32_t tenon_cuda_allow_shared(tenon_kernel_plan *plan, uint32_t index, uint32_t bytes,
                                tenon_error *error);

/* Enqueues function[index] with its argument struct, which is copied. No blocks: nothing to do. */
int32_t tenon_cuda_launch(const tenon_kernel_plan *plan, uint32_t index, tenon_gpu_grid grid,
                          void *stream, const void *arguments, tenon_error *error);

/* CUtensorMapDataType and CUtensorMapSwizzle. */
enum {
    TENON_CUDA_MAP_U8 = 0,
    TENON_CUDA_MAP_F16 = 6,
    TENON_CUDA_MAP_F32 = 7,
    TENON_CUDA_MAP_BF16 = 9
};
enum {
    TENON_CUDA_SWIZZLE_NONE = 0,
    TENON_CUDA_SWIZZLE_32_BYTES = 1,
    TENON_CUDA_SWIZZLE_64_BYTES = 2,
    TENON_CUDA_SWIZZLE_128_BYTES = 3
};
/* What a bulk tensor copy reads. Dimension 0 is contiguous; strides_bytes[i] is that of dimension
 * i + 1, a multiple of 16. Elements out of range read as 0. */
typedef struct tenon_cuda_map {
    void *base; /* a multiple of 16 */
    int type, swizzle;
    uint32_t rank;
    uint64_t extents[5], strides_bytes[4];
    uint32_t box[5];
} tenon_cuda_map;
/* A pure computation on the host: allowed in run, and the result travels as a kernel's argument. */
int32_t tenon_cuda_encode(const tenon_kernel_plan *plan, const tenon_cuda_map *map,
                          tenon_cuda_tensor_map *out, tenon_error *error);

/* How shared launchers reach this backend. */
extern const tenon_gpu_vendor tenon_cuda_vendor;

/* A failure of CUDA in the words of the ABI. */
int32_t tenon_cuda_fail(const tenon_kernel_plan *plan, int cuda_error, const char *what,
                        tenon_error *error);

#endif /* TENON_CUDA_LAUNCH_H */
