/* SPDX-License-Identifier: Apache-2.0 */
/* Tagged values to an args struct: for hosts that know operations by name only. */
#include <string.h>

#include "plan.h"

#define COUNT_ONE(kind, name, types, shape, doc) +1u
enum { TENON_QUANT_MEMBER_COUNT = 0 TENON_QUANT_FIELDS(COUNT_ONE), TENON_ZERO_BYTES = 64 };
_Static_assert(TENON_MAX_ARGS_BYTES % TENON_ZERO_BYTES == 0, "args are zeroed in whole blocks");

static int32_t fail_value(const tenon_schema *schema, const tenon_value *v, tenon_error *error)
    __attribute__((cold, noinline));
static int32_t fail_value(const tenon_schema *schema, const tenon_value *v, tenon_error *error) {
    uint32_t field = v->field & 0xffff, member = v->field >> 16;
    const tenon_field_info *f = &schema->info.fields[field];
    bool names_member = member && member <= tenon_quant_schema()->n_fields;
    const tenon_field_info *m = names_member ? &tenon_quant_schema()->fields[member - 1] : NULL;
    return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, schema->info.op, (int32_t)field,
                      "%s: %s%s%s is of kind %s and does not take this value of type %d",
                      schema->info.name, f->name, m ? "." : "", m ? m->name : "",
                      m ? m->kind : f->kind, v->type);
}

/* One value to one place. Integers are accepted for floats, not the other way round; a value of no
 * type is NULL or 0. */
static inline bool store(uint8_t kind, const tenon_value *v, void *at) {
    const bool is_none = v->type == TENON_VALUE_NONE, is_int = v->type == TENON_VALUE_INT;
    const int64_t whole = is_none ? 0 : v->v.as_int;
    switch (kind) {
    case TENON_STORE_TENSOR:
        *(const DLTensor **)at = is_none ? NULL : v->v.as_tensor;
        return is_none || v->type == TENON_VALUE_TENSOR;
    case TENON_STORE_QUANT:
        *(void **)at = is_none ? NULL : v->v.as_pointer;
        return is_none || v->type == TENON_VALUE_POINTER;
    case TENON_STORE_I64:
        *(int64_t *)at = whole;
        return is_none || is_int || v->type == TENON_VALUE_BOOL;
    case TENON_STORE_I32:
        *(int32_t *)at = (int32_t)whole;
        return (is_none || is_int || v->type == TENON_VALUE_BOOL) && whole == (int32_t)whole;
    default:
        *(float *)at = v->type == TENON_VALUE_FLOAT ? (float)v->v.as_float : (float)whole;
        return is_none || is_int || v->type == TENON_VALUE_FLOAT;
    }
}

static int32_t store_head(const tenon_schema *schema, const tenon_value *v, tenon_args_head *head,
                          tenon_error *error) {
    bool is_int = v->type == TENON_VALUE_INT,
         is_pointer = v->type == TENON_VALUE_POINTER || v->type == TENON_VALUE_NONE;
    void *pointer = v->type == TENON_VALUE_POINTER ? v->v.as_pointer : NULL;
    if (v->field == TENON_FIELD_FLAGS && is_int && v->v.as_int >= 0 && v->v.as_int <= UINT32_MAX)
        head->flags = (uint32_t)v->v.as_int;
    else if (v->field == TENON_FIELD_STREAM && is_pointer)
        head->stream = pointer;
    else if (v->field == TENON_FIELD_WORKSPACE && v->type == TENON_VALUE_NONE)
        head->workspace = NULL;
    else if (v->field == TENON_FIELD_WORKSPACE && v->type == TENON_VALUE_TENSOR &&
             v->v.as_tensor->ndim == 1 && v->v.as_tensor->dtype.bits == 8) {
        head->workspace = tenon_data(v->v.as_tensor);
        head->workspace_bytes = (uint64_t)v->v.as_tensor->shape[0];
    } else if (v->field == TENON_FIELD_FAULT && is_pointer)
        head->fault = pointer;
    else
        return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, schema->info.op, -1,
                          "%s: value of type %d for field 0x%x", schema->info.name, v->type,
                          v->field);
    return TENON_OK;
}

