/* SPDX-License-Identifier: Apache-2.0
 *
 * Bits to numbers and back, written so that loops over 64 lanes become vector code: no branches, no
 * calls.
 */
#ifndef AMD_NUMBERS_H
#define AMD_NUMBERS_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static inline float amd_float(uint32_t bits) {
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

static inline uint32_t amd_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return bits;
}

static inline double amd_double(uint64_t bits) {
    double value;
    memcpy(&value, &bits, 8);
    return value;
}

static inline uint64_t amd_double_bits(double value) {
    uint64_t bits;
    memcpy(&bits, &value, 8);
    return bits;
}

/* f16 to f32: the exponent is moved by a multiplication, which makes subnormals right too. */
static inline float amd_half(uint32_t half) {
    uint32_t magnitude = (half & 0x7fffu) << 13;
    uint32_t finite = amd_bits(amd_float(magnitude) * 0x1p112f);
    uint32_t bits = magnitude >= 0x0f800000u ? magnitude | 0x7f800000u : finite;
    return amd_float(bits | (half & 0x8000u) << 16);
}

/* f32 to f16, to nearest even. */
static inline uint32_t amd_half_bits(float value) {
    uint32_t bits = amd_bits(value), magnitude = bits & 0x7fffffffu;
    uint32_t tiny = amd_bits(amd_float(magnitude) + 0.5f) - 0x3f000000u;
    uint32_t normal = (magnitude + 0xfffu + (magnitude >> 13 & 1) - 0x38000000u) >> 13;
    uint32_t huge = magnitude > 0x7f800000u ? 0x7e00u | (magnitude >> 13 & 0x3ffu) : 0x7c00u;
    uint32_t half = magnitude < 0x38800000u ? tiny : normal;
    half = magnitude >= 0x477ff000u ? huge : half;
    return half | (bits >> 16 & 0x8000u);
}

/* f64 to f16 without rounding twice: round to odd in f32 first. */
static inline uint32_t amd_half_bits_of_double(double value) {
    float near = (float)value;
    uint32_t bits = amd_bits(near);
    double back = (double)near;
    if (back != value && value == value && (bits & 0x7f800000u) != 0x7f800000u && !(bits & 1)) {
        bool away = fabs(back) > fabs(value);
        bits = away ? bits - 1 : bits + 1;
    }
    return amd_half_bits(amd_float(bits));
}

static inline float amd_bfloat(uint32_t bits) {
    return amd_float(bits << 16);
}

/* f32 to bf16, to nearest even. */
static inline uint32_t amd_bfloat_bits(float value) {
    uint32_t bits = amd_bits(value);
    uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1)) >> 16;
    return (bits & 0x7fffffffu) > 0x7f800000u ? bits >> 16 | 0x40u : rounded;
}

static inline float amd_flush(float value) {
    uint32_t bits = amd_bits(value);
    return amd_float((bits & 0x7f800000u) ? bits : bits & 0x80000000u);
}

/* Of two numbers the larger; a NaN yields the other one. */
static inline float amd_max(float a, float b) {
    float larger = a > b ? a : b;
    larger = a == b ? amd_float(amd_bits(a) & amd_bits(b)) : larger;
    larger = b != b ? a : larger;
    return a != a ? b : larger;
}

static inline float amd_min(float a, float b) {
    float smaller = a < b ? a : b;
    smaller = a == b ? amd_float(amd_bits(a) | amd_bits(b)) : smaller;
    smaller = b != b ? a : smaller;
    return a != a ? b : smaller;
}

static inline bool amd_signals(float value) {
    return (amd_bits(value) & 0x7fc00000u) == 0x7f800000u && (amd_bits(value) & 0x3fffffu);
}

/* With MODE.IEEE, which compilers set, a signalling NaN comes out quiet instead of being passed
 * over. */
static inline float amd_ieee_max(float a, float b) {
    float larger = amd_max(a, b);
    larger = amd_signals(b) ? amd_float(amd_bits(b) | 0x400000u) : larger;
    return amd_signals(a) ? amd_float(amd_bits(a) | 0x400000u) : larger;
}

static inline float amd_ieee_min(float a, float b) {
    float smaller = amd_min(a, b);
    smaller = amd_signals(b) ? amd_float(amd_bits(b) | 0x400000u) : smaller;
    return amd_signals(a) ? amd_float(amd_bits(a) | 0x400000u) : smaller;
}

/* Float to integer as v_cvt does: towards zero, saturated, NaN gives 0. */
static inline uint32_t amd_to_u32(float value) {
    return value >= 4294967296.0f ? 0xffffffffu : value > 0.0f ? (uint32_t)value : 0u;
}

static inline uint32_t amd_to_i32(float value) {
    if (value >= 2147483648.0f) return 0x7fffffffu;
    if (value <= -2147483648.0f) return 0x80000000u;
    return value == value ? (uint32_t)(int32_t)value : 0u;
}

/* ---- numbers of 8 bits and fewer ---- */

typedef enum amd_small {
    AMD_E4M3,     /* OCP: bias 7, no infinity, NaN is 0x7f and 0xff */
    AMD_E5M2,     /* OCP: bias 15, IEEE infinities */
    AMD_E4M3_NUZ, /* FNUZ: bias 8, 0x80 is the NaN */
    AMD_E5M2_NUZ, /* FNUZ: bias 16 */
    AMD_E2M3,     /* MXFP6 */
    AMD_E3M2,
    AMD_E2M1, /* MXFP4 */
    AMD_SMALL_FORMATS
} amd_small;

/* Value of a code; a table lookup. */
extern float amd_small_values[AMD_SMALL_FORMATS][256];
/* Fills the table; called once before anything runs. */
void amd_make_small_values(void);
/* Code of a value, to nearest even; saturate: the largest finite number in place of NaN or infinity
 * by overflow. */
uint32_t amd_small_bits(amd_small format, float value, bool saturate);
/* Stochastic rounding: random (32 bits, the upper ones count) is added below the last kept bit. */
uint32_t amd_small_bits_random(amd_small format, float value, uint32_t random, bool saturate);

/* 2^(code - 127); 255 is NaN. */
static inline float amd_scale(uint32_t code) {
    code &= 255;
    return code == 255 ? NAN : code == 0 ? 0x1p-127f : amd_float(code << 23);
}

#endif
