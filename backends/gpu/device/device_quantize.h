/* SPDX-License-Identifier: Apache-2.0 */
/* Dividing by a scale so that what is rounded from the quotient is rounded once. */
#ifndef TENON_DEVICE_QUANTIZE_H
#define TENON_DEVICE_QUANTIZE_H

#include "device_number.h"

/* What a span divides by. */
typedef struct divisor {
    float scale, inverse;
    bool exact; /* x * inverse is x / scale: a power of two */
    bool near;  /* neither scale nor inverse is close to the ends of f32 */
} divisor;

DEVICE divisor divisor_of(float scale, bool power_of_two) {
    return (divisor){.scale = scale,
                     .inverse = 1 / scale,
                     .exact = power_of_two,
                     .near = scale > 0x1p-60f && scale < 0x1p60f};
}

/* x / scale, cut off, with the last bit set where anything was cut off: what rounds from it once
 * more rounds right. The quotient is off by less than a unit; the remainder says on which side. */
DEVICE float quotient_odd(float x, const divisor *d) {
    if (d->exact) return x * d->inverse;
    float q = d->near ? x * d->inverse : x / d->scale;
    if (d->near && is_finite(q)) q = fma_f32(fma_f32(-q, d->scale, x), d->inverse, q);
    const float rest = fma_f32(-q, d->scale, x);
    if (rest == 0 || !is_finite(rest)) return q;
    const bool beyond = (bits_of(rest) ^ bits_of(x)) >> 31;
    return float_of((bits_of(q) - beyond) | 1u);
}

/* Magnitudes as integers: they order as the numbers do, and a NaN is the largest; 0 where the
 * elements can say NaN themselves. */
DEVICE uint32_t magnitude_bits(float x, bool nan_in_elements) {
    const uint32_t bits = bits_of(x) & 0x7fffffffu;
    return nan_in_elements && bits > 0x7f800000u ? 0 : bits;
}

#endif /* TENON_DEVICE_QUANTIZE_H */
