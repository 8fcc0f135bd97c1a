/* SPDX-License-Identifier: Apache-2.0 */
/* One instruction each, or the few that make an exact result of one. */
#ifndef TENON_DEVICE_MATH_H
#define TENON_DEVICE_MATH_H

#include "device_lane.h"

#define DEVICE_INFINITY __builtin_inff()
#define DEVICE_LOG2_E   1.4426950408889634f
#define DEVICE_LN_2     0.6931471805599453f

/* 2^x and log2 x to one unit in the last place; results below 2^-126 are 0. */
DEVICE float exp2_f32(float x) {
    return __builtin_amdgcn_exp2f(x);
}
DEVICE float log2_f32(float x) {
    return __builtin_amdgcn_logf(x);
}
DEVICE float reciprocal_f32(float x) {
    return __builtin_amdgcn_rcpf(x);
}
DEVICE float fma_f32(float a, float b, float c) {
    return __builtin_fmaf(a, b, c);
}
DEVICE bool is_nan(float x) {
    return x != x;
}
DEVICE bool is_finite(float x) {
    return __builtin_fabsf(x) < DEVICE_INFINITY;
}

#endif /* TENON_DEVICE_MATH_H */
