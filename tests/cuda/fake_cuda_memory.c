/* SPDX-License-Identifier: Apache-2.0 */
/* Device memory: pages that the host may not touch, with a page that nobody may touch on each side;
 * an allocation ends where its last page does. */
#define _GNU_SOURCE /* MAP_ANONYMOUS */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fake_cuda.h"

enum { ALIGNMENT = 256, POISON = 0xff };

typedef struct block {
    char *pages, *memory;
    size_t bytes, page_bytes; /* page_bytes: without those at the ends */
    bool of_host;
    struct block *next;
} block;
static block *blocks;

static size_t page(void) {
    return (size_t)sysconf(_SC_PAGESIZE);
}

static void map(const block *b, bool readable) {
    mprotect(b->pages + page(), b->page_bytes, readable ? PROT_READ | PROT_WRITE : PROT_NONE);
}

void fake_map_memory(bool readable) {
    for (const block *b = blocks; b; b = b->next)
        if (!b->of_host) map(b, readable);
}

static int allocate(char **out, size_t bytes, bool of_host) {
    if (!fake_current()) return CUDA_INVALID_CONTEXT;
    if (!bytes || bytes > (size_t)1 << 34) return CUDA_INVALID_VALUE;
    block *b = malloc(sizeof *b);
    if (!b) return CUDA_OUT_OF_MEMORY;
    const size_t room = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    b->bytes = bytes;
    b->of_host = of_host;
    b->page_bytes = (room + page() - 1) / page() * page();
    b->pages =
        mmap(NULL, b->page_bytes + 2 * page(), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (b->pages == MAP_FAILED) {
        free(b);
        return CUDA_OUT_OF_MEMORY;
    }
    b->memory = b->pages + page() + b->page_bytes - room;
    map(b, true);
    memset(b->pages + page(), POISON, b->page_bytes);
    if (!of_host) map(b, false);
    b->next = blocks;
    blocks = b;
    fake_live++;
    *out = b->memory;
    return CUDA_SUCCESS;
}

static int release(const char *memory, bool of_host) {
    for (block **at = &blocks; *at; at = &(*at)->next) {
        block *b = *at;
        if (b->memory != memory || b->of_host != of_host) continue;
        *at = b->next;
        munmap(b->pages, b->page_bytes + 2 * page());
        free(b);
        fake_live--;
        return CUDA_SUCCESS;
    }
    return CUDA_INVALID_VALUE;
}

/* [p, p + bytes) lies in one allocation of the device. */
static bool is_valid(const char *p, size_t bytes) {
    for (const block *b = blocks; b; b = b->next)
        if (!b->of_host && p >= b->memory && p + bytes <= b->memory + b->bytes) return true;
    return false;
}

static int copy(char *to, const char *from, size_t bytes, const char *on_device) {
    if (!fake_current()) return CUDA_INVALID_CONTEXT;
    if (fake_sticky) return fake_sticky;
    if (!bytes) return CUDA_SUCCESS;
    if (!is_valid(on_device, bytes)) return CUDA_INVALID_VALUE;
    fake_map_memory(true);
    memmove(to, from, bytes);
    fake_map_memory(false);
    return CUDA_SUCCESS;
}

int cuMemAlloc_v2(uint64_t *out, size_t bytes) {
    char *memory = NULL;
    int status = fake_enter(FAKE_cuMemAlloc_v2);
    if (status) return status;
    status = allocate(&memory, bytes, false);
    *out = (uintptr_t)memory;
    return fake_leave(status);
}
int cuMemFree_v2(uint64_t memory) {
    const int status = fake_enter(FAKE_cuMemFree_v2);
    return status ? status : fake_leave(release((const char *)(uintptr_t)memory, false));
}
int cuMemHostAlloc(void **out, size_t bytes, unsigned flags) {
    char *memory = NULL;
    (void)flags;
    int status = fake_enter(FAKE_cuMemHostAlloc);
    if (status) return status;
    status = allocate(&memory, bytes, true);
    *out = memory;
    return fake_leave(status);
}
int cuMemFreeHost(void *memory) {
    const int status = fake_enter(FAKE_cuMemFreeHost);
    return status ? status : fake_leave(release(memory, true));
}
int cuMemcpyHtoD_v2(uint64_t to, const void *from, size_t bytes) {
    char *device = (char *)(uintptr_t)to;
    const int status = fake_enter(FAKE_cuMemcpyHtoD_v2);
    return status ? status : fake_leave(copy(device, from, bytes, device));
}
int cuMemcpyDtoH_v2(void *to, uint64_t from, size_t bytes) {
    const char *device = (const char *)(uintptr_t)from;
    const int status = fake_enter(FAKE_cuMemcpyDtoH_v2);
    return status ? status : fake_leave(copy(to, device, bytes, device));
}
