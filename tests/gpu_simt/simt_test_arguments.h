/* SPDX-License-Identifier: Apache-2.0 */
/* What the test program hands to the kernels of simt_test_nvptx.c. */
#ifndef TENON_SIMT_TEST_ARGUMENTS_H
#define TENON_SIMT_TEST_ARGUMENTS_H

#include "device/device_arguments.h"

/* What is left out or wrong in a kernel. */
enum {
    MUTATION_NONE,
    MUTATION_NO_BARRIER_BEFORE,
    MUTATION_NO_BARRIER_AFTER,
    MUTATION_NO_WAIT,
    MUTATION_WAIT_FOR_ONE_LESS,
    MUTATION_NO_COMMIT,
    MUTATION_WRONG_LANE,
    MUTATION_GLOBAL_BOUND,
    MUTATION_SHARED_BOUND,
    MUTATION_LANE_MISSES_MATRIX,
    MUTATION_LANE_RETURNS,
    MUTATION_WARP_MISSES_BARRIER,
    MUTATION_OTHER_CALL,
    MUTATION_UNALIGNED,
    MUTATIONS
};

enum { PRODUCT_M = 64, PRODUCT_N = 64, PRODUCT_K = 160, PRODUCT_LANES = 128 };
typedef struct product_arguments {
    tenon_device_const_bytes a, b; /* f16, [m, k] and [n, k] */
    tenon_device_bytes c;          /* f32, [m, n] */
    uint32_t mutation, unused;
} product_arguments;

enum { MATRIX_LANES = 32 };
typedef struct matrix_arguments {
    tenon_device_const_bytes in; /* a, b, d of every lane: 4, 2, 4 registers */
    tenon_device_bytes out;      /* 4 registers of every lane */
    uint32_t what, unused;
} matrix_arguments;
enum {
    WHAT_F16,
    WHAT_BF16,
    WHAT_S8,
    WHAT_E4M3,
    WHAT_E5M2,
    WHAT_LOAD,
    WHAT_LOAD_TRANSPOSED,
    WHAT_STORE,
    WHAT_STORE_TRANSPOSED,
    WHAT_TRANSPOSE
};

enum { EXCHANGE_LANES = 96, EXCHANGE_VALUES = 5 };
typedef struct exchange_arguments {
    tenon_device_bytes out; /* EXCHANGE_VALUES words of every lane */
    tenon_device_const_bytes in;
    uint32_t mutation, unused;
} exchange_arguments;

#endif /* TENON_SIMT_TEST_ARGUMENTS_H */
