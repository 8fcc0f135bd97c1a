/* SPDX-License-Identifier: Apache-2.0 */
/* Shared memory: bounds, and races by happens-before. Every word remembers its last write and two
 * readers; a lane may touch it when its clock has seen them. Lanes see each other through barriers
 * of the block, named barriers and warp barriers alone: shuffles and matrix instructions order
 * nothing ("PTX ISA", "Memory Consistency Model"). */
#include <stdlib.h>
#include <string.h>

#include "simt_core.h"

simt_clock *simt_clock_new(simt_block *block) {
    simt_clock *clock = block->free_clocks;
    if (clock)
        block->free_clocks = clock->next_free;
    else
        clock = malloc(sizeof *clock);
    if (!clock) abort();
    clock->users = 1;
    return clock;
}

void simt_clock_drop(simt_block *block, simt_clock *clock) {
    if (--clock->users) return;
    clock->next_free = block->free_clocks;
    block->free_clocks = clock;
}

/* What the lane has seen and done goes into the gathered clock; what it does next is later. */
void simt_clock_gather(simt_block *block, simt_clock **gathered, simt_thread *thread) {
    simt_clock *sum = *gathered;
    if (!sum) {
        sum = simt_clock_new(block);
        memcpy(sum->count, thread->seen->count, block->lanes * sizeof *sum->count);
        *gathered = sum;
    } else {
        const uint32_t *seen = thread->seen->count;
        for (uint32_t i = 0; i < block->lanes; i++)
            if (seen[i] > sum->count[i]) sum->count[i] = seen[i];
    }
    sum->count[thread->place.thread] = thread->count++;
}

void simt_clock_take(simt_block *block, simt_thread *thread, simt_clock *clock) {
    simt_clock_drop(block, thread->seen);
    thread->seen = clock;
    clock->users++;
}

static bool before(const simt_record *record, const simt_thread *thread) {
    return record->thread == thread->place.thread ||
           thread->seen->count[record->thread] >= record->count;
}

static void race(const simt_thread *thread, uint32_t address, bool writes,
                 const simt_record *record, bool was_write) {
    if (record->kind == SIMT_PENDING)
        simt_fault("lane %u %s shared byte %u, to which lane %u has a copy under way",
                   thread->place.thread, writes ? "writes" : "reads", address, record->thread);
    simt_fault("race: lane %u %s shared byte %u, which lane %u %s; nothing orders the two",
               thread->place.thread, writes ? "writes" : "reads", address, record->thread,
               was_write ? "wrote" : "read");
}

static void check_word(simt_thread *thread, uint32_t word, uint8_t bytes, bool writes,
                       uint8_t kind) {
    simt_block *block = simt_now;
    simt_record *w = &block->written[word];
    const simt_record now = {thread->count, (uint16_t)thread->place.thread, bytes, kind};
    if (w->bytes & bytes && (w->kind == SIMT_PENDING || !before(w, thread)) &&
        !(kind == SIMT_ATOMIC && w->kind == SIMT_ATOMIC))
        race(thread, word * 4, writes, w, true);
    if (!writes) {
        /* The reader before the last one is kept, if it is of another warp. */
        if (block->read[0][word].thread / SIMT_WARP != now.thread / SIMT_WARP)
            block->read[1][word] = block->read[0][word];
        block->read[0][word] = now;
        return;
    }
    for (int i = 0; i < 2; i++) {
        const simt_record *r = &block->read[i][word];
        if (r->bytes & bytes && !before(r, thread)) race(thread, word * 4, writes, r, false);
    }
    *w = now;
}

void simt_shared_access_of(simt_thread *thread, uint32_t address, uint32_t bytes, bool writes,
                           uint8_t kind) {
    simt_block *block = simt_now;
    if (address >= SIMT_SHARED_BYTES || bytes > SIMT_SHARED_BYTES - address)
        simt_fault("lane %u uses shared byte %u", thread->place.thread, address);
    for (uint32_t word = address / 4; word <= (address + bytes - 1) / 4; word++) {
        if (!block->valid[word])
            simt_fault("lane %u %s shared byte %u, which is outside of what the kernel has",
                       thread->place.thread, writes ? "writes" : "reads", word * 4);
        if (!block->races) continue;
        uint8_t mask = 15;
        if (word == address / 4) mask &= (uint8_t)(15u << address % 4);
        if (word == (address + bytes - 1) / 4)
            mask &= (uint8_t)(15u >> (3 - (address + bytes - 1) % 4));
        check_word(thread, word, mask, writes, kind);
    }
}

void simt_shared_access(uint32_t address, uint32_t bytes, bool writes, uint8_t kind) {
    simt_shared_access_of(simt_self(), address, bytes, writes, kind);
}

/* A copy is a write by its lane, at the moment when the lane waits for it. */
void simt_shared_landed(simt_thread *thread, uint32_t address, uint32_t bytes) {
    if (simt_now->races)
        for (uint32_t word = address / 4; word < (address + bytes) / 4; word++)
            simt_now->written[word] =
                (simt_record){thread->count, (uint16_t)thread->place.thread, 15, SIMT_PLAIN};
}

static void check_address(uint32_t address, uint32_t bytes) {
    if (address % bytes)
        simt_fault("shared byte %u is no multiple of %u, the size of the access", address, bytes);
}

uint32_t simt_shared_address(const void *p) {
    const uintptr_t at = (uintptr_t)p - (uintptr_t)simt_now->shared;
    if (at > SIMT_SHARED_BYTES) simt_fault("%p is not in shared memory", p);
    return (uint32_t)at;
}
uint8_t *simt_dynamic_shared(void) {
    return simt_now->shared + SIMT_SHARED_BASE;
}
void simt_load_shared(void *to, uint32_t from, uint32_t bytes) {
    check_address(from, bytes);
    simt_shared_access(from, bytes, false, SIMT_PLAIN);
    memcpy(to, simt_now->shared + from, bytes);
}
void simt_store_shared(uint32_t to, const void *from, uint32_t bytes) {
    check_address(to, bytes);
    simt_shared_access(to, bytes, true, SIMT_PLAIN);
    memcpy(simt_now->shared + to, from, bytes);
}
uint32_t simt_shared_add(uint32_t *p, uint32_t value) {
    const uint32_t address = simt_shared_address(p);
    check_address(address, 4);
    simt_shared_access(address, 4, true, SIMT_ATOMIC);
    const uint32_t old = *p;
    *p = old + value;
    return old;
}
