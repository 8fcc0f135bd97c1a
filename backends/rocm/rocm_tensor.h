/* SPDX-License-Identifier: Apache-2.0 */
/* What launchers ask of tensors. */
#ifndef TENON_ROCM_TENSOR_H
#define TENON_ROCM_TENSOR_H

#include "backend.h"

/* Whether every row (all dimensions but the last) begins on a 16-byte boundary, the last dimension
 * being contiguous. */
static inline bool tenon_rocm_rows_aligned(const DLTensor *t) {
    const int64_t bits = t->dtype.bits;
    if ((uintptr_t)tenon_data(t) % 16 || t->strides[t->ndim - 1] != 1) return false;
    for (int32_t i = 0; i < t->ndim - 1; i++)
        if (t->shape[i] > 1 && t->strides[i] * bits % 128) return false;
    return true;
}

/* Lanes that share a row of n elements, `piece` each: a power of two up to `most`. */
static inline uint32_t tenon_rocm_group_lanes(uint32_t n, uint32_t piece, uint32_t most) {
    uint32_t lanes = 1;
    while (lanes < most && lanes * piece < n) lanes *= 2;
    return lanes;
}

#endif /* TENON_ROCM_TENSOR_H */
