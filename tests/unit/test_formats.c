/* SPDX-License-Identifier: Apache-2.0 */
/* Exhaustive checks of the small floats in backends/common. The expected values come from ldexp on
 * the fields of a code, and the expected roundings from the midpoints between neighbouring codes:
 * neither shares a line with the code under test. */

#include <math.h>
#include <stdio.h>

#include "bfloat16.h"
#include "float16.h"
#include "float6_float4.h"
#include "float8.h"
#include "float_e8m0.h"
#include "packed_bits.h"
#include "scale_layout.h"

static int failures;

#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            failures++;                                                                            \
            printf("%s:%d: %s: ", __FILE__, __LINE__, #condition);                                 \
            printf(__VA_ARGS__);                                                                   \
            printf("\n");                                                                          \
        }                                                                                          \
    } while (0)

static int same_float(float a, float b) {
    if (isnan(a) || isnan(b)) return isnan(a) && isnan(b);
    return tenon_f32_bits(a) == tenon_f32_bits(b);
}

/* One small float: its three numbers, its last finite magnitude code and its two functions. */
typedef struct small_float {
    const char *name;
    int total_bits, mantissa_bits, bias;
    uint32_t max_code;
    int signed_zero;
    uint32_t nan_code; /* what NaN encodes to; for the types without NaN the largest positive */
    float (*decode)(uint32_t code);
    uint32_t (*encode)(float value);
} small_float;

static float decode_e4m3fn(uint32_t c) {
    return tenon_e4m3fn_to_f32((uint8_t)c);
}
static float decode_e4m3fnuz(uint32_t c) {
    return tenon_e4m3fnuz_to_f32((uint8_t)c);
}
static float decode_e5m2(uint32_t c) {
    return tenon_e5m2_to_f32((uint8_t)c);
}
static float decode_e5m2fnuz(uint32_t c) {
    return tenon_e5m2fnuz_to_f32((uint8_t)c);
}
static float decode_e2m1(uint32_t c) {
    return tenon_e2m1_to_f32((uint8_t)c);
}
static float decode_e2m3(uint32_t c) {
    return tenon_e2m3_to_f32((uint8_t)c);
}
static float decode_e3m2(uint32_t c) {
    return tenon_e3m2_to_f32((uint8_t)c);
}
static float decode_f16(uint32_t c) {
    return tenon_f16_to_f32((uint16_t)c);
}
static uint32_t encode_e4m3fn(float v) {
    return tenon_f32_to_e4m3fn(v);
}
static uint32_t encode_e4m3fnuz(float v) {
    return tenon_f32_to_e4m3fnuz(v);
}
static uint32_t encode_e5m2(float v) {
    return tenon_f32_to_e5m2(v);
}
static uint32_t encode_e5m2fnuz(float v) {
    return tenon_f32_to_e5m2fnuz(v);
}
static uint32_t encode_e2m1(float v) {
    return tenon_f32_to_e2m1(v);
}
static uint32_t encode_e2m3(float v) {
    return tenon_f32_to_e2m3(v);
}
static uint32_t encode_e3m2(float v) {
    return tenon_f32_to_e3m2(v);
}
static uint32_t encode_f16(float v) {
    return tenon_f32_to_f16(v);
}

static const small_float small_floats[] = {
    {"e4m3fn", 8, 3, 7, 0x7e, 1, 0x7f, decode_e4m3fn, encode_e4m3fn},
    {"e4m3fnuz", 8, 3, 8, 0x7f, 0, 0x80, decode_e4m3fnuz, encode_e4m3fnuz},
    {"e5m2", 8, 2, 15, 0x7b, 1, 0x7f, decode_e5m2, encode_e5m2},
    {"e5m2fnuz", 8, 2, 16, 0x7f, 0, 0x80, decode_e5m2fnuz, encode_e5m2fnuz},
    {"e2m1", 4, 1, 1, 0x7, 1, 0x7, decode_e2m1, encode_e2m1},
    {"e2m3", 6, 3, 1, 0x1f, 1, 0x1f, decode_e2m3, encode_e2m3},
    {"e3m2", 6, 2, 3, 0x1f, 1, 0x1f, decode_e3m2, encode_e3m2},
    {"f16", 16, 10, 15, 0x7bff, 1, 0x7e00, decode_f16, encode_f16},
};

