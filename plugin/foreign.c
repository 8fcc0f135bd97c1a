/* SPDX-License-Identifier: Apache-2.0 */
/* A host's function as a kernel row: its signature is compiled when it is registered, so that a run
 * only reads values and calls. */
#include "foreign.h"

#include <string.h>

#include "signature.h"

static const tenon_foreign *foreign_of(const tenon_kernel *row) {
    return (const tenon_foreign *)row;
}

static int32_t run_foreign(const tenon_kernel_plan *plan, const void *args, tenon_error *error) {
    const tenon_foreign *f = foreign_of(plan->kernel);
    const tenon_call_form *form = f->form;
    tenon_call_value values[TENON_MAX_CALL_ARGS];
    void *pointers[TENON_MAX_CALL_ARGS];
    union {
        ffi_arg widened; /* libffi writes a whole register */
        ffi_sarg value;
    } result = {0};
    for (uint32_t i = 0; i < form->n_args; i++) {
        int32_t status =
            tenon_form_read(form, &form->args[i], args, f->info.user, &values[i], error);
        if (status) return status;
        pointers[i] = &values[i];
    }
    /* libffi takes a mutable cif but only reads it. */
    ffi_call((ffi_cif *)(uintptr_t)&form->cif, f->info.function, &result, pointers);
    if (form->returns_status && (int32_t)result.value)
        return tenon_fail(error, TENON_STATUS_DEVICE_ERROR, f->info.op, -1,
                          "%s: the host's kernel %s returned %d", form->schema->info.name, f->name,
                          (int32_t)result.value);
    return TENON_OK;
}

static int32_t plan_foreign(tenon_kernel_plan *plan, tenon_error *error) {
    (void)error;
    plan->workspace_bytes = foreign_of(plan->kernel)->info.workspace_bytes;
    return TENON_OK;
}

/* An extent that the signature names must exist; the rank is known only when there is a problem. */
const char *tenon_foreign_why_not(const tenon_foreign *f, const tenon_problem *problem,
                                  tenon_reason *reason) {
    reason->text[0] = 0;
    for (uint32_t i = 0; i < f->form->n_args; i++) {
        const tenon_accessor *a = &f->form->args[i];
        if (a->source != TENON_SOURCE_SHAPE && a->source != TENON_SOURCE_STRIDE) continue;
        const DLTensor *t = tenon_accessor_tensor(a, problem->args);
        if (t && a->index >= t->ndim)
            return tenon_decline(reason, "its signature reads %.*s of a tensor of rank %d",
                                 (int)a->text_bytes, f->form->text + a->text_at, t->ndim);
    }
    if (!f->info.when ||
        f->info.when(f->info.user, problem->args, reason->text, sizeof reason->text))
        return NULL;
    reason->text[sizeof reason->text - 1] = 0;
    return reason->text[0] ? reason->text : tenon_decline(reason, "the host's predicate declined");
}

/* Everything that can be wrong with the struct, before anything is allocated. */
static int32_t check_struct(const tenon_foreign_kernel *k, tenon_error *error) {
    int32_t status = tenon_check_struct(k, sizeof *k, "register_kernel", -1, error);
    if (status) return status;
    const uint32_t traits =
        (uint32_t)(TENON_TRAIT_END - 1) * 2 - 1; /* the largest trait's bit and all below it */
#define REQUIRE(condition, ...)                                                                    \
    if (!(condition))                                                                              \
    return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, -1, -1, "register_kernel: " __VA_ARGS__)
    REQUIRE(k->op >= 0 && k->op < TENON_OP_COUNT, "op=%d, expected 0 to %d", k->op,
            TENON_OP_COUNT - 1);
    REQUIRE(k->name && k->name[0], "name is %s", k->name ? "empty" : "NULL");
    REQUIRE(strlen(k->name) < sizeof((tenon_query *)0)->kernel,
            "name has %zu characters, at most %zu", strlen(k->name),
            sizeof((tenon_query *)0)->kernel - 1);
    REQUIRE(!strpbrk(k->name, "* \t\n"), "name \"%s\" has a space or a '*'", k->name);
    REQUIRE(k->function, "function is NULL");
    REQUIRE(k->backend >= 0 && k->backend < TENON_BACKEND_COUNT, "backend=%d, expected 0 to %d",
            k->backend, TENON_BACKEND_COUNT - 1);
    REQUIRE(!(k->traits & ~traits), "traits=0x%x has unknown bits 0x%x", k->traits,
            k->traits & ~traits);
    REQUIRE(!k->reserved, "reserved=%u, must be 0", k->reserved);
    REQUIRE(k->workspace_bytes <= INT64_MAX / 2, "workspace_bytes=%llu",
            (unsigned long long)k->workspace_bytes);
