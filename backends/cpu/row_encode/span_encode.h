/* SPDX-License-Identifier: Apache-2.0 */
/* Floats to codes of one byte each with one scale, as quantize rounds them, and the range of a
 * span: one table for each instruction set. */
#ifndef TENON_SPAN_ENCODE_H
#define TENON_SPAN_ENCODE_H

#include "number.h"

/* Least (at most 0) and largest (at least 0) of the values that are not NaN. */
typedef struct tenon_span_range {
    float least, largest;
    bool has_nan;
} tenon_span_range;

typedef struct tenon_span_encoder {
    tenon_span_range (*range)(const float *x, int64_t count);
    /* code = round(x / scale) + zero, the exact quotient rounded once, cut to +-clip before that
     * (clip 0: only by what the type holds). A float8, e2m1, e2m3, e3m2, I8 or U8. */
    void (*encode)(tenon_number number, const float *x, int64_t count, float scale, float clip,
                   float zero, uint8_t *codes);
    /* e2m1 by a finite scale > 0 of more bits than f32 has. */
    void (*encode_e2m1)(const float *x, int64_t count, double scale, double clip, uint8_t *codes);
} tenon_span_encoder;

extern const tenon_span_encoder tenon_span_encoder_scalar;
#if defined(__x86_64__)
extern const tenon_span_encoder tenon_span_encoder_x86_avx2;
extern const tenon_span_encoder tenon_span_encoder_x86_avx512;
#elif defined(__aarch64__)
extern const tenon_span_encoder tenon_span_encoder_arm_neon;
#endif

#endif
