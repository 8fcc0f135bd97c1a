/* SPDX-License-Identifier: Apache-2.0 */
#include "rocm_launch.h"

#include <string.h>

static const tenon_rocm_state *state_of(const tenon_kernel_plan *plan) {
    return (const tenon_rocm_state *)plan->problem.backend_state;
}

const char *tenon_rocm_why_not(const tenon_problem *problem, uint64_t needs, tenon_reason *reason) {
    const tenon_rocm_device *device = tenon_rocm_device_of(problem);
    if (!device)
        return tenon_decline(reason, "device %d: there are %d", problem->device_id,
                             ((const tenon_rocm_state *)problem->backend_state)->n_devices);
    if (device->target == TENON_ROCM_TARGET_COUNT)
        return tenon_decline(reason, "device %d is %s, for which there is no device code",
                             device->id, device->arch_name);
    const uint64_t missing = needs & ~device->features;
    return missing
               ? tenon_decline(reason, "device %d is %s, without %s", device->id, device->arch_name,
                               tenon_rocm_feature_name(missing & (~missing + 1)))
               : NULL;
}

int32_t tenon_rocm_fail(const tenon_kernel_plan *plan, int hip_error, const char *what,
                        tenon_error *error) {
    return tenon_fail(error, tenon_rocm_status(hip_error), plan->problem.op, -1,
                      "%s: %s on device %d: %s (%d)", plan->kernel->name, what,
                      plan->problem.device_id, state_of(plan)->driver->error_name(hip_error),
                      hip_error);
}

/* The device is current and the lock is held. */
static int find_functions(const tenon_rocm_driver *driver, tenon_rocm_device *device,
                          uint32_t object, const char *const *symbols,
                          tenon_rocm_functions *functions, const char **what) {
    int error = TENON_HIP_SUCCESS;
    *what = "hipModuleLoadData";
    if (!device->modules[object])
        error = driver->module_load(&device->modules[object], tenon_rocm_objects[object].image);
    if (error) device->modules[object] = NULL;
    for (uint32_t i = 0; i < functions->count && !error; i++) {
        *what = symbols[i];
        error =
            driver->module_function(&functions->function[i], device->modules[object], symbols[i]);
    }
    return error;
}

int32_t tenon_rocm_load(tenon_kernel_plan *plan, const char *object, const char *const *symbols,
                        tenon_error *error) {
    tenon_rocm_state *state = plan->problem.backend_state;
    tenon_rocm_device *device = tenon_rocm_device_of(&plan->problem);
    const uint32_t index = tenon_rocm_find_object(object, device->target);
    if (index == tenon_rocm_n_objects)
        return tenon_fail(error, TENON_STATUS_INTERNAL, plan->problem.op, -1,
                          "%s: no object %s for %s in this library", plan->kernel->name, object,
                          tenon_rocm_target_of(device->target)->name);
    uint32_t count = 0;
    while (symbols[count]) count++;
    const size_t bytes = sizeof(tenon_rocm_functions) + count * sizeof(tenon_hip_function *);
    tenon_rocm_functions *functions = tenon_platform_allocate(plan->problem.platform, bytes);
    if (!functions)
        return tenon_fail(error, TENON_STATUS_NO_MEMORY, plan->problem.op, -1, "%s: %zu bytes",
                          plan->kernel->name, bytes);
    memset(functions, 0, bytes);
    functions->bytes = bytes;
    functions->count = count;
    plan->state = functions;

    int was;
    const char *what = "hipSetDevice";
    pthread_mutex_lock(&state->lock);
    int failed = tenon_rocm_enter_device(state->driver, device->id, &was);
    if (!failed) {
        failed = find_functions(state->driver, device, index, symbols, functions, &what);
        int left = tenon_rocm_leave_device(state->driver, device->id, was);
        if (!failed && left) failed = left, what = "hipSetDevice";
    }
    pthread_mutex_unlock(&state->lock);
    return failed ? tenon_rocm_fail(plan, failed, what, error) : TENON_OK;
}

void tenon_rocm_release(tenon_kernel_plan *plan) {
    tenon_rocm_functions *functions = plan->state;
    if (functions) tenon_platform_release(plan->problem.platform, functions, functions->bytes);
    plan->state = NULL;
}

int32_t tenon_rocm_launch(const tenon_kernel_plan *plan, uint32_t index, tenon_rocm_grid grid,
                          void *stream, const void *arguments, tenon_error *error) {
    const tenon_rocm_driver *driver = state_of(plan)->driver;
    const tenon_rocm_functions *functions = plan->state;
    /* HIP copies the struct by the size that the code object states. */
    void *argument_list[] = {(void *)(uintptr_t)arguments};
    int was;
    if (!grid.blocks) return TENON_OK;
    /* The null stream is that of the current device, which need not be the tensors'. */
    int failed = tenon_rocm_enter_device(driver, plan->problem.device_id, &was);
    if (failed) return tenon_rocm_fail(plan, failed, "hipSetDevice", error);
    failed = driver->launch(functions->function[index], grid.blocks,
                            grid.blocks_y ? grid.blocks_y : 1, grid.blocks_z ? grid.blocks_z : 1,
                            grid.block_lanes, 1, 1, grid.shared_bytes, stream, argument_list, NULL);
    int left = tenon_rocm_leave_device(driver, plan->problem.device_id, was);
    if (failed) return tenon_rocm_fail(plan, failed, "hipModuleLaunchKernel", error);
    return left ? tenon_rocm_fail(plan, left, "hipSetDevice", error) : TENON_OK;
}

static uint32_t wave_lanes(const tenon_kernel_plan *plan) {
    return tenon_rocm_wave_lanes(plan);
}

const tenon_gpu_vendor tenon_rocm_vendor = {.load = tenon_rocm_load,
                                            .launch = tenon_rocm_launch,
                                            .release = tenon_rocm_release,
                                            .wave_lanes = wave_lanes};