#undef REQUIRE
    return TENON_OK;
}

static int32_t make(tenon_context *context, const tenon_foreign_kernel *kernel, tenon_foreign **out,
                    tenon_error *error) {
    size_t name_bytes = strlen(kernel->name) + 1;
    tenon_foreign *f = tenon_platform_allocate(&context->platform, sizeof *f);
    if (!f)
        return tenon_fail(error, TENON_STATUS_NO_MEMORY, kernel->op, -1,
                          "register_kernel: %zu bytes", sizeof *f);
    memset(f, 0, sizeof *f);
    f->name = tenon_platform_allocate(&context->platform, name_bytes);
    f->name_bytes = name_bytes;
    f->form = tenon_platform_allocate(&context->platform, sizeof *f->form);
    int32_t status = TENON_STATUS_NO_MEMORY;
    if (!f->name || !f->form)
        tenon_fail(error, status, kernel->op, -1, "register_kernel: %zu bytes",
                   name_bytes + sizeof *f->form);
    else
        status = tenon_form_compile(tenon_schema_of(kernel->op), kernel->signature, f->form, error);
    if (status) {
        tenon_foreign_destroy(context, f);
        return status;
    }
    memcpy(f->name, kernel->name, name_bytes);
    f->info = *kernel;
    f->info.struct_size = sizeof f->info;
    f->info.name = f->name;
    f->info.signature = f->form->text;
    f->row = (tenon_kernel){.name = f->name,
                            .op = kernel->op,
                            .traits = kernel->traits | TENON_TRAIT_FOREIGN,
                            .checked_on = "compiled",
                            .plan = plan_foreign,
                            .run = run_foreign};
    *out = f;
    return TENON_OK;
}

/* Under the lock: finds the place that keeps the list sorted, or says why there is none. */
static int32_t insert(tenon_context *context, tenon_foreign *f, tenon_error *error) {
    uint32_t at = context->n_foreign;
    if (at == TENON_MAX_FOREIGN)
        return tenon_fail(error, TENON_STATUS_UNSUPPORTED, f->info.op, -1,
                          "register_kernel: a context takes at most %d kernels", TENON_MAX_FOREIGN);
    for (uint32_t i = 0; i < context->n_foreign; i++)
        if (context->foreign[i]->info.op == f->info.op &&
            !strcmp(context->foreign[i]->name, f->name))
            return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, f->info.op, -1,
                              "register_kernel: %s has a kernel with the name \"%s\" already",
                              f->form->schema->info.name, f->name);
    for (; at > 0 && context->foreign[at - 1]->info.priority < f->info.priority; at--)
        context->foreign[at] = context->foreign[at - 1];
    context->foreign[at] = f;
    context->n_foreign++;
    return TENON_OK;
}

int32_t tenon_register_kernel(tenon_context *context, const tenon_foreign_kernel *kernel,
                              tenon_error *error) {
    tenon_foreign *f = NULL;
    if (!context || !kernel)
        return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, -1, -1,
                          "register_kernel: %s is NULL", context ? "kernel" : "context");
    int32_t status = check_struct(kernel, error);
    if (!status) status = make(context, kernel, &f, error);
    if (status) return status;
    pthread_mutex_lock(&context->lock);
    status = insert(context, f, error);
    pthread_mutex_unlock(&context->lock);
    if (status) tenon_foreign_destroy(context, f);
    return status;
}

uint32_t tenon_foreign_list(tenon_context *context, tenon_foreign **list) {
    pthread_mutex_lock(&context->lock);
    uint32_t n = context->n_foreign;
    memcpy(list, context->foreign, n * sizeof *list);
    pthread_mutex_unlock(&context->lock);
    return n;
}

void tenon_foreign_destroy(tenon_context *context, tenon_foreign *foreign) {
    if (!foreign) return;
    tenon_platform_release(&context->platform, foreign->form, sizeof *foreign->form);
    tenon_platform_release(&context->platform, foreign->name, foreign->name_bytes);
    tenon_platform_release(&context->platform, foreign, sizeof *foreign);
}
