/* SPDX-License-Identifier: Apache-2.0 */
/* The table that the staged host hands out: contexts and plans are its own, and hold the real ones.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "staged_host.h"

struct tenon_context {
    tenon_context *device, *cpu;
};
struct tenon_plan {
    tenon_plan *real;
    int32_t op;
    bool on_cpu;
};

static const tenon_api *real;
static tenon_api staged;

/* The text goes behind what the caller's struct has room for. */
static int32_t fail(tenon_error *error, int32_t status, const char *text) {
    if (error && error->struct_size >= sizeof *error) {
        error->status = status;
        error->op = error->field = -1;
        snprintf(error->text, sizeof error->text, "%s", text);
    }
    return status;
}

static int32_t context_create(const tenon_context_options *given, tenon_context **out,
                              tenon_error *error) {
    tenon_context_options options = {.struct_size = sizeof options, .log_level = -1};
    if (given && given->struct_size == sizeof options) options = *given;
    tenon_context *context = calloc(1, sizeof *context);
    if (!context) return fail(error, TENON_STATUS_NO_MEMORY, "staged host: no memory");
    options.backend = staged_device_vendor()->backend;
    int32_t status = real->context_create(&options, &context->device, error);
    /* A backend that could not be opened stays closed for its context: that is another test's. */
    tenon_device_info first = {.struct_size = sizeof first};
    if (!status && staged_failures_wanted())
        for (uint32_t i = 0; !real->probe(context->device, i, &first, NULL);) i++;
    options.backend = TENON_BACKEND_CPU;
    options.trace_path = NULL;
    if (!status) status = real->context_create(&options, &context->cpu, error);
    if (status) {
        real->context_destroy(context->device);
        free(context);
        return status;
    }
    *out = context;
    return TENON_OK;
}

static void context_destroy(tenon_context *context) {
    if (!context) return;
    real->context_destroy(context->device);
    real->context_destroy(context->cpu);
    free(context);
}

static int32_t probe(tenon_context *context, uint32_t index, tenon_device_info *out,
                     tenon_error *error) {
    return real->probe(context->device, index, out, error);
}

/* The rows of the GPU. */
static int32_t kernel_info(tenon_context *context, uint32_t index, tenon_kernel_info *out,
                           tenon_error *error) {
    tenon_kernel_info info = {.struct_size = sizeof info};
    uint32_t seen = 0;
    for (uint32_t i = 0; real->kernel_info(context->device, i, &info, NULL) == TENON_OK; i++)
        if (info.backend == staged_device_vendor()->backend && seen++ == index)
            return real->kernel_info(context->device, i, out, error);
    return fail(error, TENON_STATUS_INVALID_ARGUMENT, "kernel_info: past the end");
}

static bool wants_cpu(const tenon_plan_options *options) {
    return options && options->struct_size >= sizeof *options && options->kernel &&
           !strncmp(options->kernel, "ref_", 4);
}

static int32_t plan_create(tenon_context *context, int32_t op, const void *args,
                           const tenon_plan_options *options, tenon_plan **out,
                           tenon_error *error) {
    char text[256];
    tenon_plan *plan = calloc(1, sizeof *plan);
    staged_call *call = malloc(sizeof *call);
    int32_t status = TENON_STATUS_NO_MEMORY;
    if (plan && call) {
        plan->op = op;
        plan->on_cpu = wants_cpu(options);
        if (plan->on_cpu) {
            status = real->plan_create(context->cpu, op, args, options, &plan->real, error);
        } else {
            const char *wrong = NULL;
            if (!staged_begin(real, op, args, call, text, sizeof text))
                status = fail(error, TENON_STATUS_INVALID_ARGUMENT, text);
            else if (staged_failures_wanted())
                status = staged_failing_plan(real, context->device, call, op, options, &plan->real,
                                             error, &wrong);
            else
                status =
                    real->plan_create(context->device, op, call->args, options, &plan->real, error);
            if (wrong) status = fail(error, TENON_STATUS_INTERNAL, wrong);
            staged_end(call);
        }
    }
    free(call);
    if (status)
        free(plan);
    else
        *out = plan;
    return status;
}

static int32_t run(const tenon_plan *plan, const void *args, tenon_error *error) {
    char text[256];
    if (plan->on_cpu) return real->run(plan->real, args, error);
    staged_call *call = malloc(sizeof *call);
    if (!call) return fail(error, TENON_STATUS_NO_MEMORY, "staged host: no memory");
    int32_t status = TENON_OK;
    if (!staged_begin(real, plan->op, args, call, text, sizeof text))
        status = fail(error, TENON_STATUS_INVALID_ARGUMENT, text);
    if (!status) {
        const char *wrong = NULL;
        status = staged_failures_wanted()
                     ? staged_failing_run(real, plan->real, call, error, &wrong)
                     : real->run(plan->real, call->args, error);
        if (wrong) status = fail(error, TENON_STATUS_INTERNAL, wrong);
        if (!staged_collect(call, text, sizeof text) && !status)
            status = fail(error, TENON_STATUS_DEVICE_ERROR, text);
    }
    staged_end(call);
    free(call);
    return status;
}

