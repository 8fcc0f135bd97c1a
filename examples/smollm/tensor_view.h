/* SPDX-License-Identifier: Apache-2.0 */
/* A DLTensor with room for its own shape and strides. It points into itself: keep it where it was
 * made, do not copy it. */
#ifndef SMOLLM_TENSOR_VIEW_H
#define SMOLLM_TENSOR_VIEW_H

#include "tenon.h"

typedef struct tensor_view {
    DLTensor tensor;
    int64_t shape[5];
    int64_t strides[5];
} tensor_view;

static const DLDataType type_f32 = {kDLFloat, 32, 1};
static const DLDataType type_i32 = {kDLInt, 32, 1};
static const DLDataType type_u8 = {kDLUInt, 8, 1};

/* Compact and row-major; widen a stride afterwards where rows stand further apart. */
static inline const DLTensor *view_set(tensor_view *view, const void *data, DLDataType type,
                                       int rank, const int64_t *shape) {
    int64_t stride = 1;
    for (int d = rank - 1; d >= 0; d--) {
        view->shape[d] = shape[d];
        view->strides[d] = stride;
        stride *= shape[d];
    }
    /* The ABI borrows every tensor through one type; what is an input stays unwritten. */
    view->tensor = (DLTensor){.data = (void *)(uintptr_t)data,
                              .device = {kDLCPU, 0},
                              .ndim = rank,
                              .dtype = type,
                              .shape = view->shape,
                              .strides = view->strides};
    return &view->tensor;
}

static inline const DLTensor *view_1d(tensor_view *view, const void *data, DLDataType type,
                                      int64_t count) {
    return view_set(view, data, type, 1, (const int64_t[]){count});
}

static inline const DLTensor *view_2d(tensor_view *view, const void *data, DLDataType type,
                                      int64_t rows, int64_t cols) {
    return view_set(view, data, type, 2, (const int64_t[]){rows, cols});
}

static inline const DLTensor *view_3d(tensor_view *view, const void *data, DLDataType type,
                                      int64_t planes, int64_t rows, int64_t cols) {
    return view_set(view, data, type, 3, (const int64_t[]){planes, rows, cols});
}

#endif
