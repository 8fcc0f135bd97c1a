/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda_backend.h"

#include <string.h>

#include "cuda_launch.h"
#include "cuda_rows.h"

static bool accepts_device(int32_t device_type) {
    return device_type == kDLCUDA || device_type == kDLCUDAManaged;
}

static int read_device(const tenon_cuda_driver *driver, tenon_cuda_device *d, int32_t index) {
    size_t memory_bytes = 0;
    int error = driver->device_get(&d->handle, index);
    d->id = index;
    if (!error) error = driver->device_name(d->name, (int)sizeof d->name, d->handle);
    if (!error) error = driver->device_memory(&memory_bytes, d->handle);
    const struct {
        int attribute;
        int *value;
    } attributes[] = {{TENON_CUDA_DEVICE_MAJOR, &d->major},
                      {TENON_CUDA_DEVICE_MINOR, &d->minor},
                      {TENON_CUDA_DEVICE_UNITS, &d->n_units},
                      {TENON_CUDA_DEVICE_SHARED_BYTES, &d->shared_bytes}};
    for (size_t i = 0; i < sizeof attributes / sizeof attributes[0] && !error; i++)
        error = driver->device_attribute(attributes[i].value, attributes[i].attribute, d->handle);
    d->memory_bytes = memory_bytes;
    d->features = tenon_cuda_features_of(d->major, d->minor);
    return error;
}

static bool any_usable(const tenon_cuda_state *state) {
    for (int32_t i = 0; i < state->n_devices; i++)
        if (state->device[i].features) return true;
    return false;
}

static int32_t open_cuda(const tenon_platform *platform, void **out, tenon_reason *reason) {
    const tenon_cuda_driver *driver = tenon_cuda_driver_open(reason);
    if (!driver) return TENON_STATUS_NOT_AVAILABLE;
    int count = 0;
    int error = driver->device_count(&count);
    if (error || count < 1) {
        tenon_decline(reason, "%s: %s (%d)", TENON_CUDA_SONAME,
                      error ? tenon_cuda_error_name(driver, error) : "no device", error);
        return TENON_STATUS_NOT_AVAILABLE;
    }
    const size_t modules_bytes = (tenon_cuda_n_images + 1) * sizeof(tenon_cuda_module *);
    const size_t bytes =
        sizeof(tenon_cuda_state) + (size_t)count * (sizeof(tenon_cuda_device) + modules_bytes);
    tenon_cuda_state *state = tenon_platform_allocate(platform, bytes);
    if (!state) {
        tenon_decline(reason, "no memory for %zu bytes", bytes);
        return TENON_STATUS_NO_MEMORY;
    }
    memset(state, 0, bytes);
    state->vendor = &tenon_cuda_vendor;
    state->driver = driver;
    state->bytes = bytes;
    state->n_devices = count;
    char *modules = (char *)&state->device[count];
    for (int i = 0; i < count && !error; i++) {
        state->device[i].modules = (tenon_cuda_module **)(void *)(modules + i * modules_bytes);
        error = read_device(driver, &state->device[i], i);
        if (error)
            tenon_decline(reason, "%s: properties of device %d: %s (%d)", TENON_CUDA_SONAME, i,
                          tenon_cuda_error_name(driver, error), error);
    }
    if (!error && !any_usable(state)) {
        tenon_decline(reason, "device 0 is sm_%d%d; there is device code for sm_80 and up",
                      state->device[0].major, state->device[0].minor);
        error = TENON_CUDA_NO_BINARY_FOR_GPU;
    }
    if (error) {
        tenon_platform_release(platform, state, bytes);
        return TENON_STATUS_NOT_AVAILABLE;
    }
    pthread_mutex_init(&state->lock, NULL);
    *out = state;
    return TENON_OK;
}

static void unload(const tenon_cuda_driver *driver, tenon_cuda_device *d) {
    bool pushed;
    if (!d->primary) return;
    if (!tenon_cuda_enter(driver, d->primary, &pushed)) {
        for (uint32_t m = 0; m < tenon_cuda_n_images; m++)
            if (d->modules[m]) (void)driver->module_unload(d->modules[m]);
        (void)tenon_cuda_leave(driver, pushed);
    }
    (void)driver->primary_release(d->handle);
}

/* Failures of unloading have nobody to tell: the device is gone, or the process is about to be. */
static void close_cuda(void *opaque, const tenon_platform *platform) {
    tenon_cuda_state *state = opaque;
    for (int32_t i = 0; i < state->n_devices; i++) unload(state->driver, &state->device[i]);
    pthread_mutex_destroy(&state->lock);
    tenon_platform_release(platform, state, state->bytes);
}

/* Devices without code are left out: index counts the others. */
static bool device_info(void *opaque, uint32_t index, tenon_device_info *out) {
    const tenon_cuda_state *state = opaque;
    int32_t i = 0;
    for (uint32_t seen = 0; i < state->n_devices; i++)
        if (state->device[i].features && seen++ == index) break;
    if (i == state->n_devices) return false;
    const tenon_cuda_device *device = &state->device[i];
    out->device_id = device->id;
    out->memory_bytes = device->memory_bytes;
    out->features = device->features;
    out->n_units = device->n_units;
    snprintf(out->name, sizeof out->name, "%s", device->name);
    size_t used = (size_t)snprintf(out->feature_text, sizeof out->feature_text,
                                   "compute %d.%d:", device->major, device->minor);
    for (uint64_t bits = device->features; bits && used < sizeof out->feature_text;
         bits &= bits - 1)
        used += (size_t)snprintf(out->feature_text + used, sizeof out->feature_text - used, " %s",
                                 tenon_cuda_feature_name(bits & (~bits + 1)));
    return true;
}

static const char *lacks(void *opaque, const tenon_kernel *kernel, tenon_reason *reason) {
    const tenon_cuda_state *state = opaque;
    uint64_t missing = 0;
    for (int32_t i = 0; i < state->n_devices; i++) {
        missing = kernel->needs & ~state->device[i].features;
        if (!missing) return NULL;
    }
    return tenon_decline(reason, "no device here has %s",
                         tenon_cuda_feature_name(missing & (~missing + 1)));
}

extern const tenon_backend tenon_cuda_backend;
const tenon_backend tenon_cuda_backend = {
    .name = "cuda",
    .id = TENON_BACKEND_CUDA,
    .accepts_device = accepts_device,
    .open = open_cuda,
    .close = close_cuda,
    .device_info = device_info,
    .kernels = tenon_cuda_kernels,
    .lacks = lacks,
};
