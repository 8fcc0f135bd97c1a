/* SPDX-License-Identifier: Apache-2.0 */
/* The state of a block that runs: its lanes (fibers), warps, barriers, shared memory. A thread of
 * the host runs one block at a time. */
#ifndef TENON_SIMT_CORE_H
#define TENON_SIMT_CORE_H

#include <pthread.h>

#include "simt.h"
#include "simt_device.h"

enum {
    SIMT_MAX_THREADS = 1024,
    SIMT_WARP = 32,
    SIMT_MEETINGS = 33, /* of a warp at a time */
    SIMT_BARRIERS = 16,
    SIMT_COPIES = 512,              /* of a lane, under way */
    SIMT_SHARED_BASE = 1024,        /* address 0 is never valid, and the base a multiple of 1,024 */
    SIMT_SHARED_BYTES = 256 * 1024, /* with guards; 227 KB is what hardware gives */
    SIMT_SHARED_LIMIT = 227 * 1024,
    SIMT_GUARD_BYTES = 64,
    SIMT_SHARED_WORDS = SIMT_SHARED_BYTES / 4
};

/* What of every lane has happened before a point: accesses of lane t at count c have, where
 * count[t] >= c. Never changed once a lane has it. */
typedef struct simt_clock {
    uint32_t users, size;
    struct simt_clock *next_free;
    uint32_t count[SIMT_MAX_THREADS];
} simt_clock;

typedef enum simt_state { SIMT_READY, SIMT_AT_WARP, SIMT_AT_BARRIER, SIMT_DONE } simt_state;

typedef struct simt_copy {
    uint32_t to, bytes, valid, group;
    const void *from;
} simt_copy;

typedef struct simt_thread {
    simt_place place; /* first: simt_here points here */
    void *stack_pointer;
    uint8_t *stack;
    void *sanitizer_stack;
    simt_state state;
    uint32_t at; /* barrier, or slot of the warp */
    simt_clock *seen;
    uint32_t count; /* of its own accesses now */
    uint32_t group, copies;
    simt_copy *copy;
} simt_thread;

/* A call that lanes of a warp make together, found by its members. */
typedef struct simt_meeting {
    const char *what; /* NULL: nobody is there */
    uint32_t detail, members, arrived;
} simt_meeting;

typedef struct simt_warp {
    uint32_t lanes, done; /* bits: that exist, that have returned */
    simt_meeting meeting[SIMT_MEETINGS];
    uint32_t in[SIMT_WARP][4], out[SIMT_WARP][4], from[SIMT_WARP];
    float a[16][32], b[32][8], d[16][8];
    int32_t a_int[16][32], b_int[32][8], d_int[16][8];
} simt_warp;

typedef struct simt_named_barrier {
    uint32_t lanes, arrived;
    simt_clock *gathered;
} simt_named_barrier;

enum { SIMT_PLAIN, SIMT_ATOMIC, SIMT_PENDING };
typedef struct simt_record {
    uint32_t count;
    uint16_t thread;
    uint8_t bytes; /* of the word: bits; 0: no record */
    uint8_t kind;
} simt_record;

typedef struct simt_block {
    simt_thread thread[SIMT_MAX_THREADS];
    simt_warp warp[SIMT_MAX_THREADS / SIMT_WARP];
    simt_named_barrier barrier[SIMT_BARRIERS];
    uint32_t lanes, done, dynamic_bytes;
    uint32_t current;
    uint64_t random;
    bool races;
    const simt_kernel *kernel;
    void *scheduler; /* its stack pointer */
    void *sanitizer_scheduler;
    const void *scheduler_stack;
    size_t scheduler_stack_bytes;
    uint8_t *stacks;
    size_t stack_bytes;
    simt_clock *free_clocks;
    bool failed;
    char fault[512];
    uint8_t *shared; /* SIMT_SHARED_BYTES, aligned as its addresses say */
    uint8_t valid[SIMT_SHARED_WORDS];
    simt_record written[SIMT_SHARED_WORDS], read[2][SIMT_SHARED_WORDS];
} simt_block;

struct simt_kernel {
    const char *name;
    void (*function)(void);
    const simt_file *file;
    const uint64_t *lanes;
    const uint32_t *argument_bytes;
};

extern _Thread_local simt_block *simt_now __attribute__((tls_model("initial-exec")));

static inline simt_thread *simt_self(void) {
    return (simt_thread *)(uintptr_t)simt_here;
}
static inline simt_warp *simt_my_warp(void) {
    return &simt_now->warp[simt_here->thread / SIMT_WARP];
}
static inline uint64_t simt_random(simt_block *block) {
    block->random ^= block->random << 13;
    block->random ^= block->random >> 7;
    return block->random ^= block->random << 17;
}

/* simt_fiber.c */
void simt_switch(void **from, void *to);
extern const char simt_fiber_begin[], simt_fiber_end[];
void *simt_fiber_prepare(uint8_t *stack, size_t stack_bytes, void (*function)(void),
                         const void *args, size_t args_bytes);
void simt_run_threads(simt_block *block);
void simt_block_here(void); /* the lane waits: another runs until its state is READY */
_Noreturn void simt_fault(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void simt_thread_done(void);

/* simt_warp.c: waits until all members made this call; the last one, or none if a lane of them
 * returned last, calls `finish` first. */
void simt_meet(const char *what, uint32_t detail, uint32_t members,
               void (*finish)(simt_warp *warp, uint32_t members, uint32_t detail));
/* A lane returned: who waits for it waits no more. */
void simt_warp_lost_lane(simt_warp *warp, uint32_t lane);
void simt_barrier_lost_lane(void);

/* simt_race.c */
simt_clock *simt_clock_new(simt_block *block);
void simt_clock_drop(simt_block *block, simt_clock *clock);
void simt_clock_gather(simt_block *block, simt_clock **gathered, simt_thread *thread);
void simt_clock_take(simt_block *block, simt_thread *thread, simt_clock *clock);
void simt_shared_access(uint32_t address, uint32_t bytes, bool writes, uint8_t kind);
void simt_shared_access_of(simt_thread *thread, uint32_t address, uint32_t bytes, bool writes,
                           uint8_t kind);
void simt_shared_landed(simt_thread *thread, uint32_t address, uint32_t bytes);

/* simt_memory.c */
void simt_memory_begin(void);
void simt_global_access(const void *p, size_t bytes, bool writes);

#endif /* TENON_SIMT_CORE_H */
