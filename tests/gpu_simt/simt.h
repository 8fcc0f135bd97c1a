/* SPDX-License-Identifier: Apache-2.0 */
/* Launches of kernels that are compiled for the host. README.md says how. */
#ifndef TENON_SIMT_H
#define TENON_SIMT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct simt_kernel simt_kernel;

typedef struct simt_grid {
    uint32_t blocks[3], lanes; /* 0 blocks in a dimension: 1 */
    uint32_t shared_bytes;     /* of dynamic_shared */
} simt_grid;

typedef struct simt_options {
    uint64_t seed;      /* of the order of warps, and of when copies land */
    uint32_t threads;   /* of the host; 0: as many as it has */
    bool without_races; /* do not look for races: faster */
} simt_options;

/* NULL where no source that was linked has it. */
const simt_kernel *simt_find(const char *name);
const char *simt_kernel_name(const simt_kernel *kernel);
uint32_t simt_kernel_lanes(const simt_kernel *kernel);
/* Of its struct; 0 where the build did not say. */
uint32_t simt_kernel_argument_bytes(const simt_kernel *kernel);

/* Runs the grid to its end. `args` is the kernel's one struct, of more than 16 bytes. NULL, or what
 * was wrong, first fault first; the text is the calling thread's, until its next launch. */
const char *simt_launch(const simt_kernel *kernel, simt_grid grid, const void *args,
                        size_t args_bytes, const simt_options *options);

/* Memory that kernels may use. With none added, all of the process is. */
void simt_memory_add(const void *memory, size_t bytes);
void simt_memory_remove(const void *memory);

#endif /* TENON_SIMT_H */
