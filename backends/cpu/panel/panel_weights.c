/* SPDX-License-Identifier: Apache-2.0 */
#include "panel_weights.h"

#include <string.h>

#include "kept_blob.h"
#include "panel_order.h"
#include "panel_source.h"
#include "panel_unpack.h"

/* Scales of float8 weights stay beside the units: groups of columns, or one group of all. So does
 * the global scale of NVFP4. */
static void set_groups(tenon_panel_weights *w) {
    const tenon_weight_view *view = &w->view;
    const int64_t units = tenon_panel_units(w->kind, w->k);
    if (w->kind == TENON_PANEL_NVFP4 && view->global_scale.present)
        w->groups = 1, w->group_units = units > 0 ? units : 1;
    if (!tenon_panel_is_float8(w->kind) || !view->scale.present) return;
    w->groups = view->col_groups;
    w->group_units = w->groups > 1 ? view->group_cols / TENON_PANEL_GROUP : units > 0 ? units : 1;
}

const char *tenon_panel_rows_from(const DLTensor *w, const tenon_quant *quant,
                                  tenon_panel_weights *out, tenon_reason *reason) {
    tenon_weight_view view;
    tenon_panel_type scale_type;
    int32_t beside;
    if (tenon_weight_view_from(w, quant, &view, reason)) return reason->text;
    const int32_t kind = tenon_panel_kind_of(&view, &scale_type, &beside);
    if (kind < 0) {
        const tenon_format_storage *storage = tenon_format_storage_of(view.format);
        return tenon_decline(reason,
                             "panels do not take weights of %s, number %d, groups of %lld, "
                             "group index %d",
                             storage ? storage->name : "plain elements", view.number,
                             (long long)view.group_cols, view.group_index.present);
    }
    *out = (tenon_panel_weights){.kind = (tenon_panel_kind)kind,
                                 .n = view.n,
                                 .k = view.k,
                                 .experts = view.experts,
                                 .data = view.data,
                                 .expert_stride = view.expert_stride,
                                 .row_stride = view.n_stride,
                                 .k_stride = view.k_stride,
                                 .scale_type = scale_type,
                                 .beside = beside,
                                 .view = view};
    set_groups(out);
    if (view.group_index.present) {
        out->ordered = 1, out->source_k = view.k;
        out->k = tenon_panel_most_columns(&view);
    }
    return NULL;
}

/* Any weights that a view can be made of. */
static const char *decoded_from(const DLTensor *w, const tenon_quant *quant,
                                tenon_panel_weights *out, tenon_reason *reason) {
    tenon_weight_view view;
    if (tenon_weight_view_from(w, quant, &view, reason)) return reason->text;
    *out = (tenon_panel_weights){.kind = TENON_PANEL_F32,
                                 .n = view.n,
                                 .k = view.k,
                                 .experts = view.experts,
                                 .view = view,
                                 .decoded = 1};
    return NULL;
}

/* Unpacking finds the scales in the units; padding of another order of scales would be lost. */
static bool is_scale_in_units(tenon_panel_kind kind, const tenon_blob_header *header) {
    const uint8_t unit[TENON_PANEL_MAX_UNIT_BYTES] = {0};
    int32_t bytes;
    return header->scale_layout == TENON_SCALE_LAYOUT_LINEAR &&
           !header->part[TENON_BLOB_GROUP_INDEX].present &&
           tenon_panel_unit_scale(kind, unit, 0, &bytes);
}

void tenon_panel_describe(const tenon_panel_weights *w, tenon_blob_header *header) {
    header->layout_words[0] = (int64_t)w->kind;
    header->layout_words[1] = (int64_t)w->scale_type;
    header->layout_words[2] = w->groups;
    header->layout_words[3] = w->group_units;
    header->layout_words[4] = w->ordered ? w->k : 0;
    header->blob_bytes = header->header_bytes + tenon_panel_payload_bytes(w);
    for (int i = TENON_BLOB_SCALE; i < TENON_BLOB_PARTS; i++) {
        tenon_blob_part *part = &header->part[i];
        part->offset_bytes = 0;
        if (!part->present || (i == TENON_BLOB_SCALE && is_scale_in_units(w->kind, header)))
            continue;
        part->offset_bytes = (header->blob_bytes + 63) / 64 * 64;
        header->blob_bytes = part->offset_bytes + part->size_bytes;
    }
}

/* Sizes that multiply to no more than a blob can have, whatever a header says. */
static bool is_countable(const tenon_blob_header *h, int64_t experts) {
    const int64_t *words = h->layout_words;
    const int64_t counts[] = {h->n, h->k, experts, words[2], words[3], words[4]};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        if (counts[i] < 0 || counts[i] > (int64_t)1 << 40) return false;
    const int64_t panel_bytes =
        tenon_panel_bytes((tenon_panel_kind)words[0], words[4] ? words[4] : h->k) +
        words[2] * TENON_PANEL_COLS * 4;
    int64_t panels, bytes;
    return !__builtin_mul_overflow(experts, tenon_panel_count(h->n), &panels) &&
           !__builtin_mul_overflow(panels, panel_bytes, &bytes) && (uint64_t)bytes <= h->blob_bytes;
}

