/* SPDX-License-Identifier: Apache-2.0 */
#include "tensor.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    uint8_t code, bits;
} types[] = {
#define ROW(name, code, bits) {#name, code, bits},
    TENON_TYPE_LIST(ROW)};

int tenon_type_by_name(const char *name, size_t length) {
    for (int i = 0; i < TENON_TYPE_COUNT; i++)
        if (strlen(types[i].name) == length && !memcmp(types[i].name, name, length)) return i;
    return -1;
}

int tenon_type_of(DLDataType dtype) {
    for (int i = 0; i < TENON_TYPE_COUNT; i++)
        if (types[i].code == dtype.code && types[i].bits == dtype.bits)
            return dtype.lanes == 1 || (dtype.lanes == 2 && i == TENON_TYPE_e2m1) ? i : -1;
    return -1;
}

const char *tenon_type_name(int type) {
    return type >= 0 && type < TENON_TYPE_COUNT ? types[type].name : "?";
}

void tenon_shape_text(const int64_t *shape, int32_t ndim, char *text, size_t bytes) {
    size_t used = (size_t)snprintf(text, bytes, "[");
    for (int32_t i = 0; i < ndim && used < bytes; i++)
        used +=
            (size_t)snprintf(text + used, bytes - used, i ? ", %lld" : "%lld", (long long)shape[i]);
    if (used < bytes) snprintf(text + used, bytes - used, "]");
}

void tenon_tensor_text(const DLTensor *tensor, char *text, size_t bytes) {
    int type = tenon_type_of(tensor->dtype);
    size_t used;
    if (type >= 0)
        used = (size_t)snprintf(text, bytes, "%s%s", types[type].name,
                                tensor->dtype.lanes == 2 ? "x2" : "");
    else
        used = (size_t)snprintf(text, bytes, "dtype(code %d, bits %d, lanes %d)",
                                tensor->dtype.code, tensor->dtype.bits, tensor->dtype.lanes);
    if (used < bytes) tenon_shape_text(tensor->shape, tensor->ndim, text + used, bytes - used);
}

int64_t tenon_element_count(const DLTensor *tensor) {
    int64_t count = 1;
    /* An extent of 0 anywhere makes the tensor empty, whatever the others multiply to. */
    for (int32_t i = 0; i < tensor->ndim; i++)
        if (tensor->shape[i] == 0) return 0;
    for (int32_t i = 0; i < tensor->ndim; i++)
        if (__builtin_mul_overflow(count, tensor->shape[i], &count)) return -1;
    return count;
}

int64_t tenon_span_bytes(const DLTensor *tensor) {
    int64_t count = tenon_element_count(tensor), last = 0,
            bits = (int64_t)tensor->dtype.bits * tensor->dtype.lanes;
    if (count <= 0) return count;
    for (int32_t i = 0; i < tensor->ndim; i++) {
        int64_t reach;
        if (__builtin_mul_overflow(tensor->shape[i] - 1, tensor->strides[i], &reach) ||
            __builtin_add_overflow(last, reach, &last))
            return -1;
    }
    int64_t end;
    if (__builtin_add_overflow(last, 1, &end) || __builtin_mul_overflow(end, bits, &end) ||
        end > INT64_MAX / 2)
        return -1;
    return (end + 7) / 8;
}

bool tenon_overlaps_itself(const DLTensor *tensor) {
    int64_t reach = 0;
    bool done[32] = {false};
    if (tenon_element_count(tensor) == 0) return false;
    for (int32_t step = 0; step < tensor->ndim; step++) {
        int32_t least = -1;
        for (int32_t i = 0; i < tensor->ndim; i++)
            if (!done[i] && (least < 0 || tensor->strides[i] < tensor->strides[least])) least = i;
        done[least] = true;
        if (tensor->shape[least] == 1) continue;
        if (tensor->strides[least] <= reach) return true;
        reach += (tensor->shape[least] - 1) * tensor->strides[least];
    }
    return false;
}

/* Bytes that the dims with a stride below `outer_bytes` span. */
static int64_t inner_span(const DLTensor *t, int64_t outer_bytes) {
    int64_t bits = (int64_t)t->dtype.bits * t->dtype.lanes, last = 0;
    for (int32_t i = 0; i < t->ndim; i++)
        if (t->shape[i] > 1 && t->strides[i] * bits / 8 < outer_bytes)
            last += (t->shape[i] - 1) * t->strides[i];
    return ((last + 1) * bits + 7) / 8;
}

/* Every stride at or above `outer_bytes` must be a multiple of it, or the remainder says nothing.
 */
static bool strides_divide(const DLTensor *t, int64_t outer_bytes) {
    int64_t bits = (int64_t)t->dtype.bits * t->dtype.lanes;
    for (int32_t i = 0; i < t->ndim; i++) {
        int64_t bytes = t->strides[i] * bits / 8;
        if (t->shape[i] > 1 && bytes >= outer_bytes && bytes % outer_bytes) return false;
    }
    return true;
}

bool tenon_tensors_overlap(const DLTensor *a, int64_t a_span, const DLTensor *b, int64_t b_span) {
    uintptr_t pa = (uintptr_t)a->data + a->byte_offset, pb = (uintptr_t)b->data + b->byte_offset;
    if (a_span <= 0 || b_span <= 0 || pa + (uint64_t)a_span <= pb || pb + (uint64_t)b_span <= pa)
        return false;
    int64_t bits = (int64_t)a->dtype.bits * a->dtype.lanes;
    for (int32_t i = 0; i < a->ndim; i++) {
        int64_t outer = a->strides[i] * bits / 8;
        if (a->shape[i] <= 1 || outer <= 0 || !strides_divide(a, outer) ||
            !strides_divide(b, outer))
            continue;
        int64_t ia = inner_span(a, outer), ib = inner_span(b, outer);
        int64_t gap = (int64_t)(((pb - pa) % (uint64_t)outer + (uint64_t)outer) % (uint64_t)outer);
        if (pb < pa) gap = (outer - (int64_t)((pa - pb) % (uint64_t)outer)) % outer;
        if (gap >= ia && gap + ib <= outer)
            return false; /* b's part of each period lies after a's */
    }
    return true;
}

void tenon_compact_strides(const int64_t *shape, int32_t ndim, int64_t *strides) {
    uint64_t step = 1; /* unsigned: an overflow is refused by the element count, before anybody
                          reads the strides */
    for (int32_t i = ndim - 1; i >= 0; i--) {
        strides[i] = (int64_t)step;
        step *= (uint64_t)(shape[i] > 0 ? shape[i] : 1);
    }
}
