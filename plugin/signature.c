/* SPDX-License-Identifier: Apache-2.0 */
#include "signature.h"

#include <string.h>

#include "tensor.h"

static const struct {
    const char *name;
    ffi_type *ffi;
    bool is_integer;
} call_types[] = {
#define ROW(name, c_type, ffi, is_integer) {#name, &ffi, is_integer},
    TENON_CALL_TYPE_LIST(ROW)};

/* Members of every args struct that have no row in the field lists. */
static const struct {
    const char *name;
    uint16_t offset;
    uint8_t stored;
} head_members[] = {
    {"flags", offsetof(tenon_args_head, flags), TENON_CALL_u32},
    {"stream", offsetof(tenon_args_head, stream), TENON_CALL_ptr},
    {"workspace", offsetof(tenon_args_head, workspace), TENON_CALL_ptr},
    {"workspace_bytes", offsetof(tenon_args_head, workspace_bytes), TENON_CALL_u64},
    {"fault", offsetof(tenon_args_head, fault), TENON_CALL_ptr},
};

typedef struct parser {
    const tenon_schema *schema;
    const char *text;
    const char *at;
    tenon_error *error;
} parser;

static int32_t fail_at(const parser *p, const char *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static int32_t fail_at(const parser *p, const char *at, const char *format, ...) {
    char message[240];
    va_list list;
    va_start(list, format);
    vsnprintf(message, sizeof message, format, list);
    va_end(list);
    return tenon_fail(p->error, TENON_STATUS_INVALID_ARGUMENT, p->schema->info.op, -1,
                      "%s: signature, column %d, at \"%.24s\": %s", p->schema->info.name,
                      (int)(at - p->text) + 1, at, message);
}

static void skip_spaces(parser *p) {
    p->at += strspn(p->at, " \t\n");
}

static bool take(parser *p, char c) {
    skip_spaces(p);
    if (*p->at != c) return false;
    p->at++;
    return true;
}

/* A name at the current place; its length, 0 if there is none. */
static size_t take_word(parser *p, const char **word) {
    skip_spaces(p);
    *word = p->at;
    p->at += strspn(p->at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
    return (size_t)(p->at - *word);
}

static bool is_word(const char *name, const char *word, size_t length) {
    return strlen(name) == length && !memcmp(name, word, length);
}

static int find_type(const char *word, size_t length) {
    for (int t = 0; t < TENON_CALL_TYPE_COUNT; t++)
        if (is_word(call_types[t].name, word, length)) return t;
    return -1;
}

static int find_field(const tenon_op_info *info, const char *word, size_t length) {
    for (uint32_t i = 0; i < info->n_fields; i++)
        if (is_word(info->fields[i].name, word, length)) return (int)i;
    return -1;
}

static int16_t find_slot(const tenon_schema *schema, int field, int member) {
    for (int i = 0; i < schema->n_slots; i++)
        if (schema->slots[i].field == field && schema->slots[i].member == member) return (int16_t)i;
    return -1;
}

static uint8_t stored_type(const tenon_field_info *f) {
    if (!strcmp(f->kind, "f32")) return TENON_CALL_f32;
    if (!strcmp(f->kind, "i64")) return TENON_CALL_i64;
    return f->size_bytes == sizeof(int32_t) ? TENON_CALL_i32 : TENON_CALL_ptr;
}

/* What may follow the name of a tensor: nothing, .data, .shape[i] or .stride[i]. */
static int32_t parse_tensor_part(parser *p, tenon_accessor *a) {
    const char *word;
    if (!take(p, '.')) return TENON_OK;
    size_t length = take_word(p, &word);
    if (is_word("data", word, length)) {
        a->source = TENON_SOURCE_DATA;
        return TENON_OK;
    }
    if (is_word("shape", word, length))
        a->source = TENON_SOURCE_SHAPE;
    else if (is_word("stride", word, length))
        a->source = TENON_SOURCE_STRIDE;
    else
        return fail_at(p, word, "a tensor has data, shape[i] and stride[i]");
    if (!take(p, '[')) return fail_at(p, p->at, "expected [ and an index");
    skip_spaces(p);
    if (*p->at < '0' || *p->at >= '0' + TENON_MAX_NDIM || strspn(p->at, "0123456789") != 1)
        return fail_at(p, p->at, "expected an index from 0 to %d", TENON_MAX_NDIM - 1);
    a->index = (uint8_t)(*p->at++ - '0');
    return take(p, ']') ? TENON_OK : fail_at(p, p->at, "expected ]");
}

static int32_t parse_quant_part(parser *p, int field, tenon_accessor *a) {
    const tenon_op_info *quant = tenon_quant_schema();
    const char *word;
    if (!take(p, '.')) return TENON_OK;
    size_t length = take_word(p, &word);
    if (is_word("flags", word, length)) {
        a->member_offset = offsetof(tenon_quant, flags);
        a->stored = TENON_CALL_u32;
        return TENON_OK;
    }
    int member = find_field(quant, word, length);
    if (member < 0) return fail_at(p, word, "a descriptor has no member of that name");
    a->member_offset = (int16_t)quant->fields[member].offset_bytes;
    a->stored = stored_type(&quant->fields[member]);
    if (a->stored != TENON_CALL_ptr) return TENON_OK;
    a->slot = find_slot(p->schema, field, member);
    return parse_tensor_part(p, a);
}

static int32_t parse_source(parser *p, tenon_accessor *a) {
    const char *word;
    size_t length = take_word(p, &word);
    if (!length) return fail_at(p, word, "expected a source, as in ptr:a.data");
    a->text_at = (uint16_t)(word - p->text);
    a->member_offset = -1;
    a->slot = -1;
    a->stored = TENON_CALL_ptr;
    a->source = TENON_SOURCE_PLAIN;
    /* A field of the operation wins over the names that every operation has. */
    int field = find_field(&p->schema->info, word, length);
    if (field >= 0) {
        const tenon_field_info *f = &p->schema->info.fields[field];
        a->offset = (uint16_t)f->offset_bytes;
        a->stored = stored_type(f);
        if (!strcmp(f->kind, "quant")) return parse_quant_part(p, field, a);
        if (a->stored != TENON_CALL_ptr) return TENON_OK;
        a->slot = find_slot(p->schema, field, -1);
        return parse_tensor_part(p, a);
    }
    for (size_t i = 0; i < sizeof head_members / sizeof head_members[0]; i++)
        if (is_word(head_members[i].name, word, length)) {
            a->offset = head_members[i].offset;
            a->stored = head_members[i].stored;
            return TENON_OK;
        }
    if (is_word("args", word, length))
        a->source = TENON_SOURCE_ARGS;
    else if (is_word("user", word, length))
        a->source = TENON_SOURCE_USER;
    else
        return fail_at(p, word,
                       "neither a field of %s nor one of flags, stream, workspace, "
                       "workspace_bytes, fault, args, user",
                       p->schema->info.name);
    return TENON_OK;
}

/* Integers become any integer type (checked in each call), f32 becomes f32 or f64, pointers stay
 * pointers. */
static int32_t check_type(const parser *p, const tenon_accessor *a, const char *at) {
    bool is_extent = a->source == TENON_SOURCE_SHAPE || a->source == TENON_SOURCE_STRIDE;
    if (is_extent || (a->source == TENON_SOURCE_PLAIN && call_types[a->stored].is_integer))
        return call_types[a->type].is_integer
                   ? TENON_OK
                   : fail_at(p, at, "an integer cannot be passed as %s", call_types[a->type].name);
    if (a->source == TENON_SOURCE_PLAIN && a->stored == TENON_CALL_f32)
        return a->type == TENON_CALL_f32 || a->type == TENON_CALL_f64
                   ? TENON_OK
                   : fail_at(p, at, "an f32 cannot be passed as %s", call_types[a->type].name);
    return a->type == TENON_CALL_ptr
               ? TENON_OK
               : fail_at(p, at, "a pointer cannot be passed as %s", call_types[a->type].name);
}

static int32_t parse_argument(parser *p, tenon_call_form *form) {
    tenon_accessor *a = &form->args[form->n_args];
    const char *word, *known = "ptr, i64, i32, u64, u32, f64 or f32";
    size_t length = take_word(p, &word);
    int type = find_type(word, length);
    if (!strncmp(word, "...", 3)) return fail_at(p, word, "variadic functions cannot be called");
    if (*word == '{' || is_word("struct", word, length))
        return fail_at(p, word, "structs cannot be passed by value, take a pointer");
    if (type < 0) return fail_at(p, word, "expected a type: %s", known);
    if (form->n_args == TENON_MAX_CALL_ARGS)
        return fail_at(p, word, "more than %d arguments", TENON_MAX_CALL_ARGS);
    if (!take(p, ':')) return fail_at(p, p->at, "expected : and a source");
    a->type = (uint8_t)type;
    skip_spaces(p);
    const char *source = p->at;
    int32_t status = parse_source(p, a);
    if (!status) status = check_type(p, a, source);
    if (status) return status;
    a->text_bytes = (uint16_t)(p->at - source);
    form->types[form->n_args++] = call_types[type].ffi;
    return TENON_OK;
}

static int32_t parse(parser *p, tenon_call_form *form) {
    const char *word;
    size_t length = take_word(p, &word);
    form->returns_status = is_word("i32", word, length);
    if (!form->returns_status && !is_word("void", word, length))
        return fail_at(p, word, "the return type must be void or i32");
    if (!take(p, '(')) return fail_at(p, p->at, "expected (");
    if (!take(p, ')')) {
        do {
            int32_t status = parse_argument(p, form);
            if (status) return status;
        } while (take(p, ','));
        if (!take(p, ')')) return fail_at(p, p->at, "expected , or )");
    }
    skip_spaces(p);
    return *p->at ? fail_at(p, p->at, "nothing may follow the closing )") : TENON_OK;
}

int32_t tenon_form_compile(const tenon_schema *schema, const char *signature, tenon_call_form *form,
                           tenon_error *error) {
    int32_t op = schema->info.op;
    memset(form, 0, sizeof *form);
    form->schema = schema;
    if (!signature)
        return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, op, -1, "%s: signature is NULL",
                          schema->info.name);
    size_t bytes = 0;
    while (bytes < sizeof form->text && signature[bytes]) bytes++;
    if (bytes == sizeof form->text)
        return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, op, -1,
                          "%s: the signature is longer than %d characters", schema->info.name,
                          TENON_MAX_SIGNATURE_BYTES - 1);
    memcpy(form->text, signature, bytes);
    parser p = {schema, form->text, form->text, error};
    int32_t status = parse(&p, form);
    if (status) return status;
#ifndef TENON_WITH_FFI
    return tenon_fail(error, TENON_STATUS_UNSUPPORTED, op, -1,
                      "%s: this library was built without libffi, which calls by signature need",
                      schema->info.name);
#endif
    ffi_status prepared =
        ffi_prep_cif(&form->cif, FFI_DEFAULT_ABI, form->n_args,
                     form->returns_status ? &ffi_type_sint32 : &ffi_type_void, form->types);
    if (prepared != FFI_OK)
        return tenon_fail(error, TENON_STATUS_INTERNAL, op, -1,
                          "%s: libffi does not take the signature \"%.100s\" (%d)",
                          schema->info.name, form->text, (int)prepared);
    return TENON_OK;
}

