/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the MoE family share: every kernel of an operation in turn, a call with a
 * guarded workspace. */
#ifndef TENON_MOE_TEST_H
#define TENON_MOE_TEST_H

#include "test_host.h"

enum { MAX_KERNELS = 16 };

typedef struct kernel_list {
    char name[MAX_KERNELS][96];
    int count;
} kernel_list;

/* A context that does not say that the reference runs, where it is meant to. */
static inline tenon_context *quiet_context(const tenon_api *api) {
    tenon_context_options options = {.struct_size = sizeof options, .log_level = -1};
    tenon_error error = {.struct_size = sizeof error};
    tenon_context *context = NULL;
    CHECK(api->context_create(&options, &context, &error) == TENON_OK, "%s", error.text);
    return context;
}

/* The rows of an operation that this machine can run. */
static inline kernel_list kernels_of(const tenon_api *api, tenon_context *context, int32_t op) {
    kernel_list list = {.count = 0};
    tenon_kernel_info info = {.struct_size = sizeof info};
    for (uint32_t i = 0; api->kernel_info(context, i, &info, NULL) == TENON_OK; i++)
        if (info.op == op && info.available && list.count < MAX_KERNELS &&
            !(test_is_emulated() && strstr(info.name, "_scalar")))
            snprintf(list.name[list.count++], sizeof list.name[0], "%s", info.name);
    CHECK(list.count > 0, "no kernel of operation %d", op);
    return list;
}

/* What every args struct begins with. */
typedef struct args_head {
    TENON_ARGS_HEAD
} args_head;

/* Plans `planned`, runs `args` (which may be smaller) with a workspace that has guards. args must
 * begin with the common head. */
static inline int32_t run_guarded(const tenon_api *api, tenon_context *context, int32_t op,
                                  const void *planned, void *args, const char *kernel,
                                  tenon_error *error) {
    enum { GUARD = 64 };
    tenon_plan *plan = NULL;
    tenon_plan_options options = {.struct_size = sizeof options, .kernel = kernel};
    tenon_query query = {.struct_size = sizeof query};
    args_head *head = args;
    int32_t status = api->plan_create(context, op, planned, &options, &plan, error);
    if (status) return status;
    api->plan_query(plan, &query, NULL);
    size_t bytes = (query.workspace_bytes + 63) / 64 * 64;
    unsigned char *memory = aligned_alloc(64, bytes + GUARD);
    memset(memory, 0xa5, bytes + GUARD);
    head->workspace = query.workspace_bytes ? memory : NULL,
    head->workspace_bytes = query.workspace_bytes;
    status = api->run(plan, args, error);
    head->workspace = NULL, head->workspace_bytes = 0;
    for (size_t i = query.workspace_bytes; i < bytes + GUARD; i++)
        if (memory[i] != 0xa5) {
            CHECK(memory[i] == 0xa5, "%s wrote byte %zu of a workspace of %llu", query.kernel, i,
                  (unsigned long long)query.workspace_bytes);
            break;
        }
    free(memory);
    api->plan_destroy(plan);
    return status;
}

/* A call that must fail with this status and these words. */
#define CHECK_FAILS(api, context, op, args, wanted, words)                                         \
    do {                                                                                           \
        tenon_error error_ = {.struct_size = sizeof error_};                                       \
        tenon_query query_ = {.struct_size = sizeof query_};                                       \
        (api)->query(context, op, args, NULL, &query_, &error_);                                   \
        CHECK(query_.status == (wanted) && strstr(query_.reason, words),                           \
              "status %d: %s (wanted %d with \"%s\")", query_.status, query_.reason, wanted,       \
              words);                                                                              \
    } while (0)

static inline float bf16_round(float x, uint16_t *bits) {
    uint32_t u;
    memcpy(&u, &x, 4);
    u = (u + 0x7fff + (u >> 16 & 1)) & 0xffff0000u;
    if (bits) *bits = (uint16_t)(u >> 16);
    memcpy(&x, &u, 4);
    return x;
}

#endif /* TENON_MOE_TEST_H */
