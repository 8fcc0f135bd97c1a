/* SPDX-License-Identifier: Apache-2.0 */
/* Codes of one byte each, with the scales of their groups, to floats: one function for each
 * instruction set. */
#ifndef TENON_SPAN_DECODE_H
#define TENON_SPAN_DECODE_H

#include <stdint.h>

#include "number.h"

typedef struct tenon_span {
    tenon_number number;  /* of the codes: a float8, e2m3, e3m2, e2m1, i8, u8 or u4 */
    const uint8_t *codes; /* a byte each */
    int64_t count, group; /* elements, and how many share a scale: the last group may be short */
    const float *scale;   /* of each group; NULL: 1 */
    const float *zero;    /* of each group, subtracted from the codes; whole numbers; NULL: 0 */
    float global;         /* multiplies, or divides */
    int32_t divides;
} tenon_span;

/* out[i] = (code[i] - zero) * scale * global, rounded once to F32, F16 or BF16. That takes that
 * (code - zero) * scale is exact in f32 unless global is 1. */
typedef void (*tenon_span_decode_fn)(const tenon_span *span, tenon_number type, void *out);

void tenon_span_decode_scalar(const tenon_span *span, tenon_number type, void *out);
#if defined(__x86_64__)
void tenon_span_decode_x86_avx2(const tenon_span *span, tenon_number type, void *out);
void tenon_span_decode_x86_avx512(const tenon_span *span, tenon_number type, void *out);
#elif defined(__aarch64__)
void tenon_span_decode_arm_neon(const tenon_span *span, tenon_number type, void *out);
#endif

#endif
