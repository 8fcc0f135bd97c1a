/* SPDX-License-Identifier: Apache-2.0 */
#include "plan.h"

#include <string.h>

#include "foreign.h"
#include "registry.h"
#include "tensor.h"

static const char *op_name(int32_t op) {
    return tenon_schema_of(op)->info.name;
}

static int32_t read_options(const tenon_plan_options *given, tenon_plan_options *options,
                            int32_t op, tenon_error *error) {
    memset(options, 0, sizeof *options);
    if (!given) return TENON_OK;
    int32_t status = tenon_check_struct(given, sizeof *options, "plan options", op, error);
    if (status) return status;
    if (given->backend < 0 || given->backend >= TENON_BACKEND_COUNT)
        return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, op, -1,
                          "plan options: backend=%d, expected 0 to %d", given->backend,
                          TENON_BACKEND_COUNT - 1);
    *options = *given;
    return TENON_OK;
}

/* Picks and plans a kernel for a signature that is valid. reasons: what stood above the chosen one,
 * and why not. */
static int32_t prepare(tenon_plan *plan, const tenon_plan_options *options, char *reasons,
                       size_t reasons_bytes, tenon_error *error) {
    tenon_context *context = plan->context;
    const tenon_signature *sig = &plan->signature;
    int32_t op = sig->schema->info.op;
    const DLDevice *device = &sig->slot[0].tensor.device;
    tenon_backend_slot *slot =
        tenon_context_pick(context, options->backend, (int32_t)device->device_type, op, error);
    if (!slot)
        return error && error->struct_size >= sizeof *error ? error->status
                                                            : TENON_STATUS_NOT_AVAILABLE;

    plan->backend = slot->backend;
    if (slot->backend->before_plan) slot->backend->before_plan(slot->state);
    plan->kernel.problem =
        (tenon_problem){op, device->device_id, sig->args.bytes, slot->state, &context->platform};
    tenon_choice choice;
    int32_t status =
        tenon_registry_choose(context, slot, &plan->kernel.problem, options->kernel, &choice);
    if (reasons) snprintf(reasons, reasons_bytes, "%s", choice.reasons);
    if (status)
        return tenon_fail(error, status, op, -1, "%s: no kernel takes it: %s", op_name(op),
                          choice.reasons);
    plan->foreign = choice.foreign;
    plan->kernel.kernel = choice.foreign ? tenon_foreign_kernel_row(choice.foreign) : choice.kernel;
    if (plan->kernel.kernel->plan) status = plan->kernel.kernel->plan(&plan->kernel, error);
    if (choice.foreign) plan->kernel.state = (void *)(uintptr_t)choice.foreign;
    return status;
}

static void fill_query(const tenon_plan *plan, const char *reasons, tenon_query *q) {
    const tenon_kernel *kernel = plan->kernel.kernel;
    q->status = TENON_OK;
    q->traits = kernel->traits;
    q->backend = plan->backend->id;
    q->workspace_bytes = plan->kernel.workspace_bytes;
    q->workspace_bytes_max = plan->kernel.workspace_bytes_max > q->workspace_bytes
                                 ? plan->kernel.workspace_bytes_max
                                 : q->workspace_bytes;
    q->output_bytes = plan->kernel.output_bytes;
    snprintf(q->kernel, sizeof q->kernel, "%s", kernel->name);
    snprintf(q->reason, sizeof q->reason, "%s", reasons);
}

static void say(const tenon_plan *plan, const char *reasons) {
    const tenon_context *context = plan->context;
    const tenon_kernel *kernel = plan->kernel.kernel;
    const char *name = plan->signature.schema->info.name;
    bool fell_back =
        (kernel->traits & TENON_TRAIT_REFERENCE) && plan->backend->id == TENON_BACKEND_CPU;
    int32_t level = fell_back ? TENON_LOG_WARN : TENON_LOG_INFO;
    if (level > context->log_level) return;
    /* A host that plans in each step must not have the same warning in each step. */
    uint32_t bit = 1u << plan->signature.schema->info.op;
    if (fell_back && (__atomic_fetch_or(&plan->context->warned_ops, bit, __ATOMIC_RELAXED) & bit) &&
        context->log_level < TENON_LOG_INFO)
        return;
    bool why = reasons[0] && (fell_back || context->log_level >= TENON_LOG_DEBUG);
    tenon_log(context, level, "%s on %s: %s%s%s%s%s", name, plan->backend->name, kernel->name,
              fell_back ? " (the scalar reference)" : "", why ? "; above it, " : "",
              why ? reasons : "", "");
}