/* The header says what tenon_panel_describe would have. */
static bool is_consistent(const tenon_blob_header *h, int64_t experts) {
    const int64_t kind = h->layout_words[0], scale_type = h->layout_words[1];
    if (kind < 0 || kind >= TENON_PANEL_KIND_COUNT || scale_type < 0 ||
        scale_type > TENON_PANEL_TYPE_F16 || !is_countable(h, experts))
        return false;
    const int64_t groups = h->layout_words[2], group_units = h->layout_words[3];
    const int64_t units = tenon_panel_units((tenon_panel_kind)kind, h->k);
    if (groups < 0 || groups > units + 1 || (groups && group_units < 1) ||
        (groups && (units + group_units - 1) / group_units > groups))
        return false;
    const int64_t columns = h->layout_words[4];
    if (columns && (columns < h->k || columns % TENON_PANEL_GROUP || columns > INT32_MAX))
        return false;
    tenon_blob_header copy = *h;
    const tenon_panel_weights w = {.kind = (tenon_panel_kind)kind,
                                   .scale_type = (tenon_panel_type)scale_type,
                                   .experts = experts,
                                   .n = h->n,
                                   .k = columns ? columns : h->k,
                                   .ordered = columns > 0,
                                   .groups = groups,
                                   .group_units = group_units};
    tenon_panel_describe(&w, &copy);
    return !memcmp(&copy, h, sizeof copy);
}

/* A packed tensor's scales, or the order of its columns, lie behind its panels. */
static void set_scales(tenon_panel_weights *w) {
    const void *behind = w->data + tenon_panel_units_bytes(w);
    if (w->groups) w->scales = behind;
    if (w->ordered) w->order = behind;
}

const char *tenon_panel_blob_from(const DLTensor *w, tenon_panel_weights *out,
                                  tenon_blob_header *header, tenon_reason *reason) {
    const tenon_blob_header *h;
    if (tenon_blob_open(tenon_data(w), (uint64_t)w->shape[0], &h, reason)) return reason->text;
    if (strcmp(h->layout, TENON_PANEL_LAYOUT_NAME))
        return tenon_decline(reason, "the weights are packed as \"%s\", this kernel reads \"%s\"",
                             h->layout, TENON_PANEL_LAYOUT_NAME);
    const int64_t kind = h->layout_words[0], experts = h->experts ? h->experts : 1;
    if (!is_consistent(h, experts))
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
                                 .packed = 1,
                                 .scale_type = (tenon_panel_type)h->layout_words[1],
                                 .groups = h->layout_words[2],
                                 .group_units = h->layout_words[3]};
    if (h->layout_words[4]) out->ordered = 1, out->source_k = h->k, out->k = h->layout_words[4];
    out->expert_stride = tenon_panel_count(h->n) * tenon_panel_bytes(out->kind, out->k);
    set_scales(out);
    return NULL;
}

/* A blob that keeps the checkpoint's tensors: they are taken like weights that were not packed. */
static const char *kept_from(const DLTensor *w, tenon_panel_weights *out, tenon_blob_header *header,
                             tenon_reason *reason) {
    const tenon_blob_header *h;
    tenon_blob_tensors parts;
    tenon_weight_view view;
    if (tenon_kept_open(w, &h, &parts, &view, reason)) return reason->text;
    const char *why =
        tenon_panel_weights_from(&parts.tensor[TENON_BLOB_W], &parts.quant, out, header, reason);
    *header = *h;
    out->kept = 1;
    return why;
}

const char *tenon_panel_weights_from(const DLTensor *w, const tenon_quant *quant,
                                     tenon_panel_weights *out, tenon_blob_header *header,
                                     tenon_reason *reason) {
    if (tenon_is_packed(quant)) {
        const tenon_blob_header *h;
        if (tenon_blob_open(tenon_data(w), (uint64_t)w->shape[0], &h, reason)) return reason->text;
        if (tenon_is_kept(h)) return kept_from(w, out, header, reason);
        return tenon_panel_blob_from(w, out, header, reason);
    }
    if (!tenon_panel_rows_from(w, quant, out, reason)) return NULL;
    return decoded_from(w, quant, out, reason);
}

/* Everything but the address, the contents and their checksums. */
static bool is_as_planned(const tenon_blob_header *h, const tenon_blob_header *planned) {
    enum { COMPARED = offsetof(tenon_blob_header, blob_bytes) };
    return (uintptr_t)h % 64 == 0 && !memcmp(h->magic, planned->magic, sizeof h->magic) &&
           h->version == planned->version && h->header_bytes == planned->header_bytes &&
           !memcmp((const char *)h + COMPARED, (const char *)planned + COMPARED,
                   sizeof *h - COMPARED);
}

int32_t tenon_panel_weights_at(const tenon_panel_weights *planned, const tenon_blob_header *header,
                               const DLTensor *w, const tenon_quant *quant,
                               tenon_panel_weights *out, tenon_reason *reason) {
    *out = *planned;
    out->data = tenon_data(w);
    if (!planned->packed && !planned->kept) {
        if (!planned->beside && !planned->decoded && !planned->groups) return TENON_OK;
        return tenon_weight_view_from(w, quant, &out->view, reason);
    }
    const tenon_blob_header *h = (const tenon_blob_header *)(const void *)out->data;
    if (!is_as_planned(h, header)) {
        tenon_decline(reason,
                      "the blob at %p is not of the planned kind and shape (n=%lld, k=%lld)",
                      (const void *)h, (long long)header->n, (long long)header->k);
        return TENON_STATUS_INVALID_ARGUMENT;
    }
    if (planned->packed) {
        out->data += header->header_bytes;
        set_scales(out);
        return TENON_OK;
    }
    tenon_blob_tensors parts;
    tenon_blob_tensors_of(h, &parts);
    out->data = tenon_data(&parts.tensor[TENON_BLOB_W]);
    return tenon_weight_view_from(&parts.tensor[TENON_BLOB_W], &parts.quant, &out->view, reason);
}
