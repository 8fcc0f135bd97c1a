/* SPDX-License-Identifier: Apache-2.0 */
/* Arguments against their operation's field list. Everything here is read from the list; what the
 * list cannot say is in op_<op>.c. */
#include <math.h>
#include <string.h>

#include "op_check.h"
#include "plan.h"
#include "tensor.h"

enum { MAX_EXTENSIONS = 64 };

static const tenon_op_check checks[] = {
#define CHECK(op, OP, number, doc) [number] = tenon_check_##op,
    TENON_OP_LIST(CHECK)};

int32_t tenon_fail_field(tenon_error *error, int32_t status, const char *op, const char *name,
                         int32_t field, const char *format, ...) {
    char text[400];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    return tenon_fail(error, status, tenon_op_by_name(op), field, "%s: %s: %s", op, name, text);
}

int32_t tenon_check_extensions(const tenon_ext *ext, int32_t op, tenon_error *error) {
    for (int n = 0; ext; ext = ext->next, n++) {
        if (ext->struct_size < sizeof *ext || n == MAX_EXTENSIONS)
            return tenon_fail(
                error, TENON_STATUS_INVALID_ARGUMENT, op, -1,
                "extension %d of the chain: struct_size=%u, at least %zu; at most %d in a chain", n,
                ext->struct_size, sizeof *ext, MAX_EXTENSIONS);
        if (ext->id & TENON_EXT_MUST_UNDERSTAND)
            return tenon_fail(
                error, TENON_STATUS_UNSUPPORTED, op, -1,
                "extension 0x%x must be understood, and version %u.%u does not know it", ext->id,
                TENON_VERSION_MAJOR, TENON_VERSION_MINOR);
    }
    return TENON_OK;
}

int32_t tenon_check_head(const tenon_schema *schema, const void *args, tenon_error *error) {
    const tenon_args_head *head = args;
    const tenon_op_info *info = &schema->info;
    int32_t status = tenon_check_struct(args, info->args_size_bytes, info->name, info->op, error);
    if (status) return status;
    if (head->flags & ~schema->known_flags)
        return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, info->op, -1,
                          "%s: flags=0x%x has unknown bits 0x%x", info->name, head->flags,
                          head->flags & ~schema->known_flags);
    return tenon_check_extensions(head->ext, info->op, error);
}

int32_t tenon_check_quant_head(const tenon_schema *schema, int q, const tenon_quant *quant,
                               tenon_error *error) {
    char name[80];
    snprintf(name, sizeof name, "%s: %s", schema->info.name,
             schema->info.fields[schema->quant_field[q]].name);
    int32_t status = tenon_check_struct(quant, sizeof *quant, name, schema->info.op, error);
    return status ? status : tenon_check_extensions(quant->ext, schema->info.op, error);
}

/* ---- one tensor ---- */

static void slot_name(const tenon_schema *schema, const tenon_slot_rule *rule, char *text,
                      size_t bytes) {
    const char *field = schema->info.fields[rule->field].name;
    if (rule->member < 0)
        snprintf(text, bytes, "%s: %s", schema->info.name, field);
    else
        snprintf(text, bytes, "%s: %s.%s", schema->info.name, field,
                 tenon_quant_schema()->fields[rule->member].name);
}

#define FAIL(status, ...)                                                                          \
    do {                                                                                           \
        char name_[80], message_[360];                                                             \
        slot_name(schema, rule, name_, sizeof name_);                                              \
        snprintf(message_, sizeof message_, __VA_ARGS__);                                          \
        return tenon_fail(error, status, schema->info.op, rule->field, "%s: %s", name_, message_); \
    } while (0)

