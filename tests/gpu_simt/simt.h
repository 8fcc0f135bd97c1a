/* SPDX-License-Identifier: Apache-2.0 */
/* Device code of CUDA as functions of this process: a fiber for each lane, blocks one after the
 * other. Kernels come from their own sources, compiled by the host's compiler against lane_simt.h.
 *
 * Shared memory is poisoned before each block. Lanes run until they meet others: in a barrier, or
 * in a warp. The seed says which lane goes first. What nobody waits for any more ends in a fault:
 * lanes that wait for each other for ever. One launch at a time. */
#ifndef TENON_SIMT_H
#define TENON_SIMT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct simt_kernel {
    const char *name;
    void (*entry)(void); /* takes its argument struct by value */
    const uint32_t *argument_bytes;
    uint32_t lanes; /* in a block, exactly */
} simt_kernel;

typedef struct simt_launch {
    uint32_t grid[3], block_lanes;
    const void *arguments;
    uint64_t seed;
} simt_launch;

/* NULL: there is none. */
const simt_kernel *simt_find(const char *name);
/* false: text says what went wrong. */
bool simt_run(const simt_kernel *kernel, const simt_launch *launch, char *text, size_t text_bytes);

/* ---- for lane_simt.h ---- */
enum { SIMT_WARP = 32, SIMT_LEVELS = 6, SIMT_MOST_LANES = 1024 };
typedef struct simt_lane {
    uint32_t thread, block[3];
    /* Values that lanes exchange, by the size of the group that meets; two, as a lane may be one
     * exchange ahead. */
    uint32_t met[SIMT_LEVELS], value[SIMT_LEVELS][2];
    /* The scheduler's. */
    void *stack_pointer;
    uint32_t level;
    int state;
} simt_lane;
extern simt_lane *simt_me;

void simt_barrier(void);
/* Gives a value, waits for the 2^level neighbours, and returns that of one of them. */
uint32_t simt_exchange(uint32_t level, uint32_t value, uint32_t from);
uint32_t simt_ballot(bool condition);

#endif /* TENON_SIMT_H */
