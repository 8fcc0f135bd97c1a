/* SPDX-License-Identifier: Apache-2.0 */
/* Two 16-bit numbers in a register, the lower one first, and other work on registers that is one
 * instruction. `bf16` is a constant: else the numbers are f16. */
#ifndef TENON_DEVICE_PAIR_H
#define TENON_DEVICE_PAIR_H

#include "device/device_number.h"
#include "device_ptx.h"

/* Byte i of the result is byte s_i of the eight of a (0 to 3) and b (4 to 7), s_i nibble i of the
 * selector; a nibble with its top bit set gives that byte's sign, eight times. */
DEVICE uint32_t permute_bytes(uint32_t a, uint32_t b, uint32_t selector) {
    uint32_t d;
    PTX_OR(d = simt_permute_bytes(a, b, selector), "prmt.b32 %0, %1, %2, %3;" : "=r"(d) : "r"(a),
           "r"(b), "r"(selector));
    return d;
}

/* (a & b) | c */
DEVICE uint32_t and_or(uint32_t a, uint32_t b, uint32_t c) {
    uint32_t d;
    PTX_OR(d = (a & b) | c, "lop3.b32 %0, %1, %2, %3, 0xea;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
    return d;
}

/* To the nearest, ties to even. */
DEVICE uint32_t pair_of_f32(float low, float high, const bool bf16) {
#if defined(__CUDACC__)
    uint32_t d;
    if (bf16)
        asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(d) : "f"(high), "f"(low));
    else
        asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(d) : "f"(high), "f"(low));
    return d;
#else
    return bf16 ? f32_to_bf16(low) | (uint32_t)f32_to_bf16(high) << 16
                : f32_to_f16(low) | (uint32_t)f32_to_f16(high) << 16;
#endif
}
DEVICE float pair_low(uint32_t pair, const bool bf16) {
    return bf16 ? float_of(pair << 16) : f16_to_f32((uint16_t)pair);
}
DEVICE float pair_high(uint32_t pair, const bool bf16) {
    return bf16 ? float_of(pair & 0xffff0000u) : f16_to_f32((uint16_t)(pair >> 16));
}

/* a * b + c, rounded once. */
DEVICE uint32_t fma_pair(uint32_t a, uint32_t b, uint32_t c, const bool bf16) {
#if defined(__CUDACC__)
    uint32_t d;
    if (bf16)
        asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
    else
        asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
    return d;
#else
    return simt_fma_pair(a, b, c, bf16);
#endif
}
/* sm_80 adds and multiplies bf16 by its fma: a + b is a * 1 + b, a * b is a * b + -0. */
DEVICE uint32_t add_pair(uint32_t a, uint32_t b, const bool bf16) {
    return fma_pair(a, bf16 ? 0x3f803f80u : 0x3c003c00u, b, bf16);
}
DEVICE uint32_t multiply_pair(uint32_t a, uint32_t b, const bool bf16) {
    return fma_pair(a, b, 0x80008000u, bf16);
}

/* 2^x to two units in the last place; denormals are 0. */
DEVICE float exp2_approx(float x) {
    float y;
    PTX_OR(y = simt_exp2(x), "ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 890
/* Two f32 to two OCP codes, saturating, the lower one first. sm_89 and up. */
DEVICE uint32_t fp8_pair_of_f32(float low, float high, const bool e4m3) {
#    if defined(__CUDACC__)
    uint16_t d;
    if (e4m3)
        asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(d) : "f"(high), "f"(low));
    else
        asm("cvt.rn.satfinite.e5m2x2.f32 %0, %1, %2;" : "=h"(d) : "f"(high), "f"(low));
    return d;
#    else
    const uint32_t number = e4m3 ? TENON_NUMBER_E4M3FN : TENON_NUMBER_E5M2;
    return f32_to_fp8(number, low) | f32_to_fp8(number, high) << 8;
#    endif
}
/* Two OCP codes to a pair of f16: exact. sm_89 and up. */
DEVICE uint32_t f16_pair_of_fp8(uint32_t codes, const bool e4m3) {
#    if defined(__CUDACC__)
    uint32_t d;
    if (e4m3)
        asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(d) : "h"((uint16_t)codes));
    else
        asm("cvt.rn.f16x2.e5m2x2 %0, %1;" : "=r"(d) : "h"((uint16_t)codes));
    return d;
#    else
    const uint32_t number = e4m3 ? TENON_NUMBER_E4M3FN : TENON_NUMBER_E5M2;
    return pair_of_f32(fp8_to_f32(number, codes & 0xffu), fp8_to_f32(number, codes >> 8 & 0xffu),
                       false);
#    endif
}
#endif

#endif /* TENON_DEVICE_PAIR_H */
