/* SPDX-License-Identifier: Apache-2.0 */
/* Facts about one DLTensor: the name of its element type, the bytes it spans, whether two tensors
 * share an element. */
#ifndef TENON_TENSOR_H
#define TENON_TENSOR_H

#include <stdbool.h>
#include <stddef.h>

#include "tenon.h"

/* X(name, code, bits) */
#define TENON_TYPE_LIST(X)                                                                         \
    X(f16, kDLFloat, 16)                                                                           \
    X(bf16, kDLBfloat, 16)                                                                         \
    X(f32, kDLFloat, 32)                                                                           \
    X(f64, kDLFloat, 64)                                                                           \
    X(e4m3fn, kDLFloat8_e4m3fn, 8)                                                                 \
    X(e4m3fnuz, kDLFloat8_e4m3fnuz, 8)                                                             \
    X(e5m2, kDLFloat8_e5m2, 8)                                                                     \
    X(e5m2fnuz, kDLFloat8_e5m2fnuz, 8)                                                             \
    X(e8m0, kDLFloat8_e8m0fnu, 8)                                                                  \
    X(e2m3, kDLFloat6_e2m3fn, 6)                                                                   \
    X(e3m2, kDLFloat6_e3m2fn, 6)                                                                   \
    X(e2m1, kDLFloat4_e2m1fn, 4)                                                                   \
    X(i8, kDLInt, 8)                                                                               \
    X(u8, kDLUInt, 8)                                                                              \
    X(i16, kDLInt, 16)                                                                             \
    X(u16, kDLUInt, 16)                                                                            \
    X(i32, kDLInt, 32)                                                                             \
    X(u32, kDLUInt, 32)                                                                            \
    X(i64, kDLInt, 64)                                                                             \
    X(u64, kDLUInt, 64)                                                                            \
    X(bool, kDLBool, 8)

#define TENON_E_TYPE(name, code, bits) TENON_TYPE_##name,
enum { TENON_TYPE_LIST(TENON_E_TYPE) TENON_TYPE_COUNT };

int tenon_type_by_name(const char *name, size_t length); /* TENON_TYPE_*, or -1 */
int tenon_type_of(DLDataType dtype); /* TENON_TYPE_*, or -1; two lanes only for e2m1 */
const char *tenon_type_name(int type);

/* "bf16[4, 576]" into text; an unknown type as "code:bits x lanes". */
void tenon_tensor_text(const DLTensor *tensor, char *text, size_t bytes);
void tenon_shape_text(const int64_t *shape, int32_t ndim, char *text, size_t bytes);

/* Bytes from the first element to the end of the last one, 0 for an empty tensor; -1 if that
 * overflows. strides must not be NULL. */
int64_t tenon_span_bytes(const DLTensor *tensor);
int64_t tenon_element_count(const DLTensor *tensor); /* -1 on overflow */
/* Two elements at one address? (sufficient test: dims sorted by stride must nest) */
bool tenon_overlaps_itself(const DLTensor *tensor);
/* May the two share a byte? Exact for disjoint spans, and for interleaved views (a fused buffer)
 * that share an outer stride. */
bool tenon_tensors_overlap(const DLTensor *a, int64_t a_span, const DLTensor *b, int64_t b_span);
void tenon_compact_strides(const int64_t *shape, int32_t ndim, int64_t *strides);

static inline uint32_t tenon_element_align(DLDataType dtype) {
    uint32_t bits = (uint32_t)dtype.bits * dtype.lanes;
    return bits >= 64 ? 8 : bits >= 32 ? 4 : bits >= 16 ? 2 : 1;
}

#endif /* TENON_TENSOR_H */