/* Rank, extents, strides, type, alignment; fills the slot with a copy that has strides. */
static int32_t check_tensor(const tenon_schema *schema, const tenon_slot_rule *rule,
                            const DLTensor *t, tenon_slot *slot, tenon_error *error) {
    char text[160];
    if (t->ndim < 0 || t->ndim > TENON_MAX_NDIM)
        FAIL(TENON_STATUS_INVALID_ARGUMENT, "ndim=%d, expected 0 to %d", t->ndim, TENON_MAX_NDIM);
    if (t->ndim > 0 && !t->shape)
        FAIL(TENON_STATUS_INVALID_ARGUMENT, "ndim=%d but shape is NULL", t->ndim);
    for (int32_t i = 0; i < t->ndim; i++) {
        if (t->shape[i] < 0)
            FAIL(TENON_STATUS_INVALID_ARGUMENT, "shape[%d]=%lld is negative", i,
                 (long long)t->shape[i]);
        if (t->strides && t->strides[i] < 0 && t->shape[i] > 1)
            FAIL(TENON_STATUS_INVALID_ARGUMENT, "strides[%d]=%lld is negative", i,
                 (long long)t->strides[i]);
    }
    int type = tenon_type_of(t->dtype);
    tenon_tensor_text(t, text, sizeof text);
    if (type < 0 || (rule->types && !(rule->types >> type & 1))) {
        const tenon_field_info *f = &schema->info.fields[rule->field];
        const char *types =
            rule->member < 0 ? f->types : tenon_quant_schema()->fields[rule->member].types;
        FAIL(TENON_STATUS_INVALID_ARGUMENT, "%s, expected an element type of: %s", text, types);
    }
    slot->rule = rule;
    slot->tensor = *t;
    slot->tensor.shape = slot->extent;
    slot->tensor.strides = slot->stride;
    for (int32_t i = 0; i < t->ndim; i++) slot->extent[i] = t->shape[i];
    /* The strides of an empty tensor mean nothing; NumPy exports zeros. */
    if (t->strides && tenon_element_count(t))
        for (int32_t i = 0; i < t->ndim; i++) slot->stride[i] = t->shape[i] > 1 ? t->strides[i] : 1;
    else
        tenon_compact_strides(t->shape, t->ndim, slot->stride);
    slot->align = tenon_element_align(t->dtype);
    slot->span_bytes = tenon_span_bytes(&slot->tensor);
    if (slot->span_bytes < 0)
        FAIL(TENON_STATUS_INVALID_ARGUMENT, "%s with these strides spans more than 2^62 bytes",
             text);
    if (rule->written && tenon_overlaps_itself(&slot->tensor))
        FAIL(TENON_STATUS_INVALID_ARGUMENT, "%s is written, but its strides make elements overlap",
             text);
    if (t->data) {
        uintptr_t first = (uintptr_t)t->data + (uintptr_t)t->byte_offset;
        if (first < (uintptr_t)t->data || first + (uint64_t)slot->span_bytes < first)
            FAIL(TENON_STATUS_INVALID_ARGUMENT, "byte_offset=%llu wraps around the address space",
                 (unsigned long long)t->byte_offset);
        if (first % slot->align)
            FAIL(TENON_STATUS_INVALID_ARGUMENT,
                 "data + byte_offset = %p is not aligned to %u bytes", (void *)first, slot->align);
    }
    return TENON_OK;
}

/* Does the alternative fit what is already bound? Binds new symbols into `symbol` as it goes. */
static bool shape_fits(const tenon_shape_rule *shape, const DLTensor *t, int64_t *symbol) {
    if (shape->ndim != t->ndim) return false;
    for (int i = 0; i < shape->ndim; i++) {
        const tenon_dim_rule *d = &shape->dim[i];
        if (d->symbol == TENON_DIM_ANY) continue;
        if (d->symbol == TENON_DIM_LITERAL) {
            if (t->shape[i] != d->add) return false;
            continue;
        }
        int64_t value = t->shape[i] - d->add;
        if (value < 0 || (symbol[d->symbol] >= 0 && symbol[d->symbol] != value)) return false;
        symbol[d->symbol] = value;
    }
    return true;
}

static void known_extents(const tenon_schema *schema, const int64_t *symbol, char *text,
                          size_t bytes) {
    size_t used = 0;
    text[0] = 0;
    for (int i = 0; i < schema->n_symbols && used < bytes; i++)
        if (symbol[i] >= 0)
            used += (size_t)snprintf(text + used, bytes - used, "%s%s=%lld", used ? ", " : "",
                                     schema->symbols[i], (long long)symbol[i]);
}

