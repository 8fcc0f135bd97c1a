/* SPDX-License-Identifier: Apache-2.0 */
/* A plan as a plain C function, for code that has no user pointer: each call works on its own copy
 * of the model args, on the stack. */
#include <string.h>

#include "foreign.h"
#include "signature.h"
#include "tensor.h"

/* One args struct with all that its pointers lead to. Tensors stand at the index of their slot in
 * the schema. */
typedef struct bundle {
    tenon_packed_args packed;
    DLTensor tensor[TENON_MAX_SLOTS];
    int64_t extent[TENON_MAX_SLOTS][TENON_MAX_NDIM];
    int64_t stride[TENON_MAX_SLOTS][TENON_MAX_NDIM];
} bundle;

struct tenon_closure {
    const tenon_plan *plan;
    ffi_closure *callable;
    tenon_call_form form;
    bundle model;
};

static const DLTensor **slot_place(const tenon_slot_rule *rule, void *args) {
    char *at = (char *)args + rule->offset;
    return rule->member < 0 ? (const DLTensor **)at
                            : (const DLTensor **)(*(char **)at + rule->member_offset);
}

/* Copies what `from` leads to into `to`; from and to->packed.args may not be the same memory.
 * Strides that are NULL stay NULL. */
static void copy_args(const tenon_schema *schema, const void *from, bundle *to) {
    unsigned char *args = to->packed.args.bytes;
    memcpy(args, from, schema->info.args_size_bytes);
    to->packed.args.head.struct_size = schema->info.args_size_bytes;
    for (int q = 0; q < schema->n_quants; q++) {
        const tenon_quant **at = (const tenon_quant **)(args + schema->quant_offset[q]);
        if (!*at) continue;
        to->packed.quant[q] = **at;
        to->packed.quant[q].struct_size = sizeof(tenon_quant);
        *at = &to->packed.quant[q];
    }
    for (int i = 0; i < schema->n_slots; i++) {
        const DLTensor *t = tenon_slot_tensor(&schema->slots[i], args);
        if (!t) continue;
        to->tensor[i] = *t;
        if (t->ndim) memcpy(to->extent[i], t->shape, (size_t)t->ndim * sizeof(int64_t));
        to->tensor[i].shape = to->extent[i];
        if (t->strides) {
            memcpy(to->stride[i], t->strides, (size_t)t->ndim * sizeof(int64_t));
            to->tensor[i].strides = to->stride[i];
        }
        *slot_place(&schema->slots[i], args) = &to->tensor[i];
    }
}

/* A narrower or wider integer of the call to the width of its place. A value that does not fit is
 * found by the plan's own checks: it becomes one that no plan has. */
static void store_plain(const tenon_accessor *a, const tenon_call_value *v, void *at) {
    int64_t integer = a->type == TENON_CALL_i32   ? v->as_i32
                      : a->type == TENON_CALL_u32 ? (int64_t)v->as_u32
                                                  : v->as_i64;
    switch (a->stored) {
    case TENON_CALL_ptr:
        *(void **)at = v->as_ptr;
        break;
    case TENON_CALL_f32:
        *(float *)at = a->type == TENON_CALL_f64 ? (float)v->as_f64 : v->as_f32;
        break;
    case TENON_CALL_i32:
    case TENON_CALL_u32:
        *(int32_t *)at = integer == (int32_t)integer ? (int32_t)integer : INT32_MIN;
        break;
    default:
        *(int64_t *)at = integer;
        break;
    }
}

static void apply(const tenon_accessor *a, const tenon_call_value *v, bundle *b) {
    if (a->source == TENON_SOURCE_PLAIN) {
        char *at = (char *)b->packed.args.bytes + a->offset;
        store_plain(a, v, a->member_offset < 0 ? at : *(char **)at + a->member_offset);
    } else if (a->source == TENON_SOURCE_DATA) {
        b->tensor[a->slot].data = v->as_ptr;
        b->tensor[a->slot].byte_offset = 0;
    } else {
        tenon_call_value wide;
        tenon_accessor to_i64 = *a;
        to_i64.stored = TENON_CALL_i64;
        store_plain(&to_i64, v, &wide.as_i64);
        (a->source == TENON_SOURCE_SHAPE ? b->extent : b->stride)[a->slot][a->index] = wide.as_i64;
    }
}

static void call_plan(ffi_cif *cif, void *result, void **values, void *user) {
    const tenon_closure *closure = user;
    const tenon_call_form *form = &closure->form;
    tenon_error error = {.struct_size = sizeof error};
    bundle own;
    (void)cif;
    copy_args(form->schema, closure->model.packed.args.bytes, &own);
    for (uint32_t i = 0; i < form->n_args; i++) {
        tenon_call_value value;
        memcpy(&value, values[i], form->types[i]->size);
        apply(&form->args[i], &value, &own);
    }
    int32_t status = tenon_run(closure->plan, own.packed.args.bytes, &error);
    /* A bare function has nowhere to put the text. */
    if (status) tenon_log(closure->plan->context, TENON_LOG_ERROR, "closure: %s", error.text);
    if (form->returns_status) *(ffi_sarg *)result = status;
}

static int32_t fail_source(const tenon_call_form *form, const tenon_accessor *a, const char *why,
                           tenon_error *error) {
    return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, form->schema->info.op, -1,
                      "%s: signature, column %d, %.*s: %s", form->schema->info.name, a->text_at + 1,
                      (int)a->text_bytes, form->text + a->text_at, why);
}

/* Two arguments for one place, or for a tensor and a part of it, would make the result depend on
 * their order. */
