/* SPDX-License-Identifier: Apache-2.0 */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "staged_host.h"

static struct {
    int (*malloc)(void **out, size_t bytes);
    int (*free)(void *memory);
    int (*host_malloc)(void **out, size_t bytes, unsigned flags);
    int (*host_free)(void *memory);
    int (*memcpy)(void *to, const void *from, size_t bytes, int kind);
    int (*synchronize)(void);
} hip;

static bool resolve(void *library, const char *symbol, void *member) {
    void *address = library ? dlsym(library, symbol) : NULL;
    memcpy(member, &address, sizeof address);
    return address != NULL;
}

static staged_fake fake;
static bool is_fake;

bool staged_hip_is_fake(staged_fake *out) {
    *out = fake;
    return is_fake;
}

bool staged_hip_open(char *text, size_t text_bytes) {
    void *library = dlopen("libamdhip64.so.7", RTLD_NOW);
    if (!library) library = dlopen("libamdhip64.so.6", RTLD_NOW);
    bool found = resolve(library, "hipMalloc", (void *)&hip.malloc) &&
                 resolve(library, "hipFree", (void *)&hip.free) &&
                 resolve(library, "hipHostMalloc", (void *)&hip.host_malloc) &&
                 resolve(library, "hipHostFree", (void *)&hip.host_free) &&
                 resolve(library, "hipMemcpy", (void *)&hip.memcpy) &&
                 resolve(library, "hipDeviceSynchronize", (void *)&hip.synchronize);
    is_fake = resolve(library, "fake_hip_fail_at", (void *)&fake.fail_at) &&
              resolve(library, "fake_hip_count", (void *)&fake.count);
    if (!found) snprintf(text, text_bytes, "libamdhip64.so: %s", dlerror());
    return found;
}

void *staged_hip_allocate(size_t bytes, bool of_host) {
    void *memory = NULL;
    int error = of_host ? hip.host_malloc(&memory, bytes, 0) : hip.malloc(&memory, bytes);
    return error ? NULL : memory;
}

void staged_hip_release(void *memory, bool of_host) {
    if (memory) (void)(of_host ? hip.host_free(memory) : hip.free(memory));
}

int staged_hip_upload(void *to, const void *from, size_t bytes) {
    return hip.memcpy(to, from, bytes, 1);
}
int staged_hip_download(void *to, const void *from, size_t bytes) {
    return hip.memcpy(to, from, bytes, 2);
}
int staged_hip_synchronize(void) {
    return hip.synchronize();
}
