/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda_launch.h"

#include <string.h>

static const tenon_cuda_state *state_of(const tenon_kernel_plan *plan) {
    return (const tenon_cuda_state *)plan->problem.backend_state;
}

const char *tenon_cuda_why_not(const tenon_problem *problem, uint64_t needs, tenon_reason *reason) {
    const tenon_cuda_device *device = tenon_cuda_device_of(problem);
    if (!device)
        return tenon_decline(reason, "device %d: there are %d", problem->device_id,
                             ((const tenon_cuda_state *)problem->backend_state)->n_devices);
    if (!device->features)
        return tenon_decline(reason, "device %d is sm_%d%d, for which there is no device code",
                             device->id, device->major, device->minor);
    const uint64_t missing = needs & ~device->features;
    return missing
               ? tenon_decline(reason, "device %d is sm_%d%d, not %s", device->id, device->major,
                               device->minor, tenon_cuda_feature_name(missing & (~missing + 1)))
               : NULL;
}

int32_t tenon_cuda_fail(const tenon_kernel_plan *plan, int cuda_error, const char *what,
                        tenon_error *error) {
    return tenon_fail(error, tenon_cuda_status(cuda_error), plan->problem.op, -1,
                      "%s: %s on device %d: %s (%d)", plan->kernel->name, what,
                      plan->problem.device_id,
                      tenon_cuda_error_name(state_of(plan)->driver, cuda_error), cuda_error);
}

/* The lock is held. */
static int find_functions(const tenon_cuda_driver *driver, tenon_cuda_device *device,
                          uint32_t image, const char *const *symbols,
                          tenon_cuda_functions *functions, const char **what) {
    bool pushed;
    int error = TENON_CUDA_SUCCESS;
    *what = "cuDevicePrimaryCtxRetain";
    if (!device->primary) error = driver->primary_retain(&device->primary, device->handle);
    if (error) {
        device->primary = NULL;
        return error;
    }
    *what = "cuCtxPushCurrent";
    error = tenon_cuda_enter(driver, device->primary, &pushed);
    if (error) return error;
    *what = "cuModuleLoadData";
    if (!device->modules[image])
        error = driver->module_load(&device->modules[image], tenon_cuda_images[image].bytes);
    if (error) device->modules[image] = NULL;
    for (uint32_t i = 0; i < functions->count && !error; i++) {
        *what = symbols[i];
        error =
            driver->module_function(&functions->function[i], device->modules[image], symbols[i]);
    }
    const int left = tenon_cuda_leave(driver, pushed);
    if (!error && left) *what = "cuCtxPopCurrent";
    return error ? error : left;
}

int32_t tenon_cuda_load(tenon_kernel_plan *plan, const char *image, const char *const *symbols,
                        tenon_error *error) {
    tenon_cuda_state *state = plan->problem.backend_state;
    const uint32_t index = tenon_cuda_find_image(image);
    if (index == tenon_cuda_n_images)
        return tenon_fail(error, TENON_STATUS_INTERNAL, plan->problem.op, -1,
                          "%s: no image %s in this library", plan->kernel->name, image);
    uint32_t count = 0;
    while (symbols[count]) count++;
    const size_t bytes = sizeof(tenon_cuda_functions) + count * sizeof(tenon_cuda_function *);
    tenon_cuda_functions *functions = tenon_platform_allocate(plan->problem.platform, bytes);
    if (!functions)
        return tenon_fail(error, TENON_STATUS_NO_MEMORY, plan->problem.op, -1, "%s: %zu bytes",
                          plan->kernel->name, bytes);
    memset(functions, 0, bytes);
    functions->bytes = bytes;
    functions->count = count;
    plan->state = functions;
    const char *what;
    pthread_mutex_lock(&state->lock);
    const int failed = find_functions(state->driver, tenon_cuda_device_of(&plan->problem), index,
                                      symbols, functions, &what);
    pthread_mutex_unlock(&state->lock);
    return failed ? tenon_cuda_fail(plan, failed, what, error) : TENON_OK;
}

