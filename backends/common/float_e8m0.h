/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TENON_FLOAT_E8M0_H
#define TENON_FLOAT_E8M0_H

/* e8m0, the scale of the MX formats: eight exponent bits and nothing else.
 * Value = 2^(code - 127); code 0 is 2^-127 (a denormal float), code 0xff is NaN; no zero, no sign.
 */

#include <math.h>

#include "float_bits.h"
#include "tenon_base.h"

static inline float tenon_e8m0_to_f32(uint8_t code) {
    if (code == 0xffu) return tenon_f32_from_bits(TENON_F32_QUIET_NAN);
    return tenon_f32_power_of_two((int)code - TENON_F32_EXP_OFFSET);
}

/* How a block's scale follows from its largest magnitude amax: TENON_SCALE_ROUNDING_*. `largest` is
 * the largest value of the element type and emax its exponent (e2m1: 6 = 1.5 * 2^2, so 2).
 *
 *   FLOOR    2^(floor(log2 amax) - emax): the OCP MX paper; the top of the block may saturate
 *   CEIL     least power of two with amax <= largest * scale: nothing saturates
 *   EVEN     FLOOR after amax was rounded, half up, to the element's mantissa width, so that an
 * amax that would round past the top binade takes the next scale: e2m1 from 1.75 * 2^e on NEAREST
 * the power of two nearest to amax / largest in log2 */

/* What the rules need to know about an element type. */
typedef struct tenon_mx_element {
    int emax;          /* exponent of the largest value */
    int mantissa_bits; /* without the leading one */
    float largest;
} tenon_mx_element;

#define TENON_MX_E2M1     ((tenon_mx_element){2, 1, 6.0f})
#define TENON_MX_E2M3     ((tenon_mx_element){2, 3, 7.5f})
#define TENON_MX_E3M2     ((tenon_mx_element){4, 2, 28.0f})
#define TENON_MX_E4M3FN   ((tenon_mx_element){8, 3, 448.0f})
#define TENON_MX_E4M3FNUZ ((tenon_mx_element){7, 3, 240.0f})
#define TENON_MX_E5M2     ((tenon_mx_element){15, 2, 57344.0f})

/* floor(log2) of a finite value > 0 given by its bits, denormals included. */
static inline int tenon_f32_floor_log2(uint32_t abs_bits) {
    if (abs_bits >= 0x00800000u) return (int)(abs_bits >> 23) - TENON_F32_EXP_OFFSET;
    int exponent = -149;
    while (abs_bits >>= 1) exponent++;
    return exponent;
}

/* The code of the scale. NaN or infinite amax: 0xff (the block is NaN). amax = 0: the
 * scale is 1. Otherwise the result is clamped to codes 0 .. 254. */
static inline uint8_t tenon_e8m0_from_amax(float amax, tenon_mx_element element, int32_t rule) {
    uint32_t bits = tenon_f32_bits(amax) & ~TENON_F32_SIGN_BIT;
    if (bits >= TENON_F32_INF_BITS) return 0xffu;
    if (bits == 0) return TENON_F32_EXP_OFFSET;
    if (rule == TENON_SCALE_ROUNDING_EVEN) bits += 1u << (22 - element.mantissa_bits);
    int exponent = tenon_f32_floor_log2(bits) - element.emax;

    /* amax / largest = ratio * 2^exponent with 0.5 < ratio < 2. Compared as products in double,
     * where every one of them is exact. */
    double top = ldexp((double)element.largest, exponent);
    double value = (double)tenon_f32_from_bits(bits);
    if (rule == TENON_SCALE_ROUNDING_CEIL) exponent += value > top;
    if (rule == TENON_SCALE_ROUNDING_NEAREST) {
        double square = value * value;
        exponent += square >= 2 * top * top ? 1 : 2 * square < top * top ? -1 : 0;
    }
    int code = exponent + TENON_F32_EXP_OFFSET;
    return (uint8_t)(code < 0 ? 0 : code > 254 ? 254 : code);
}

#endif
