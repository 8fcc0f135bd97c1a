/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of elements from one type to another, vectorised: what the cache writers and readers are
 * made of.
 *
 * Float types: bf16, f16, f32. Stored types: these, the four fp8 and i8. Every result has the bits
 * that the reference gives: float  -> float    rounded once float  -> stored   round(x / scale),
 * the quotient in f32, saturated stored -> float    round(x * scale), the product in f32 Elements
 * are contiguous. Input and output do not overlap. */
#ifndef TENON_ROW_CONVERT_H
#define TENON_ROW_CONVERT_H

#include "backend.h"
#include "number.h"
#include "stored_number.h"

typedef void (*tenon_row_convert_fn)(void *out, const void *in, int64_t n, float scale);
typedef float (*tenon_row_amax_fn)(const void *in,
                                   int64_t n); /* largest magnitude; NaN does not count */

enum { TENON_ROW_TYPES = TENON_NUMBER_I8 + 1 };

/* By tenon_number; a NULL entry is a pair that nobody needs (from stored to another stored type).
 */
typedef struct tenon_row_converters {
    tenon_row_convert_fn to_from[TENON_ROW_TYPES][TENON_ROW_TYPES];
    tenon_row_amax_fn amax[TENON_ROW_TYPES];
} tenon_row_converters;

extern const tenon_row_converters tenon_row_converters_scalar;
#if defined(__x86_64__)
extern const tenon_row_converters tenon_row_converters_x86_avx2;
extern const tenon_row_converters tenon_row_converters_x86_avx512;
#elif defined(__aarch64__)
extern const tenon_row_converters tenon_row_converters_arm_neon;
#endif

/* Largest finite magnitude of a quantized type: a dynamic scale maps the largest input to it. */
static inline float tenon_stored_max(tenon_number number) {
    switch (number) {
    case TENON_NUMBER_E4M3FN:
        return TENON_E4M3FN_MAX;
    case TENON_NUMBER_E4M3FNUZ:
        return TENON_E4M3FNUZ_MAX;
    case TENON_NUMBER_E5M2:
    case TENON_NUMBER_E5M2FNUZ:
        return TENON_E5M2_MAX;
    default:
        return 127; /* i8 */
    }
}

static inline float tenon_dynamic_scale(float amax, tenon_number number) {
    float scale = amax / tenon_stored_max(number);
    return scale > 0 ? scale : 1;
}

/* Scale of one (token, head): [1], [heads_kv] or [pages, page_size, heads_kv]; NULL: 1. */
static inline float *tenon_scale_at(const DLTensor *scale, int64_t page, int64_t slot,
                                    int64_t head) {
    float *base = (float *)tenon_data(scale);
    if (scale->ndim == 3)
        return base + page * scale->strides[0] + slot * scale->strides[1] +
               head * scale->strides[2];
    return base + (scale->shape[0] == 1 ? 0 : head * scale->strides[0]);
}

#endif /* TENON_ROW_CONVERT_H */
