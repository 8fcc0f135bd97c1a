/* SPDX-License-Identifier: Apache-2.0
 *
 * The metadata note of a code object: MessagePack, "amdhsa.kernels" of LLVM's AMDGPU usage guide.
 */
#ifndef AMD_METADATA_H
#define AMD_METADATA_H

#include "gpu_amd.h"

enum { AMD_NAME_BYTES = 256, AMD_HIDDEN = 16 };

/* Arguments that the runtime fills in. */
typedef enum amd_hidden {
    AMD_HIDDEN_NONE,
    AMD_HIDDEN_BLOCK_COUNT, /* of x; y and z follow by axis */
    AMD_HIDDEN_GROUP_SIZE,
    AMD_HIDDEN_REMAINDER,
    AMD_HIDDEN_GRID_DIMS,
    AMD_HIDDEN_DYNAMIC_LDS,
    AMD_HIDDEN_ZERO /* offsets, queues, buffers: zero here */
} amd_hidden;

typedef struct amd_hidden_argument {
    amd_hidden what;
    uint8_t axis;
    uint32_t offset, bytes;
} amd_hidden_argument;

typedef struct amd_kernel_metadata {
    char name[AMD_NAME_BYTES], symbol[AMD_NAME_BYTES];
    gpu_amd_kernel_info info;
    amd_hidden_argument hidden[AMD_HIDDEN];
    uint32_t hidden_count;
    bool dynamic_stack;
} amd_kernel_metadata;

/* Kernels of the note, in an array to be freed. False with the reason in text: damaged. */
bool amd_read_metadata(const uint8_t *note, size_t bytes, amd_kernel_metadata **out, size_t *count,
                       char *text, size_t text_bytes);

#endif
