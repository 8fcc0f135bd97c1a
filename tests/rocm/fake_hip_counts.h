/* SPDX-License-Identifier: Apache-2.0 */
/* What kernels did, for programs that find the fake runtime with dlsym. */
#ifndef TENON_FAKE_HIP_COUNTS_H
#define TENON_FAKE_HIP_COUNTS_H

#include "gpu_amd.h"

typedef struct fake_hip_counts {
    char kernel[96], target[16];
    unsigned waves_per_simd; /* that the latest launch's registers and LDS let run at once */
    gpu_amd_counters counters;
} fake_hip_counts;

/* Kernels that ran since the last call, at most room of them; their counters begin anew. */
__attribute__((visibility("default"))) size_t fake_hip_take_counts(fake_hip_counts *out,
                                                                   size_t room);
typedef size_t (*fake_hip_take_counts_fn)(fake_hip_counts *out, size_t room);

#endif /* TENON_FAKE_HIP_COUNTS_H */
