/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels for few tokens: by type of x, code of the weights, and 8 or 32 tokens at a time. */
#ifndef TENON_MULTIPLY_KERNELS_H
#define TENON_MULTIPLY_KERNELS_H

#include "multiply_stream.h"

/* Lanes, and blocks that a multiprocessor should hold: else the compiler spills for more of them
 * than shared memory has room for. */
#define STREAM_8_BOUNDS  MULTIPLY_BLOCK_LANES, 2
#define STREAM_32_BOUNDS MULTIPLY_BLOCK_LANES, 1

#define STREAM_KERNELS(type, bf16, name, code, slabs_8, stages_8, slabs_32, stages_32)             \
    DEVICE_KERNEL(multiply_8_##type##_##name,                                                      \
                  STREAM_8_BOUNDS)(DEVICE_ARGUMENT multiply_arguments a) {                         \
        multiply_stream(&a, bf16, code, 1, 1, slabs_8, stages_8);                                  \
    }                                                                                              \
    DEVICE_KERNEL(multiply_32_##type##_##name,                                                     \
                  STREAM_32_BOUNDS)(DEVICE_ARGUMENT multiply_arguments a) {                        \
        multiply_stream(&a, bf16, code, 4, 2, slabs_32, stages_32);                                \
    }
#define STREAM_CODES(type, bf16)                                                                   \
    STREAM_KERNELS(type, bf16, w16, MULTIPLY_CODE_16, 2, 4, 1, 3)                                  \
    STREAM_KERNELS(type, bf16, u4, MULTIPLY_CODE_U4, 4, 4, 2, 3)                                   \
    STREAM_KERNELS(type, bf16, e2m1, MULTIPLY_CODE_E2M1, 4, 4, 2, 3)                               \
    STREAM_KERNELS(type, bf16, fp8, MULTIPLY_CODE_FP8, 4, 3, 2, 2)

#endif /* TENON_MULTIPLY_KERNELS_H */