static int32_t bind_shape(const tenon_schema *schema, tenon_slot *slot, int64_t *symbol,
                          tenon_error *error) {
    const tenon_slot_rule *rule = slot->rule;
    const DLTensor *t = &slot->tensor;
    char text[120], known[200];
    for (int i = 0; i < rule->n_shapes && !slot->shape; i++) {
        int64_t trial[TENON_MAX_SYMBOLS];
        memcpy(trial, symbol, sizeof trial);
        if (!shape_fits(&rule->shapes[i], t, trial)) continue;
        memcpy(symbol, trial, sizeof trial);
        slot->shape = &rule->shapes[i];
    }
    tenon_tensor_text(t, text, sizeof text);
    if (!slot->shape) {
        const tenon_field_info *f = &schema->info.fields[rule->field];
        known_extents(schema, symbol, known, sizeof known);
        FAIL(TENON_STATUS_INVALID_ARGUMENT, "%s, expected %s%s%s", text, f->shape,
             known[0] ? " with " : "", known);
    }
    for (int i = 0; i < slot->shape->ndim; i++) slot->bound |= slot->shape->dim[i].bound;
    int32_t last = t->ndim - 1;
    if (!slot->shape->strided && last >= 0 && t->shape[last] > 1 && t->strides[last] != 1)
        FAIL(TENON_STATUS_INVALID_ARGUMENT, "%s: the last dimension has stride %lld, expected 1",
             text, (long long)t->strides[last]);
    return TENON_OK;
}

/* ---- scalars ---- */

static int32_t check_scalars(const tenon_op_info *info, const char *prefix, const void *object,
                             int32_t op, int32_t outer, tenon_error *error) {
    for (uint32_t i = 0; i < info->n_fields; i++) {
        const tenon_field_info *f = &info->fields[i];
        const void *at = (const char *)object + f->offset_bytes;
        int32_t field = outer >= 0 ? outer : (int32_t)i;
        if (f->choices) {
            int32_t value = *(const int32_t *)at;
            bool known = false;
            for (uint32_t c = 0; c < f->n_choices; c++) known |= f->choices[c].value == value;
            if (!known)
                return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, op, field,
                                  "%s: %s=%d is not one of the %u values of TENON_%s", prefix,
                                  f->name, value, f->n_choices, f->types);
        } else if (!strcmp(f->kind, "f32") && !isfinite(*(const float *)at)) {
            return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, op, field,
                              "%s: %s=%g is not finite", prefix, f->name,
                              (double)*(const float *)at);
        } else if (!strcmp(f->kind, "i32") && !strncmp(f->name, "reserved", 8) &&
                   *(const int32_t *)at) {
            return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, op, field,
                              "%s: %s=%d, must be 0", prefix, f->name, *(const int32_t *)at);
        }
    }
    return TENON_OK;
}

static int32_t check_quants(const tenon_schema *schema, const void *args, tenon_signature *sig,
                            tenon_error *error) {
    const tenon_op_info *quant = tenon_quant_schema();
    for (int q = 0; q < schema->n_quants; q++) {
        const tenon_quant *given =
            *(const tenon_quant *const *)((const char *)args + schema->quant_offset[q]);
        int32_t field = schema->quant_field[q];
        char name[80];
        if (!given) continue;
        snprintf(name, sizeof name, "%s: %s", schema->info.name, schema->info.fields[field].name);
        int32_t status = tenon_check_quant_head(schema, q, given, error);
        if (!status) status = check_scalars(quant, name, given, schema->info.op, field, error);
        if (status) return status;
        uint32_t known = 0;
        for (uint32_t i = 0; i < quant->n_flags; i++) known |= quant->flags[i].value;
        if (given->flags & ~known)
            return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, schema->info.op, field,
                              "%s: flags=0x%x has unknown bits", name, given->flags);
        if (given->group_cols < -1 || given->group_rows < -1 || given->rows < 0 || given->cols < 0)
            return tenon_fail(
                error, TENON_STATUS_INVALID_ARGUMENT, schema->info.op, field,
                "%s: group_cols=%d, group_rows=%d (-1 or more), rows=%lld, cols=%lld (0 or more)",
                name, given->group_cols, given->group_rows, (long long)given->rows,
                (long long)given->cols);
        sig->quant[q] = *given;
        sig->quant[q].struct_size = sizeof(tenon_quant);
        sig->quant[q].ext = NULL;
        sig->has_quant[q] = true;
        *(const tenon_quant **)(sig->args.bytes + schema->quant_offset[q]) = &sig->quant[q];
    }
    return TENON_OK;
}

