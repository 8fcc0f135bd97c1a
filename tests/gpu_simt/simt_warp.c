/* SPDX-License-Identifier: Apache-2.0 */
/* What lanes do together: warps that exchange values and matrices, and barriers of a block. */
#include <string.h>

#include "simt_core.h"

static void open_meeting(simt_block *block, simt_warp *warp, uint32_t slot, uint32_t arrived) {
    const uint32_t first = (uint32_t)(warp - block->warp) * SIMT_WARP;
    warp->meeting[slot].what = NULL;
    for (uint32_t l = 0; l < SIMT_WARP; l++)
        if (arrived >> l & 1) block->thread[first + l].state = SIMT_READY;
}

/* Where these lanes meet, or a free place. Others may be at a call of other members. */
static uint32_t slot_of(const simt_warp *warp, uint32_t members) {
    uint32_t slot = SIMT_MEETINGS;
    for (uint32_t i = 0; i < SIMT_MEETINGS; i++) {
        if (warp->meeting[i].what && warp->meeting[i].members == members) return i;
        if (!warp->meeting[i].what && slot == SIMT_MEETINGS) slot = i;
    }
    if (slot == SIMT_MEETINGS) simt_fault("lanes of a warp are at more than %u calls", slot);
    return slot;
}

/* Lanes that are there decide: one that returned is not waited for. */
void simt_meet(const char *what, uint32_t detail, uint32_t members,
               void (*finish)(simt_warp *warp, uint32_t members, uint32_t detail)) {
    simt_block *block = simt_now;
    simt_thread *self = simt_self();
    simt_warp *warp = simt_my_warp();
    const uint32_t lane = self->place.thread % SIMT_WARP;
    if (!(members >> lane & 1)) simt_fault("%s without itself among its lanes %08x", what, members);
    const uint32_t slot = slot_of(warp, members);
    simt_meeting *m = &warp->meeting[slot];
    if (!m->what) {
        *m = (simt_meeting){what, detail, members, 0};
    } else if (m->what != what || m->detail != detail) {
        simt_fault("%s (%u) while lanes %08x of its warp are at %s (%u)", what, detail, m->arrived,
                   m->what, m->detail);
    }
    m->arrived |= 1u << lane;
    if (m->arrived == (members & warp->lanes & ~warp->done)) {
        const uint32_t arrived = m->arrived;
        if (finish) finish(warp, members, detail);
        open_meeting(block, warp, slot, arrived);
        return;
    }
    self->state = SIMT_AT_WARP;
    self->at = slot;
    simt_block_here();
    /* A lane that returned was the last one missing: nobody has finished yet. */
    if (m->what == what && m->arrived == 0 && finish) {
        finish(warp, members, detail);
        m->what = NULL;
    }
}

void simt_warp_lost_lane(simt_warp *warp, uint32_t lane) {
    warp->done |= 1u << lane;
    for (uint32_t slot = 0; slot < SIMT_MEETINGS; slot++) {
        simt_meeting *m = &warp->meeting[slot];
        if (!m->what || m->arrived != (m->members & warp->lanes & ~warp->done)) continue;
        const char *what = m->what;
        open_meeting(simt_now, warp, slot, m->arrived);
        m->what = what, m->arrived = 0; /* the first lane that wakes finishes */
    }
}

/* ---- values ---- */

static void no_finish(simt_warp *warp, uint32_t members, uint32_t detail) {
    (void)warp, (void)members, (void)detail;
}

static void finish_shuffle(simt_warp *warp, uint32_t members, uint32_t detail) {
    (void)detail;
    for (uint32_t l = 0; l < SIMT_WARP; l++)
        if (members >> l & 1) warp->out[l][0] = warp->in[warp->from[l]][0];
}

uint32_t simt_shuffle(uint32_t members, uint32_t value, uint32_t lane) {
    simt_warp *warp = simt_my_warp();
    const uint32_t self = simt_here->thread % SIMT_WARP;
    lane %= SIMT_WARP;
    /* Reading a lane that takes no part gives anything. */
    if (!(members >> lane & 1) || (warp->done | ~warp->lanes) >> lane & 1)
        simt_fault("a shuffle of lanes %08x reads lane %u", members & ~warp->done, lane);
    warp->in[self][0] = value;
    warp->from[self] = lane;
    simt_meet("shuffle", 0, members, finish_shuffle);
    return warp->out[self][0];
}