static int32_t fail_range(const tenon_call_form *form, const tenon_accessor *a, int64_t value,
                          tenon_error *error) __attribute__((cold, noinline));
static int32_t fail_range(const tenon_call_form *form, const tenon_accessor *a, int64_t value,
                          tenon_error *error) {
    return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, form->schema->info.op, -1,
                      "%s: %.*s=%lld does not fit the signature's %s", form->schema->info.name,
                      (int)a->text_bytes, form->text + a->text_at, (long long)value,
                      call_types[a->type].name);
}

static int32_t store_integer(const tenon_call_form *form, const tenon_accessor *a, int64_t value,
                             tenon_call_value *out, tenon_error *error) {
    bool fits = true;
    switch (a->type) {
    case TENON_CALL_i32:
        fits = value >= INT32_MIN && value <= INT32_MAX, out->as_i32 = (int32_t)value;
        break;
    case TENON_CALL_u32:
        fits = value >= 0 && value <= UINT32_MAX, out->as_u32 = (uint32_t)value;
        break;
    case TENON_CALL_u64:
        fits = value >= 0, out->as_u64 = (uint64_t)value;
        break;
    default:
        out->as_i64 = value;
    }
    return fits ? TENON_OK : fail_range(form, a, value, error);
}

static int32_t read_plain(const tenon_call_form *form, const tenon_accessor *a, const void *args,
                          tenon_call_value *out, tenon_error *error) {
    const char *at = (const char *)args + a->offset;
    static const tenon_call_value zero;
    if (a->member_offset >= 0) {
        const char *descriptor = *(const char *const *)at;
        at = descriptor ? descriptor + a->member_offset : (const char *)&zero;
    }
    switch (a->stored) {
    case TENON_CALL_i32:
        return store_integer(form, a, *(const int32_t *)at, out, error);
    case TENON_CALL_u32:
        return store_integer(form, a, *(const uint32_t *)at, out, error);
    case TENON_CALL_i64:
        return store_integer(form, a, *(const int64_t *)at, out, error);
    case TENON_CALL_u64:
        return store_integer(form, a, (int64_t)*(const uint64_t *)at, out, error);
    case TENON_CALL_f32:
        if (a->type == TENON_CALL_f64)
            out->as_f64 = (double)*(const float *)at;
        else
            out->as_f32 = *(const float *)at;
        return TENON_OK;
    default:
        out->as_ptr = *(void *const *)at;
        return TENON_OK;
    }
}

int32_t tenon_form_read(const tenon_call_form *form, const tenon_accessor *a, const void *args,
                        void *user, tenon_call_value *value, tenon_error *error) {
    const DLTensor *t;
    switch (a->source) {
    case TENON_SOURCE_PLAIN:
        return read_plain(form, a, args, value, error);
    case TENON_SOURCE_ARGS:
        value->as_ptr = (void *)(uintptr_t)args;
        return TENON_OK;
    case TENON_SOURCE_USER:
        value->as_ptr = user;
        return TENON_OK;
    default:
        t = tenon_accessor_tensor(a, args);
    }
    if (a->source == TENON_SOURCE_DATA) {
        value->as_ptr = tenon_data(t);
        return TENON_OK;
    }
    bool has = t && a->index < t->ndim;
    return store_integer(form, a,
                         !has                              ? 0
                         : a->source == TENON_SOURCE_SHAPE ? t->shape[a->index]
                                                           : t->strides[a->index],
                         value, error);
}
