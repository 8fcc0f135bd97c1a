/* SPDX-License-Identifier: Apache-2.0 */
/* Which lane runs next. A lane runs until it waits; then the next lane of its warp that can, and
 * when none can the scheduler picks a warp by chance. Nothing runs twice at a time. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "simt_core.h"

#if defined(__SANITIZE_ADDRESS__)
#    define SIMT_ASAN 1
#elif defined(__has_feature)
#    if __has_feature(address_sanitizer)
#        define SIMT_ASAN 1
#    endif
#endif
#if defined(SIMT_ASAN)
#    include <sanitizer/common_interface_defs.h>
#endif

_Thread_local simt_block *simt_now;
_Thread_local const simt_place *simt_here;

void simt_fiber_entered(void);

/* After every switch into a fiber that is new; simt_go says the rest. */
void simt_fiber_entered(void) {
#if defined(SIMT_ASAN)
    simt_block *block = simt_now;
    const void *stack;
    size_t bytes;
    __sanitizer_finish_switch_fiber(NULL, &stack, &bytes);
    if (!block->scheduler_stack)
        block->scheduler_stack = stack, block->scheduler_stack_bytes = bytes;
#endif
}

/* To the lane `next`, or to the scheduler with NULL. */
static void go(void **from, void **from_sanitizer, simt_thread *next) {
    simt_block *block = simt_now;
    void *to = next ? next->stack_pointer : block->scheduler;
    simt_here = next ? &next->place : NULL;
#if defined(SIMT_ASAN)
    __sanitizer_start_switch_fiber(from_sanitizer, next ? next->stack : block->scheduler_stack,
                                   next ? block->stack_bytes : block->scheduler_stack_bytes);
#else
    (void)from_sanitizer;
#endif
    simt_switch(from, to);
#if defined(SIMT_ASAN)
    simt_thread *self = simt_self();
    __sanitizer_finish_switch_fiber(self ? self->sanitizer_stack : block->sanitizer_scheduler, NULL,
                                    NULL);
#endif
}

/* The next lane of the warp that can run, after `thread`; NULL if there is none. */
static simt_thread *ready_after(simt_block *block, uint32_t thread) {
    const uint32_t first = thread & ~(SIMT_WARP - 1u);
    for (uint32_t i = 1; i <= SIMT_WARP; i++) {
        const uint32_t at = first + (thread + i) % SIMT_WARP;
        if (at < block->lanes && block->thread[at].state == SIMT_READY) return &block->thread[at];
    }
    return NULL;
}

void simt_block_here(void) {
    simt_thread *self = simt_self();
    simt_thread *next = ready_after(simt_now, self->place.thread);
    if (next != self) go(&self->stack_pointer, &self->sanitizer_stack, next);
}

void simt_thread_done(void) {
    simt_block *block = simt_now;
    simt_thread *self = simt_self();
    if (self->copies)
        simt_fault("a lane returns while %u of its copies are under way", self->copies);
    self->state = SIMT_DONE;
    block->done++;
    simt_warp_lost_lane(&block->warp[self->place.thread / SIMT_WARP],
                        self->place.thread % SIMT_WARP);
    simt_barrier_lost_lane();
    void *forgotten;
    go(&forgotten, NULL, ready_after(block, self->place.thread));
    __builtin_trap();
}

void simt_fault(const char *format, ...) {
    simt_block *block = simt_now;
    const simt_place *at = simt_here;
    int length = snprintf(block->fault, sizeof block->fault,
                          "%s: block %u,%u,%u: lane %u: ", block->kernel->name, at->block[0],
                          at->block[1], at->block[2], at->thread);
    va_list list;
    va_start(list, format);
    vsnprintf(block->fault + length, sizeof block->fault - (size_t)length, format, list);
    va_end(list);
    block->failed = true;
    void *forgotten;
    go(&forgotten, NULL, NULL);
    __builtin_trap();
}

static void say_stuck(simt_block *block) {
    size_t length = (size_t)snprintf(block->fault, sizeof block->fault,
                                     "%s: nothing can run any more:", block->kernel->name);
    uint32_t previous = ~0u;
    for (uint32_t i = 0; i < block->lanes && length + 80 < sizeof block->fault; i++) {
        const simt_thread *t = &block->thread[i];
        const uint32_t kind = (uint32_t)t->state << 16 | t->at;
        if (kind == previous || t->state == SIMT_DONE) continue;
        previous = kind;
        const simt_warp *warp = &block->warp[i / SIMT_WARP];
        length +=
            (size_t)(t->state == SIMT_AT_BARRIER
                         ? snprintf(block->fault + length, sizeof block->fault - length,
                                    " from lane %u on at barrier %u (%u of %u);", i, t->at,
                                    block->barrier[t->at].arrived, block->barrier[t->at].lanes)
                         : snprintf(block->fault + length, sizeof block->fault - length,
                                    " from lane %u on at %s (lanes %08x of %08x);", i,
                                    warp->meeting[t->at].what, warp->meeting[t->at].arrived,
                                    warp->meeting[t->at].members));
    }
    block->failed = true;
}

void simt_run_threads(simt_block *block) {
    const uint32_t warps = (block->lanes + SIMT_WARP - 1) / SIMT_WARP;
    while (!block->failed && block->done < block->lanes) {
        const uint32_t first = (uint32_t)(simt_random(block) % warps);
        simt_thread *next = NULL;
        for (uint32_t i = 0; i < warps && !next; i++)
            next = ready_after(block, (first + i) % warps * SIMT_WARP +
                                          (uint32_t)(simt_random(block) >> 40) % SIMT_WARP);
        if (next)
            go(&block->scheduler, &block->sanitizer_scheduler, next);
        else
            say_stuck(block);
    }
}
