/* SPDX-License-Identifier: Apache-2.0 */
/* What Tenon needs of TVM-FFI's C ABI (github.com/apache/tvm-ffi): the layout of a value and the
 * two services it may call.
 *
 * Nothing is linked. The services are looked for in the process when they are first needed, and
 * without them the adapters still work. */
#ifndef TENON_TVM_FFI_H
#define TENON_TVM_FFI_H

#include <stddef.h>
#include <stdint.h>

/* Tags of a value. 0 to 7 are those of tenon_value; from 64 on, v leads to an object with a header.
 */
enum {
    TENON_FFI_NONE = 0,
    TENON_FFI_INT = 1,
    TENON_FFI_BOOL = 2,
    TENON_FFI_FLOAT = 3,
    TENON_FFI_POINTER = 4,
    TENON_FFI_DLTENSOR = 7,
    TENON_FFI_C_STRING = 8,
    TENON_FFI_SMALL_STRING = 11,
    TENON_FFI_STRING_OBJECT = 65,
    TENON_FFI_TENSOR_OBJECT = 70
};

typedef struct tenon_ffi_any {
    int32_t type;
    uint32_t small_bytes; /* length of a small string; else 0 */
    union {
        int64_t as_int;
        double as_float;
        void *as_pointer;
        const char *as_c_string;
        char as_bytes[8];
    } v;
} tenon_ffi_any;
_Static_assert(sizeof(tenon_ffi_any) == 16 && offsetof(tenon_ffi_any, v) == 8,
               "a TVM-FFI value has 16 bytes");

typedef struct tenon_ffi_bytes {
    const char *data;
    size_t bytes;
} tenon_ffi_bytes;

/* Reference counts, type, deleter. A tensor object's DLTensor, and a string object's
 * tenon_ffi_bytes, follow at once. */
enum { TENON_FFI_OBJECT_HEADER_BYTES = 24 };

/* tvm_ffi_host.c. Each does nothing where libtvm_ffi is not in the process. */
void tenon_ffi_raise(const char *kind, const char *message);
void *tenon_ffi_stream(int32_t device_type, int32_t device_id);
/* Makes a string object that the host owns; -1 if that cannot be. */
int tenon_ffi_return_string(const char *data, size_t bytes, tenon_ffi_any *result);

#endif /* TENON_TVM_FFI_H */
