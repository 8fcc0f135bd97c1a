/* SPDX-License-Identifier: Apache-2.0 */
/* The text of a C signature, compiled once to accessors and a prepared libffi call.
 *
 * "i32(ptr:a.data, i64:a.shape[0], f32:softmax_scale, ptr:user)": the grammar is documented above
 * tenon_foreign_kernel in tenon.h. */
#ifndef TENON_SIGNATURE_H
#define TENON_SIGNATURE_H

#include "libffi_or_none.h"
#include "plan.h"

enum { TENON_MAX_CALL_ARGS = 64, TENON_MAX_SIGNATURE_BYTES = 1536 };

/* X(name, C type, libffi type, is_integer) */
#define TENON_CALL_TYPE_LIST(X)                                                                    \
    X(ptr, void *, ffi_type_pointer, 0)                                                            \
    X(i64, int64_t, ffi_type_sint64, 1)                                                            \
    X(i32, int32_t, ffi_type_sint32, 1)                                                            \
    X(u64, uint64_t, ffi_type_uint64, 1)                                                           \
    X(u32, uint32_t, ffi_type_uint32, 1)                                                           \
    X(f64, double, ffi_type_double, 0)                                                             \
    X(f32, float, ffi_type_float, 0)
#define TENON_E_CALL_TYPE(name, c_type, ffi, is_integer) TENON_CALL_##name,
enum { TENON_CALL_TYPE_LIST(TENON_E_CALL_TYPE) TENON_CALL_TYPE_COUNT };

/* Where a value stands: a plain member of the args struct or of a descriptor; part of a tensor; or
 * the call itself. */
enum {
    TENON_SOURCE_PLAIN,
    TENON_SOURCE_DATA,
    TENON_SOURCE_SHAPE,
    TENON_SOURCE_STRIDE,
    TENON_SOURCE_ARGS,
    TENON_SOURCE_USER
};

typedef struct tenon_accessor {
    uint8_t type;          /* TENON_CALL_*: what the C function takes */
    uint8_t stored;        /* TENON_CALL_*: what stands in the struct, for PLAIN */
    uint8_t source;        /* TENON_SOURCE_* */
    uint8_t index;         /* of shape[i] and stride[i] */
    uint16_t offset;       /* in the args struct */
    int16_t member_offset; /* in the descriptor that the field points to; -1: the field itself */
    int16_t slot;          /* index in the schema's slots of the tensor that it names; -1: none */
    uint16_t text_at;      /* the source's text in the signature, for messages */
    uint16_t text_bytes;
} tenon_accessor;

/* ffi_call and closures take a pointer to each value; this holds any of them. */
typedef union tenon_call_value {
#define TENON_CALL_MEMBER(name, c_type, ffi, is_integer) c_type as_##name;
    TENON_CALL_TYPE_LIST(TENON_CALL_MEMBER)
} tenon_call_value;

typedef struct tenon_call_form {
    const tenon_schema *schema;
    bool returns_status; /* i32; else void */
    uint32_t n_args;
    tenon_accessor args[TENON_MAX_CALL_ARGS];
    ffi_type *types[TENON_MAX_CALL_ARGS];
    ffi_cif cif; /* points into types: a form must not be moved */
    char text[TENON_MAX_SIGNATURE_BYTES];
} tenon_call_form;

/* Fills *form in place. Errors name the column, counted from 1. */
int32_t tenon_form_compile(const tenon_schema *schema, const char *signature, tenon_call_form *form,
                           tenon_error *error);

/* The value that an accessor names in a full args struct whose tensors have strides. Fails where an
 * integer does not fit its type. */
int32_t tenon_form_read(const tenon_call_form *form, const tenon_accessor *accessor,
                        const void *args, void *user, tenon_call_value *value, tenon_error *error);

/* The tensor that the accessor's source is a part of; NULL where the field is NULL. */
static inline const DLTensor *tenon_accessor_tensor(const tenon_accessor *accessor,
                                                    const void *args) {
    const void *field = *(void *const *)((const char *)args + accessor->offset);
    if (!field || accessor->member_offset < 0) return (const DLTensor *)field;
    return *(const DLTensor *const *)((const char *)field + accessor->member_offset);
}

#endif /* TENON_SIGNATURE_H */
