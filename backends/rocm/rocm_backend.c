/* SPDX-License-Identifier: Apache-2.0 */
#include "rocm_backend.h"

#include <string.h>

#include "rocm_launch.h"
#include "rocm_rows.h"

static bool accepts_device(int32_t device_type) {
    return device_type == kDLROCM;
}

static void read_device(tenon_rocm_device *device, const tenon_hip_properties *p) {
    uint64_t memory_bytes;
    memcpy(&memory_bytes, p->bytes + TENON_HIP_MEMORY_BYTES_AT, sizeof memory_bytes);
    memcpy(&device->n_units, p->bytes + TENON_HIP_UNITS_AT, sizeof device->n_units);
    device->memory_bytes = memory_bytes;
    snprintf(device->name, sizeof device->name, "%.*s", (int)sizeof device->name - 1,
             p->bytes + TENON_HIP_NAME_AT);
    snprintf(device->arch_name, sizeof device->arch_name, "%.*s", (int)sizeof device->arch_name - 1,
             p->bytes + TENON_HIP_ARCH_NAME_AT);
    device->target = tenon_rocm_target_parse(device->arch_name);
    device->features = device->target == TENON_ROCM_TARGET_COUNT
                           ? 0
                           : tenon_rocm_target_of(device->target)->features;
}

static bool any_usable(const tenon_rocm_state *state) {
    for (int32_t i = 0; i < state->n_devices; i++)
        if (state->device[i].target != TENON_ROCM_TARGET_COUNT) return true;
    return false;
}

static void say_targets(char *text, size_t bytes) {
    size_t used = 0;
    for (int t = 0; t < TENON_ROCM_TARGET_COUNT && used < bytes; t++)
        used += (size_t)snprintf(text + used, bytes - used, "%s%s", t ? ", " : "",
                                 tenon_rocm_target_of((tenon_rocm_target)t)->name);
}

static int32_t open_rocm(const tenon_platform *platform, void **out, tenon_reason *reason) {
    const tenon_rocm_driver *driver = tenon_rocm_driver_open(reason);
    if (!driver) return TENON_STATUS_NOT_AVAILABLE;
    int count = 0;
    int error = driver->device_count(&count);
    if (error || count < 1) {
        tenon_decline(reason, "%s: %s (%d)", driver->soname,
                      error ? driver->error_name(error) : "no device", error);
        return TENON_STATUS_NOT_AVAILABLE;
    }
    const size_t modules_bytes = (tenon_rocm_n_objects + 1) * sizeof(tenon_hip_module *);
    const size_t bytes =
        sizeof(tenon_rocm_state) + (size_t)count * (sizeof(tenon_rocm_device) + modules_bytes);
    tenon_rocm_state *state = tenon_platform_allocate(platform, bytes);
    if (!state) {
        tenon_decline(reason, "no memory for %zu bytes", bytes);
        return TENON_STATUS_NO_MEMORY;
    }
    memset(state, 0, bytes);
    state->vendor = &tenon_rocm_vendor;
    state->driver = driver;
    state->bytes = bytes;
    state->n_devices = count;
    char *modules = (char *)&state->device[count];
    for (int i = 0; i < count && !error; i++) {
        tenon_hip_properties properties;
        memset(&properties, 0, sizeof properties);
        state->device[i].id = i;
        state->device[i].modules = (tenon_hip_module **)(void *)(modules + i * modules_bytes);
        error = driver->properties(&properties, i);
        if (error)
            tenon_decline(reason, "%s: properties of device %d: %s (%d)", driver->soname, i,
                          driver->error_name(error), error);
        else
            read_device(&state->device[i], &properties);
    }
    if (!error && !any_usable(state)) {
        char targets[96] = "";
        say_targets(targets, sizeof targets);
        tenon_decline(reason, "device 0 is %s; there is device code for %s",
                      state->device[0].arch_name, targets);
        error = TENON_HIP_NO_BINARY_FOR_GPU;
    }
    if (error) {
        tenon_platform_release(platform, state, bytes);
        return TENON_STATUS_NOT_AVAILABLE;
    }
    pthread_mutex_init(&state->lock, NULL);
    *out = state;
    return TENON_OK;
}

/* Failures of unloading have nobody to tell: the device is gone, or the process is about to be. */
static void close_rocm(void *opaque, const tenon_platform *platform) {
    tenon_rocm_state *state = opaque;
    for (int32_t d = 0; d < state->n_devices; d++)
        for (uint32_t m = 0; m < tenon_rocm_n_objects; m++) {
            int was;
            if (!state->device[d].modules[m] || tenon_rocm_enter_device(state->driver, d, &was))
                continue;
            (void)state->driver->module_unload(state->device[d].modules[m]);
            (void)tenon_rocm_leave_device(state->driver, d, was);
        }
    pthread_mutex_destroy(&state->lock);
    tenon_platform_release(platform, state, state->bytes);
}

/* Devices without code are left out: index counts the others. */
static bool device_info(void *opaque, uint32_t index, tenon_device_info *out) {
    const tenon_rocm_state *state = opaque;
    int32_t i = 0;
    for (uint32_t seen = 0; i < state->n_devices; i++)
        if (state->device[i].target != TENON_ROCM_TARGET_COUNT && seen++ == index) break;
    if (i == state->n_devices) return false;
    const tenon_rocm_device *device = &state->device[i];
    out->device_id = device->id;
    out->memory_bytes = device->memory_bytes;
    out->features = device->features;
    out->n_units = device->n_units;
    snprintf(out->name, sizeof out->name, "%s", device->name);
    size_t used =
        (size_t)snprintf(out->feature_text, sizeof out->feature_text, "%s", device->arch_name);
    for (uint64_t bits = device->features; bits && used < sizeof out->feature_text;
         bits &= bits - 1)
        used += (size_t)snprintf(out->feature_text + used, sizeof out->feature_text - used, " %s",
                                 tenon_rocm_feature_name(bits & (~bits + 1)));
    return true;
}

static const char *lacks(void *opaque, const tenon_kernel *kernel, tenon_reason *reason) {
    const tenon_rocm_state *state = opaque;
    uint64_t missing = 0;
    for (int32_t i = 0; i < state->n_devices; i++) {
        missing = kernel->needs & ~state->device[i].features;
        if (!missing) return NULL;
    }
    return tenon_decline(reason, "no device here has %s",
                         tenon_rocm_feature_name(missing & (~missing + 1)));
}

extern const tenon_backend tenon_rocm_backend;
const tenon_backend tenon_rocm_backend = {
    .name = "rocm",
    .id = TENON_BACKEND_ROCM,
    .accepts_device = accepts_device,
    .open = open_rocm,
    .close = close_rocm,
    .device_info = device_info,
    .kernels = tenon_rocm_kernels,
    .lacks = lacks,
};
