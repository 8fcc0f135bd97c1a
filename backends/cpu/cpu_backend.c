/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu_backend.h"

#include <string.h>
#include <unistd.h>

#include "cpu_rows.h"

static bool accepts_device(int32_t device_type) {
    /* Pinned host memory is host memory. */
    return device_type == kDLCPU || device_type == kDLCUDAHost || device_type == kDLROCMHost;
}

static void *pool_alloc(void *user, size_t bytes, size_t align) {
    const tenon_host *host = user;
    return host->allocate(host->user, bytes, align);
}
static void pool_release(void *user, void *memory, size_t bytes, size_t align) {
    const tenon_host *host = user;
    host->release(host->user, memory, bytes, align);
}

static int32_t open_cpu(const tenon_platform *platform, void **out, tenon_reason *reason) {
    tenon_cpu_state *state = tenon_platform_allocate(platform, sizeof *state);
    if (!state) {
        tenon_decline(reason, "no memory for %zu bytes", sizeof *state);
        return TENON_STATUS_NO_MEMORY;
    }
    memset(state, 0, sizeof *state);
    tenon_cpu_detect(platform->cpu_features ? platform->cpu_features : ~UINT64_C(0), &state->info);
    /* The platform outlives the backend, so its host table can be the hooks' user. */
    tenon_cpu_allocator allocator = {pool_alloc, pool_release, (void *)(uintptr_t)&platform->host};
    if (platform->host.parallel_for) {
        int64_t n = platform->host.n_threads;
        state->pool = tenon_cpu_pool_create_hosted(n < 1      ? 1
                                                   : n > 4096 ? 4096
                                                              : (int32_t)n,
                                                   platform->host.parallel_for, platform->host.user,
                                                   &allocator);
    } else {
        state->pool = tenon_cpu_pool_create(platform->n_threads, &allocator);
    }
    if (!state->pool) {
        tenon_platform_release(platform, state, sizeof *state);
        tenon_decline(reason, "no memory for the thread pool");
        return TENON_STATUS_NO_MEMORY;
    }
    *out = state;
    return TENON_OK;
}

static void close_cpu(void *opaque, const tenon_platform *platform) {
    tenon_cpu_state *state = opaque;
    tenon_cpu_pool_destroy(state->pool);
    tenon_platform_release(platform, state, sizeof *state);
}

static void before_plan(void *opaque) {
    tenon_cpu_pool_ensure(((tenon_cpu_state *)opaque)->pool);
}

static bool device_info(void *opaque, uint32_t index, tenon_device_info *out) {
    const tenon_cpu_state *state = opaque;
    if (index > 0) return false;
    long pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
    out->memory_bytes = pages > 0 && page_bytes > 0 ? (uint64_t)pages * (uint64_t)page_bytes : 0;
    out->features = state->info.features;
    out->n_units = tenon_cpu_pool_threads(state->pool);
    snprintf(out->name, sizeof out->name, "%s", state->info.model[0] ? state->info.model : "cpu");
    size_t used = 0;
    for (uint64_t bits = state->info.features; bits && used < sizeof out->feature_text;
         bits &= bits - 1)
        used += (size_t)snprintf(out->feature_text + used, sizeof out->feature_text - used,
                                 used ? " %s" : "%s", tenon_cpu_feature_name(bits & (~bits + 1)));
    return true;
}

static const char *lacks(void *opaque, const tenon_kernel *kernel, tenon_reason *reason) {
    const tenon_cpu_state *state = opaque;
    const char *missing = tenon_cpu_missing(state->info.features, kernel->needs);
    return missing ? tenon_decline(reason, "this CPU has no %s, or it was masked off", missing)
                   : NULL;
}

extern const tenon_backend tenon_cpu_backend;
const tenon_backend tenon_cpu_backend = {
    .name = "cpu",
    .id = TENON_BACKEND_CPU,
#if defined(__aarch64__)
    .checked_on = "emulated",
#endif
    .accepts_device = accepts_device,
    .open = open_cpu,
    .close = close_cpu,
    .before_plan = before_plan,
    .device_info = device_info,
    .kernels = tenon_cpu_kernels,
    .lacks = lacks,
};
