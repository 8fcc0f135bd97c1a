/* SPDX-License-Identifier: Apache-2.0 */
#include "problem_text.h"

#include <string.h>

#include "tensor.h"

typedef struct writer {
    char *text;
    size_t bytes, used; /* used > bytes: it did not fit */
} writer;

static void put(writer *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(writer *w, const char *format, ...) {
    va_list list;
    if (w->used >= w->bytes) return;
    va_start(list, format);
    int n = vsnprintf(w->text + w->used, w->bytes - w->used, format, list);
    va_end(list);
    w->used += n > 0 ? (size_t)n : 0;
}

static void put_list(writer *w, char open, char close, const int64_t *values, int32_t n) {
    put(w, "%c", open);
    for (int32_t i = 0; i < n; i++) put(w, i ? ",%lld" : "%lld", (long long)values[i]);
    put(w, "%c", close);
}

/* Elements in row-major order of the indices, whatever the strides. */
static void put_contents(writer *w, const DLTensor *t, int64_t count) {
    const char *data = tenon_data(t);
    int64_t index[TENON_MAX_NDIM] = {0};
    put(w, "{");
    for (int64_t n = 0; n < count; n++) {
        int64_t at = 0, value;
        for (int32_t i = 0; i < t->ndim; i++) at += index[i] * t->strides[i];
        if (t->dtype.bits == 64) {
            memcpy(&value, data + at * 8, 8);
        } else {
            int32_t narrow;
            memcpy(&narrow, data + at * 4, 4);
            value = narrow;
        }
        put(w, n ? ",%lld" : "%lld", (long long)value);
        for (int32_t i = t->ndim - 1; i >= 0 && ++index[i] == t->shape[i]; i--) index[i] = 0;
    }
    put(w, "}");
}

static bool is_compact(const DLTensor *t) {
    int64_t step = 1;
    for (int32_t i = t->ndim - 1; i >= 0; i--) {
        if (t->shape[i] > 1 && t->strides[i] != step) return false;
        step *= t->shape[i] > 0 ? t->shape[i] : 1;
    }
    return true;
}

/* Lengths, page tables, ids: a problem is another one with other values in them. */
static bool is_index(const tenon_slot_rule *rule) {
    const uint32_t integers = 1u << TENON_TYPE_i32 | 1u << TENON_TYPE_i64;
    return !rule->written && rule->types && !(rule->types & ~integers);
}

static void put_tensor(writer *w, const tenon_slot_rule *rule, const DLTensor *t, bool on_host) {
    int type = tenon_type_of(t->dtype);
    put(w, "%s%s", tenon_type_name(type), t->dtype.lanes == 2 ? "x2" : "");
    put_list(w, '[', ']', t->shape, t->ndim);
    if (!is_compact(t)) {
        put(w, ":");
        put_list(w, '(', ')', t->strides, t->ndim);
    }
    int64_t count = tenon_element_count(t);
    if (on_host && is_index(rule) && count > 0 && count <= TENON_TEXT_MAX_CONTENTS && t->data)
        put_contents(w, t, count);
}

/* Nine digits give back the same f32. The decimal point is a point whatever the host's locale says.
 */
static void put_float(writer *w, float value) {
    char text[40];
    snprintf(text, sizeof text, "%.9g", (double)value);
    for (char *p = text; *p; p++)
        if (*p == ',') *p = '.';
    put(w, "%s", text);
}

/* A scalar that is 0 is left out: a problem starts from a zeroed struct. Returns whether it wrote
 * something. */
static bool put_scalar(writer *w, const char *prefix, const char *dot, const tenon_field_info *f,
                       const void *at) {
    int64_t value;
    int32_t narrow;
    if (!strcmp(f->kind, "f32")) {
        float real;
        memcpy(&real, at, sizeof real);
        if (real == 0) return false;
        put(w, " %s%s%s=", prefix, dot, f->name);
        put_float(w, real);
        return true;
    }
    if (f->size_bytes == sizeof value) {
        memcpy(&value, at, sizeof value);
    } else {
        memcpy(&narrow, at, sizeof narrow);
        value = narrow;
    }
    if (!value) return false;
    for (uint32_t i = 0; i < f->n_choices; i++)
        if (f->choices[i].value == value) {
            put(w, " %s%s%s=%s", prefix, dot, f->name, f->choices[i].name);
            return true;
        }
    put(w, " %s%s%s=%lld", prefix, dot, f->name, (long long)value);
    return true;
}

static bool put_flags(writer *w, const char *prefix, const char *dot, const tenon_op_info *info,
                      uint32_t flags) {
    const char *separator = "";
    if (!flags) return false;
    put(w, " %s%sflags=", prefix, dot);
    for (uint32_t i = 0; i < info->n_flags; i++)
        if (flags & info->flags[i].value) {
            put(w, "%s%s", separator, info->flags[i].name);
            separator = "|";
        }
    return true;
}

static const tenon_slot_rule *slot_of(const tenon_schema *schema, uint32_t field, int member) {
    for (int i = 0; i < schema->n_slots; i++)
        if (schema->slots[i].field == field && schema->slots[i].member == member)
            return &schema->slots[i];
    return NULL;
}

static void put_quant(writer *w, const tenon_schema *schema, uint32_t field,
                      const tenon_quant *quant, bool on_host) {
    const tenon_op_info *list = tenon_quant_schema();
    const char *name = schema->info.fields[field].name;
    bool any = put_flags(w, name, ".", list, quant->flags);
    for (uint32_t m = 0; m < list->n_fields; m++) {
        const tenon_slot_rule *rule = slot_of(schema, field, (int)m);
        const char *at = (const char *)quant + list->fields[m].offset_bytes;
        if (!rule) {
            any |= put_scalar(w, name, ".", &list->fields[m], at);
            continue;
        }
        const DLTensor *t = *(const DLTensor *const *)at;
        if (!t) continue;
        put(w, " %s.%s=", name, list->fields[m].name);
        put_tensor(w, rule, t, on_host);
        any = true;
    }
    /* An empty descriptor is not the same as none. */
    if (!any) put(w, " %s.format=NONE", name);
}

size_t tenon_problem_text(const tenon_schema *schema, const void *args, bool on_host, char *text,
                          size_t bytes) {
    const tenon_op_info *info = &schema->info;
    const tenon_args_head *head = args;
    writer w = {text, bytes, 0};
    put(&w, "%s", info->name);
    for (uint32_t i = 0; i < info->n_fields; i++) {
        const tenon_field_info *f = &info->fields[i];
        const tenon_slot_rule *rule = slot_of(schema, i, -1);
        const char *at = (const char *)args + f->offset_bytes;
        if (rule) {
            const DLTensor *t = *(const DLTensor *const *)at;
            if (!t) continue;
            put(&w, " %s=", f->name);
            put_tensor(&w, rule, t, on_host);
        } else if (!strcmp(f->kind, "quant")) {
            const tenon_quant *quant = *(const tenon_quant *const *)at;
            if (quant) put_quant(&w, schema, i, quant, on_host);
        } else {
            put_scalar(&w, "", "", f, at);
        }
    }
    put_flags(&w, "", "", info, head->flags);
    return w.used < w.bytes ? w.used : 0;
}
