/* SPDX-License-Identifier: Apache-2.0 */
/* Device memory: pages that the host may not touch, known byte by byte to the interpreter. */
#define _GNU_SOURCE /* MAP_ANONYMOUS */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fake_hip.h"

typedef struct block {
    char *memory;
    size_t bytes, mapped_bytes;
    int device; /* -1: of the host, seen by all devices */
    struct block *next;
} block;

static block *blocks;
uint64_t fake_live_memory, fake_live_modules;

uint64_t fake_hip_live(void) {
    pthread_mutex_lock(&fake_lock);
    uint64_t live = fake_live_memory + fake_live_modules;
    pthread_mutex_unlock(&fake_lock);
    return live;
}

void fake_map_memory(bool readable) {
    for (block *b = blocks; b; b = b->next)
        if (b->device >= 0)
            mprotect(b->memory, b->mapped_bytes, readable ? PROT_READ | PROT_WRITE : PROT_NONE);
}

static bool register_with(const block *b, bool on) {
    bool done = true;
    for (int d = 0; d < fake_n_devices; d++) {
        if (!fake_devices[d].gpu || (b->device >= 0 && b->device != d)) continue;
        done &= on ? gpu_amd_register(fake_devices[d].gpu, b->memory, b->bytes,
                                      GPU_AMD_READ | GPU_AMD_WRITE)
                   : gpu_amd_unregister(fake_devices[d].gpu, b->memory);
    }
    return done;
}

static int allocate(void **out, size_t bytes, int device) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (!out || !bytes || bytes > (size_t)1 << 34) return HIP_OUT_OF_MEMORY;
    block *b = malloc(sizeof *b);
    if (!b) return HIP_OUT_OF_MEMORY;
    b->bytes = bytes;
    b->device = device;
    b->mapped_bytes = (bytes + page - 1) / page * page;
    b->memory =
        mmap(NULL, b->mapped_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (b->memory == MAP_FAILED || !register_with(b, true)) {
        free(b);
        return HIP_OUT_OF_MEMORY;
    }
    gpu_amd_poison(b->memory, bytes);
    if (device >= 0) mprotect(b->memory, b->mapped_bytes, PROT_NONE);
    b->next = blocks;
    blocks = b;
    fake_live_memory++;
    *out = b->memory;
    return HIP_SUCCESS;
}

static int release(void *memory, bool of_host) {
    if (!memory) return HIP_SUCCESS;
    for (block **at = &blocks; *at; at = &(*at)->next) {
        block *b = *at;
        if (b->memory != memory || (b->device < 0) != of_host) continue;
        *at = b->next;
        register_with(b, false);
        munmap(b->memory, b->mapped_bytes);
        free(b);
        fake_live_memory--;
        return HIP_SUCCESS;
    }
    return HIP_INVALID_VALUE;
}

/* Whether [p, p + bytes) touches device memory, and lies wholly in one allocation if so. */
static bool is_valid(const void *p, size_t bytes, bool *on_device) {
    const char *first = p;
    *on_device = false;
    for (const block *b = blocks; b; b = b->next) {
        if (b->device < 0 || first >= b->memory + b->mapped_bytes || first + bytes <= b->memory)
            continue;
        *on_device = true;
        return first >= b->memory && first + bytes <= b->memory + b->bytes;
    }
    return true;
}

/* kind: 0 host to host, 1 to the device, 2 to the host, 3 on the device, 4 whatever it is. */
static int copy(void *to, const void *from, size_t bytes, int kind) {
    bool to_device, from_device;
    if (fake_sticky) return fake_sticky;
    if (!bytes) return HIP_SUCCESS;
    if (kind < 0 || kind > 4 || !is_valid(to, bytes, &to_device) ||
        !is_valid(from, bytes, &from_device))
        return HIP_INVALID_VALUE;
    if (kind != 4 && (to_device != (kind == 1 || kind == 3) || from_device != (kind >= 2)))
        return HIP_INVALID_VALUE;
    fake_map_memory(true);
    memmove(to, from, bytes);
    fake_map_memory(false);
    return HIP_SUCCESS;
}

int hipMalloc(void **out, size_t bytes) {
    int status = fake_enter(FAKE_hipMalloc);
    return status ? status : fake_leave(allocate(out, bytes, fake_current));
}

int hipFree(void *memory) {
    int status = fake_enter(FAKE_hipFree);
    return status ? status : fake_leave(release(memory, false));
}

int hipHostMalloc(void **out, size_t bytes, unsigned flags) {
    (void)flags;
    int status = fake_enter(FAKE_hipHostMalloc);
    return status ? status : fake_leave(allocate(out, bytes, -1));
}

int hipHostFree(void *memory) {
    int status = fake_enter(FAKE_hipHostFree);
    return status ? status : fake_leave(release(memory, true));
}

int hipMemcpy(void *to, const void *from, size_t bytes, int kind) {
    int status = fake_enter(FAKE_hipMemcpy);
    return status ? status : fake_leave(copy(to, from, bytes, kind));
}

int hipMemcpyAsync(void *to, const void *from, size_t bytes, int kind, fake_stream *stream) {
    (void)stream;
    int status = fake_enter(FAKE_hipMemcpyAsync);
    return status ? status : fake_leave(copy(to, from, bytes, kind));
}
