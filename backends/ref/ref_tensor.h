/* SPDX-License-Identifier: Apache-2.0 */
/* Elements of tensors by index, in double: what the references are written with. */
#ifndef TENON_REF_TENSOR_H
#define TENON_REF_TENSOR_H

#include "backend.h"
#include "number.h"

/* Offset of an element, in elements. */
static inline int64_t tenon_ref_at2(const DLTensor *t, int64_t i, int64_t j) {
    return i * t->strides[0] + j * t->strides[1];
}
static inline int64_t tenon_ref_at3(const DLTensor *t, int64_t i, int64_t j, int64_t k) {
    return tenon_ref_at2(t, i, j) + k * t->strides[2];
}
static inline int64_t tenon_ref_at4(const DLTensor *t, int64_t i, int64_t j, int64_t k, int64_t l) {
    return tenon_ref_at3(t, i, j, k) + l * t->strides[3];
}

static inline double tenon_ref_load(const DLTensor *t, int64_t offset) {
    return tenon_number_load(tenon_number_of(t->dtype), tenon_data(t), offset);
}
static inline void tenon_ref_store(const DLTensor *t, int64_t offset, double value) {
    tenon_number_store(tenon_number_of(t->dtype), tenon_data(t), offset, value);
}

static inline double tenon_ref_load1(const DLTensor *t, int64_t i) {
    return tenon_ref_load(t, i * t->strides[0]);
}
static inline double tenon_ref_load2(const DLTensor *t, int64_t i, int64_t j) {
    return tenon_ref_load(t, tenon_ref_at2(t, i, j));
}
static inline double tenon_ref_load3(const DLTensor *t, int64_t i, int64_t j, int64_t k) {
    return tenon_ref_load(t, tenon_ref_at3(t, i, j, k));
}
static inline double tenon_ref_load4(const DLTensor *t, int64_t i, int64_t j, int64_t k,
                                     int64_t l) {
    return tenon_ref_load(t, tenon_ref_at4(t, i, j, k, l));
}
static inline void tenon_ref_store1(const DLTensor *t, int64_t i, double value) {
    tenon_ref_store(t, i * t->strides[0], value);
}
static inline void tenon_ref_store2(const DLTensor *t, int64_t i, int64_t j, double value) {
    tenon_ref_store(t, tenon_ref_at2(t, i, j), value);
}
static inline void tenon_ref_store3(const DLTensor *t, int64_t i, int64_t j, int64_t k,
                                    double value) {
    tenon_ref_store(t, tenon_ref_at3(t, i, j, k), value);
}

/* An index tensor's entry: i32 or i64. */
static inline int64_t tenon_ref_index(const DLTensor *t, int64_t offset) {
    return t->dtype.bits == 64 ? ((const int64_t *)tenon_data(t))[offset]
                               : ((const int32_t *)tenon_data(t))[offset];
}
static inline int64_t tenon_ref_index1(const DLTensor *t, int64_t i) {
    return tenon_ref_index(t, i * t->strides[0]);
}
static inline int64_t tenon_ref_index2(const DLTensor *t, int64_t i, int64_t j) {
    return tenon_ref_index(t, tenon_ref_at2(t, i, j));
}
static inline void tenon_ref_store_index(const DLTensor *t, int64_t offset, int64_t value) {
    if (t->dtype.bits == 64)
        ((int64_t *)tenon_data(t))[offset] = value;
    else
        ((int32_t *)tenon_data(t))[offset] = (int32_t)value;
}

#endif /* TENON_REF_TENSOR_H */