/* ---- relations between tensors ---- */

static int32_t check_devices(const tenon_signature *sig, tenon_error *error) {
    const tenon_schema *schema = sig->schema;
    for (uint32_t i = 1; i < sig->n_slots; i++) {
        const DLDevice *a = &sig->slot[0].tensor.device, *b = &sig->slot[i].tensor.device;
        const tenon_slot_rule *rule = sig->slot[i].rule;
        if (a->device_type != b->device_type || a->device_id != b->device_id)
            FAIL(TENON_STATUS_INVALID_ARGUMENT, "on device (%d, %d), but %s is on (%d, %d)",
                 (int)b->device_type, b->device_id,
                 schema->info.fields[sig->slot[0].rule->field].name, (int)a->device_type,
                 a->device_id);
    }
    return TENON_OK;
}

static int32_t check_overlap(const tenon_signature *sig, tenon_error *error) {
    const tenon_schema *schema = sig->schema;
    for (uint32_t i = 0; i < sig->n_slots; i++) {
        const tenon_slot *w = &sig->slot[i];
        const tenon_slot_rule *rule = w->rule;
        if (!rule->written || !w->tensor.data) continue;
        for (uint32_t j = 0; j < sig->n_slots; j++) {
            const tenon_slot *o = &sig->slot[j];
            if (i == j || !o->tensor.data || (o->rule->written && j < i)) continue;
            if (tenon_tensors_overlap(&w->tensor, w->span_bytes, &o->tensor, o->span_bytes))
                FAIL(TENON_STATUS_INVALID_ARGUMENT,
                     "is written and overlaps %s: %p + %lld bytes and %p + %lld bytes",
                     schema->info.fields[o->rule->field].name, tenon_data(&w->tensor),
                     (long long)w->span_bytes, tenon_data(&o->tensor), (long long)o->span_bytes);
        }
    }
    return TENON_OK;
}

static int32_t check_slots(const tenon_schema *schema, const void *args, tenon_signature *sig,
                           tenon_error *error) {
    for (int i = 0; i < schema->n_slots; i++) {
        const tenon_slot_rule *rule = &schema->slots[i];
        const DLTensor *t = tenon_slot_tensor(rule, args);
        if (!t) {
            if (rule->required && rule->member < 0)
                FAIL(TENON_STATUS_INVALID_ARGUMENT, "is required, but NULL");
            sig->absent[sig->n_absent++] = rule;
            continue;
        }
        tenon_slot *slot = &sig->slot[sig->n_slots];
        int32_t status = check_tensor(schema, rule, t, slot, error);
        if (!status && !rule->any_shape) status = bind_shape(schema, slot, sig->symbol, error);
        if (status) return status;
        sig->n_slots++;
        char *base = rule->member < 0
                         ? (char *)sig->args.bytes + rule->offset
                         : *(char **)(sig->args.bytes + rule->offset) + rule->member_offset;
        *(const DLTensor **)base = &slot->tensor;
    }
    return TENON_OK;
}

int32_t tenon_validate(int32_t op, const void *args, tenon_signature *sig, tenon_error *error) {
    if (op < 0 || op >= TENON_OP_COUNT)
        return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, -1, -1, "op=%d, expected 0 to %d",
                          op, TENON_OP_COUNT - 1);
    const tenon_schema *schema = tenon_schema_of(op);
    if (!args)
        return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, op, -1, "%s: args is NULL",
                          schema->info.name);
    int32_t status = tenon_check_head(schema, args, error);
    if (status) return status;

    memset(sig, 0, sizeof *sig);
    sig->schema = schema;
    for (int i = 0; i < TENON_MAX_SYMBOLS; i++) sig->symbol[i] = -1;
    memcpy(sig->args.bytes, args, schema->info.args_size_bytes);
    sig->args.head.struct_size = schema->info.args_size_bytes;
    sig->args.head.ext = NULL;

    if ((status = check_scalars(&schema->info, schema->info.name, args, op, -1, error)))
        return status;
    if ((status = check_quants(schema, args, sig, error))) return status;
    if ((status = check_slots(schema, args, sig, error))) return status;
    if ((status = check_devices(sig, error))) return status;
    if ((status = check_overlap(sig, error))) return status;
    return checks[op](sig->args.bytes, error);
}
