/* SPDX-License-Identifier: Apache-2.0 */
/* What launchers ask of tensors, by the names of this backend. */
#ifndef TENON_ROCM_TENSOR_H
#define TENON_ROCM_TENSOR_H

#include "gpu_launch.h"

static inline bool tenon_rocm_rows_aligned(const DLTensor *t) {
    return tenon_gpu_rows_aligned(t);
}
static inline uint32_t tenon_rocm_group_lanes(uint32_t n, uint32_t piece, uint32_t most) {
    return tenon_gpu_group_lanes(n, piece, most);
}

#endif /* TENON_ROCM_TENSOR_H */
