/* SPDX-License-Identifier: Apache-2.0 */
/* What a compute capability can do, and which images run on it. */
#ifndef TENON_CUDA_TARGET_H
#define TENON_CUDA_TARGET_H

#include <stddef.h>
#include <stdint.h>

/* Feature bits of this backend (tenon_kernel.needs, tenon_device_info.features). A name with an "a"
 * stands for that capability alone: its instructions are not promised to any later one. */
#define TENON_CUDA_FEATURE_LIST(X)                                                                 \
    X(SM80, 0,                                                                                     \
      "sm_80") /* mma.sync on bf16 and int8, cp.async, ldmatrix; and all that came later */        \
    X(SM89, 1, "sm_89")   /* mma.sync on fp8; and later */                                         \
    X(SM90A, 2, "sm_90a") /* warp-group matrix instructions, bulk tensor copies */                 \
    X(SM100A, 3, "sm_100a")                                                                        \
    X(SM120A, 4, "sm_120a")

#define TENON_E_CUDA_FEATURE(name, bit, text) TENON_CUDA_##name = 1u << bit,
enum { TENON_CUDA_FEATURE_LIST(TENON_E_CUDA_FEATURE) TENON_CUDA_FEATURES_END };

/* 0: there is no device code for it. */
static inline uint64_t tenon_cuda_features_of(int major, int minor) {
    const int number = major * 10 + minor;
    if (number < 80) return 0;
    return TENON_CUDA_SM80 | (number >= 89 ? TENON_CUDA_SM89 : 0u) |
           (number == 90 ? TENON_CUDA_SM90A : 0u) | (number == 100 ? TENON_CUDA_SM100A : 0u) |
           (number == 120 ? TENON_CUDA_SM120A : 0u);
}

static inline const char *tenon_cuda_feature_name(uint64_t bit) {
#define TENON_CUDA_FEATURE_ROW(name, number, text) text,
    static const char *const names[] = {TENON_CUDA_FEATURE_LIST(TENON_CUDA_FEATURE_ROW)};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (bit == UINT64_C(1) << i) return names[i];
    return "an unknown feature";
}

#endif /* TENON_CUDA_TARGET_H */
