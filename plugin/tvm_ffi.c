/* SPDX-License-Identifier: Apache-2.0 */
/* Every operation as a function that any TVM-FFI host can load: tenon("a", a, "w", w,
 * "w_quant.format", "GGUF_Q4_0", "out", out).
 *
 * Arguments are pairs of a name and a value, so that a new field changes no position. Choices and
 * flags may be given by name. */
#include "tvm_ffi.h"

#include <string.h>

#include "plan.h"

enum { MAX_PAIRS = 96, MAX_DOC_BYTES = 8192 };

/* ---- one context for all callers, made by the first call ---- */
static pthread_once_t context_once = PTHREAD_ONCE_INIT;
static tenon_context *context;
static tenon_error context_error = {.struct_size = sizeof context_error};
static void make_context(void) {
    tenon_context_create(NULL, &context, &context_error);
}

static const char *error_kind(int32_t status) {
    switch (status) {
    case TENON_STATUS_INVALID_ARGUMENT:
    case TENON_STATUS_CORRUPT:
        return "ValueError";
    case TENON_STATUS_UNSUPPORTED:
        return "NotImplementedError";
    case TENON_STATUS_NO_MEMORY:
        return "MemoryError";
    default:
        return "RuntimeError";
    }
}

static bool read_text(const tenon_ffi_any *value, tenon_ffi_bytes *text) {
    switch (value->type) {
    case TENON_FFI_C_STRING:
        *text = (tenon_ffi_bytes){value->v.as_c_string, strlen(value->v.as_c_string)};
        return true;
    case TENON_FFI_SMALL_STRING:
        *text = (tenon_ffi_bytes){value->v.as_bytes, value->small_bytes};
        return value->small_bytes <= sizeof value->v.as_bytes;
    case TENON_FFI_STRING_OBJECT:
        memcpy(text, (const char *)value->v.as_pointer + TENON_FFI_OBJECT_HEADER_BYTES,
               sizeof *text);
        return true;
    default:
        return false;
    }
}

static bool is_text(const char *name, const char *data, size_t bytes) {
    return strlen(name) == bytes && !memcmp(name, data, bytes);
}

/* ---- a name to a field number ---- */

static int field_index(const tenon_op_info *info, const char *data, size_t bytes) {
    for (uint32_t i = 0; i < info->n_fields; i++)
        if (is_text(info->fields[i].name, data, bytes)) return (int)i;
    return -1;
}

/* What a name stands for. info: the row of its field, NULL for what every operation has; flags: the
 * list its value may name bits of. */
typedef struct target {
    uint32_t field;
    const tenon_field_info *info;
    const tenon_op_info *flags;
} target;

static bool find_target(const tenon_op_info *op, const tenon_ffi_bytes *name, target *t) {
    static const struct {
        const char *name;
        uint32_t field;
    } common[] = {{"flags", TENON_FIELD_FLAGS},
                  {"stream", TENON_FIELD_STREAM},
                  {"workspace", TENON_FIELD_WORKSPACE},
                  {"workspace_bytes", TENON_FIELD_WORKSPACE_BYTES},
                  {"fault", TENON_FIELD_FAULT}};
    const char *dot = memchr(name->data, '.', name->bytes);
    size_t first_bytes = dot ? (size_t)(dot - name->data) : name->bytes;
    int field = field_index(op, name->data, first_bytes);
    memset(t, 0, sizeof *t);
    if (field >= 0) {
        t->field = (uint32_t)field;
        t->info = &op->fields[field];
        if (!dot) return true;
        const tenon_op_info *quant = tenon_quant_schema();
        size_t rest = name->bytes - first_bytes - 1;
        if (strcmp(t->info->kind, "quant")) return false;
        if (is_text("flags", dot + 1, rest)) {
            t->field = TENON_QUANT_FIELD(field, TENON_FIELD_FLAGS);
            t->info = NULL;
            t->flags = quant;
            return true;
        }
        int member = field_index(quant, dot + 1, rest);
        if (member < 0) return false;
        t->field = TENON_QUANT_FIELD(field, member);
        t->info = &quant->fields[member];
        return true;
    }
    for (size_t i = 0; !dot && i < sizeof common / sizeof common[0]; i++)
        if (is_text(common[i].name, name->data, name->bytes)) {
            t->field = common[i].field;
            t->flags = common[i].field == TENON_FIELD_FLAGS ? op : NULL;
            return true;
        }
    return false;
}

