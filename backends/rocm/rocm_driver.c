/* SPDX-License-Identifier: Apache-2.0 */
#include "rocm_driver.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

/* Newest first. The R0600 struct of device properties came with .so.6. */
static const char *const sonames[] = {"libamdhip64.so.7", "libamdhip64.so.6"};
enum { N_SONAMES = sizeof sonames / sizeof sonames[0] };

/* What the process has already loaded comes first: two HIP runtimes in one process do not share
 * devices, streams or memory. Some wheels carry theirs under the bare name. */
static void *open_library(const char **soname) {
    static const char bare[] = "libamdhip64.so";
    for (int i = 0; i <= N_SONAMES; i++) {
        *soname = i < N_SONAMES ? sonames[i] : bare;
        void *library = dlopen(*soname, RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD);
        if (library) return library;
    }
    for (int i = 0; i < N_SONAMES; i++) {
        *soname = sonames[i];
        void *library = dlopen(*soname, RTLD_NOW | RTLD_LOCAL);
        if (library) return library;
    }
    return NULL;
}

static bool resolve(void *library, const char *symbol, void *member, const char *soname,
                    tenon_reason *reason) {
    void *address = dlsym(library, symbol);
    memcpy(member, &address, sizeof address);
    if (!address) tenon_decline(reason, "%s has no %s", soname, symbol);
    return address != NULL;
}

static bool load(tenon_rocm_driver *driver, tenon_reason *reason) {
    const char *soname;
    void *library = open_library(&soname);
    if (!library) {
        const char *why = dlerror();
        tenon_decline(reason, "neither %s nor %s can be opened: %s", sonames[0], sonames[1],
                      why ? why : "no reason given");
        return false;
    }
    snprintf(driver->soname, sizeof driver->soname, "%s", soname);
    bool found = resolve(library, "hipGetErrorName", (void *)&driver->error_name, soname, reason);
#define RESOLVE(member, symbol, arguments)                                                         \
    found = found && resolve(library, #symbol, (void *)&driver->member, soname, reason);
    TENON_HIP_FUNCTION_LIST(RESOLVE)
    int error = found ? driver->init(0) : TENON_HIP_SUCCESS;
    if (found && !error) error = driver->runtime_version(&driver->version);
    if (error) {
        tenon_decline(reason, "%s: %s (%d)", soname, driver->error_name(error), error);
        found = false;
    }
    /* A library that works stays open for the process; its threads do not survive a dlclose. */
    if (!found) dlclose(library);
    return found;
}

const tenon_rocm_driver *tenon_rocm_driver_open(tenon_reason *reason) {
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static tenon_rocm_driver driver;
    static bool loaded;
    pthread_mutex_lock(&lock);
    if (!loaded) loaded = load(&driver, reason);
    pthread_mutex_unlock(&lock);
    return loaded ? &driver : NULL;
}

int32_t tenon_rocm_status(int error) {
    switch (error) {
    case TENON_HIP_SUCCESS:
        return TENON_OK;
    case TENON_HIP_OUT_OF_MEMORY:
        return TENON_STATUS_NO_MEMORY;
    case TENON_HIP_DEINITIALIZED:
    case TENON_HIP_ECC_NOT_CORRECTABLE:
    case TENON_HIP_ILLEGAL_ADDRESS:
    case TENON_HIP_LAUNCH_TIME_OUT:
    case TENON_HIP_CONTEXT_IS_DESTROYED:
    case TENON_HIP_LAUNCH_FAILURE:
        return TENON_STATUS_DEVICE_LOST;
    default:
        return TENON_STATUS_DEVICE_ERROR;
    }
}
