/* SPDX-License-Identifier: Apache-2.0 */
/* One way each to make one tensor, one scalar or one head wrong. A mutation that must be refused
 * says so; the others only must not write outside, crash, or leave a half-written result behind. */
#ifndef TENON_TEST_MUTATIONS_H
#define TENON_TEST_MUTATIONS_H

#include "bench_problem.h"

typedef struct mutation {
    const char *name;
    bool must_fail; /* whatever the tensor is */
    bool for_run;   /* also wrong at run time, under a good plan */
    /* false: does not apply to this tensor */
    bool (*apply)(DLTensor *view, int64_t *shape, int64_t *strides);
} mutation;

static inline bool unknown_type(DLTensor *v, int64_t *shape, int64_t *strides) {
    (void)shape, (void)strides;
    v->dtype.code = 99;
    return true;
}
static inline bool three_lanes(DLTensor *v, int64_t *shape, int64_t *strides) {
    (void)shape, (void)strides;
    v->dtype.lanes = 3;
    return true;
}
static inline bool complex_type(DLTensor *v, int64_t *shape, int64_t *strides) {
    (void)shape, (void)strides;
    v->dtype.code = kDLComplex, v->dtype.bits = 64;
    return true;
}
static inline bool negative_rank(DLTensor *v, int64_t *shape, int64_t *strides) {
    (void)shape, (void)strides;
    v->ndim = -1;
    return true;
}
static inline bool rank_nine(DLTensor *v, int64_t *shape, int64_t *strides) {
    (void)shape, (void)strides;
    v->ndim = 9;
    return true;
}
static inline bool rank_zero(DLTensor *v, int64_t *shape, int64_t *strides) {
    (void)shape, (void)strides;
    if (v->ndim == 0) return false;
    v->ndim = 0;
    return true;
}
static inline bool no_shape(DLTensor *v, int64_t *shape, int64_t *strides) {
    (void)shape, (void)strides;
    v->shape = NULL;
    return v->ndim > 0;
}
static inline bool negative_extent(DLTensor *v, int64_t *shape, int64_t *strides) {
    (void)strides;
    shape[v->ndim - 1] = -1;
    return true;
}
static inline bool huge_extent(DLTensor *v, int64_t *shape, int64_t *strides) {
    (void)v, (void)strides;
    shape[0] = INT64_MAX / 2;
    return true;
}
static inline bool huge_stride(DLTensor *v, int64_t *shape, int64_t *strides) {
    strides[0] = INT64_MAX / 2;
    return v->ndim > 0 && shape[0] > 2;
}
static inline bool negative_stride(DLTensor *v, int64_t *shape, int64_t *strides) {
    strides[0] = -strides[0];
    return v->ndim > 0 && shape[0] > 1;
}
static inline bool other_device(DLTensor *v, int64_t *shape, int64_t *strides) {
    (void)shape, (void)strides;
    v->device.device_type = kDLCUDA;
    return true;
}
static inline bool other_device_id(DLTensor *v, int64_t *shape, int64_t *strides) {
    (void)shape, (void)strides;
    v->device.device_id = 7;
    return true;
}
static inline bool misaligned(DLTensor *v, int64_t *shape, int64_t *strides) {
    (void)shape, (void)strides;
    v->byte_offset = 1;
    return v->dtype.bits * v->dtype.lanes >= 16;
}
static inline bool wrapping_offset(DLTensor *v, int64_t *shape, int64_t *strides) {
    (void)shape, (void)strides;
    v->byte_offset = UINT64_MAX - 63;
    return true;
}
static inline bool one_more(DLTensor *v, int64_t *shape, int64_t *strides) {
    (void)strides;
    shape[v->ndim - 1]++;
    return true;
}
static inline bool one_less(DLTensor *v, int64_t *shape, int64_t *strides) {
    (void)strides;
    shape[0]--;
    return v->ndim > 0;
}

static const mutation mutations[] = {
    {"an unknown element type", true, true, unknown_type},
    {"three lanes", true, true, three_lanes},
    {"a complex element type", true, true, complex_type},
    {"ndim=-1", true, true, negative_rank},
    {"ndim=9", true, true, rank_nine},
    {"ndim=0", true, true, rank_zero},
    {"shape NULL", true, false, no_shape},
    {"a negative extent", true, true, negative_extent},
    {"an extent of 2^62", true, true, huge_extent},
    {"a stride of 2^62", true, true, huge_stride},
    {"a negative stride", true, true, negative_stride},
    {"another device", true, true, other_device},
    {"another device id", true, true, other_device_id},
    {"a misaligned byte_offset", true, true, misaligned},
    {"a byte_offset that wraps around", true, true, wrapping_offset},
    {"one column more", false, true, one_more},
    {"one row less", false, false, one_less},
};
enum { N_MUTATIONS = sizeof mutations / sizeof mutations[0] };

#endif /* TENON_TEST_MUTATIONS_H */
