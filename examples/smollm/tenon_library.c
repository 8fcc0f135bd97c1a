/* SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L /* clock_gettime */

#include "tenon_library.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "wall_clock.h"

bool tenon_library_open(tenon_library *library, const char *path, int n_threads,
                        host_error *error) {
    *library = (tenon_library){.handle = dlopen(path, RTLD_NOW | RTLD_LOCAL)};
    if (!library->handle) return host_fail(error, "cannot load Tenon: %s", dlerror());

    tenon_get_api_fn get_api;
    void *symbol = dlsym(library->handle, "tenon_get_api");
    /* ISO C has no cast from an object pointer to a function pointer; POSIX promises the copy. */
    memcpy(&get_api, &symbol, sizeof get_api);
    if (!symbol) {
        tenon_library_close(library);
        return host_fail(error, "%s does not export tenon_get_api", path);
    }
    tenon_error reason = {.struct_size = sizeof reason};
    const tenon_context_options options = {.struct_size = sizeof options, .n_threads = n_threads};
    library->version = TENON_VERSION;
    if (get_api(NULL, &library->version, &library->api, &reason) != TENON_OK ||
        library->api->context_create(&options, &library->context, &reason) != TENON_OK) {
        tenon_library_close(library);
        return host_fail(error, "%s: %s", path, reason.text);
    }
    return true;
}

void tenon_library_close(tenon_library *library) {
    free(library->workspace);
    if (library->context) library->api->context_destroy(library->context);
    if (library->handle) dlclose(library->handle);
    *library = (tenon_library){0};
}

bool plan_call(tenon_library *library, planned_call *call, const char *label, int32_t op,
               const void *args, host_error *error) {
    tenon_error reason = {.struct_size = sizeof reason};
    tenon_query answer = {.struct_size = sizeof answer};
    *call = (planned_call){.label = label};
    if (library->api->plan_create(library->context, op, args, NULL, &call->plan, &reason) !=
            TENON_OK ||
        library->api->plan_query(call->plan, &answer, &reason) != TENON_OK) {
        planned_call_free(library, call);
        return host_fail(error, "%s: %s", label, reason.text);
    }
    call->needs_update = answer.traits & TENON_TRAIT_NEEDS_UPDATE;
    if (answer.workspace_bytes > library->workspace_bytes) {
        library->workspace_bytes = answer.workspace_bytes;
    }
    if (answer.workspace_bytes_max > library->workspace_bytes) {
        library->workspace_bytes = answer.workspace_bytes_max;
    }
    snprintf(call->kernel, sizeof call->kernel, "%s", answer.kernel);
    return true;
}

void planned_call_free(const tenon_library *library, planned_call *call) {
    if (call->plan) library->api->plan_destroy(call->plan);
    *call = (planned_call){0};
}

/* Every argument struct begins like this. */
typedef struct any_args {
    TENON_ARGS_HEAD
} any_args;

bool tenon_library_reserve(tenon_library *library, host_error *error) {
    const size_t whole_lines = (size_t)(library->workspace_bytes + 63) / 64 * 64;
    free(library->workspace);
    library->workspace = aligned_alloc(64, whole_lines ? whole_lines : 64);
    return library->workspace ||
           host_fail(error, "out of memory for a workspace of %zu bytes", whole_lines);
}

bool run_call(tenon_library *library, planned_call *call, void *args, host_error *error) {
    tenon_error reason = {.struct_size = sizeof reason};
    any_args *head = args;
    head->workspace = library->workspace;
    head->workspace_bytes = library->workspace_bytes;
    head->fault = &library->fault;
    const double start = seconds_now();
    if ((call->needs_update && library->api->plan_update(call->plan, args, &reason) != TENON_OK) ||
        library->api->run(call->plan, args, &reason) != TENON_OK) {
        return host_fail(error, "%s: %s", call->label, reason.text);
    }
    call->seconds += seconds_now() - start;
    call->runs++;
    const tenon_fault *fault = &library->fault;
    if (tenon_fault_poll(fault) != TENON_FAULT_NONE) {
        return host_fail(error, "%s: fault %d at %lld: value %lld, limit %lld", call->label,
                         fault->code, (long long)fault->position, (long long)fault->value,
                         (long long)fault->limit);
    }
    return true;
}
