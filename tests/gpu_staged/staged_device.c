/* SPDX-License-Identifier: Apache-2.0 */
/* The few functions of a vendor's run time that a host needs. TENON_BACKEND says whose. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "staged_host.h"

static struct {
    int (*malloc)(void **out, size_t bytes);
    int (*free)(void *memory);
    int (*host_malloc)(void **out, size_t bytes, unsigned flags);
    int (*host_free)(void *memory);
    int (*synchronize)(void);
    /* HIP's one copy, or CUDA's two, whose device addresses are integers of 64 bits. */
    int (*memcpy)(void *to, const void *from, size_t bytes, int kind);
    int (*upload)(void *to, const void *from, size_t bytes);
    int (*download)(void *to, const void *from, size_t bytes);
    int (*init)(unsigned flags);
    int (*retain)(void **context, int device);
    int (*set_current)(void *context);
} runtime;

static staged_fake fake;
static bool is_fake;
static staged_vendor vendor;

static bool resolve(void *library, const char *symbol, void *member) {
    void *address = library ? dlsym(library, symbol) : NULL;
    memcpy(member, &address, sizeof address);
    return address != NULL;
}

const staged_vendor *staged_device_vendor(void) {
    return &vendor;
}

bool staged_device_is_fake(staged_fake *out) {
    *out = fake;
    return is_fake;
}

static bool open_hip(void *library) {
    vendor = (staged_vendor){TENON_BACKEND_ROCM, kDLROCM, "hipModuleLaunchKernel",
                             "hipErrorUnknown (999)"};
    is_fake = resolve(library, "fake_hip_fail_at", (void *)&fake.fail_at) &&
              resolve(library, "fake_hip_count", (void *)&fake.count);
    return resolve(library, "hipMalloc", (void *)&runtime.malloc) &&
           resolve(library, "hipFree", (void *)&runtime.free) &&
           resolve(library, "hipHostMalloc", (void *)&runtime.host_malloc) &&
           resolve(library, "hipHostFree", (void *)&runtime.host_free) &&
           resolve(library, "hipMemcpy", (void *)&runtime.memcpy) &&
           resolve(library, "hipDeviceSynchronize", (void *)&runtime.synchronize);
}

/* The host is one that has made the primary context of device 0 current. */
static bool open_cuda(void *library) {
    void *context = NULL;
    vendor =
        (staged_vendor){TENON_BACKEND_CUDA, kDLCUDA, "cuLaunchKernel", "CUDA_ERROR_UNKNOWN (999)"};
    is_fake = resolve(library, "fake_cuda_fail_at", (void *)&fake.fail_at) &&
              resolve(library, "fake_cuda_count", (void *)&fake.count);
    return resolve(library, "cuMemAlloc_v2", (void *)&runtime.malloc) &&
           resolve(library, "cuMemFree_v2", (void *)&runtime.free) &&
           resolve(library, "cuMemHostAlloc", (void *)&runtime.host_malloc) &&
           resolve(library, "cuMemFreeHost", (void *)&runtime.host_free) &&
           resolve(library, "cuMemcpyHtoD_v2", (void *)&runtime.upload) &&
           resolve(library, "cuMemcpyDtoH_v2", (void *)&runtime.download) &&
           resolve(library, "cuCtxSynchronize", (void *)&runtime.synchronize) &&
           resolve(library, "cuInit", (void *)&runtime.init) &&
           resolve(library, "cuDevicePrimaryCtxRetain", (void *)&runtime.retain) &&
           resolve(library, "cuCtxSetCurrent", (void *)&runtime.set_current) && !runtime.init(0) &&
           !runtime.retain(&context, 0) && !runtime.set_current(context);
}

bool staged_device_open(char *text, size_t text_bytes) {
    const char *backend = getenv("TENON_BACKEND");
    const bool cuda = backend && !strcmp(backend, "cuda");
    void *library = dlopen(cuda ? "libcuda.so.1" : "libamdhip64.so.7", RTLD_NOW);
    if (!library && !cuda) library = dlopen("libamdhip64.so.6", RTLD_NOW);
    const bool found = library && (cuda ? open_cuda(library) : open_hip(library));
    if (!found) {
        const char *why = dlerror();
        snprintf(text, text_bytes, "the run time of the GPU: %s", why ? why : "no device");
    }
    return found;
}

void *staged_device_allocate(size_t bytes, bool of_host) {
    void *memory = NULL;
    int error = of_host ? runtime.host_malloc(&memory, bytes, 0) : runtime.malloc(&memory, bytes);
    return error ? NULL : memory;
}

void staged_device_release(void *memory, bool of_host) {
    if (memory) (void)(of_host ? runtime.host_free(memory) : runtime.free(memory));
}

int staged_device_upload(void *to, const void *from, size_t bytes) {
    return runtime.upload ? runtime.upload(to, from, bytes) : runtime.memcpy(to, from, bytes, 1);
}
int staged_device_download(void *to, const void *from, size_t bytes) {
    return runtime.download ? runtime.download(to, from, bytes)
                            : runtime.memcpy(to, from, bytes, 2);
}
int staged_device_synchronize(void) {
    return runtime.synchronize();
}
