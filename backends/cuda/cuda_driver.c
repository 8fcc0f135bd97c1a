/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda_driver.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

static bool resolve(void *library, const char *symbol, void *member, tenon_reason *reason) {
    void *address = dlsym(library, symbol);
    memcpy(member, &address, sizeof address);
    if (!address) tenon_decline(reason, "%s has no %s", TENON_CUDA_SONAME, symbol);
    return address != NULL;
}

static bool load(tenon_cuda_driver *driver, tenon_reason *reason) {
    tenon_reason optional;
    void *library = dlopen(TENON_CUDA_SONAME, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        const char *why = dlerror();
        tenon_decline(reason, "%s cannot be opened: %s", TENON_CUDA_SONAME,
                      why ? why : "no reason given");
        return false;
    }
    bool found = resolve(library, "cuGetErrorName", (void *)&driver->error_name, reason);
#define RESOLVE(member, symbol, arguments)                                                         \
    found = found && resolve(library, #symbol, (void *)&driver->member, reason);
    TENON_CUDA_FUNCTION_LIST(RESOLVE)
    (void)resolve(library, "cuTensorMapEncodeTiled", (void *)&driver->tensor_map_encode, &optional);
    int error = found ? driver->init(0) : TENON_CUDA_SUCCESS;
    if (found && !error) error = driver->driver_version(&driver->version);
    if (error) {
        tenon_decline(reason, "%s: %s (%d)", TENON_CUDA_SONAME,
                      tenon_cuda_error_name(driver, error), error);
        found = false;
    }
    /* A library that works stays open for the process; its threads do not survive a dlclose. */
    if (!found) dlclose(library);
    return found;
}

const tenon_cuda_driver *tenon_cuda_driver_open(tenon_reason *reason) {
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static tenon_cuda_driver driver;
    static bool loaded;
    pthread_mutex_lock(&lock);
    if (!loaded) loaded = load(&driver, reason);
    pthread_mutex_unlock(&lock);
    return loaded ? &driver : NULL;
}

const char *tenon_cuda_error_name(const tenon_cuda_driver *driver, int error) {
    const char *name = NULL;
    return !driver->error_name(error, &name) && name ? name : "an unknown error";
}

int32_t tenon_cuda_status(int error) {
    switch (error) {
    case TENON_CUDA_SUCCESS:
        return TENON_OK;
    case TENON_CUDA_OUT_OF_MEMORY:
        return TENON_STATUS_NO_MEMORY;
    case TENON_CUDA_DEINITIALIZED:
    case TENON_CUDA_ECC_UNCORRECTABLE:
    case TENON_CUDA_ILLEGAL_ADDRESS:
    case TENON_CUDA_LAUNCH_TIMEOUT:
    case TENON_CUDA_CONTEXT_IS_DESTROYED:
    case TENON_CUDA_LAUNCH_FAILED:
        return TENON_STATUS_DEVICE_LOST;
    default:
        return TENON_STATUS_DEVICE_ERROR;
    }
}
