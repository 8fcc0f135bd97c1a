/* SPDX-License-Identifier: Apache-2.0 */
/* <ffi.h>; or, in a build without libffi (-DTENON_FFI=OFF), the names of it that the plugin uses:
 * no call can be prepared there, so tenon_form_compile answers UNSUPPORTED and none is made. */
#ifndef TENON_LIBFFI_OR_NONE_H
#define TENON_LIBFFI_OR_NONE_H

#ifdef TENON_WITH_FFI
#    include <ffi.h>
#else
#    include <stddef.h>
#    include <stdint.h>

enum { FFI_OK, FFI_BAD_ABI, FFI_DEFAULT_ABI = 1 };
typedef int ffi_status;
typedef uint64_t ffi_arg;
typedef int64_t ffi_sarg;
typedef struct ffi_type {
    size_t size;
} ffi_type;
typedef struct ffi_cif {
    uint32_t n_args;
} ffi_cif;
typedef struct ffi_closure {
    void *user;
} ffi_closure;

#    define TENON_NO_FFI_TYPE(name, c_type)                                                        \
        static ffi_type ffi_type_##name __attribute__((unused)) = {sizeof(c_type)};
TENON_NO_FFI_TYPE(pointer, void *)
TENON_NO_FFI_TYPE(sint64, int64_t)
TENON_NO_FFI_TYPE(uint64, uint64_t)
TENON_NO_FFI_TYPE(sint32, int32_t)
TENON_NO_FFI_TYPE(uint32, uint32_t)
TENON_NO_FFI_TYPE(double, double)
TENON_NO_FFI_TYPE(float, float)
TENON_NO_FFI_TYPE(void, char)

static inline ffi_status ffi_prep_cif(ffi_cif *cif, int abi, uint32_t n_args, ffi_type *result,
                                      ffi_type **types) {
    (void)cif, (void)abi, (void)n_args, (void)result, (void)types;
    return FFI_BAD_ABI;
}
static inline void ffi_call(ffi_cif *cif, void (*function)(void), void *result, void **values) {
    (void)cif, (void)function, (void)result, (void)values;
}
static inline void *ffi_closure_alloc(size_t bytes, void **code) {
    (void)bytes, (void)code;
    return NULL;
}
static inline void ffi_closure_free(void *closure) {
    (void)closure;
}
static inline ffi_status ffi_prep_closure_loc(ffi_closure *closure, ffi_cif *cif,
                                              void (*function)(ffi_cif *, void *, void **, void *),
                                              void *user, void *code) {
    (void)closure, (void)cif, (void)function, (void)user, (void)code;
    return FFI_BAD_ABI;
}
#endif

#endif /* TENON_LIBFFI_OR_NONE_H */
