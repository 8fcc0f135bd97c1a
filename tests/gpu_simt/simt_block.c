/* SPDX-License-Identifier: Apache-2.0 */
/* Fibers, and the rules by which lanes wait for each other. x86-64. */
#define _GNU_SOURCE /* MAP_ANONYMOUS, MAP_STACK */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "simt.h"

enum { STACK_BYTES = 1 << 16, POISON = 0xff };
enum { RUNNING, AT_BARRIER, MEETING, DONE };

/* Made by the linker, from the sections that lane_simt.h fills. */
extern const simt_kernel __start_simt_kernels[], __stop_simt_kernels[];
extern char __start_simt_shared[], __stop_simt_shared[];

simt_lane *simt_me;
static simt_lane lanes[SIMT_MOST_LANES];
static uint32_t n_lanes;
static void *scheduler_stack_pointer;

/* Keeps the registers that belong to the caller on its stack, and goes on where another stack has
 * left its own. A lane's first word below its arguments returns to simt_lane_end. */
void simt_switch(void **stack_pointer, void *to);
void simt_lane_end(void);
void simt_lane_done(void);
__asm__(".text\n"
        ".globl simt_switch\n.hidden simt_switch\n"
        "simt_switch:\n"
        "  push %rbp\n  push %rbx\n  push %r12\n  push %r13\n  push %r14\n  push %r15\n"
        "  mov %rsp, (%rdi)\n  mov %rsi, %rsp\n"
        "  pop %r15\n  pop %r14\n  pop %r13\n  pop %r12\n  pop %rbx\n  pop %rbp\n"
        "  ret\n"
        ".globl simt_lane_end\n.hidden simt_lane_end\n"
        "simt_lane_end:\n"
        "  call simt_lane_done\n"
        "  ud2\n");

static void wait_as(int state) {
    simt_me->state = state;
    simt_switch(&simt_me->stack_pointer, scheduler_stack_pointer);
}

__attribute__((visibility("hidden"))) void simt_lane_done(void) {
    wait_as(DONE);
}

void simt_barrier(void) {
    wait_as(AT_BARRIER);
}

uint32_t simt_exchange(uint32_t level, uint32_t value, uint32_t from) {
    const uint32_t turn = simt_me->met[level]++ % 2;
    simt_me->value[level][turn] = value;
    simt_me->level = level;
    wait_as(MEETING);
    return lanes[simt_me->thread / SIMT_WARP * SIMT_WARP + from].value[level][turn];
}

uint32_t simt_ballot(bool condition) {
    const uint32_t turn = simt_me->met[5] % 2, warp = simt_me->thread / SIMT_WARP * SIMT_WARP;
    uint32_t ballot = 0;
    (void)simt_exchange(5, condition, 0);
    for (uint32_t l = 0; l < SIMT_WARP && warp + l < n_lanes; l++)
        if (lanes[warp + l].met[5] >= simt_me->met[5])
            ballot |= lanes[warp + l].value[5][turn] << l;
    return ballot;
}

/* All of the group have given their value, or have left. */
static bool all_met(const simt_lane *lane) {
    const uint32_t size = 1u << lane->level, first = lane->thread / size * size;
    for (uint32_t l = first; l < first + size && l < n_lanes; l++)
        if (lanes[l].state != DONE && lanes[l].met[lane->level] < lane->met[lane->level])
            return false;
    return true;
}

static void release_barrier(void) {
    for (uint32_t l = 0; l < n_lanes; l++)
        if (lanes[l].state != DONE && lanes[l].state != AT_BARRIER) return;
    for (uint32_t l = 0; l < n_lanes; l++)
        if (lanes[l].state == AT_BARRIER) lanes[l].state = RUNNING;
}

/* The x86-64 ABI passes a struct of more than 16 bytes on the stack, above the return address. */
static void begin_lane(simt_lane *lane, char *stack, const simt_kernel *kernel,
                       const void *arguments) {
    const size_t room = (*kernel->argument_bytes + 63u) / 64 * 64;
    void **at = (void **)(void *)(stack + STACK_BYTES - room);
    void (*end)(void) = simt_lane_end;
    memcpy(at, arguments, *kernel->argument_bytes);
    memcpy(--at, &end, sizeof end);
    memcpy(--at, &kernel->entry, sizeof kernel->entry);
    for (int i = 0; i < 6; i++) *--at = NULL;
    lane->stack_pointer = at;
}

static bool run_block(char *text, size_t text_bytes, uint32_t first) {
    for (;;) {
        bool progress = false;
        uint32_t live = 0;
        for (uint32_t i = 0; i < n_lanes; i++) {
            simt_lane *lane = &lanes[(first + i) % n_lanes];
            if (lane->state == MEETING && all_met(lane)) lane->state = RUNNING;
            if (lane->state == RUNNING) {
                progress = true;
                simt_me = lane;
                simt_switch(&scheduler_stack_pointer, lane->stack_pointer);
            }
            live += lane->state != DONE;
        }
        if (!live) return true;
        release_barrier();
        for (uint32_t l = 0; l < n_lanes; l++) progress |= lanes[l].state == RUNNING;
        if (!progress) {
            snprintf(text, text_bytes, "%u lanes wait for ever", live);
            return false;
        }
    }
}

const simt_kernel *simt_find(const char *name) {
    for (const simt_kernel *k = __start_simt_kernels; k < __stop_simt_kernels; k++)
        if (!strcmp(k->name, name)) return k;
    return NULL;
}

bool simt_run(const simt_kernel *kernel, const simt_launch *launch, char *text, size_t text_bytes) {
    if (launch->block_lanes != kernel->lanes || kernel->lanes > SIMT_MOST_LANES ||
        *kernel->argument_bytes <= 16) {
        snprintf(text, text_bytes, "%u lanes in a block, the kernel has %u", launch->block_lanes,
                 kernel->lanes);
        return false;
    }
    n_lanes = kernel->lanes;
    char *stacks = mmap(NULL, (size_t)n_lanes * STACK_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (stacks == MAP_FAILED) {
        snprintf(text, text_bytes, "no memory for stacks");
        return false;
    }
    bool done = true;
    const uint64_t n_blocks = (uint64_t)launch->grid[0] * launch->grid[1] * launch->grid[2];
    for (uint64_t i = 0; i < n_blocks && done; i++) {
        /* An odd seed runs the blocks from the end. */
        const uint64_t b = launch->seed % 2 ? n_blocks - 1 - i : i;
        memset(__start_simt_shared, POISON, (size_t)(__stop_simt_shared - __start_simt_shared));
        memset(lanes, 0, n_lanes * sizeof lanes[0]);
        for (uint32_t l = 0; l < n_lanes; l++) {
            lanes[l].thread = l;
            lanes[l].block[0] = (uint32_t)(b % launch->grid[0]);
            lanes[l].block[1] = (uint32_t)(b / launch->grid[0] % launch->grid[1]);
            lanes[l].block[2] = (uint32_t)(b / launch->grid[0] / launch->grid[1]);
            begin_lane(&lanes[l], stacks + (size_t)l * STACK_BYTES, kernel, launch->arguments);
        }
        done = run_block(text, text_bytes, (uint32_t)(launch->seed % n_lanes));
    }
    munmap(stacks, (size_t)n_lanes * STACK_BYTES);
    return done;
}
