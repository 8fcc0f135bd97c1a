/* SPDX-License-Identifier: Apache-2.0 */
/* Devices, errors, and the failures that tests ask for. */
#include "fake_hip.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

fake_device fake_devices[FAKE_MAX_DEVICES];
int fake_n_devices;
_Thread_local int fake_current;
pthread_mutex_t fake_lock = PTHREAD_MUTEX_INITIALIZER;
int fake_sticky;
bool fake_capturing;

static uint64_t calls[FAKE_CALLS], all_calls, fail_at;
static bool fail_all;
static pthread_once_t once = PTHREAD_ONCE_INIT;

#define NAME_ROW(symbol, arguments) #symbol,
static const char *const call_names[] = {FAKE_HIP_LIST(NAME_ROW)};

static void open_devices(void) {
    const char *list = getenv("TENON_FAKE_HIP_ARCH");
    if (!list) list = "gfx942:sramecc+:xnack-";
    while (*list && fake_n_devices < FAKE_MAX_DEVICES) {
        fake_device *d = &fake_devices[fake_n_devices++];
        const size_t length = strcspn(list, ",");
        snprintf(d->arch_name, sizeof d->arch_name, "%.*s", (int)length, list);
        d->gpu = gpu_amd_open(d->arch_name); /* NULL for an architecture without interpreter */
        list += length + (list[length] == ',');
    }
}

static bool allowed_in_capture(int call) {
    return call == FAKE_hipModuleLaunchKernel || call == FAKE_hipStreamEndCapture ||
           call == FAKE_hipGetDevice || call == FAKE_hipSetDevice;
}

int fake_enter(int call) {
    pthread_once(&once, open_devices);
    pthread_mutex_lock(&fake_lock);
    calls[call]++;
    all_calls++;
    int status = HIP_SUCCESS;
    if (fail_at && (all_calls == fail_at || (fail_all && all_calls > fail_at)))
        status = HIP_UNKNOWN;
    else if (fake_capturing && !allowed_in_capture(call))
        status = HIP_STREAM_CAPTURE_UNSUPPORTED;
    if (status) pthread_mutex_unlock(&fake_lock);
    return status;
}

int fake_leave(int status) {
    pthread_mutex_unlock(&fake_lock);
    return status;
}

void fake_hip_fail_at(uint64_t n, bool all) {
    pthread_mutex_lock(&fake_lock);
    fail_at = n ? all_calls + n : 0;
    fail_all = all;
    pthread_mutex_unlock(&fake_lock);
}

uint64_t fake_hip_count(const char *symbol) {
    uint64_t count = 0;
    pthread_mutex_lock(&fake_lock);
    for (int i = 0; i < FAKE_CALLS; i++)
        if (!symbol || !strcmp(symbol, call_names[i])) count += calls[i];
    pthread_mutex_unlock(&fake_lock);
    return count;
}

int hipInit(unsigned flags) {
    int status = fake_enter(FAKE_hipInit);
    return status ? status : fake_leave(flags ? HIP_INVALID_VALUE : HIP_SUCCESS);
}

int hipRuntimeGetVersion(int *version) {
    int status = fake_enter(FAKE_hipRuntimeGetVersion);
    if (status) return status;
    *version = 70000000;
    return fake_leave(HIP_SUCCESS);
}

int hipGetDeviceCount(int *count) {
    int status = fake_enter(FAKE_hipGetDeviceCount);
    if (status) return status;
    *count = fake_n_devices;
    return fake_leave(fake_n_devices ? HIP_SUCCESS : HIP_NO_DEVICE);
}

int hipGetDevice(int *device) {
    int status = fake_enter(FAKE_hipGetDevice);
    if (status) return status;
    *device = fake_current;
    return fake_leave(HIP_SUCCESS);
}

int hipSetDevice(int device) {
    int status = fake_enter(FAKE_hipSetDevice);
    if (status) return status;
    if (device < 0 || device >= fake_n_devices) return fake_leave(HIP_INVALID_DEVICE);
    fake_current = device;
    return fake_leave(HIP_SUCCESS);
}

/* hipDeviceProp_tR0600 as hip_runtime_api.h of ROCm 6.0 lays it out; what nobody reads is skipped.
 */
typedef struct properties {
    char name[256];
    char skipped_ids[32];
    size_t memory_bytes;
    char skipped_limits[92];
    int units;
    char skipped_textures[768];
    char arch_name[256];
} properties;

int hipGetDevicePropertiesR0600(void *out, int device) {
    int status = fake_enter(FAKE_hipGetDevicePropertiesR0600);
    if (status) return status;
    if (device < 0 || device >= fake_n_devices) return fake_leave(HIP_INVALID_DEVICE);
    properties *p = out;
    snprintf(p->name, sizeof p->name, "interpreter");
    p->memory_bytes = (size_t)1 << 34;
    p->units = 304;
    snprintf(p->arch_name, sizeof p->arch_name, "%s", fake_devices[device].arch_name);
    return fake_leave(HIP_SUCCESS);
}

const char *hipGetErrorName(int error) {
    static const struct {
        int error;
        const char *name;
    } names[] = {{HIP_SUCCESS, "hipSuccess"},
                 {HIP_INVALID_VALUE, "hipErrorInvalidValue"},
                 {HIP_OUT_OF_MEMORY, "hipErrorOutOfMemory"},
                 {HIP_NO_DEVICE, "hipErrorNoDevice"},
                 {HIP_INVALID_DEVICE, "hipErrorInvalidDevice"},
                 {HIP_INVALID_IMAGE, "hipErrorInvalidImage"},
                 {HIP_NO_BINARY_FOR_GPU, "hipErrorNoBinaryForGpu"},
                 {HIP_INVALID_HANDLE, "hipErrorInvalidHandle"},
                 {HIP_NOT_FOUND, "hipErrorNotFound"},
                 {HIP_LAUNCH_FAILURE, "hipErrorLaunchFailure"},
                 {HIP_STREAM_CAPTURE_UNSUPPORTED, "hipErrorStreamCaptureUnsupported"}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i].error == error) return names[i].name;
    return "hipErrorUnknown";
}
