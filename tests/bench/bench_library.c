/* SPDX-License-Identifier: Apache-2.0 */
#include "bench_library.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static bool create_context(bench_library *library, int32_t backend, int32_t n_threads) {
    tenon_error error = {.struct_size = sizeof error};
    tenon_context_options options = {.struct_size = sizeof options,
                                     .backend = backend,
                                     .n_threads = n_threads,
                                     .log_level = TENON_LOG_ERROR};
    library->backend = backend, library->n_threads = n_threads;
    if (!library->api->context_create(&options, &library->context, &error)) return true;
    fprintf(stderr, "tenonbench: %s: %s\n", library->path, error.text);
    return false;
}

bool bench_library_open(bench_library *library, const char *path, int32_t backend,
                        int32_t n_threads) {
    tenon_error error = {.struct_size = sizeof error};
    uint32_t version = TENON_VERSION;
    tenon_get_api_fn get_api;
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    library->path = path;
    if (!handle) {
        fprintf(stderr, "tenonbench: %s\n", dlerror());
        return false;
    }
    *(void **)&get_api = dlsym(handle, "tenon_get_api");
    if (!get_api || get_api(NULL, &version, &library->api, &error)) {
        fprintf(stderr, "tenonbench: %s: %s\n", path, get_api ? error.text : "no tenon_get_api");
        return false;
    }
    return create_context(library, backend, n_threads);
}

bool bench_library_use(bench_library *library, int32_t backend, int32_t n_threads) {
    if (library->context && library->backend == backend && library->n_threads == n_threads)
        return true;
    bench_library_close(library);
    return create_context(library, backend, n_threads);
}

void bench_library_close(bench_library *library) {
    if (library->context) library->api->context_destroy(library->context);
    library->context = NULL;
}

int32_t bench_plan_make(const bench_library *library, bench_problem *problem, const char *kernel,
                        bench_plan *out, tenon_error *error) {
    tenon_plan_options options = {.struct_size = sizeof options, .kernel = kernel};
    memset(out, 0, sizeof *out);
    int32_t status = library->api->plan_create(library->context, problem->info->op,
                                               problem->args.bytes, &options, &out->plan, error);
    if (status) return status;
    out->query.struct_size = sizeof out->query;
    library->api->plan_query(out->plan, &out->query, error);
    if (out->query.workspace_bytes) {
        out->workspace = bench_block(out->query.workspace_bytes);
        if (!out->workspace) {
            snprintf(error->text, sizeof error->text, "no memory for a workspace of %llu bytes",
                     (unsigned long long)out->query.workspace_bytes);
            bench_plan_free(library, out);
            return TENON_STATUS_NO_MEMORY;
        }
    }
    problem->args.head.workspace = out->workspace;
    problem->args.head.workspace_bytes = out->query.workspace_bytes;
    return TENON_OK;
}

void bench_plan_free(const bench_library *library, bench_plan *plan) {
    library->api->plan_destroy(plan->plan);
    bench_release(plan->workspace);
    memset(plan, 0, sizeof *plan);
}

double bench_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
