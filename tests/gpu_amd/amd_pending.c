/* SPDX-License-Identifier: Apache-2.0
 *
 * Order of completion, from "CDNA3 Instruction Set Architecture" (data dependency resolution) and
 * LLVM's AMDGPU memory model: vector memory returns in the order of issue; LDS too; scalar memory
 * in any order, so that with scalar loads on the way only lgkmcnt(0) says something about them.
 */
#include "amd_pending.h"
#include "amd_race.h"

enum { RING = 64 };

static amd_outstanding *entry_at(amd_ring *ring, uint32_t place) {
    return &ring->entry[(ring->head + place) % RING];
}

static void mark(uint64_t *bits, int first, int count) {
    for (int i = first; i < first + count; i++) bits[i / 64] |= (uint64_t)1 << i % 64;
}

static bool any_marked(const uint64_t *bits, int first, int count) {
    uint64_t mask = count >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << count) - 1;
    int word = first / 64, shift = first % 64;
    if (bits[word] & mask << shift) return true;
    return shift && shift + count > 64 && (bits[word + 1] & mask >> (64 - shift));
}

/* Marks are made anew from what is left: two loads may be on the way to one register. */
static void remark(amd_wave *wave) {
    memset(wave->vector_pending, 0, sizeof wave->vector_pending);
    memset(wave->scalar_pending, 0, sizeof wave->scalar_pending);
    wave->anything_pending = false;
    for (int queue = 0; queue < 3; queue++)
        for (uint32_t place = 0; place < wave->queue[queue].count; place++) {
            const amd_outstanding *entry = entry_at(&wave->queue[queue], place);
            mark(queue == AMD_QUEUE_SCALAR ? wave->scalar_pending : wave->vector_pending,
                 entry->first, entry->count);
            if (entry->count) wave->anything_pending = true;
        }
}

static void complete_oldest(amd_wave *wave, amd_queue queue, uint32_t how_many) {
    amd_ring *ring = &wave->queue[queue];
    for (; how_many; how_many--) {
        amd_outstanding *entry = entry_at(ring, 0);
        if (entry->fills_lds) amd_fill_arrived(wave, entry);
        ring->head = (ring->head + 1) % RING;
        ring->count--;
    }
}

amd_outstanding *amd_issue(amd_wave *wave, amd_queue queue, const amd_instruction *inst, int first,
                           int count) {
    amd_ring *ring = &wave->queue[queue];
    uint32_t limit = queue == AMD_QUEUE_VECTOR ? AMD_VECTOR_LIMIT : AMD_LGKM_LIMIT;
    if (ring->count >= limit) {
        complete_oldest(wave, queue, ring->count - limit + 1);
        remark(wave);
    }
    amd_outstanding *entry = entry_at(ring, ring->count++);
    entry->inst = inst;
    entry->first = (uint16_t)first;
    entry->count = (uint8_t)count;
    entry->touches_lds = entry->fills_lds = false;
    if (count) {
        mark(queue == AMD_QUEUE_SCALAR ? wave->scalar_pending : wave->vector_pending, first, count);
        wave->anything_pending = true;
    }
    return entry;
}

void amd_wait(amd_wave *wave, uint32_t vector_left, uint32_t lgkm_left) {
    amd_ring *vector = &wave->queue[AMD_QUEUE_VECTOR], *lds = &wave->queue[AMD_QUEUE_LDS],
             *scalar = &wave->queue[AMD_QUEUE_SCALAR];
    uint32_t before = vector->count + lds->count + scalar->count;
    if (vector->count > vector_left)
        complete_oldest(wave, AMD_QUEUE_VECTOR, vector->count - vector_left);
    /* The scalar loads may be the ones that completed first, or the ones that are left. */
    if (lds->count > lgkm_left) complete_oldest(wave, AMD_QUEUE_LDS, lds->count - lgkm_left);
    if (lgkm_left == 0) complete_oldest(wave, AMD_QUEUE_SCALAR, scalar->count);
    if (before != vector->count + lds->count + scalar->count) remark(wave);
}

/* The load that a register waits for, for the message. */
static const amd_outstanding *culprit(amd_wave *wave, bool scalar, int first, int count,
                                      amd_queue *queue) {
    for (int q = 0; q < 3; q++) {
        if ((q == AMD_QUEUE_SCALAR) != scalar) continue;
        for (uint32_t place = 0; place < wave->queue[q].count; place++) {
            const amd_outstanding *entry = entry_at(&wave->queue[q], place);
            if (entry->count && entry->first < first + count &&
                first < entry->first + entry->count) {
                *queue = (amd_queue)q;
                return entry;
            }
        }
    }
    return NULL;
}

/* A later load may overwrite what an earlier one of the same queue brings: both return in order. */
static bool in_order(amd_wave *wave, const amd_instruction *inst, amd_queue queue, int first,
                     int count) {
    bool is_vector =
        inst->opcode->unit == GPU_AMD_GLOBAL_LOAD || inst->opcode->unit == GPU_AMD_GLOBAL_ATOMIC;
    bool is_lds = inst->opcode->unit == GPU_AMD_LDS;
    if (!(is_vector && queue == AMD_QUEUE_VECTOR) && !(is_lds && queue == AMD_QUEUE_LDS))
        return false;
    amd_queue other = is_vector ? AMD_QUEUE_LDS : AMD_QUEUE_VECTOR;
    for (uint32_t place = 0; place < wave->queue[other].count; place++) {
        const amd_outstanding *entry = entry_at(&wave->queue[other], place);
        if (entry->count && entry->first < first + count && first < entry->first + entry->count)
            return false;
    }
    return true;
}

void amd_check_pending(amd_wave *wave, const amd_instruction *inst) {
    for (int i = 0; i < inst->operand_count; i++) {
        const amd_operand *operand = &inst->operand[i];
        bool scalar = operand->kind == AMD_SCALAR;
        if (!scalar && operand->kind != AMD_VECTOR) continue;
        if (!any_marked(scalar ? wave->scalar_pending : wave->vector_pending, operand->first,
                        operand->count))
            continue;
        amd_queue queue = AMD_QUEUE_VECTOR;
        const amd_outstanding *entry =
            culprit(wave, scalar, operand->first, operand->count, &queue);
        bool written = i < inst->opcode->destinations;
        if (!entry || (written && in_order(wave, inst, queue, operand->first, operand->count)))
            continue;
        amd_stop(wave, GPU_AMD_PENDING_REGISTER, -1,
                 "operand %d is %s while \"%s\" (at 0x%llx) is still to fill it: %s is missing", i,
                 written ? "overwritten" : "read", entry->inst->text,
                 (unsigned long long)entry->inst->code_offset,
                 queue == AMD_QUEUE_VECTOR ? "s_waitcnt vmcnt" : "s_waitcnt lgkmcnt");
    }
}
