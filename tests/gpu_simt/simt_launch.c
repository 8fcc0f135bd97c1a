/* SPDX-License-Identifier: Apache-2.0 */
/* The table of kernels, and the blocks of a launch on the threads of the host. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "simt_core.h"

#if defined(__SANITIZE_ADDRESS__)
#    include <sanitizer/asan_interface.h>
enum { STACK_BYTES = 256 * 1024 };
#else
enum { STACK_BYTES = 64 * 1024 };
#endif

/* The bounds of the section that DEVICE_KERNEL writes; both NULL where no kernel is linked. */
extern const simt_kernel __start_tenon_simt_kernels[] __attribute__((weak, visibility("hidden")));
extern const simt_kernel __stop_tenon_simt_kernels[] __attribute__((weak, visibility("hidden")));

const simt_kernel *simt_find(const char *name) {
    for (const simt_kernel *k = __start_tenon_simt_kernels; k < __stop_tenon_simt_kernels; k++)
        if (!strcmp(k->name, name)) return k;
    return NULL;
}
const char *simt_kernel_name(const simt_kernel *kernel) {
    return kernel->name;
}
uint32_t simt_kernel_lanes(const simt_kernel *kernel) {
    return (uint32_t)*kernel->lanes;
}

uint32_t simt_kernel_argument_bytes(const simt_kernel *kernel) {
    return *kernel->argument_bytes;
}

typedef struct launch {
    const simt_kernel *kernel;
    simt_grid grid;
    const void *args;
    size_t args_bytes;
    simt_options options;
    uint64_t blocks, next;
    pthread_mutex_t lock;
    bool failed;
    char fault[512];
} launch;

static void *map(size_t bytes) {
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);
    if (p == MAP_FAILED) abort();
    return p;
}

/* Kept for the next launch: its stacks and records are pages that are there already. */
static struct {
    pthread_mutex_t lock;
    simt_block *block[16];
    int count;
} idle = {.lock = PTHREAD_MUTEX_INITIALIZER};

static simt_block *block_take(void) {
    simt_block *block = NULL;
    pthread_mutex_lock(&idle.lock);
    if (idle.count) block = idle.block[--idle.count];
    pthread_mutex_unlock(&idle.lock);
    if (block) return block;
    block = map(sizeof *block);
    block->stack_bytes = STACK_BYTES;
    block->stacks = map((size_t)SIMT_MAX_THREADS * STACK_BYTES);
    const uintptr_t shared = (uintptr_t)map(SIMT_SHARED_BYTES + 1024);
    block->shared = (uint8_t *)((shared + 1023) & ~(uintptr_t)1023);
    return block;
}

static void block_give(simt_block *block) {
    pthread_mutex_lock(&idle.lock);
    const bool keep = idle.count < 16;
    if (keep) idle.block[idle.count++] = block;
    pthread_mutex_unlock(&idle.lock);
    if (!keep) munmap(block->stacks, (size_t)SIMT_MAX_THREADS * STACK_BYTES);
}

/* Dynamic memory at the base, then the arrays of the file, a guard after each. */
static uint32_t shared_layout(simt_block *block, uint32_t dynamic_bytes) {
    memset(block->valid, 0, sizeof block->valid);
    uint32_t at = SIMT_SHARED_BASE;
    memset(block->valid + at / 4, 1, (dynamic_bytes + 3) / 4);
    at += (dynamic_bytes + SIMT_GUARD_BYTES + 15) & ~15u;
    for (const simt_array *a = block->kernel->file->arrays; a; a = a->next) {
        if (at + a->bytes + SIMT_GUARD_BYTES > SIMT_SHARED_BYTES) return UINT32_MAX;
        void *array = block->shared + at;
        memcpy(a->slot(), &array, sizeof array);
        memset(block->valid + at / 4, 1, (size_t)(a->bytes + 3) / 4);
        at += ((uint32_t)a->bytes + SIMT_GUARD_BYTES + 15) & ~15u;
    }
    return at;
}