static void release(tenon_plan *plan) {
    if (plan->kernel.kernel && plan->kernel.kernel->release)
        plan->kernel.kernel->release(&plan->kernel);
    tenon_platform_release(&plan->context->platform, plan, sizeof *plan);
}

static int32_t make(tenon_context *context, int32_t op, const void *args,
                    const tenon_plan_options *given, tenon_plan **out, char *reasons,
                    size_t reasons_bytes, tenon_error *error) {
    tenon_plan_options options;
    /* Failures inside must be readable even if the caller wants no text. */
    tenon_error own = {.struct_size = sizeof own};
    tenon_error *to = error && error->struct_size >= sizeof *error ? error : &own;
    int32_t status = read_options(given, &options, op, to);
    if (!status) {
        tenon_plan *plan = tenon_platform_allocate(&context->platform, sizeof *plan);
        if (!plan) {
            status =
                tenon_fail(to, TENON_STATUS_NO_MEMORY, op, -1, "plan: %zu bytes", sizeof *plan);
        } else {
            memset(plan, 0, sizeof *plan);
            plan->context = context;
            status = tenon_validate(op, args, &plan->signature, to);
            if (!status) status = prepare(plan, &options, reasons, reasons_bytes, to);
            if (!status) tenon_planned_build(plan, args);
            if (!status)
                *out = plan;
            else
                release(plan);
        }
    }
    if (status && to == &own) tenon_fail(error, own.status, own.op, own.field, "%s", own.text);
    return status;
}

int32_t tenon_plan_create(tenon_context *context, int32_t op, const void *args,
                          const tenon_plan_options *options, tenon_plan **out, tenon_error *error) {
    char reasons[480] = "";
    tenon_plan *plan;
    if (!context || !out)
        return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, op, -1, "plan_create: %s is NULL",
                          context ? "out" : "context");
    int32_t status = make(context, op, args, options, &plan, reasons, sizeof reasons, error);
    if (status) return status;
    say(plan, reasons);
    *out = plan;
    return TENON_OK;
}

static int32_t check_query(const tenon_query *out, tenon_error *error) {
    if (!out || out->struct_size < offsetof(tenon_query, kernel) || out->struct_size > 65536)
        return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, -1, -1, "query: out is %s",
                          out ? "of a wrong struct_size" : "NULL");
    return TENON_OK;
}

int32_t tenon_query_call(tenon_context *context, int32_t op, const void *args,
                         const tenon_plan_options *options, tenon_query *out, tenon_error *error) {
    tenon_error why = {.struct_size = sizeof why};
    char reasons[480] = "";
    tenon_plan *plan;
    tenon_query q;
    int32_t status = check_query(out, error);
    if (status) return status;
    if (!context)
        return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, op, -1, "query: context is NULL");
    memset(&q, 0, sizeof q);
    status = make(context, op, args, options, &plan, reasons, sizeof reasons, &why);
    if (status) {
        q.status = status;
        snprintf(q.reason, sizeof q.reason, "%s", why.text);
    } else {
        fill_query(plan, reasons, &q);
        release(plan);
    }
    tenon_copy_out(out, &q, sizeof q);
    return TENON_OK;
}

int32_t tenon_plan_query(const tenon_plan *plan, tenon_query *out, tenon_error *error) {
    tenon_query q;
    int32_t status = check_query(out, error);
    if (status) return status;
    if (!plan)
        return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, -1, -1, "plan_query: plan is NULL");
    memset(&q, 0, sizeof q);
    fill_query(plan, "", &q);
    tenon_copy_out(out, &q, sizeof q);
    return TENON_OK;
}

int32_t tenon_plan_update(tenon_plan *plan, const void *args, tenon_error *error) {
    if (!plan || !args)
        return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, -1, -1, "plan_update: %s is NULL",
                          plan ? "args" : "plan");
    int32_t status = tenon_check_head(plan->signature.schema, args, error);
    if (status || !plan->kernel.kernel->update) return status;
    return plan->kernel.kernel->update(&plan->kernel, args, error);
}

void tenon_plan_destroy(tenon_plan *plan) {
    if (plan) release(plan);
}
