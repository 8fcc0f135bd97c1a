/* SPDX-License-Identifier: Apache-2.0 */
/* One instruction each, or the few that make an exact result of one. */
#ifndef TENON_DEVICE_MATH_H
#define TENON_DEVICE_MATH_H

#include "device_lane.h"

#define DEVICE_INFINITY float_of(0x7f800000u)
#define DEVICE_LOG2_E   1.4426950408889634f
#define DEVICE_LN_2     0.6931471805599453f

#if defined(__AMDGCN__)
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
DEVICE float f16_to_f32(uint16_t code) {
    return (float)__builtin_bit_cast(_Float16, code);
}
DEVICE uint16_t f32_to_f16(float x) {
    return __builtin_bit_cast(uint16_t, (_Float16)x);
}
#elif defined(__CUDACC__)
/* To two units; lg2.approx alone would lose all digits near 1. */
DEVICE float exp2_f32(float x) {
    return exp2f(x);
}
DEVICE float log2_f32(float x) {
    return log2f(x);
}
DEVICE float reciprocal_f32(float x) {
    float y;
    asm("rcp.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
DEVICE float f16_to_f32(uint16_t code) {
    float x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(code));
    return x;
}
DEVICE uint16_t f32_to_f16(float x) {
    uint16_t code;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(code) : "f"(x));
    return code;
}
#endif

#if defined(__CUDACC__)
DEVICE float fma_f32(float a, float b, float c) {
    return fmaf(a, b, c);
}
DEVICE float larger_f32(float a, float b) {
    return fmaxf(a, b);
}
DEVICE float smaller_f32(float a, float b) {
    return fminf(a, b);
}
DEVICE float magnitude_f32(float x) {
    return fabsf(x);
}
DEVICE float sqrt_f32(float x) {
    return sqrtf(x);
}
DEVICE float round_f32(float x) {
    return rintf(x);
}
DEVICE uint32_t count_bits(uint64_t x) {
    return (uint32_t)__popcll(x);
}
#else
DEVICE float fma_f32(float a, float b, float c) {
    return __builtin_fmaf(a, b, c);
}
/* A NaN loses. */
DEVICE float larger_f32(float a, float b) {
    return __builtin_fmaxf(a, b);
}
DEVICE float smaller_f32(float a, float b) {
    return __builtin_fminf(a, b);
}
DEVICE float magnitude_f32(float x) {
    return __builtin_fabsf(x);
}
DEVICE float sqrt_f32(float x) {
    return __builtin_sqrtf(x);
}
DEVICE float round_f32(float x) {
    return __builtin_rintf(x);
}
DEVICE uint32_t count_bits(uint64_t x) {
    return (uint32_t)__builtin_popcountll(x);
}
#endif

DEVICE bool is_nan(float x) {
    return x != x;
}
DEVICE bool is_finite(float x) {
    return magnitude_f32(x) < DEVICE_INFINITY;
}

#endif /* TENON_DEVICE_MATH_H */
