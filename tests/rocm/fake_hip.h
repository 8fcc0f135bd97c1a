/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the fake libamdhip64.so: the HIP runtime as far as Tenon and its tests call it, with
 * the interpreter of tests/gpu_amd in the place of the GPU.
 *
 *   TENON_FAKE_HIP_ARCH     gcnArchName of each device, separated by commas (default: one gfx942)
 *   TENON_FAKE_HIP_SEED     order of workgroups and waves
 *   TENON_FAKE_HIP_COUNTS   a file to which the counts of each kernel are appended at exit
 *
 * Work is done when it is enqueued. Device memory is poisoned when it is fresh, and the host cannot
 * touch it: it is mapped for copies and kernels only. What a kernel does wrong is printed, and ends
 * in an error that later calls return, as on hardware. */
#ifndef TENON_FAKE_HIP_H
#define TENON_FAKE_HIP_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fake_hip_counts.h"
#include "gpu_amd.h"

enum {
    HIP_SUCCESS = 0,
    HIP_INVALID_VALUE = 1,
    HIP_OUT_OF_MEMORY = 2,
    HIP_NO_DEVICE = 100,
    HIP_INVALID_DEVICE = 101,
    HIP_INVALID_IMAGE = 200,
    HIP_NO_BINARY_FOR_GPU = 209,
    HIP_INVALID_HANDLE = 400,
    HIP_NOT_FOUND = 500,
    HIP_LAUNCH_FAILURE = 719,
    HIP_STREAM_CAPTURE_UNSUPPORTED = 900,
    HIP_UNKNOWN = 999
};

enum { FAKE_MAX_DEVICES = 8, FAKE_MAX_MODULES = 1024 };

typedef struct fake_module fake_module;
typedef struct fake_function fake_function;
typedef struct fake_stream fake_stream;
typedef struct fake_graph fake_graph;

/* X(symbol, arguments): every entry; each counts its calls and can be told to fail. */
#define FAKE_HIP_LIST(X)                                                                           \
    X(hipInit, (unsigned flags))                                                                   \
    X(hipRuntimeGetVersion, (int *version))                                                        \
    X(hipGetDeviceCount, (int *count))                                                             \
    X(hipGetDevice, (int *device))                                                                 \
    X(hipSetDevice, (int device))                                                                  \
    X(hipGetDevicePropertiesR0600, (void *properties, int device))                                 \
    X(hipMalloc, (void **out, size_t bytes))                                                       \
    X(hipFree, (void *memory))                                                                     \
    X(hipHostMalloc, (void **out, size_t bytes, unsigned flags))                                   \
    X(hipHostFree, (void *memory))                                                                 \
    X(hipMemcpy, (void *to, const void *from, size_t bytes, int kind))                             \
    X(hipMemcpyAsync, (void *to, const void *from, size_t bytes, int kind, fake_stream *stream))   \
    X(hipDeviceSynchronize, (void))                                                                \
    X(hipStreamCreate, (fake_stream * *out))                                                       \
    X(hipStreamDestroy, (fake_stream * stream))                                                    \
    X(hipStreamSynchronize, (fake_stream * stream))                                                \
    X(hipStreamBeginCapture, (fake_stream * stream, int mode))                                     \
    X(hipStreamEndCapture, (fake_stream * stream, fake_graph * *out))                              \
    X(hipGraphLaunch, (fake_graph * graph, fake_stream * stream))                                  \
    X(hipGraphDestroy, (fake_graph * graph))                                                       \
    X(hipEventCreate, (void **out))                                                                \
    X(hipEventRecord, (void *event, fake_stream *stream))                                          \
    X(hipEventSynchronize, (void *event))                                                          \
    X(hipEventDestroy, (void *event))                                                              \
    X(hipModuleLoadData, (fake_module * *out, const void *image))                                  \
    X(hipModuleUnload, (fake_module * module))                                                     \
    X(hipModuleGetFunction, (fake_function * *out, fake_module * module, const char *name))        \
    X(hipModuleLaunchKernel,                                                                       \
      (fake_function * function, unsigned grid_x, unsigned grid_y, unsigned grid_z,                \
       unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes,                \
       fake_stream *stream, void **arguments, void **extra))

#define FAKE_EXPORT                     __attribute__((visibility("default")))
#define FAKE_DECLARE(symbol, arguments) FAKE_EXPORT int symbol arguments;
FAKE_HIP_LIST(FAKE_DECLARE)
FAKE_EXPORT const char *hipGetErrorName(int error);

#define FAKE_NUMBER(symbol, arguments) FAKE_##symbol,
enum { FAKE_HIP_LIST(FAKE_NUMBER) FAKE_CALLS };

/* ---- for tests, found with dlsym ---- */
/* The n-th call from now on fails (1: the next one), and with `all` every later one too; 0: none.
 */
FAKE_EXPORT void fake_hip_fail_at(uint64_t n, bool all);
/* Calls of an entry so far; NULL: of all entries. */
FAKE_EXPORT uint64_t fake_hip_count(const char *symbol);
/* Live device and host allocations, and loaded modules. */
FAKE_EXPORT uint64_t fake_hip_live(void);
/* fake_hip_take_counts: fake_hip_counts.h */

/* ---- inside ---- */
typedef struct fake_device {
    char arch_name[64];
    gpu_amd_device *gpu;
} fake_device;

extern fake_device fake_devices[FAKE_MAX_DEVICES];
extern int fake_n_devices;
extern _Thread_local int fake_current;
extern pthread_mutex_t fake_lock; /* held inside every entry */
extern int fake_sticky;           /* what a kernel did wrong, for every later synchronisation */
extern bool fake_capturing;       /* any stream: only launches may be called */
extern uint64_t fake_live_modules, fake_live_memory;

/* Takes the lock, counts, decides on failure. Non-zero: return it; the lock is not held then. */
int fake_enter(int call);
int fake_leave(int status);
/* Maps all device memory for a copy or a kernel, and takes it away again. */
void fake_map_memory(bool readable);

#endif /* TENON_FAKE_HIP_H */