static int32_t query(tenon_context *context, int32_t op, const void *args,
                     const tenon_plan_options *options, tenon_query *out, tenon_error *error) {
    char text[256];
    if (wants_cpu(options)) return real->query(context->cpu, op, args, options, out, error);
    staged_call *call = malloc(sizeof *call);
    if (!call) return fail(error, TENON_STATUS_NO_MEMORY, "staged host: no memory");
    int32_t status = staged_begin(real, op, args, call, text, sizeof text)
                         ? real->query(context->device, op, call->args, options, out, error)
                         : fail(error, TENON_STATUS_INVALID_ARGUMENT, text);
    staged_end(call);
    free(call);
    return status;
}

static int32_t plan_query(const tenon_plan *plan, tenon_query *out, tenon_error *error) {
    return real->plan_query(plan->real, out, error);
}
static int32_t plan_update(tenon_plan *plan, const void *args, tenon_error *error) {
    return real->plan_update(plan->real, args, error);
}
static void plan_destroy(tenon_plan *plan) {
    if (plan) real->plan_destroy(plan->real);
    free(plan);
}

/* As tenon_call does it, with a workspace of the device. */
static int32_t call(tenon_context *context, int32_t op, const void *args, tenon_error *error) {
    tenon_plan *plan;
    tenon_query q = {.struct_size = sizeof q};
    int32_t status = plan_create(context, op, args, NULL, &plan, error);
    if (status) return status;
    _Alignas(16) unsigned char copy[STAGED_MAX_ARGS_BYTES];
    uint32_t size;
    memcpy(&size, args, sizeof size);
    memcpy(copy, args, size);
    tenon_merge_states_args *head = (tenon_merge_states_args *)(void *)copy;
    status = plan_query(plan, &q, error);
    /* Only its size matters: the bytes are never touched on the host. */
    if (!head->workspace && q.workspace_bytes)
        head->workspace = copy, head->workspace_bytes = q.workspace_bytes;
    if (!status) status = run(plan, copy, error);
    plan_destroy(plan);
    return status;
}

static int32_t run_packed(const tenon_plan *plan, const tenon_value *values, uint32_t n,
                          tenon_error *error) {
    (void)plan, (void)values, (void)n;
    return fail(error, TENON_STATUS_UNSUPPORTED, "staged host: run_packed");
}
static int32_t call_packed(tenon_context *context, const char *op, const tenon_value *values,
                           uint32_t n, tenon_error *error) {
    (void)context, (void)op, (void)values, (void)n;
    return fail(error, TENON_STATUS_UNSUPPORTED, "staged host: call_packed");
}
static int32_t register_kernel(tenon_context *context, const tenon_foreign_kernel *kernel,
                               tenon_error *error) {
    (void)context, (void)kernel;
    return fail(error, TENON_STATUS_UNSUPPORTED, "staged host: register_kernel");
}
static int32_t closure_create(const tenon_plan *plan, const void *args, const char *signature,
                              tenon_closure **out, void (**function)(void), tenon_error *error) {
    (void)plan, (void)args, (void)signature, (void)out, (void)function;
    return fail(error, TENON_STATUS_UNSUPPORTED, "staged host: closure_create");
}

int32_t tenon_get_api(const tenon_host *host, uint32_t *inout_version, const tenon_api **out,
                      tenon_error *error) {
    char text[256] = "TENON_STAGED_LIBRARY names no libtenon.so";
    const char *path = getenv("TENON_STAGED_LIBRARY");
    void *library = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    void *entry = library ? dlsym(library, "tenon_get_api") : NULL;
    tenon_get_api_fn get_api;
    memcpy(&get_api, &entry, sizeof entry);
    if (!entry || !staged_device_open(text, sizeof text))
        return fail(error, TENON_STATUS_NOT_AVAILABLE, text);
    int32_t status = get_api(host, inout_version, &real, error);
    if (status) return status;
    staged = *real;
    staged.context_create = context_create;
    staged.context_destroy = context_destroy;
    staged.probe = probe;
    staged.kernel_info = kernel_info;
    staged.query = query;
    staged.plan_create = plan_create;
    staged.plan_query = plan_query;
    staged.plan_update = plan_update;
    staged.plan_destroy = plan_destroy;
    staged.run = run;
    staged.run_packed = run_packed;
    staged.call = call;
    staged.call_packed = call_packed;
    staged.register_kernel = register_kernel;
    staged.closure_create = closure_create;
    *out = &staged;
    return TENON_OK;
}
