/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a problem through every kernel row that takes it, so that a test of the contract is a test
 * of all of them. */
#ifndef TENON_TEST_KERNELS_H
#define TENON_TEST_KERNELS_H

#include "test_host.h"

enum { TEST_MAX_KERNELS = 32 };

typedef struct test_kernels {
    const tenon_api *api;
    tenon_context *context;
    int count;
    char name[TEST_MAX_KERNELS][96];
} test_kernels;

static inline tenon_context *test_context(const tenon_api *api) {
    tenon_context_options options = {.struct_size = sizeof options, .log_level = -1};
    tenon_context *context = NULL;
    tenon_error error = {.struct_size = sizeof error};
    if (api->context_create(&options, &context, &error)) {
        fprintf(stderr, "context_create: %s\n", error.text);
        exit(2);
    }
    return context;
}

/* Names of the rows of an operation that this machine can run; in an emulator not the scalar ones,
 * which are slow there and the same C as elsewhere. */
static inline test_kernels test_kernels_of(const tenon_api *api, tenon_context *context,
                                           int32_t op) {
    test_kernels k = {.api = api, .context = context};
    tenon_kernel_info info = {.struct_size = sizeof info};
    for (uint32_t i = 0; api->kernel_info(context, i, &info, NULL) == TENON_OK; i++)
        if (info.op == op && info.available && k.count < TEST_MAX_KERNELS &&
            !(test_is_emulated() && strstr(info.name, "_scalar")))
            memcpy(k.name[k.count++], info.name, sizeof info.name);
    return k;
}

/* A plan of one row; NULL if the row declines. Any other failure is one of the test. */
static inline tenon_plan *test_plan_of(const test_kernels *k, int index, int32_t op,
                                       const void *args) {
    tenon_plan_options options = {.struct_size = sizeof options, .kernel = k->name[index]};
    tenon_error error = {.struct_size = sizeof error};
    tenon_plan *plan = NULL;
    int32_t status = k->api->plan_create(k->context, op, args, &options, &plan, &error);
    CHECK(status == TENON_OK || status == TENON_STATUS_UNSUPPORTED, "%s: %s", k->name[index],
          error.text);
    return status ? NULL : plan;
}

/* Memory for a plan's workspace; *aligned is 64-byte aligned. Free what is returned. */
static inline void *test_workspace(const tenon_api *api, const tenon_plan *plan, void **aligned,
                                   uint64_t *bytes) {
    tenon_query query = {.struct_size = sizeof query};
    api->plan_query(plan, &query, NULL);
    *bytes = query.workspace_bytes_max;
    char *memory = malloc(*bytes + 64);
    *aligned = *bytes ? memory + (64 - (uintptr_t)memory % 64) % 64 : NULL;
    return memory;
}

#endif /* TENON_TEST_KERNELS_H */