static double value_of(const small_float *t, uint32_t magnitude) {
    int exponent = (int)(magnitude >> t->mantissa_bits);
    int mantissa = (int)(magnitude & ((1u << t->mantissa_bits) - 1));
    if (exponent == 0) return ldexp(mantissa, 1 - t->bias - t->mantissa_bits);
    return ldexp(mantissa + (1 << t->mantissa_bits), exponent - t->bias - t->mantissa_bits);
}

static void check_decode(const small_float *t) {
    uint32_t sign = 1u << (t->total_bits - 1);
    for (uint32_t code = 0; code < 2 * sign; code++) {
        uint32_t magnitude = code & (sign - 1);
        float got = t->decode(code);
        if (magnitude <= t->max_code && !(code == sign && !t->signed_zero)) {
            float want = (float)value_of(t, magnitude);
            CHECK(same_float(got, code & sign ? -want : want), "%s 0x%x: %a", t->name, code,
                  (double)got);
            CHECK(t->encode(got) == code, "%s 0x%x comes back as 0x%x", t->name, code,
                  t->encode(got));
        } else if (magnitude == t->max_code + 1 && t->mantissa_bits != 3 && t->total_bits >= 8) {
            CHECK(isinf(got) && !signbit(got) == !(code & sign), "%s 0x%x is an infinity", t->name,
                  code);
        } else {
            CHECK(isnan(got), "%s 0x%x is a NaN, got %a", t->name, code, (double)got);
        }
    }
}

static void check_one_rounding(const small_float *t, float value, uint32_t want) {
    uint32_t sign = 1u << (t->total_bits - 1);
    uint32_t negative = want == 0 && !t->signed_zero ? 0 : want | sign;
    CHECK(t->encode(value) == want, "%s %a: 0x%x, not 0x%x", t->name, (double)value,
          t->encode(value), want);
    CHECK(t->encode(-value) == negative, "%s %a: 0x%x, not 0x%x", t->name, -(double)value,
          t->encode(-value), negative);
}

static void check_encode(const small_float *t) {
    for (uint32_t code = 0; code < t->max_code; code++) {
        float low = (float)value_of(t, code), high = (float)value_of(t, code + 1);
        float middle = (float)((value_of(t, code) + value_of(t, code + 1)) / 2);
        check_one_rounding(t, middle, code & 1 ? code + 1 : code);
        check_one_rounding(t, nextafterf(middle, 0), code);
        check_one_rounding(t, nextafterf(middle, INFINITY), code + 1);
        check_one_rounding(t, nextafterf(low, INFINITY), code);
        check_one_rounding(t, nextafterf(high, 0), code + 1);
    }
    float largest = (float)value_of(t, t->max_code);
    float beyond = (float)(1.5 * value_of(t, t->max_code) - 0.5 * value_of(t, t->max_code - 1));
    uint32_t saturated = t->total_bits == 16 ? t->max_code + 1 : t->max_code; /* f16: infinity */
    check_one_rounding(t, nextafterf(beyond, 0), t->max_code);
    check_one_rounding(t, nextafterf(beyond, INFINITY), saturated);
    check_one_rounding(t, 4 * largest, saturated);
    check_one_rounding(t, 3.4e38f, saturated);
    check_one_rounding(t, INFINITY, saturated);
    check_one_rounding(t, 1e-40f, 0); /* an f32 denormal */
    check_one_rounding(t, 0, 0);
    CHECK(t->encode(NAN) == t->nan_code, "%s NaN: 0x%x", t->name, t->encode(NAN));
}

