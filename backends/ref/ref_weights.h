/* SPDX-License-Identifier: Apache-2.0 */
/* Weights as the references read them: a checkpoint's own layout, or a blob that ref_pack_weights
 * made. */
#ifndef TENON_REF_WEIGHTS_H
#define TENON_REF_WEIGHTS_H

#include "compact_copy.h"
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

#endif /* TENON_REF_WEIGHTS_H */