/* ---- a value ---- */

static bool named_choice(const tenon_field_info *f, const tenon_ffi_bytes *text, int64_t *value) {
    for (uint32_t i = 0; i < f->n_choices; i++)
        if (is_text(f->choices[i].name, text->data, text->bytes)) {
            *value = f->choices[i].value;
            return true;
        }
    return false;
}

/* "CAUSAL|LSE_BASE2" */
static bool named_flags(const tenon_op_info *info, const tenon_ffi_bytes *text, int64_t *value) {
    const char *p = text->data, *end = p + text->bytes;
    *value = 0;
    while (p < end) {
        const char *bar = memchr(p, '|', (size_t)(end - p));
        size_t bytes = (size_t)((bar ? bar : end) - p);
        uint32_t bit = 0;
        for (uint32_t i = 0; i < info->n_flags; i++)
            if (is_text(info->flags[i].name, p, bytes)) bit = info->flags[i].value;
        if (!bit) return false;
        *value |= bit;
        p += bytes + (bar != NULL);
    }
    return true;
}

/* NULL, or what is wrong with it. */
static const char *convert(const target *t, const tenon_ffi_any *from, tenon_value *to) {
    tenon_ffi_bytes text;
    to->field = t->field;
    to->type = from->type;
    to->v.as_int = from->v.as_int;
    if (from->type == TENON_FFI_TENSOR_OBJECT) {
        to->type = TENON_VALUE_TENSOR;
        to->v.as_tensor =
            (const DLTensor *)((const char *)from->v.as_pointer + TENON_FFI_OBJECT_HEADER_BYTES);
    } else if (read_text(from, &text)) {
        to->type = TENON_VALUE_INT;
        if (t->flags)
            return named_flags(t->flags, &text, &to->v.as_int) ? NULL
                                                               : "names no flag of this list";
        if (t->info && t->info->choices)
            return named_choice(t->info, &text, &to->v.as_int)
                       ? NULL
                       : "is not one of the names of this choice";
        return "takes no text";
    } else if (from->type < TENON_FFI_NONE ||
               (from->type > TENON_FFI_POINTER && from->type != TENON_FFI_DLTENSOR)) {
        return "has a value of a type that no field takes";
    }
    return NULL;
}

static int raise_argument(const tenon_op_info *op, const char *kind, int32_t index,
                          const tenon_ffi_bytes *name, const char *what) {
    char text[256];
    snprintf(text, sizeof text, "%s: argument %d%s%.*s%s: %s", op->name, index, name ? " (" : "",
             name ? (int)(name->bytes < 64 ? name->bytes : 64) : 0, name ? name->data : "",
             name ? ")" : "", what);
    tenon_ffi_raise(kind, text);
    return -1;
}

static void add_stream(tenon_value *values, uint32_t *n) {
    const DLTensor *first = NULL;
    for (uint32_t i = 0; i < *n; i++) {
        if (values[i].field == TENON_FIELD_STREAM) return;
        if (!first && values[i].type == TENON_VALUE_TENSOR) first = values[i].v.as_tensor;
    }
    if (!first || first->device.device_type == kDLCPU) return;
    values[(*n)++] =
        (tenon_value){TENON_VALUE_POINTER,
                      TENON_FIELD_STREAM,
                      {.as_pointer = tenon_ffi_stream((int32_t)first->device.device_type,
                                                      first->device.device_id)}};
}

