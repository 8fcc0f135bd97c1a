/* SPDX-License-Identifier: Apache-2.0 */
/* Devices, contexts, errors, and the failures that tests ask for. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_cuda.h"

fake_device fake_devices[FAKE_MAX_DEVICES];
int fake_n_devices, fake_sticky;
bool fake_capturing;
uint64_t fake_live;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local fake_device *stack[FAKE_CONTEXT_STACK];
static _Thread_local int depth;
static uint64_t calls[FAKE_CALLS], all_calls, fail_at;
static bool fail_all;
static pthread_once_t once = PTHREAD_ONCE_INIT;

#define NAME_ROW(symbol, arguments) #symbol,
static const char *const call_names[] = {FAKE_CUDA_LIST(NAME_ROW)};

static void open_devices(void) {
    const char *list = getenv("TENON_FAKE_CUDA_ARCH");
    if (!list) list = "90";
    while (*list && fake_n_devices < FAKE_MAX_DEVICES) {
        char *end;
        const long number = strtol(list, &end, 10);
        fake_devices[fake_n_devices] = (fake_device){
            .index = fake_n_devices, .major = (int)number / 10, .minor = (int)number % 10};
        fake_n_devices++;
        list = end + (*end == ',');
    }
}

static bool allowed_in_capture(int call) {
    return call == FAKE_cuLaunchKernel || call == FAKE_cuStreamEndCapture ||
           call == FAKE_cuCtxGetCurrent || call == FAKE_cuCtxSetCurrent ||
           call == FAKE_cuCtxPushCurrent_v2 || call == FAKE_cuCtxPopCurrent_v2;
}

int fake_enter(int call) {
    pthread_once(&once, open_devices);
    pthread_mutex_lock(&lock);
    calls[call]++;
    all_calls++;
    int status = CUDA_SUCCESS;
    if (fail_at && (all_calls == fail_at || (fail_all && all_calls > fail_at)))
        status = CUDA_UNKNOWN;
    else if (fake_capturing && !allowed_in_capture(call))
        status = CUDA_STREAM_CAPTURE_UNSUPPORTED;
    if (status) pthread_mutex_unlock(&lock);
    return status;
}

int fake_leave(int status) {
    pthread_mutex_unlock(&lock);
    return status;
}

void fake_cuda_fail_at(uint64_t n, bool all) {
    pthread_mutex_lock(&lock);
    fail_at = n ? all_calls + n : 0;
    fail_all = all;
    pthread_mutex_unlock(&lock);
}

uint64_t fake_cuda_count(const char *symbol) {
    uint64_t count = 0;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < FAKE_CALLS; i++)
        if (!symbol || !strcmp(symbol, call_names[i])) count += calls[i];
    pthread_mutex_unlock(&lock);
    return count;
}

uint64_t fake_cuda_live(void) {
    pthread_mutex_lock(&lock);
    uint64_t live = fake_live;
    for (int i = 0; i < fake_n_devices; i++) live += (uint64_t)fake_devices[i].retained;
    pthread_mutex_unlock(&lock);
    return live;
}

fake_device *fake_current(void) {
    return depth ? stack[depth - 1] : NULL;
}

/* Enters, and does what the block says. */
#define ENTRY(symbol)                                                                              \
    const int entered = fake_enter(FAKE_##symbol);                                                 \
    if (entered) return entered

static bool is_device(int device) {
    return device >= 0 && device < fake_n_devices;
}

int cuInit(unsigned flags) {
    ENTRY(cuInit);
    return fake_leave(flags ? CUDA_INVALID_VALUE : CUDA_SUCCESS);
}
int cuDriverGetVersion(int *version) {
    ENTRY(cuDriverGetVersion);
    *version = 13000;
    return fake_leave(CUDA_SUCCESS);
}
int cuDeviceGetCount(int *count) {
    ENTRY(cuDeviceGetCount);
    *count = fake_n_devices;
    return fake_leave(CUDA_SUCCESS);
}
int cuDeviceGet(int *device, int index) {
    ENTRY(cuDeviceGet);
    *device = index;
    return fake_leave(is_device(index) ? CUDA_SUCCESS : CUDA_INVALID_DEVICE);
}
int cuDeviceGetName(char *name, int bytes, int device) {
    ENTRY(cuDeviceGetName);
    snprintf(name, (size_t)bytes, "emulator");
    return fake_leave(is_device(device) ? CUDA_SUCCESS : CUDA_INVALID_DEVICE);
}
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    ENTRY(cuDeviceGetAttribute);
    if (!is_device(device)) return fake_leave(CUDA_INVALID_DEVICE);
    const fake_device *d = &fake_devices[device];
    switch (attribute) {
    case 16:
        *value = 132;
        break;
    case 75:
        *value = d->major;
        break;
    case 76:
        *value = d->minor;
        break;
    case 97: /* CUDA C programming guide, "Technical Specifications per Compute Capability" */
        *value = (d->major == 8 && d->minor == 0    ? 163
                  : d->major == 9 || d->major == 10 ? 227
                                                    : 99) *
                 1024;
        break;
    default:
        return fake_leave(CUDA_INVALID_VALUE);
    }
    return fake_leave(CUDA_SUCCESS);
}
int cuDeviceTotalMem_v2(size_t *bytes, int device) {
    ENTRY(cuDeviceTotalMem_v2);
    *bytes = (size_t)1 << 34;
    return fake_leave(is_device(device) ? CUDA_SUCCESS : CUDA_INVALID_DEVICE);
}
int cuDevicePrimaryCtxRetain(fake_device **out, int device) {
    ENTRY(cuDevicePrimaryCtxRetain);
    if (!is_device(device)) return fake_leave(CUDA_INVALID_DEVICE);
    *out = &fake_devices[device];
    (*out)->retained++;
    return fake_leave(CUDA_SUCCESS);
}
int cuDevicePrimaryCtxRelease_v2(int device) {
    ENTRY(cuDevicePrimaryCtxRelease_v2);
    if (!is_device(device) || !fake_devices[device].retained)
        return fake_leave(CUDA_INVALID_DEVICE);
    fake_devices[device].retained--;
    return fake_leave(CUDA_SUCCESS);
}
int cuCtxGetCurrent(fake_device **out) {
    ENTRY(cuCtxGetCurrent);
    *out = fake_current();
    return fake_leave(CUDA_SUCCESS);
}
int cuCtxSetCurrent(fake_device *context) {
    ENTRY(cuCtxSetCurrent);
    if (!depth) depth = 1;
    stack[depth - 1] = context;
    return fake_leave(CUDA_SUCCESS);
}
int cuCtxPushCurrent_v2(fake_device *context) {
    ENTRY(cuCtxPushCurrent_v2);
    if (!context || !context->retained || depth == FAKE_CONTEXT_STACK)
        return fake_leave(CUDA_INVALID_CONTEXT);
    stack[depth++] = context;
    return fake_leave(CUDA_SUCCESS);
}
int cuCtxPopCurrent_v2(fake_device **out) {
    ENTRY(cuCtxPopCurrent_v2);
    if (!depth) return fake_leave(CUDA_INVALID_CONTEXT);
    *out = stack[--depth];
    return fake_leave(CUDA_SUCCESS);
}
int cuCtxSynchronize(void) {
    ENTRY(cuCtxSynchronize);
    return fake_leave(fake_current() ? fake_sticky : CUDA_INVALID_CONTEXT);
}

int cuGetErrorName(int error, const char **name) {
    static const struct {
        int error;
        const char *name;
    } names[] = {{CUDA_SUCCESS, "CUDA_SUCCESS"},
                 {CUDA_INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE"},
                 {CUDA_OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY"},
                 {CUDA_NO_DEVICE, "CUDA_ERROR_NO_DEVICE"},
                 {CUDA_INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE"},
                 {CUDA_INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE"},
                 {CUDA_INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT"},
                 {CUDA_NO_BINARY_FOR_GPU, "CUDA_ERROR_NO_BINARY_FOR_GPU"},
                 {CUDA_INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE"},
                 {CUDA_NOT_FOUND, "CUDA_ERROR_NOT_FOUND"},
                 {CUDA_LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED"},
                 {CUDA_STREAM_CAPTURE_UNSUPPORTED, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"},
                 {CUDA_UNKNOWN, "CUDA_ERROR_UNKNOWN"}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i].error == error) {
            *name = names[i].name;
            return CUDA_SUCCESS;
        }
    return CUDA_INVALID_VALUE;
}
