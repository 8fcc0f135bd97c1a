/* SPDX-License-Identifier: Apache-2.0 */
/* Element types by name, and their values. Written apart from the library's own codecs, so that
 * neither hides the other's mistake. */
#include <math.h>
#include <string.h>

#include "bench_problem.h"

static const struct {
    const char *name;
    uint8_t code, bits;
} types[] = {{"f16", kDLFloat, 16},
             {"bf16", kDLBfloat, 16},
             {"f32", kDLFloat, 32},
             {"f64", kDLFloat, 64},
             {"e4m3fn", kDLFloat8_e4m3fn, 8},
             {"e4m3fnuz", kDLFloat8_e4m3fnuz, 8},
             {"e5m2", kDLFloat8_e5m2, 8},
             {"e5m2fnuz", kDLFloat8_e5m2fnuz, 8},
             {"e8m0", kDLFloat8_e8m0fnu, 8},
             {"e2m3", kDLFloat6_e2m3fn, 6},
             {"e3m2", kDLFloat6_e3m2fn, 6},
             {"e2m1", kDLFloat4_e2m1fn, 4},
             {"i8", kDLInt, 8},
             {"u8", kDLUInt, 8},
             {"i16", kDLInt, 16},
             {"u16", kDLUInt, 16},
             {"i32", kDLInt, 32},
             {"u32", kDLUInt, 32},
             {"i64", kDLInt, 64},
             {"u64", kDLUInt, 64},
             {"bool", kDLBool, 8}};

bool bench_type_by_name(const char *name, size_t length, DLDataType *type) {
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strlen(types[i].name) == length && !memcmp(types[i].name, name, length)) {
            type->code = types[i].code, type->bits = types[i].bits, type->lanes = 1;
            return true;
        }
    return false;
}

const char *bench_type_name(DLDataType type) {
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (types[i].code == type.code && types[i].bits == type.bits) return types[i].name;
    return "?";
}

/* sign, exponent of `e` bits with `bias`, mantissa of `m` bits; no infinities or NaN: the caller
 * has dealt with them */
static double minifloat(uint32_t code, int e, int m, int bias) {
    uint32_t mantissa = code & ((1u << m) - 1), exponent = code >> m & ((1u << e) - 1);
    double magnitude = exponent ? ldexp(1.0 + ldexp(mantissa, -m), (int)exponent - bias)
                                : ldexp(mantissa, 1 - bias - m);
    return code >> (e + m) & 1 ? -magnitude : magnitude;
}

static double half(uint16_t code) {
    if ((code & 0x7c00) == 0x7c00) return code & 0x3ff ? NAN : code >> 15 ? -INFINITY : INFINITY;
    return minifloat(code, 5, 10, 15);
}

double bench_load(DLDataType type, const void *data, int64_t index) {
    const uint8_t *u8 = data;
    switch (type.code) {
    case kDLFloat:
        return type.bits == 32   ? (double)((const float *)data)[index]
               : type.bits == 64 ? ((const double *)data)[index]
                                 : half(((const uint16_t *)data)[index]);
    case kDLBfloat: {
        uint32_t bits = (uint32_t)((const uint16_t *)data)[index] << 16;
        float value;
        memcpy(&value, &bits, sizeof value);
        return (double)value;
    }
    case kDLFloat8_e4m3fn:
        return (u8[index] & 0x7f) == 0x7f ? NAN : minifloat(u8[index], 4, 3, 7);
    case kDLFloat8_e4m3fnuz:
        return u8[index] == 0x80 ? NAN : minifloat(u8[index], 4, 3, 8);
    case kDLFloat8_e5m2:
        if ((u8[index] & 0x7c) == 0x7c)
            return u8[index] & 3 ? NAN : u8[index] >> 7 ? -INFINITY : INFINITY;
        return minifloat(u8[index], 5, 2, 15);
    case kDLFloat8_e5m2fnuz:
        return u8[index] == 0x80 ? NAN : minifloat(u8[index], 5, 2, 16);
    case kDLFloat8_e8m0fnu:
        return u8[index] == 255 ? NAN : ldexp(1, u8[index] - 127);
    case kDLInt:
        return type.bits == 8    ? ((const int8_t *)data)[index]
               : type.bits == 16 ? ((const int16_t *)data)[index]
               : type.bits == 32 ? ((const int32_t *)data)[index]
                                 : (double)((const int64_t *)data)[index];
    case kDLUInt:
        return type.bits == 8    ? u8[index]
               : type.bits == 16 ? ((const uint16_t *)data)[index]
               : type.bits == 32 ? ((const uint32_t *)data)[index]
                                 : (double)((const uint64_t *)data)[index];
    default:
        return u8[index];
    }
}
