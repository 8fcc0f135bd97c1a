/* SPDX-License-Identifier: Apache-2.0 */
/* Tagged values to an args struct: for hosts that know operations by name only. */
#include <string.h>

#include "plan.h"

static int32_t fail_value(const tenon_schema *schema, const tenon_field_info *f, int32_t field, int32_t type, tenon_error *error) {
    return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, schema->info.op, field, "%s: %s is of kind %s and does not take a value of type %d", schema->info.name,
                      f->name, f->kind, type);
}

/* One value to one place. Integers are accepted for floats, not the other way round. */
static bool store(const tenon_field_info *f, const tenon_value *v, void *at) {
    bool is_pointer = f->size_bytes == sizeof(void *) && strcmp(f->kind, "i64");
    if (is_pointer) {
        if (v->type != TENON_VALUE_NONE && v->type != TENON_VALUE_TENSOR && v->type != TENON_VALUE_POINTER) return false;
        *(const void **)at = v->type == TENON_VALUE_NONE ? NULL : v->v.as_pointer;
    } else if (f->kind[0] == 'f') {
        if (v->type != TENON_VALUE_FLOAT && v->type != TENON_VALUE_INT && v->type != TENON_VALUE_NONE) return false;
        *(float *)at = v->type == TENON_VALUE_FLOAT ? (float)v->v.as_float : v->type == TENON_VALUE_INT ? (float)v->v.as_int : 0;
    } else {
        if (v->type != TENON_VALUE_INT && v->type != TENON_VALUE_BOOL && v->type != TENON_VALUE_NONE) return false;
        int64_t value = v->type == TENON_VALUE_NONE ? 0 : v->v.as_int;
        if (f->size_bytes == 8)
            *(int64_t *)at = value;
        else if (value < INT32_MIN || value > INT32_MAX)
            return false;
        else
            *(int32_t *)at = (int32_t)value;
    }
    return true;
}

static int32_t store_head(const tenon_schema *schema, const tenon_value *v, tenon_args_head *head, tenon_error *error) {
    bool is_int = v->type == TENON_VALUE_INT, is_pointer = v->type == TENON_VALUE_POINTER || v->type == TENON_VALUE_NONE;
    void *pointer = v->type == TENON_VALUE_POINTER ? v->v.as_pointer : NULL;
    if (v->field == TENON_FIELD_FLAGS && is_int && v->v.as_int >= 0 && v->v.as_int <= UINT32_MAX)
        head->flags = (uint32_t)v->v.as_int;
    else if (v->field == TENON_FIELD_STREAM && is_pointer)
        head->stream = pointer;
    else if (v->field == TENON_FIELD_WORKSPACE && is_pointer)
        head->workspace = pointer;
    else if (v->field == TENON_FIELD_WORKSPACE && v->type == TENON_VALUE_TENSOR && v->v.as_tensor->ndim == 1 && v->v.as_tensor->dtype.bits == 8) {
        head->workspace = tenon_data(v->v.as_tensor);
        head->workspace_bytes = (uint64_t)v->v.as_tensor->shape[0];
    } else if (v->field == TENON_FIELD_WORKSPACE_BYTES && is_int)
        head->workspace_bytes = (uint64_t)v->v.as_int;
    else if (v->field == TENON_FIELD_FAULT && is_pointer)
        head->fault = pointer;
    else
        return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, schema->info.op, -1, "%s: value of type %d for field 0x%x", schema->info.name, v->type, v->field);
    return TENON_OK;
}

int32_t tenon_unpack_values(const tenon_schema *schema, const tenon_value *values, uint32_t n_values, tenon_packed_args *out, tenon_error *error) {
    const tenon_op_info *info = &schema->info, *quant = tenon_quant_schema();
    memset(out->args.bytes, 0, info->args_size_bytes);
    out->args.head.struct_size = info->args_size_bytes;
    for (uint32_t i = 0; i < n_values; i++) {
        const tenon_value *v = &values[i];
        uint32_t field = v->field & 0xffff, member = v->field >> 16;
        if (field >= TENON_FIELD_FLAGS) {
            int32_t status = store_head(schema, v, &out->args.head, error);
            if (status) return status;
            continue;
        }
        bool is_quant_flags = member == TENON_FIELD_FLAGS + 1;
        if (field >= info->n_fields || (member > quant->n_fields && !is_quant_flags))
            return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, info->op, -1, "%s: value %u names field 0x%x, there are %u", info->name, i, v->field, info->n_fields);
        const tenon_field_info *f = &info->fields[field];
        void *at = out->args.bytes + f->offset_bytes;
        if (member) {
            int q = 0;
            while (q < schema->n_quants && schema->quant_field[q] != field) q++;
            if (q == schema->n_quants) return fail_value(schema, f, (int32_t)field, v->type, error);
            if (!*(const tenon_quant **)at) {
                memset(&out->quant[q], 0, sizeof out->quant[q]);
                out->quant[q].struct_size = sizeof out->quant[q];
                *(const tenon_quant **)at = &out->quant[q];
            } else if (*(const tenon_quant **)at != &out->quant[q]) {
                return fail_value(schema, f, (int32_t)field, v->type, error);
            }
            if (is_quant_flags) {
                if (v->type != TENON_VALUE_INT || v->v.as_int < 0 || v->v.as_int > UINT32_MAX) return fail_value(schema, f, (int32_t)field, v->type, error);
                out->quant[q].flags = (uint32_t)v->v.as_int;
                continue;
            }
            f = &quant->fields[member - 1];
            at = (char *)&out->quant[q] + f->offset_bytes;
        }
        if (!store(f, v, at)) return fail_value(schema, f, (int32_t)field, v->type, error);
    }
    return TENON_OK;
}

int32_t tenon_run_packed(const tenon_plan *plan, const tenon_value *values, uint32_t n_values, tenon_error *error) {
    tenon_packed_args packed;
    if (!plan || (!values && n_values)) return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, -1, -1, "run_packed: %s is NULL", plan ? "values" : "plan");
    int32_t status = tenon_unpack_values(plan->signature.schema, values, n_values, &packed, error);
    return status ? status : tenon_run(plan, packed.args.bytes, error);
}

int32_t tenon_call_packed(tenon_context *context, const char *op, const tenon_value *values, uint32_t n_values, tenon_error *error) {
    tenon_packed_args packed;
    int32_t number = op ? tenon_op_by_name(op) : -1;
    if (number < 0) return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, -1, -1, "call_packed: no operation has the name \"%s\"", op ? op : "(null)");
    if (!values && n_values) return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, number, -1, "call_packed: values is NULL");
    int32_t status = tenon_unpack_values(tenon_schema_of(number), values, n_values, &packed, error);
    return status ? status : tenon_call(context, number, packed.args.bytes, error);
}
