/* SPDX-License-Identifier: Apache-2.0 */
/* Weights as the references read them: a checkpoint's own layout, or a blob that ref_pack_weights
 * made. */
#ifndef TENON_REF_WEIGHTS_H
#define TENON_REF_WEIGHTS_H

#include "packed_blob.h"
#include "weight_view.h"

/* The reference's layout keeps the checkpoint's tensors as they were, one after another. */
#define TENON_REF_LAYOUT "ref_checkpoint"

static inline bool tenon_is_packed(const tenon_quant *quant) {
    return quant && quant->format == TENON_FORMAT_PACKED;
}

/* OK and the view; else INVALID_ARGUMENT, UNSUPPORTED or CORRUPT and why. A blob's data must be
 * there. */
static inline int32_t tenon_ref_weight_view(const DLTensor *w, const tenon_quant *quant,
                                            tenon_weight_view *view, tenon_reason *why) {
    if (!tenon_is_packed(quant)) return tenon_weight_view_from(w, quant, view, why);
    const tenon_blob_header *header;
    int32_t status = tenon_blob_open(tenon_data(w), (uint64_t)w->shape[0], &header, why);
    if (status != TENON_OK) return status;
    if (strcmp(header->layout, TENON_REF_LAYOUT) != 0) {
        tenon_decline(why, "the weights are packed as \"%s\", the reference reads \"%s\"",
                      header->layout, TENON_REF_LAYOUT);
        return TENON_STATUS_UNSUPPORTED;
    }
    tenon_blob_tensors parts;
    tenon_blob_tensors_of(header, &parts);
    return tenon_weight_view_from(&parts.tensor[TENON_BLOB_W], &parts.quant, view, why);
}

/* Copies between a tensor of any strides and its compact row-major form. Types narrower than a byte
 * are packed along the last dimension, which is then contiguous. */
static inline void tenon_ref_copy(const DLTensor *tensor, uint8_t *compact, bool to_compact) {
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

#endif /* TENON_REF_WEIGHTS_H */