void tenon_cuda_release(tenon_kernel_plan *plan) {
    tenon_cuda_functions *functions = plan->state;
    if (functions) tenon_platform_release(plan->problem.platform, functions, functions->bytes);
    plan->state = NULL;
}

int32_t tenon_cuda_allow_shared(tenon_kernel_plan *plan, uint32_t index, uint32_t bytes,
                                tenon_error *error) {
    const tenon_cuda_driver *driver = state_of(plan)->driver;
    const tenon_cuda_functions *functions = plan->state;
    bool pushed;
    int failed = tenon_cuda_enter(driver, tenon_cuda_device_of(&plan->problem)->primary, &pushed);
    if (failed) return tenon_cuda_fail(plan, failed, "cuCtxPushCurrent", error);
    failed = driver->function_set(functions->function[index], TENON_CUDA_FUNCTION_SHARED_BYTES,
                                  (int)bytes);
    const int left = tenon_cuda_leave(driver, pushed);
    if (failed) return tenon_cuda_fail(plan, failed, "cuFuncSetAttribute", error);
    return left ? tenon_cuda_fail(plan, left, "cuCtxPopCurrent", error) : TENON_OK;
}

int32_t tenon_cuda_launch(const tenon_kernel_plan *plan, uint32_t index, tenon_gpu_grid grid,
                          void *stream, const void *arguments, tenon_error *error) {
    const tenon_cuda_driver *driver = state_of(plan)->driver;
    const tenon_cuda_functions *functions = plan->state;
    /* CUDA copies the struct by the size that the image states. */
    void *argument_list[] = {(void *)(uintptr_t)arguments};
    bool pushed;
    if (!grid.blocks) return TENON_OK;
    /* Kernels live in the primary context; so does the null stream. */
    int failed = tenon_cuda_enter(driver, tenon_cuda_device_of(&plan->problem)->primary, &pushed);
    if (failed) return tenon_cuda_fail(plan, failed, "cuCtxPushCurrent", error);
    failed = driver->launch(functions->function[index], grid.blocks,
                            grid.blocks_y ? grid.blocks_y : 1, grid.blocks_z ? grid.blocks_z : 1,
                            grid.block_lanes, 1, 1, grid.shared_bytes, stream, argument_list, NULL);
    const int left = tenon_cuda_leave(driver, pushed);
    if (failed) return tenon_cuda_fail(plan, failed, "cuLaunchKernel", error);
    return left ? tenon_cuda_fail(plan, left, "cuCtxPopCurrent", error) : TENON_OK;
}

int32_t tenon_cuda_encode(const tenon_kernel_plan *plan, const tenon_cuda_map *map,
                          tenon_cuda_tensor_map *out, tenon_error *error) {
    const tenon_cuda_driver *driver = state_of(plan)->driver;
    static const uint32_t neighbours[5] = {1, 1, 1, 1, 1};
    if (!driver->tensor_map_encode)
        return tenon_fail(error, TENON_STATUS_UNSUPPORTED, plan->problem.op, -1,
                          "%s: this driver (%d) has no cuTensorMapEncodeTiled", plan->kernel->name,
                          driver->version);
    enum { NO_INTERLEAVE = 0, L2_PROMOTION_128_BYTES = 2, FILL_ZERO = 0 };
    const int failed = driver->tensor_map_encode(
        out, map->type, map->rank, map->base, map->extents, map->strides_bytes, map->box,
        neighbours, NO_INTERLEAVE, map->swizzle, L2_PROMOTION_128_BYTES, FILL_ZERO);
    return failed ? tenon_cuda_fail(plan, failed, "cuTensorMapEncodeTiled", error) : TENON_OK;
}

static uint32_t wave_lanes(const tenon_kernel_plan *plan) {
    (void)plan;
    return 32;
}

const tenon_gpu_vendor tenon_cuda_vendor = {.load = tenon_cuda_load,
                                            .launch = tenon_cuda_launch,
                                            .release = tenon_cuda_release,
                                            .wave_lanes = wave_lanes};
