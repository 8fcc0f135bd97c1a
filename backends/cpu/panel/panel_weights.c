/* SPDX-License-Identifier: Apache-2.0 */
#include "panel_weights.h"

#include <string.h>

int32_t tenon_panel_kind_for(int32_t format, tenon_number number) {
    switch (format) {
    case TENON_FORMAT_NONE:
        return number == TENON_NUMBER_BF16  ? TENON_PANEL_BF16
               : number == TENON_NUMBER_F16 ? TENON_PANEL_F16
               : number == TENON_NUMBER_F32 ? TENON_PANEL_F32
                                            : -1;
    case TENON_FORMAT_GGUF_Q4_0:
        return TENON_PANEL_Q4_0;
    case TENON_FORMAT_GGUF_Q4_1:
        return TENON_PANEL_Q4_1;
    case TENON_FORMAT_GGUF_Q8_0:
        return TENON_PANEL_Q8_0;
    case TENON_FORMAT_GGUF_Q4_K:
        return TENON_PANEL_Q4_K;
    case TENON_FORMAT_GGUF_Q6_K:
        return TENON_PANEL_Q6_K;
    default:
        return -1;
    }
}

const char *tenon_panel_rows_from(const DLTensor *w, const tenon_quant *quant,
                                  tenon_panel_weights *out, tenon_reason *reason) {
    tenon_weight_view view;
    if (tenon_weight_view_from(w, quant, &view, reason)) return reason->text;
    const int32_t kind = tenon_panel_kind_for(view.format, view.number);
    if (kind < 0) {
        const tenon_format_storage *storage = tenon_format_storage_of(view.format);
        return tenon_decline(reason,
                             "weights are %s (number %d); panels take bf16, f16, f32, Q4_0, "
                             "Q4_1, Q8_0, Q4_K, Q6_K",
                             storage ? storage->name : "plain", view.number);
    }
    if (!tenon_panel_is_plain((tenon_panel_kind)kind) && view.k_stride != 1)
        return tenon_decline(reason, "the blocks of a row are %lld bytes apart, not contiguous",
                             (long long)view.k_stride);
    *out = (tenon_panel_weights){.kind = (tenon_panel_kind)kind,
                                 .n = view.n,
                                 .k = view.k,
                                 .experts = view.experts,
                                 .data = view.data,
                                 .expert_stride = view.expert_stride,
                                 .row_stride = view.n_stride,
                                 .k_stride = view.k_stride};
    return NULL;
}

const char *tenon_panel_blob_from(const DLTensor *w, tenon_panel_weights *out,
                                  tenon_blob_header *header, tenon_reason *reason) {
    const tenon_blob_header *h;
    if (tenon_blob_open(tenon_data(w), (uint64_t)w->shape[0], &h, reason)) return reason->text;
    if (strcmp(h->layout, TENON_PANEL_LAYOUT_NAME))
        return tenon_decline(reason, "the weights are packed as \"%s\", this kernel reads \"%s\"",
                             h->layout, TENON_PANEL_LAYOUT_NAME);
    const int64_t kind = h->layout_words[0], experts = h->experts ? h->experts : 1;
    if (kind < 0 || kind >= TENON_PANEL_KIND_COUNT || h->n < 0 || h->k < 0 || experts < 0 ||
        h->blob_bytes - h->header_bytes !=
            tenon_panel_payload_bytes((tenon_panel_kind)kind, experts, h->n, h->k))
        return tenon_decline(reason,
                             "the blob's header contradicts itself: kind %lld, n=%lld, "
                             "k=%lld in %llu bytes",
                             (long long)kind, (long long)h->n, (long long)h->k,
                             (unsigned long long)h->blob_bytes);
    *header = *h;
    *out = (tenon_panel_weights){.kind = (tenon_panel_kind)kind,
                                 .n = h->n,
                                 .k = h->k,
                                 .experts = experts,
                                 .data = (const uint8_t *)h + h->header_bytes,
                                 .packed = 1};
    out->expert_stride = tenon_panel_count(h->n) * tenon_panel_bytes(out->kind, h->k);
    return NULL;
}

const char *tenon_panel_weights_from(const DLTensor *w, const tenon_quant *quant,
                                     tenon_panel_weights *out, tenon_blob_header *header,
                                     tenon_reason *reason) {
    if (quant && quant->format == TENON_FORMAT_PACKED)
        return tenon_panel_blob_from(w, out, header, reason);
    return tenon_panel_rows_from(w, quant, out, reason);
}

int32_t tenon_panel_weights_at(const tenon_panel_weights *planned, const tenon_blob_header *header,
                               const DLTensor *w, tenon_panel_weights *out, tenon_reason *reason) {
    *out = *planned;
    out->data = tenon_data(w);
    if (!planned->packed) return TENON_OK;
    const tenon_blob_header *h = (const tenon_blob_header *)(const void *)out->data;
    enum { COMPARED = offsetof(tenon_blob_header, blob_bytes) };
    out->data += header->header_bytes;
    if ((uintptr_t)h % 64 == 0 && !memcmp(h->magic, header->magic, sizeof h->magic) &&
        h->version == header->version && h->header_bytes == header->header_bytes &&
        !memcmp((const char *)h + COMPARED, (const char *)header + COMPARED, sizeof *h - COMPARED))
        return TENON_OK;
    tenon_decline(reason, "the blob at %p is not of the planned kind and shape (n=%lld, k=%lld)",
                  (const void *)h, (long long)header->n, (long long)header->k);
    return TENON_STATUS_INVALID_ARGUMENT;
}