static void finish_ballot(simt_warp *warp, uint32_t members, uint32_t detail) {
    (void)detail;
    uint32_t ballot = 0;
    for (uint32_t l = 0; l < SIMT_WARP; l++)
        if ((members & warp->lanes & ~warp->done) >> l & 1) ballot |= (warp->in[l][0] & 1) << l;
    for (uint32_t l = 0; l < SIMT_WARP; l++) warp->out[l][0] = ballot;
}

uint32_t simt_ballot(bool condition) {
    simt_warp *warp = simt_my_warp();
    const uint32_t self = simt_here->thread % SIMT_WARP;
    warp->in[self][0] = condition;
    simt_meet("ballot", 0, 0xffffffffu, finish_ballot);
    return warp->out[self][0];
}

static void finish_warp_barrier(simt_warp *warp, uint32_t members, uint32_t detail) {
    (void)detail;
    simt_block *block = simt_now;
    if (!block->races) return;
    const uint32_t first = (uint32_t)(warp - block->warp) * SIMT_WARP;
    simt_clock *gathered = NULL;
    members &= warp->lanes & ~warp->done;
    for (uint32_t l = 0; l < SIMT_WARP; l++)
        if (members >> l & 1) simt_clock_gather(block, &gathered, &block->thread[first + l]);
    for (uint32_t l = 0; l < SIMT_WARP; l++)
        if (members >> l & 1) simt_clock_take(block, &block->thread[first + l], gathered);
    simt_clock_drop(block, gathered);
}

void simt_warp_barrier(void) {
    simt_meet("warp barrier", 0, 0xffffffffu, finish_warp_barrier);
}

/* ---- matrices of 8 rows of 16 bytes ---- */

static void all_lanes(const char *what) {
    const simt_warp *warp = simt_my_warp();
    if (warp->lanes != 0xffffffffu || warp->done)
        simt_fault("%s needs all lanes of the warp; there are %08x", what,
                   warp->lanes & ~warp->done);
}

static void transpose(uint32_t (*r)[4], uint32_t m) {
    uint16_t half[8][8];
    for (uint32_t row = 0; row < 8; row++)
        for (uint32_t column = 0; column < 8; column++)
            half[column][row] = (uint16_t)(r[row * 4 + column / 2][m] >> (column % 2 * 16));
    for (uint32_t l = 0; l < SIMT_WARP; l++)
        r[l][m] = half[l / 4][l % 4 * 2] | (uint32_t)half[l / 4][l % 4 * 2 + 1] << 16;
}

static void finish_load(simt_warp *warp, uint32_t members, uint32_t detail) {
    (void)members;
    simt_block *block = simt_now;
    const uint32_t first = (uint32_t)(warp - block->warp) * SIMT_WARP;
    for (uint32_t m = 0; m < (detail & 7u); m++) {
        for (uint32_t row = 0; row < 8; row++) {
            const uint32_t lane = 8 * m + row, address = warp->from[lane];
            simt_shared_access_of(&block->thread[first + lane], address, 16, false, SIMT_PLAIN);
            for (uint32_t t = 0; t < 4; t++)
                memcpy(&warp->out[row * 4 + t][m], block->shared + address + 4 * t, 4);
        }
        if (detail & 8u) transpose(warp->out, m);
    }
}

static void check_row(const char *what, uint32_t row, uint32_t matrices) {
    all_lanes(what);
    if (simt_here->thread % SIMT_WARP < 8 * matrices && row % 16)
        simt_fault("%s at %u, which is no multiple of 16", what, row);
}

void simt_load_matrix(uint32_t *r, uint32_t row, uint32_t matrices, bool transposed) {
    simt_warp *warp = simt_my_warp();
    const uint32_t self = simt_here->thread % SIMT_WARP;
    check_row("ldmatrix", row, matrices);
    warp->from[self] = row;
    simt_meet("ldmatrix", matrices | (transposed ? 8u : 0u), 0xffffffffu, finish_load);
    memcpy(r, warp->out[self], 4 * matrices);
}