static void run_block(simt_block *block, const launch *l, uint64_t index) {
    const uint32_t lanes = l->grid.lanes, used = shared_layout(block, l->grid.shared_bytes);
    if (used == UINT32_MAX) {
        snprintf(block->fault, sizeof block->fault, "%s: too much shared memory", l->kernel->name);
        block->failed = true;
        return;
    }
    memset(block->shared, 0xff, used);
    block->lanes = lanes;
    block->done = 0;
    block->random = (l->options.seed * 0x9e3779b97f4a7c15u ^ (index + 1) * 0xd1b54a32d192ed03u) | 1;
    block->races = !l->options.without_races;
    if (block->races) {
        memset(block->written, 0, used / 4 * sizeof *block->written);
        for (int i = 0; i < 2; i++) memset(block->read[i], 0, used / 4 * sizeof *block->read[i]);
    }
    memset(block->barrier, 0, sizeof block->barrier);
    for (uint32_t w = 0; w <= (lanes - 1) / SIMT_WARP; w++) {
        simt_warp *warp = &block->warp[w];
        const uint32_t left = lanes - w * SIMT_WARP;
        warp->lanes = left >= SIMT_WARP ? 0xffffffffu : (1u << left) - 1;
        warp->done = 0;
        memset(warp->meeting, 0, sizeof warp->meeting);
    }
    simt_clock *nothing = simt_clock_new(block);
    memset(nothing->count, 0, lanes * sizeof *nothing->count);
    nothing->users = lanes;
    for (uint32_t i = 0; i < lanes; i++) {
        simt_thread *t = &block->thread[i];
        t->place = (simt_place){.thread = i, .lanes = lanes};
        t->place.block[0] = (uint32_t)(index % l->grid.blocks[0]);
        t->place.block[1] = (uint32_t)(index / l->grid.blocks[0] % l->grid.blocks[1]);
        t->place.block[2] = (uint32_t)(index / l->grid.blocks[0] / l->grid.blocks[1]);
        t->stack = block->stacks + (size_t)i * block->stack_bytes;
#if defined(__SANITIZE_ADDRESS__)
        /* A lane of an earlier block that ended in a fault never left its functions. */
        ASAN_UNPOISON_MEMORY_REGION(t->stack, block->stack_bytes);
#endif
        t->stack_pointer = simt_fiber_prepare(t->stack, block->stack_bytes, l->kernel->function,
                                              l->args, l->args_bytes);
        t->sanitizer_stack = NULL;
        t->state = SIMT_READY;
        t->seen = nothing;
        t->count = 1;
        t->group = t->copies = 0;
    }
    simt_run_threads(block);
    for (uint32_t i = 0; i < lanes; i++) simt_clock_drop(block, block->thread[i].seen);
    for (uint32_t i = 0; i < SIMT_BARRIERS; i++)
        if (block->barrier[i].gathered) simt_clock_drop(block, block->barrier[i].gathered);
}

static void *run_blocks(void *arg) {
    launch *l = arg;
    simt_block *block = block_take();
    block->kernel = l->kernel;
    block->failed = false;
    block->scheduler_stack = NULL;
    simt_now = block;
    simt_here = NULL;
    simt_memory_begin();
    for (;;) {
        const uint64_t index = __atomic_fetch_add(&l->next, 1, __ATOMIC_RELAXED);
        if (index >= l->blocks || __atomic_load_n(&l->failed, __ATOMIC_RELAXED)) break;
        run_block(block, l, index);
        if (!block->failed) continue;
        pthread_mutex_lock(&l->lock);
        if (!l->failed) memcpy(l->fault, block->fault, sizeof l->fault);
        __atomic_store_n(&l->failed, true, __ATOMIC_RELAXED);
        pthread_mutex_unlock(&l->lock);
        break;
    }
    simt_now = NULL;
    block_give(block);
    return NULL;
}

const char *simt_launch(const simt_kernel *kernel, simt_grid grid, const void *args,
                        size_t args_bytes, const simt_options *options) {
    static _Thread_local char fault[512];
    launch l = {.kernel = kernel, .grid = grid, .args = args, .args_bytes = args_bytes};
    if (options) l.options = *options;
    l.blocks = 1;
    for (int i = 0; i < 3; i++) {
        if (!l.grid.blocks[i]) l.grid.blocks[i] = 1;
        l.blocks *= l.grid.blocks[i];
    }
    if (grid.lanes != simt_kernel_lanes(kernel) || grid.lanes == 0 ||
        grid.lanes > SIMT_MAX_THREADS || args_bytes <= 16 || args_bytes > 4096 ||
        grid.shared_bytes > SIMT_SHARED_LIMIT) {
        snprintf(fault, sizeof fault,
                 "%s: %u lanes (the kernel has %u), %zu bytes of arguments, %u of shared memory",
                 kernel->name, grid.lanes, simt_kernel_lanes(kernel), args_bytes,
                 grid.shared_bytes);
        return fault;
    }
    pthread_mutex_init(&l.lock, NULL);
    uint64_t threads = l.options.threads;
    if (!threads) threads = (uint64_t)sysconf(_SC_NPROCESSORS_ONLN);
    if (threads > l.blocks) threads = l.blocks;
    if (threads > 64) threads = 64;
    pthread_t thread[64];
    uint64_t started = 0;
    while (started + 1 < threads && !pthread_create(&thread[started], NULL, run_blocks, &l))
        started++;
    run_blocks(&l);
    for (uint64_t i = 0; i < started; i++) pthread_join(thread[i], NULL);
    pthread_mutex_destroy(&l.lock);
    if (!l.failed) return NULL;
    memcpy(fault, l.fault, sizeof fault);
    return fault;
}
