/* SPDX-License-Identifier: Apache-2.0 */
/* The HIP runtime, opened when a context first needs it and never linked: the few functions that
 * are called, with our own declarations of them. */
#ifndef TENON_ROCM_DRIVER_H
#define TENON_ROCM_DRIVER_H

#include "backend.h"

typedef struct tenon_hip_module tenon_hip_module;
typedef struct tenon_hip_function tenon_hip_function;

/* hipDeviceProp_tR0600, of which four members are read. Offsets as in hip_runtime_api.h of ROCm 6.0
 * to 7.2; the tail leaves room for members that later versions add. */
typedef union tenon_hip_properties {
    char bytes[4096];
    int64_t aligned;
} tenon_hip_properties;
enum {
    TENON_HIP_NAME_AT = 0,           /* char[256] */
    TENON_HIP_MEMORY_BYTES_AT = 288, /* size_t */
    TENON_HIP_UNITS_AT = 388,        /* int */
    TENON_HIP_ARCH_NAME_AT = 1160,   /* char[256] */
    TENON_HIP_TEXT_BYTES = 256
};

/* hipError_t, those values that mean something to us. */
enum {
    TENON_HIP_SUCCESS = 0,
    TENON_HIP_OUT_OF_MEMORY = 2,
    TENON_HIP_DEINITIALIZED = 4,
    TENON_HIP_NO_BINARY_FOR_GPU = 209,
    TENON_HIP_ECC_NOT_CORRECTABLE = 214,
    TENON_HIP_ILLEGAL_ADDRESS = 700,
    TENON_HIP_LAUNCH_TIME_OUT = 702,
    TENON_HIP_CONTEXT_IS_DESTROYED = 709,
    TENON_HIP_LAUNCH_FAILURE = 719
};

/* X(member, symbol, arguments): each returns a hipError_t. */
#define TENON_HIP_FUNCTION_LIST(X)                                                                 \
    X(init, hipInit, (unsigned flags))                                                             \
    X(runtime_version, hipRuntimeGetVersion, (int *version))                                       \
    X(device_count, hipGetDeviceCount, (int *count))                                               \
    X(get_device, hipGetDevice, (int *device))                                                     \
    X(set_device, hipSetDevice, (int device))                                                      \
    X(properties, hipGetDevicePropertiesR0600, (tenon_hip_properties * out, int device))           \
    X(module_load, hipModuleLoadData, (tenon_hip_module * *out, const void *image))                \
    X(module_unload, hipModuleUnload, (tenon_hip_module * module))                                 \
    X(module_function, hipModuleGetFunction,                                                       \
      (tenon_hip_function * *out, tenon_hip_module * module, const char *name))                    \
    X(launch, hipModuleLaunchKernel,                                                               \
      (tenon_hip_function * function, unsigned grid_x, unsigned grid_y, unsigned grid_z,           \
       unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes, void *stream,  \
       void **arguments, void **extra))

#define TENON_HIP_MEMBER(member, symbol, arguments) int(*member) arguments;
typedef struct tenon_rocm_driver {
    TENON_HIP_FUNCTION_LIST(TENON_HIP_MEMBER)
    const char *(*error_name)(int error);
    char soname[32];
    int version; /* major * 10,000,000 + minor * 100,000 + patch */
} tenon_rocm_driver;

/* The one driver of the process, or NULL and the reason. A later call tries again. */
const tenon_rocm_driver *tenon_rocm_driver_open(tenon_reason *reason);

/* The status that a host sees for an error of HIP. */
int32_t tenon_rocm_status(int error);

#endif /* TENON_ROCM_DRIVER_H */