static bool same_place(const tenon_accessor *a, const tenon_accessor *b) {
    if (a->slot >= 0 && a->slot == b->slot)
        return a->source == TENON_SOURCE_PLAIN || b->source == TENON_SOURCE_PLAIN ||
               (a->source == b->source && a->index == b->index);
    return a->source == TENON_SOURCE_PLAIN && b->source == TENON_SOURCE_PLAIN &&
           a->offset == b->offset && a->member_offset == b->member_offset;
}

/* What of the grammar is a destination, and does the model have it? */
static int32_t check_destination(tenon_closure *closure, uint32_t index, tenon_error *error) {
    const tenon_call_form *form = &closure->form;
    const tenon_accessor *a = &form->args[index];
    bundle *b = &closure->model;
    if (a->source == TENON_SOURCE_ARGS || a->source == TENON_SOURCE_USER)
        return fail_source(form, a, "is no part of the args", error);
    for (uint32_t i = 0; i < index; i++)
        if (same_place(&form->args[i], a))
            return fail_source(form, a, "is set by another argument too", error);
    if (a->source == TENON_SOURCE_PLAIN && a->slot < 0) {
        if (a->member_offset < 0 && a->offset == offsetof(tenon_args_head, flags))
            return fail_source(form, a, "is fixed by the plan", error);
        for (int q = 0; q < form->schema->n_quants; q++)
            if (a->offset == form->schema->quant_offset[q] && a->member_offset < 0)
                return fail_source(form, a, "a descriptor cannot be replaced as a whole", error);
    }
    if (a->member_offset >= 0 && !*(void **)(b->packed.args.bytes + a->offset))
        return fail_source(form, a, "the model has no such descriptor", error);
    if (a->source == TENON_SOURCE_PLAIN) return TENON_OK;
    DLTensor *t = &b->tensor[a->slot];
    if (!t->shape) return fail_source(form, a, "the model has NULL there", error);
    if (a->source == TENON_SOURCE_DATA) return TENON_OK;
    if (a->index >= t->ndim)
        return fail_source(form, a, "the model's tensor has a smaller rank", error);
    if (a->source == TENON_SOURCE_STRIDE && !t->strides) {
        tenon_compact_strides(t->shape, t->ndim, b->stride[a->slot]);
        t->strides = b->stride[a->slot];
    }
    return TENON_OK;
}

/* The model must be a struct of the plan's form; its values are checked in each call. */
static int32_t check_model(const tenon_plan *plan, const void *args, tenon_error *error) {
    const tenon_schema *schema = plan->signature.schema;
    int32_t status = tenon_check_head(schema, args, error);
    if (status) return status;
    for (int q = 0; q < schema->n_quants; q++) {
        const tenon_quant *quant =
            *(const tenon_quant *const *)((const char *)args + schema->quant_offset[q]);
        if (quant && (status = tenon_check_quant_head(schema, q, quant, error))) return status;
    }
    for (int i = 0; i < schema->n_slots; i++) {
        const DLTensor *t = tenon_slot_tensor(&schema->slots[i], args);
        if (t && (t->ndim < 0 || t->ndim > TENON_MAX_NDIM || (t->ndim && !t->shape)))
            return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, schema->info.op,
                              schema->slots[i].field, "%s: %s: ndim=%d, shape=%p",
                              schema->info.name, schema->info.fields[schema->slots[i].field].name,
                              t->ndim, (void *)t->shape);
    }
    return TENON_OK;
}

int32_t tenon_closure_create(const tenon_plan *plan, const void *args, const char *signature,
                             tenon_closure **out, void (**function)(void), tenon_error *error) {
    if (!plan || !args || !out || !function)
        return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, -1, -1,
                          "closure_create: %s is NULL",
                          !plan   ? "plan"
                          : !args ? "args"
                          : !out  ? "out"
                                  : "function");
    const tenon_schema *schema = plan->signature.schema;
    int32_t status = check_model(plan, args, error);
    if (status) return status;
    tenon_closure *closure = tenon_platform_allocate(&plan->context->platform, sizeof *closure);
    if (!closure)
        return tenon_fail(error, TENON_STATUS_NO_MEMORY, schema->info.op, -1, "closure: %zu bytes",
                          sizeof *closure);
    memset(closure, 0, sizeof *closure);
    closure->plan = plan;
    status = tenon_form_compile(schema, signature, &closure->form, error);
    if (!status) {
        copy_args(schema, args, &closure->model);
        closure->model.packed.args.head.ext = NULL;
        for (uint32_t i = 0; !status && i < closure->form.n_args; i++)
            status = check_destination(closure, i, error);
    }
    void *code = NULL;
    if (!status && !(closure->callable = ffi_closure_alloc(sizeof(ffi_closure), &code)))
        status = tenon_fail(error, TENON_STATUS_NO_MEMORY, schema->info.op, -1,
                            "closure: libffi got no executable memory");
    if (!status && ffi_prep_closure_loc(closure->callable, &closure->form.cif, call_plan, closure,
                                        code) != FFI_OK)
        status = tenon_fail(error, TENON_STATUS_INTERNAL, schema->info.op, -1,
                            "closure: libffi does not take the signature \"%.100s\"",
                            closure->form.text);
    if (status) {
        tenon_closure_destroy(closure);
        return status;
    }
    *out = closure;
    *(void **)function = code;
    return TENON_OK;
}

void tenon_closure_destroy(tenon_closure *closure) {
    if (!closure) return;
    if (closure->callable) ffi_closure_free(closure->callable);
    tenon_platform_release(&closure->plan->context->platform, closure, sizeof *closure);
}