static void check_bf16(void) {
    for (uint32_t code = 0; code < 0x10000; code++) {
        float value = tenon_bf16_to_f32((uint16_t)code);
        CHECK(tenon_f32_bits(value) == code << 16, "bf16 0x%x", code);
        if (isnan(value)) {
            uint16_t back = tenon_f32_to_bf16(value);
            CHECK(isnan(tenon_bf16_to_f32(back)) && (back & 0x8000) == (code & 0x8000),
                  "bf16 NaN 0x%x: 0x%x", code, back);
            continue;
        }
        CHECK(tenon_f32_to_bf16(value) == code, "bf16 0x%x does not come back", code);
        if ((code & 0x7fff) >= 0x7f80) continue;
        uint32_t tie = (code << 16) + 0x8000u;
        uint32_t even = code & 1 ? code + 1 : code;
        CHECK(tenon_f32_to_bf16(tenon_f32_from_bits(tie)) == even, "bf16 tie above 0x%x", code);
        CHECK(tenon_f32_to_bf16(tenon_f32_from_bits(tie - 1)) == code, "below tie 0x%x", code);
        CHECK(tenon_f32_to_bf16(tenon_f32_from_bits(tie + 1)) == code + 1, "above tie 0x%x", code);
    }
    /* a NaN whose payload is only in the bits that are cut off */
    CHECK(isnan(tenon_bf16_to_f32(tenon_f32_to_bf16(tenon_f32_from_bits(0x7f800001u)))), "NaN");
    CHECK(isnan(tenon_f16_to_f32(tenon_f32_to_f16(tenon_f32_from_bits(0xff800001u)))), "NaN");
    CHECK(tenon_f32_to_bf16(3.4e38f) == 0x7f80, "bf16 overflow is an infinity");
}

static void check_ue4m3(void) {
    CHECK(tenon_f32_to_ue4m3(-1.0f) == 0 && tenon_f32_to_ue4m3(-0.0f) == 0, "never negative");
    CHECK(tenon_f32_to_ue4m3(449.0f) == 0x7e && tenon_f32_to_ue4m3(INFINITY) == 0x7e, "saturates");
    CHECK(tenon_f32_to_ue4m3(-NAN) == 0x7f && tenon_f32_to_ue4m3(NAN) == 0x7f, "NaN");
    CHECK(tenon_ue4m3_to_f32(tenon_f32_to_ue4m3(1.75f)) == 1.75f, "value");
}

/* The four rules by their definitions in real numbers, with logarithms in double. Amax runs over
 * every exponent and over mantissas on both sides of each rule's threshold. */
static int scale_exponent_by_definition(double amax, tenon_mx_element e, int rule) {
    switch (rule) {
    case TENON_SCALE_ROUNDING_FLOOR:
        return (int)floor(log2(amax)) - e.emax;
    case TENON_SCALE_ROUNDING_CEIL: {
        int exponent = -400;
        while (ldexp((double)e.largest, exponent) < amax) exponent++;
        return exponent;
    }
    case TENON_SCALE_ROUNDING_EVEN: {
        int binade = (int)floor(log2(amax));
        double steps = ldexp(amax, e.mantissa_bits - binade); /* units of the last place kept */
        return (int)floor(log2(floor(steps + 0.5)) + 1e-12) - e.mantissa_bits + binade - e.emax;
    }
    default:
        return (int)floor(log2(amax / (double)e.largest) + 0.5);
    }
}