static int call(int32_t number, const tenon_ffi_any *args, int32_t n_args, tenon_ffi_any *result) {
    const tenon_op_info *op = &tenon_schema_of(number)->info;
    tenon_value values[MAX_PAIRS + 1];
    tenon_error error = {.struct_size = sizeof error};
    uint32_t n = 0;
    pthread_once(&context_once, make_context);
    if (!context) return tenon_ffi_raise("RuntimeError", context_error.text), -1;
    if (n_args < 0 || n_args % 2 || n_args > 2 * MAX_PAIRS)
        return raise_argument(op, "TypeError", n_args, NULL,
                              "arguments are at most 96 pairs of a name and a value");
    for (int32_t i = 0; i < n_args; i += 2) {
        tenon_ffi_bytes name;
        target t;
        if (!read_text(&args[i], &name))
            return raise_argument(op, "TypeError", i, NULL,
                                  "is not a name; arguments are pairs of a name and a value");
        if (!find_target(op, &name, &t))
            return raise_argument(op, "TypeError", i, &name,
                                  "the operation has no field of that name");
        const char *wrong = convert(&t, &args[i + 1], &values[n++]);
        if (wrong) return raise_argument(op, "TypeError", i + 1, &name, wrong);
    }
    add_stream(values, &n);
    int32_t status = tenon_call_packed(context, op->name, values, n, &error);
    if (status) return tenon_ffi_raise(error_kind(status), error.text), -1;
    if (result) *result = (tenon_ffi_any){0, 0, {0}};
    return 0;
}

/* ---- what a host may ask about a function ---- */

static int return_doc(int32_t number, tenon_ffi_any *result) {
    const tenon_op_info *op = &tenon_schema_of(number)->info;
    char text[MAX_DOC_BYTES];
    size_t used =
        (size_t)snprintf(text, sizeof text, "%s: %s\nArguments are pairs of a name and a value:\n",
                         op->name, op->doc);
    for (uint32_t i = 0; i < op->n_fields && used < sizeof text; i++) {
        const tenon_field_info *f = &op->fields[i];
        used += (size_t)snprintf(text + used, sizeof text - used, "    %s (%s %s %s): %s\n",
                                 f->name, f->kind, f->types, f->shape, f->doc);
    }
    return tenon_ffi_return_string(text, used < sizeof text ? used : sizeof text - 1, result);
}

static int return_metadata(tenon_ffi_any *result) {
    static const char text[] = "{\"type_schema\": \"{\\\"type\\\": \\\"ffi.Function\\\"}\"}";
    return tenon_ffi_return_string(text, sizeof text - 1, result);
}

#define EXPORTED __attribute__((visibility("default")))
#define ADAPTER(op, OP, number, doc)                                                               \
    EXPORTED int __tvm_ffi_##op(void *self, const tenon_ffi_any *args, int32_t n_args,             \
                                tenon_ffi_any *result);                                            \
    int __tvm_ffi_##op(void *self, const tenon_ffi_any *args, int32_t n_args,                      \
                       tenon_ffi_any *result) {                                                    \
        (void)self;                                                                                \
        return call(number, args, n_args, result);                                                 \
    }                                                                                              \
    EXPORTED int __tvm_ffi__doc_##op(void *self, const tenon_ffi_any *args, int32_t n_args,        \
                                     tenon_ffi_any *result);                                       \
    int __tvm_ffi__doc_##op(void *self, const tenon_ffi_any *args, int32_t n_args,                 \
                            tenon_ffi_any *result) {                                               \
        (void)self, (void)args, (void)n_args;                                                      \
        return return_doc(number, result);                                                         \
    }                                                                                              \
    EXPORTED int __tvm_ffi__metadata_##op(void *self, const tenon_ffi_any *args, int32_t n_args,   \
                                          tenon_ffi_any *result);                                  \
    int __tvm_ffi__metadata_##op(void *self, const tenon_ffi_any *args, int32_t n_args,            \
                                 tenon_ffi_any *result) {                                          \
        (void)self, (void)args, (void)n_args;                                                      \
        return return_metadata(result);                                                            \
    }
TENON_OP_LIST(ADAPTER)