/* A member of a descriptor: the first one makes the descriptor. */
static bool store_member(const tenon_schema *schema, const tenon_value *v, tenon_packed_args *out) {
    const tenon_field_code *code = &schema->code[v->field & 0xffff];
    uint32_t member = (v->field >> 16) - 1;
    if (code->store != TENON_STORE_QUANT) return false;
    tenon_quant *quant = &out->quant[code->quant],
                **at = (tenon_quant **)(out->args.bytes + code->offset);
    if (*at && *at != quant) return false; /* given as a whole before */
    if (!*at) {
        memset(quant, 0, sizeof *quant);
        quant->struct_size = sizeof *quant;
        *at = quant;
    }
    if (member == TENON_FIELD_FLAGS) {
        quant->flags = (uint32_t)v->v.as_int;
        return v->type == TENON_VALUE_INT && v->v.as_int >= 0 && v->v.as_int <= UINT32_MAX;
    }
    const tenon_field_code *part = &tenon_quant_codes()[member];
    return store(part->store, v, (char *)quant + part->offset);
}

int32_t tenon_unpack_values(const tenon_schema *schema, const tenon_value *values,
                            uint32_t n_values, tenon_packed_args *out, tenon_error *error) {
    const tenon_op_info *info = &schema->info;
    for (uint32_t at = 0; at < info->args_size_bytes; at += TENON_ZERO_BYTES)
        memset(out->args.bytes + at, 0, TENON_ZERO_BYTES); /* a few stores of a constant size */
    out->args.head.struct_size = info->args_size_bytes;
    for (uint32_t i = 0; i < n_values; i++) {
        const tenon_value *v = &values[i];
        const uint32_t field = v->field & 0xffff, member = v->field >> 16;
        if (v->field < info->n_fields) { /* so no member */
            const tenon_field_code code = schema->code[field];
            if (v->type == code.whole)
                memcpy(out->args.bytes + code.offset, &v->v, sizeof v->v);
            else if (code.store == TENON_STORE_I32 && v->type == TENON_VALUE_INT &&
                     v->v.as_int == (int32_t)v->v.as_int)
                memcpy(out->args.bytes + code.offset, &(int32_t){(int32_t)v->v.as_int}, 4);
            else if (!store(code.store, v, out->args.bytes + code.offset))
                return fail_value(schema, v, error);
        } else if (field < info->n_fields &&
                   (member <= TENON_QUANT_MEMBER_COUNT || member == TENON_FIELD_FLAGS + 1)) {
            if (!store_member(schema, v, out)) return fail_value(schema, v, error);
        } else if (v->field == TENON_FIELD_WORKSPACE && v->type == TENON_VALUE_POINTER) {
            out->args.head.workspace = v->v.as_pointer;
        } else if (v->field == TENON_FIELD_WORKSPACE_BYTES && v->type == TENON_VALUE_INT) {
            out->args.head.workspace_bytes = (uint64_t)v->v.as_int;
        } else if (field >= TENON_FIELD_FLAGS && !member) {
            int32_t status = store_head(schema, v, &out->args.head, error);
            if (status) return status;
        } else {
            return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, info->op, -1,
                              "%s: value %u names field 0x%x, there are %u", info->name, i,
                              v->field, info->n_fields);
        }
    }
    return TENON_OK;
}

int32_t tenon_run_packed(const tenon_plan *plan, const tenon_value *values, uint32_t n_values,
                         tenon_error *error) {
    tenon_packed_args packed;
    if (!plan || (!values && n_values))
        return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, -1, -1, "run_packed: %s is NULL",
                          plan ? "values" : "plan");
    int32_t status = tenon_unpack_values(plan->signature.schema, values, n_values, &packed, error);
    return status ? status : tenon_run(plan, packed.args.bytes, error);
}

int32_t tenon_call_packed(tenon_context *context, const char *op, const tenon_value *values,
                          uint32_t n_values, tenon_error *error) {
    tenon_packed_args packed;
    int32_t number = op ? tenon_op_by_name(op) : -1;
    if (number < 0)
        return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, -1, -1,
                          "call_packed: no operation has the name \"%s\"", op ? op : "(null)");
    if (!values && n_values)
        return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, number, -1,
                          "call_packed: values is NULL");
    int32_t status = tenon_unpack_values(tenon_schema_of(number), values, n_values, &packed, error);
    return status ? status : tenon_call(context, number, packed.args.bytes, error);
}
