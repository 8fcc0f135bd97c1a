/* SPDX-License-Identifier: Apache-2.0 */
#include "kept_blob.h"

int32_t tenon_kept_describe(const DLTensor *w, const tenon_quant *quant, int32_t compute,
                            tenon_blob_header *header, tenon_reason *why) {
    tenon_weight_view view;
    const int32_t status = tenon_weight_view_from(w, quant, &view, why);
    if (status) return status;
    tenon_blob_describe(header, w, quant, &view, TENON_BACKEND_CPU, TENON_KEPT_LAYOUT, compute);
    tenon_blob_place_parts(header);
    return TENON_OK;
}

/* Every part stands where this layout puts it: none without data, none misaligned. */
static bool is_placed(const tenon_blob_header *header) {
    tenon_blob_header placed = *header;
    tenon_blob_place_parts(&placed);
    return header->part[TENON_BLOB_W].present && !memcmp(&placed, header, sizeof placed);
}

int32_t tenon_kept_open(const DLTensor *blob, const tenon_blob_header **out,
                        tenon_blob_tensors *parts, tenon_weight_view *view, tenon_reason *why) {
    const tenon_blob_header *header;
    tenon_blob_tensors own;
    if (!parts) parts = &own;
    int32_t status = tenon_blob_open(tenon_data(blob), (uint64_t)blob->shape[0], &header, why);
    if (status) return status;
    if (!tenon_is_kept(header)) {
        tenon_decline(why, "the weights are packed as \"%s\", this kernel reads \"%s\"",
                      header->layout, TENON_KEPT_LAYOUT);
        return TENON_STATUS_UNSUPPORTED;
    }
    if (!is_placed(header)) {
        tenon_decline(why, "the tensors in the packed weights do not stand one behind another");
        return TENON_STATUS_CORRUPT;
    }
    tenon_blob_tensors_of(header, parts);
    status = tenon_weight_view_from(&parts->tensor[TENON_BLOB_W], &parts->quant, view, why);
    if (status) return status;
    const int64_t experts = parts->tensor[TENON_BLOB_W].ndim == 3 ? view->experts : 0;
    if (view->n != header->n || view->k != header->k || experts != header->experts) {
        tenon_decline(why,
                      "the packed weights say n=%lld, k=%lld, their tensors n=%lld, k=%lld, or "
                      "%lld and %lld experts",
                      (long long)header->n, (long long)header->k, (long long)view->n,
                      (long long)view->k, (long long)header->experts, (long long)experts);
        return TENON_STATUS_CORRUPT;
    }
    *out = header;
    return TENON_OK;
}

int32_t tenon_kept_weight_view(const DLTensor *w, const tenon_quant *quant, tenon_weight_view *view,
                               tenon_reason *why) {
    const tenon_blob_header *header;
    if (!tenon_is_packed(quant)) return tenon_weight_view_from(w, quant, view, why);
    return tenon_kept_open(w, &header, NULL, view, why);
}
