/* SPDX-License-Identifier: Apache-2.0 */
/* Services of libtvm_ffi, found in the process that has loaded it: a weak symbol would miss a
 * library that was loaded after this one, or privately, and a link would tie Tenon to one version
 * of it. */
#define _GNU_SOURCE /* RTLD_NOLOAD */
#include "tvm_ffi.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdbool.h>

typedef void (*raise_fn)(const char *kind, const char *message);
typedef void *(*stream_fn)(int32_t device_type, int32_t device_id);
typedef int (*string_fn)(const tenon_ffi_bytes *input, tenon_ffi_any *output);

/* Looks again as long as there is nothing: the host may load it later. Once found it stays, as the
 * handle is kept. */
static void *find(_Atomic(void *) *cache, const char *name) {
    void *found = atomic_load_explicit(cache, memory_order_acquire);
    if (found) return found;
    void *library = dlopen("libtvm_ffi.so", RTLD_LAZY | RTLD_NOLOAD);
    /* A statically linked runtime has the symbols in the program itself. */
    found = dlsym(library ? library : RTLD_DEFAULT, name);
    if (found) atomic_store_explicit(cache, found, memory_order_release);
    return found;
}

void tenon_ffi_raise(const char *kind, const char *message) {
    static _Atomic(void *) cache;
    raise_fn raise_error;
    *(void **)&raise_error = find(&cache, "TVMFFIErrorSetRaisedFromCStr");
    if (raise_error) raise_error(kind, message);
}

void *tenon_ffi_stream(int32_t device_type, int32_t device_id) {
    static _Atomic(void *) cache;
    stream_fn get_stream;
    *(void **)&get_stream = find(&cache, "TVMFFIEnvGetStream");
    return get_stream ? get_stream(device_type, device_id) : NULL;
}

int tenon_ffi_return_string(const char *data, size_t bytes, tenon_ffi_any *result) {
    static _Atomic(void *) cache;
    const tenon_ffi_bytes input = {data, bytes};
    string_fn make_string;
    *(void **)&make_string = find(&cache, "TVMFFIStringFromByteArray");
    return make_string ? make_string(&input, result) : -1;
}
