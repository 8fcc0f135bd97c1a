/* SPDX-License-Identifier: Apache-2.0 */
/* Blobs that keep the checkpoint's tensors as they were, one after another, each compact and
 * aligned to 64 bytes: what pack_weights makes of weights that no panel takes. Every kernel that
 * reads unpacked weights can read them. */
#ifndef TENON_KEPT_BLOB_H
#define TENON_KEPT_BLOB_H

#include "packed_blob.h"
#include "weight_view.h"

/* Name of the layout in a blob's header. */
#define TENON_KEPT_LAYOUT "ref_checkpoint"

static inline bool tenon_is_packed(const tenon_quant *quant) {
    return quant && quant->format == TENON_FORMAT_PACKED;
}

/* Does the header, which must have been checked, name this layout? */
static inline bool tenon_is_kept(const tenon_blob_header *header) {
    return !strcmp(header->layout, TENON_KEPT_LAYOUT);
}

/* Fills a header for weights in this layout. OK, or what tenon_weight_view_from says. */
int32_t tenon_kept_describe(const DLTensor *w, const tenon_quant *quant, int32_t compute,
                            tenon_blob_header *header, tenon_reason *why);

/* The header, tensors and view of a blob of this layout, after everything that leads to memory has
 * been checked. OK, or INVALID_ARGUMENT, CORRUPT, or UNSUPPORTED for another layout, and why. The
 * data must be there; parts may be NULL. */
int32_t tenon_kept_open(const DLTensor *blob, const tenon_blob_header **header,
                        tenon_blob_tensors *parts, tenon_weight_view *view, tenon_reason *why);

/* tenon_weight_view_from that takes such blobs too. */
int32_t tenon_kept_weight_view(const DLTensor *w, const tenon_quant *quant, tenon_weight_view *view,
                               tenon_reason *why);

#endif
