/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TENON_COMPACT_COPY_H
#define TENON_COMPACT_COPY_H

#include <string.h>

#include "backend.h"

/* Copies between a tensor of any strides and its compact row-major form. Types narrower than a byte
 * are packed along the last dimension, which is then contiguous. */
static inline void tenon_compact_copy(const DLTensor *tensor, uint8_t *compact, bool to_compact) {
    int64_t bits = (int64_t)tensor->dtype.bits * tensor->dtype.lanes, run = 1, index[8] = {0};
    int32_t outer = tensor->ndim;
    int64_t count = 1;
    if (bits % 8) run = tensor->shape[--outer];
    for (int32_t i = 0; i < tensor->ndim; i++)
        if (tensor->shape[i] == 0) return; /* whatever the other extents claim */
    for (int32_t i = 0; i < outer; i++) count *= tensor->shape[i];
    size_t bytes = (size_t)(run * bits / 8);
    for (int64_t done = 0; done < count; done++, compact += bytes) {
        int64_t offset = 0;
        for (int32_t i = 0; i < outer; i++) offset += index[i] * tensor->strides[i];
        uint8_t *element = (uint8_t *)tenon_data(tensor) + offset * bits / 8;
        if (to_compact)
            memcpy(compact, element, bytes);
        else
            memcpy(element, compact, bytes);
        for (int32_t i = outer - 1; i >= 0 && ++index[i] == tensor->shape[i]; i--) index[i] = 0;
    }
}

#endif /* TENON_COMPACT_COPY_H */
