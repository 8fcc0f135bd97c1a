/* SPDX-License-Identifier: Apache-2.0
 *
 * The small floats. Sources: OCP 8-bit Floating Point Specification (OFP8) 1.0 and OCP Microscaling
 * (MX) 1.0 for E4M3, E5M2, E2M3, E3M2, E2M1; for the FNUZ formats AMD's "CDNA3 Instruction Set
 * Architecture" (FP8 and BF8 data formats) and LLVM's APFloat (Float8E4M3FNUZ, Float8E5M2FNUZ).
 */
#include "amd_numbers.h"

typedef struct small_format {
    int exponent_bits, mantissa_bits, bias;
    bool nuz;      /* the code of minus zero is the only NaN */
    bool infinity; /* the largest exponent is infinity and NaN */
    bool only_nan; /* the largest exponent is numbers, but all ones are NaN */
} small_format;

static const small_format formats[AMD_SMALL_FORMATS] = {
    [AMD_E4M3] = {4, 3, 7, false, false, true},     [AMD_E5M2] = {5, 2, 15, false, true, false},
    [AMD_E4M3_NUZ] = {4, 3, 8, true, false, false}, [AMD_E5M2_NUZ] = {5, 2, 16, true, false, false},
    [AMD_E2M3] = {2, 3, 1, false, false, false},    [AMD_E3M2] = {3, 2, 3, false, false, false},
    [AMD_E2M1] = {2, 1, 1, false, false, false},
};

float amd_small_values[AMD_SMALL_FORMATS][256];

static float value_of(const small_format *format, uint32_t code) {
    int width = 1 + format->exponent_bits + format->mantissa_bits;
    code &= (1u << width) - 1;
    uint32_t magnitude = code & ((1u << (width - 1)) - 1);
    bool negative = code >> (width - 1);
    int exponent = (int)(magnitude >> format->mantissa_bits);
    int mantissa = (int)(magnitude & ((1u << format->mantissa_bits) - 1));
    int top = (1 << format->exponent_bits) - 1;
    if (format->nuz && negative && magnitude == 0) return NAN;
    if (format->infinity && exponent == top)
        return mantissa ? NAN : negative ? -INFINITY : INFINITY;
    if (format->only_nan && magnitude == (1u << (width - 1)) - 1) return NAN;
    float value = exponent ? ldexpf((float)(mantissa + (1 << format->mantissa_bits)),
                                    exponent - format->bias - format->mantissa_bits)
                           : ldexpf((float)mantissa, 1 - format->bias - format->mantissa_bits);
    return negative ? -value : value;
}

void amd_make_small_values(void) {
    for (int format = 0; format < AMD_SMALL_FORMATS; format++)
        for (uint32_t code = 0; code < 256; code++)
            amd_small_values[format][code] = value_of(&formats[format], code);
}

/* Code of the largest finite magnitude. */
static uint32_t largest(const small_format *format) {
    uint32_t all = (1u << (format->exponent_bits + format->mantissa_bits)) - 1;
    if (format->infinity) return all - (1u << format->mantissa_bits);
    return format->only_nan ? all - 1 : all;
}

static uint32_t encode(amd_small which, float value, bool is_random, uint32_t random,
                       bool saturate) {
    const small_format *format = &formats[which];
    int mantissa_bits = format->mantissa_bits, sign_shift = format->exponent_bits + mantissa_bits;
    uint32_t sign = amd_bits(value) >> 31 << sign_shift, top = largest(format);
    bool has_nan = format->nuz || format->infinity || format->only_nan;
    uint32_t nan_code = format->nuz ? 1u << sign_shift : sign | ((1u << sign_shift) - 1);
    if (value != value) return has_nan ? nan_code : sign | top;
    uint32_t overflow = saturate || !has_nan ? sign | top
                        : format->infinity   ? sign | (top + 1)
                                             : nan_code;
    if (isinf(value)) return overflow;
    int exponent;
    double magnitude = fabs((double)value);
    frexp(magnitude, &exponent);
    exponent -= 1;
    int smallest = 1 - format->bias;
    if (exponent < smallest || magnitude == 0) exponent = smallest;
    /* In units of the last place; exact, because value is f32. */
    double scaled = ldexp(magnitude, mantissa_bits - exponent);
    double whole = floor(scaled), rest = scaled - whole;
    bool up = is_random ? rest + ldexp((double)random, -32) >= 1.0
                        : rest > 0.5 || (rest == 0.5 && fmod(whole, 2.0) != 0.0);
    double units = whole + (up ? 1.0 : 0.0);
    /* Codes count on over the binades: exponent field times 2^m plus mantissa. */
    double code = units + (double)(exponent - smallest) * (double)(1 << mantissa_bits);
    if (magnitude != 0 && code > (double)top) return overflow;
    uint32_t result = (uint32_t)code;
    return format->nuz && result == 0 ? 0 : sign | result;
}

uint32_t amd_small_bits(amd_small format, float value, bool saturate) {
    return encode(format, value, false, 0, saturate);
}

uint32_t amd_small_bits_random(amd_small format, float value, uint32_t random, bool saturate) {
    return encode(format, value, true, random, saturate);
}
