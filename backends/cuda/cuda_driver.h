/* SPDX-License-Identifier: Apache-2.0 */
/* The CUDA driver, opened when a context first needs it and never linked: the few functions that
 * are called, with our own declarations of them. Values and signatures: CUDA driver API reference;
 * a symbol's suffix is the version of its binary interface. */
#ifndef TENON_CUDA_DRIVER_H
#define TENON_CUDA_DRIVER_H

#include "backend.h"

typedef struct tenon_cuda_module tenon_cuda_module;
typedef struct tenon_cuda_function tenon_cuda_function;
typedef struct tenon_cuda_context tenon_cuda_context;

/* CUresult, those values that mean something to us. */
enum {
    TENON_CUDA_SUCCESS = 0,
    TENON_CUDA_OUT_OF_MEMORY = 2,
    TENON_CUDA_DEINITIALIZED = 4,
    TENON_CUDA_NO_BINARY_FOR_GPU = 209,
    TENON_CUDA_ECC_UNCORRECTABLE = 214,
    TENON_CUDA_ILLEGAL_ADDRESS = 700,
    TENON_CUDA_LAUNCH_TIMEOUT = 702,
    TENON_CUDA_CONTEXT_IS_DESTROYED = 709,
    TENON_CUDA_LAUNCH_FAILED = 719
};

/* CUdevice_attribute and CUfunction_attribute. */
enum {
    TENON_CUDA_DEVICE_UNITS = 16,
    TENON_CUDA_DEVICE_MAJOR = 75,
    TENON_CUDA_DEVICE_MINOR = 76,
    TENON_CUDA_DEVICE_SHARED_BYTES = 97, /* most that a block may ask for */
    TENON_CUDA_FUNCTION_SHARED_BYTES = 8 /* most dynamic shared memory of a launch */
};

/* A tensor map is opaque: 128 bytes on a 64-byte boundary. */
typedef struct tenon_cuda_tensor_map {
    _Alignas(64) uint64_t words[16];
} tenon_cuda_tensor_map;

/* X(member, symbol, arguments): each returns a CUresult. */
#define TENON_CUDA_FUNCTION_LIST(X)                                                                \
    X(init, cuInit, (unsigned flags))                                                              \
    X(driver_version, cuDriverGetVersion, (int *version))                                          \
    X(device_count, cuDeviceGetCount, (int *count))                                                \
    X(device_get, cuDeviceGet, (int *device, int index))                                           \
    X(device_name, cuDeviceGetName, (char *name, int bytes, int device))                           \
    X(device_attribute, cuDeviceGetAttribute, (int *value, int attribute, int device))             \
    X(device_memory, cuDeviceTotalMem_v2, (size_t *bytes, int device))                             \
    X(primary_retain, cuDevicePrimaryCtxRetain, (tenon_cuda_context * *out, int device))           \
    X(primary_release, cuDevicePrimaryCtxRelease_v2, (int device))                                 \
    X(current, cuCtxGetCurrent, (tenon_cuda_context * *out))                                       \
    X(push, cuCtxPushCurrent_v2, (tenon_cuda_context * context))                                   \
    X(pop, cuCtxPopCurrent_v2, (tenon_cuda_context * *out))                                        \
    X(module_load, cuModuleLoadData, (tenon_cuda_module * *out, const void *image))                \
    X(module_unload, cuModuleUnload, (tenon_cuda_module * module))                                 \
    X(module_function, cuModuleGetFunction,                                                        \
      (tenon_cuda_function * *out, tenon_cuda_module * module, const char *name))                  \
    X(function_set, cuFuncSetAttribute,                                                            \
      (tenon_cuda_function * function, int attribute, int value))                                  \
    X(launch, cuLaunchKernel,                                                                      \
      (tenon_cuda_function * function, unsigned grid_x, unsigned grid_y, unsigned grid_z,          \
       unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes, void *stream,  \
       void **arguments, void **extra))

#define TENON_CUDA_MEMBER(member, symbol, arguments) int(*member) arguments;
typedef struct tenon_cuda_driver {
    TENON_CUDA_FUNCTION_LIST(TENON_CUDA_MEMBER)
    int (*error_name)(int error, const char **name);
    /* NULL before driver 12.0. Strides of dimensions 1 and up, in bytes. */
    int (*tensor_map_encode)(tenon_cuda_tensor_map *out, int type, uint32_t rank, void *base,
                             const uint64_t *extents, const uint64_t *strides_bytes,
                             const uint32_t *box, const uint32_t *element_strides, int interleave,
                             int swizzle, int l2_promotion, int fill);
    int version; /* major * 1000 + minor * 10 */
} tenon_cuda_driver;

#define TENON_CUDA_SONAME "libcuda.so.1"

/* The one driver of the process, or NULL and the reason. A later call tries again. */
const tenon_cuda_driver *tenon_cuda_driver_open(tenon_reason *reason);

const char *tenon_cuda_error_name(const tenon_cuda_driver *driver, int error);

/* The status that a host sees for an error of CUDA. */
int32_t tenon_cuda_status(int error);

#endif /* TENON_CUDA_DRIVER_H */
