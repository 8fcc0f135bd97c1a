/* SPDX-License-Identifier: Apache-2.0 */
/* cp.async: what is read is read when the copy lands, and it lands when its lane waits, or by
 * chance before that. Until then nobody may touch its place. */
#include <stdlib.h>
#include <string.h>

#include "simt_core.h"

static void land(simt_block *block, const simt_copy *copy) {
    simt_global_access(copy->from, copy->valid, false);
    memcpy(block->shared + copy->to, copy->from, copy->valid);
    memset(block->shared + copy->to + copy->valid, 0, copy->bytes - copy->valid);
}

void simt_copy_async(uint32_t to, const void *from, uint32_t bytes, uint32_t valid) {
    simt_block *block = simt_now;
    simt_thread *self = simt_self();
    if (to % bytes || (valid && (uintptr_t)from % bytes) || valid > bytes)
        simt_fault("a copy of %u bytes (%u valid) from %p to shared byte %u", bytes, valid, from,
                   to);
    if (self->copies == SIMT_COPIES) simt_fault("more than %d copies under way", SIMT_COPIES);
    if (!self->copy) self->copy = malloc(SIMT_COPIES * sizeof *self->copy);
    if (!self->copy) abort();
    simt_shared_access(to, bytes, true, SIMT_PENDING);
    const simt_copy copy = {to, bytes, valid, self->group, from};
    if (valid) simt_global_access(from, valid, false); /* a wrong address is told here */
    /* By chance the memory has its bytes early; whoever counts on it is told all the same. */
    if (simt_random(block) >> 62 == 0) land(block, &copy);
    self->copy[self->copies++] = copy;
}

void simt_copy_commit(void) {
    simt_self()->group++;
}

void simt_copy_wait(uint32_t newest) {
    simt_block *block = simt_now;
    simt_thread *self = simt_self();
    uint32_t left = 0;
    for (uint32_t i = 0; i < self->copies; i++) {
        const simt_copy copy = self->copy[i];
        if (copy.group + newest < self->group) {
            land(block, &copy);
            simt_shared_landed(self, copy.to, copy.bytes);
        } else {
            self->copy[left++] = copy;
        }
    }
    self->copies = left;
}