static void check_e8m0(void) {
    for (int code = 0; code < 255; code++) {
        CHECK((double)tenon_e8m0_to_f32((uint8_t)code) == ldexp(1, code - 127), "e8m0 %d", code);
    }
    CHECK(isnan(tenon_e8m0_to_f32(255)), "e8m0 255");

    const tenon_mx_element elements[] = {TENON_MX_E2M1, TENON_MX_E2M3, TENON_MX_E3M2,
                                         TENON_MX_E4M3FN, TENON_MX_E5M2};
    const double mantissas[] = {1,       1.0001, 1.25,   1.4142, 1.4143,  1.49999, 1.5,
                                1.50001, 1.625,  1.7499, 1.75,   1.7501,  1.875,   1.9,
                                1.93,    1.9374, 1.9375, 1.9376, 1.96874, 1.96876, 1.99999};
    for (size_t i = 0; i < sizeof elements / sizeof elements[0]; i++) {
        for (int exponent = -126; exponent < 128; exponent++) {
            for (size_t j = 0; j < sizeof mantissas / sizeof mantissas[0]; j++) {
                float amax = (float)ldexp(mantissas[j], exponent);
                for (int rule = 0; rule < TENON_SCALE_ROUNDING_COUNT; rule++) {
                    int want = 127 + scale_exponent_by_definition((double)amax, elements[i], rule);
                    want = want < 0 ? 0 : want > 254 ? 254 : want;
                    int got = tenon_e8m0_from_amax(amax, elements[i], rule);
                    CHECK(got == want, "amax %a largest %g rule %d: %d, not %d", (double)amax,
                          (double)elements[i].largest, rule, got, want);
                }
            }
        }
        for (int rule = 0; rule < TENON_SCALE_ROUNDING_COUNT; rule++) {
            CHECK(tenon_e8m0_from_amax(0, elements[i], rule) == 127, "amax 0");
            CHECK(tenon_e8m0_from_amax(1e-42f, elements[i], rule) == 0, "denormal amax");
            CHECK(tenon_e8m0_from_amax(INFINITY, elements[i], rule) == 255, "infinite amax");
            CHECK(tenon_e8m0_from_amax(NAN, elements[i], rule) == 255, "NaN amax");
        }
    }
}

static void check_packing(void) {
    uint8_t bytes[24] = {0};
    for (int i = 0; i < 32; i++) tenon_sixbit_set(bytes, i, (uint8_t)(i * 37 + 5));
    tenon_sixbit_set(bytes, 7, 0x2a);
    for (int i = 0; i < 32; i++) {
        int want = i == 7 ? 0x2a : (i * 37 + 5) & 0x3f;
        CHECK(tenon_sixbit_get(bytes, i) == want, "6-bit element %d", i);
        int by_bits = 0; /* the picture: bit b of the stream is bit b % 8 of byte b / 8 */
        for (int b = 0; b < 6; b++) by_bits |= (bytes[(6 * i + b) / 8] >> (6 * i + b) % 8 & 1) << b;
        CHECK(by_bits == want, "6-bit element %d by bits", i);
    }
    memset(bytes, 0xff, sizeof bytes);
    for (int i = 0; i < 16; i++) tenon_nibble_set(bytes, i, (uint8_t)(15 - i));
    CHECK(bytes[0] == 0xef && bytes[7] == 0x01 && bytes[8] == 0xff, "low nibble first");
    for (int i = 0; i < 16; i++) CHECK(tenon_nibble_get(bytes, i) == 15 - i, "nibble %d", i);

    const int awq_columns[8] = {0, 2, 4, 6, 1, 3, 5, 7};
    for (int slot = 0; slot < 8; slot++) {
        CHECK(tenon_awq_slot(awq_columns[slot]) == slot, "awq slot %d", slot);
    }
}

static void check_scale_layout(void) {
    static uint8_t seen[3 * 2 * 512];
    for (int64_t row = 0; row < 384; row++) {
        for (int64_t block = 0; block < 8; block++) {
            int64_t offset = tenon_scale_128x4_offset(row, block, 6);
            CHECK(offset >= 0 && offset < (int64_t)sizeof seen && !seen[offset]++, "one to one");
        }
    }
    CHECK(tenon_scale_128x4_offset(1, 0, 6) == 16, "next row");
    CHECK(tenon_scale_128x4_offset(32, 0, 6) == 4, "row 32");
    CHECK(tenon_scale_128x4_offset(0, 4, 6) == 512, "next four blocks");
    CHECK(tenon_scale_128x4_offset(128, 0, 6) == 1024, "next 128 rows");
    CHECK(tenon_scale_128x4_bytes(129, 5) == 2048, "padded size");
}

int main(void) {
    for (size_t i = 0; i < sizeof small_floats / sizeof small_floats[0]; i++) {
        check_decode(&small_floats[i]);
        check_encode(&small_floats[i]);
    }
    check_bf16();
    check_ue4m3();
    check_e8m0();
    check_packing();
    check_scale_layout();
    if (failures) printf("%d failures\n", failures);
    return failures != 0;
}
