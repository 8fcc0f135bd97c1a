/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the fake libcuda.so.1: the CUDA driver as far as Tenon and its tests call it, with the
 * emulator of tests/gpu_simt in the place of the GPU.
 *
 *   TENON_FAKE_CUDA_ARCH    compute capability of each device, as "90,80" (default: one of 9.0)
 *   TENON_FAKE_CUDA_SEED    order of blocks and lanes
 *
 * Work is done when it is enqueued. Device memory is poisoned when it is fresh, and the host cannot
 * touch it: it is mapped for copies and kernels only. */
#ifndef TENON_FAKE_CUDA_H
#define TENON_FAKE_CUDA_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "simt.h"

enum {
    CUDA_SUCCESS = 0,
    CUDA_INVALID_VALUE = 1,
    CUDA_OUT_OF_MEMORY = 2,
    CUDA_NO_DEVICE = 100,
    CUDA_INVALID_DEVICE = 101,
    CUDA_INVALID_IMAGE = 200,
    CUDA_INVALID_CONTEXT = 201,
    CUDA_NO_BINARY_FOR_GPU = 209,
    CUDA_INVALID_HANDLE = 400,
    CUDA_NOT_FOUND = 500,
    CUDA_LAUNCH_FAILED = 719,
    CUDA_STREAM_CAPTURE_UNSUPPORTED = 900,
    CUDA_UNKNOWN = 999
};
enum { FAKE_MAX_DEVICES = 8, FAKE_CONTEXT_STACK = 8 };

typedef struct fake_device fake_device; /* also its primary context */
typedef struct fake_module fake_module;
typedef struct fake_function fake_function;
typedef struct fake_stream fake_stream;
typedef struct fake_graph fake_graph; /* also its executable form */

/* X(symbol, arguments): every entry; each counts its calls and can be told to fail. */
#define FAKE_CUDA_LIST(X)                                                                          \
    X(cuInit, (unsigned flags))                                                                    \
    X(cuDriverGetVersion, (int *version))                                                          \
    X(cuDeviceGetCount, (int *count))                                                              \
    X(cuDeviceGet, (int *device, int index))                                                       \
    X(cuDeviceGetName, (char *name, int bytes, int device))                                        \
    X(cuDeviceGetAttribute, (int *value, int attribute, int device))                               \
    X(cuDeviceTotalMem_v2, (size_t *bytes, int device))                                            \
    X(cuDevicePrimaryCtxRetain, (fake_device * *out, int device))                                  \
    X(cuDevicePrimaryCtxRelease_v2, (int device))                                                  \
    X(cuCtxGetCurrent, (fake_device * *out))                                                       \
    X(cuCtxSetCurrent, (fake_device * context))                                                    \
    X(cuCtxPushCurrent_v2, (fake_device * context))                                                \
    X(cuCtxPopCurrent_v2, (fake_device * *out))                                                    \
    X(cuCtxSynchronize, (void))                                                                    \
    X(cuMemAlloc_v2, (uint64_t *out, size_t bytes))                                                \
    X(cuMemFree_v2, (uint64_t memory))                                                             \
    X(cuMemHostAlloc, (void **out, size_t bytes, unsigned flags))                                  \
    X(cuMemFreeHost, (void *memory))                                                               \
    X(cuMemcpyHtoD_v2, (uint64_t to, const void *from, size_t bytes))                              \
    X(cuMemcpyDtoH_v2, (void *to, uint64_t from, size_t bytes))                                    \
    X(cuModuleLoadData, (fake_module * *out, const void *image))                                   \
    X(cuModuleUnload, (fake_module * module))                                                      \
    X(cuModuleGetFunction, (fake_function * *out, fake_module * module, const char *name))         \
    X(cuFuncSetAttribute, (fake_function * function, int attribute, int value))                    \
    X(cuLaunchKernel,                                                                              \
      (fake_function * function, unsigned grid_x, unsigned grid_y, unsigned grid_z,                \
       unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes,                \
       fake_stream *stream, void **arguments, void **extra))                                       \
    X(cuStreamCreate, (fake_stream * *out, unsigned flags))                                        \
    X(cuStreamDestroy_v2, (fake_stream * stream))                                                  \
    X(cuStreamBeginCapture_v2, (fake_stream * stream, int mode))                                   \
    X(cuStreamEndCapture, (fake_stream * stream, fake_graph * *out))                               \
    X(cuGraphInstantiateWithFlags, (fake_graph * *out, fake_graph * graph, uint64_t flags))        \
    X(cuGraphLaunch, (fake_graph * graph, fake_stream * stream))                                   \
    X(cuGraphExecDestroy, (fake_graph * graph))                                                    \
    X(cuGraphDestroy, (fake_graph * graph))

#define FAKE_EXPORT                     __attribute__((visibility("default")))
#define FAKE_DECLARE(symbol, arguments) FAKE_EXPORT int symbol arguments;
FAKE_CUDA_LIST(FAKE_DECLARE)
FAKE_EXPORT int cuGetErrorName(int error, const char **name);

#define FAKE_NUMBER(symbol, arguments) FAKE_##symbol,
enum { FAKE_CUDA_LIST(FAKE_NUMBER) FAKE_CALLS };

/* ---- for tests, found with dlsym ---- */
/* The n-th call from now on fails (1: the next), and with `all` every later one too; 0: none. */
FAKE_EXPORT void fake_cuda_fail_at(uint64_t n, bool all);
/* Calls of an entry so far; NULL: of all entries. */
FAKE_EXPORT uint64_t fake_cuda_count(const char *symbol);
/* Live allocations, loaded modules, and retained primary contexts. */
FAKE_EXPORT uint64_t fake_cuda_live(void);

/* ---- inside ---- */
struct fake_device {
    int index, major, minor, retained;
};
extern fake_device fake_devices[FAKE_MAX_DEVICES];
extern int fake_n_devices, fake_sticky;
extern bool fake_capturing;
extern uint64_t fake_live;
/* NULL: no context is current. */
fake_device *fake_current(void);
/* Takes the lock, counts, decides on failure. Non-zero: return it; the lock is not held then. */
int fake_enter(int call);
int fake_leave(int status);
void fake_map_memory(bool readable);

#endif /* TENON_FAKE_CUDA_H */