static void finish_store(simt_warp *warp, uint32_t members, uint32_t detail) {
    (void)members;
    simt_block *block = simt_now;
    const uint32_t first = (uint32_t)(warp - block->warp) * SIMT_WARP;
    for (uint32_t m = 0; m < (detail & 7u); m++) {
        if (detail & 8u) transpose(warp->in, m);
        for (uint32_t row = 0; row < 8; row++) {
            const uint32_t lane = 8 * m + row, address = warp->from[lane];
            simt_shared_access_of(&block->thread[first + lane], address, 16, true, SIMT_PLAIN);
            for (uint32_t t = 0; t < 4; t++)
                memcpy(block->shared + address + 4 * t, &warp->in[row * 4 + t][m], 4);
        }
    }
}

void simt_store_matrix(uint32_t row, const uint32_t *r, uint32_t matrices, bool transposed) {
    simt_warp *warp = simt_my_warp();
    const uint32_t self = simt_here->thread % SIMT_WARP;
    check_row("stmatrix", row, matrices);
    warp->from[self] = row;
    memcpy(warp->in[self], r, 4 * matrices);
    simt_meet("stmatrix", matrices | (transposed ? 8u : 0u), 0xffffffffu, finish_store);
}

static void finish_transpose(simt_warp *warp, uint32_t members, uint32_t detail) {
    (void)members, (void)detail;
    for (uint32_t l = 0; l < SIMT_WARP; l++) warp->out[l][0] = warp->in[l][0];
    transpose(warp->out, 0);
}

uint32_t simt_transpose_matrix(uint32_t x) {
    simt_warp *warp = simt_my_warp();
    const uint32_t self = simt_here->thread % SIMT_WARP;
    all_lanes("movmatrix");
    warp->in[self][0] = x;
    simt_meet("movmatrix", 0, 0xffffffffu, finish_transpose);
    return warp->out[self][0];
}

/* ---- the block ---- */

static void open_barrier(simt_block *block, uint32_t barrier) {
    simt_named_barrier *b = &block->barrier[barrier];
    const uint32_t expected = barrier == 0 ? block->lanes - block->done : b->lanes;
    if (b->arrived == 0 || b->arrived != expected) return;
    for (uint32_t i = 0; i < block->lanes; i++) {
        simt_thread *t = &block->thread[i];
        if (t->state != SIMT_AT_BARRIER || t->at != barrier) continue;
        t->state = SIMT_READY;
        if (block->races) simt_clock_take(block, t, b->gathered);
    }
    if (b->gathered) simt_clock_drop(block, b->gathered);
    b->gathered = NULL;
    b->arrived = 0;
}

void simt_barrier_lost_lane(void) {
    open_barrier(simt_now, 0);
}

void simt_barrier(uint32_t barrier, uint32_t lanes, bool waits) {
    simt_block *block = simt_now;
    simt_thread *self = simt_self();
    if (barrier >= SIMT_BARRIERS) simt_fault("barrier %u of %d", barrier, SIMT_BARRIERS);
    if (lanes == 0 || lanes % SIMT_WARP || lanes > ((block->lanes + 31) & ~31u))
        simt_fault("barrier %u of %u lanes in a block of %u", barrier, lanes, block->lanes);
    /* Hardware counts warps: all lanes of one are at the same call. */
    simt_meet(waits ? "barrier" : "barrier arrival", barrier << 16 | lanes, 0xffffffffu, no_finish);
    simt_named_barrier *b = &block->barrier[barrier];
    if (!b->arrived)
        b->lanes = lanes;
    else if (b->lanes != lanes)
        simt_fault("barrier %u of %u lanes, while others are there for %u", barrier, lanes,
                   b->lanes);
    if (block->races) simt_clock_gather(block, &b->gathered, self);
    b->arrived++;
    if (waits) {
        self->state = SIMT_AT_BARRIER;
        self->at = barrier;
    }
    open_barrier(block, barrier);
    if (waits) simt_block_here();
}
