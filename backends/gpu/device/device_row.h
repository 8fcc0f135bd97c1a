/* SPDX-License-Identifier: Apache-2.0 */
/* A lane's piece of a row: n neighbouring numbers of any type, as f32. n is a constant: 1 or 2, or
 * what makes 16 bytes of the wider side (4 of f32, 8 of a 16-bit type), and then the row lies on
 * 16-byte boundaries. */
#ifndef TENON_DEVICE_ROW_H
#define TENON_DEVICE_ROW_H

#include "device_memory.h"
#include "device_number.h"

/* One number of a float type: f32, f16 or bf16. */
DEVICE float load_float(tenon_device_const_bytes base, int64_t i, uint32_t number) {
    if (number == TENON_NUMBER_F32) return ((TENON_GLOBAL const float *)base)[i];
    const uint16_t code = ((TENON_GLOBAL const uint16_t *)base)[i];
    return number == TENON_NUMBER_F16 ? f16_to_f32(code) : bf16_to_f32(code);
}
DEVICE void store_float(tenon_device_bytes base, int64_t i, uint32_t number, float x) {
    if (number == TENON_NUMBER_F32)
        ((TENON_GLOBAL float *)base)[i] = x;
    else
        ((TENON_GLOBAL uint16_t *)base)[i] =
            number == TENON_NUMBER_F16 ? f32_to_f16(x) : f32_to_bf16(x);
}

DEVICE void unpack_halves(uint32_t number, uint32_t word, float *x) {
    const uint16_t low = (uint16_t)word, high = (uint16_t)(word >> 16);
    x[0] = number == TENON_NUMBER_F16 ? f16_to_f32(low) : bf16_to_f32(low);
    x[1] = number == TENON_NUMBER_F16 ? f16_to_f32(high) : bf16_to_f32(high);
}
DEVICE uint32_t pack_halves(uint32_t number, const float *x) {
    return number == TENON_NUMBER_F16 ? f32_to_f16(x[0]) | (uint32_t)f32_to_f16(x[1]) << 16
                                      : f32_to_bf16(x[0]) | (uint32_t)f32_to_bf16(x[1]) << 16;
}
DEVICE uint32_t pack_bytes(uint32_t number, const float *x) {
    uint32_t word = 0;
    for (int j = 0; j < 4; j++) word |= f32_to_byte(number, x[j]) << (8 * j);
    return word;
}

/* From element i on; i is a multiple of n. */
DEVICE void load_piece(tenon_device_const_bytes base, int64_t i, uint32_t number, const int n,
                       float *x) {
    if (n <= 2) {
        for (int j = 0; j < n; j++) x[j] = load_float(base, i + j, number);
    } else if (number == TENON_NUMBER_F32) {
        for (int j = 0; j < n; j += 4) {
            const u32x4 words = load_16(base + (i + j) * 4);
            for (int l = 0; l < 4; l++) x[j + l] = float_of(words[l]);
        }
    } else if (n == 4) {
        const u32x2 words = load_8(base + i * 2);
        for (int j = 0; j < 2; j++) unpack_halves(number, words[j], x + 2 * j);
    } else {
        const u32x4 words = load_16(base + i * 2);
        for (int j = 0; j < 4; j++) unpack_halves(number, words[j], x + 2 * j);
    }
}

DEVICE void store_piece(tenon_device_bytes base, int64_t i, uint32_t number, const int n,
                        const float *x) {
    if (n == 1) {
        store_float(base, i, number, x[0]);
    } else if (number == TENON_NUMBER_F32) {
        for (int j = 0; j < n; j += 4)
            store_16(base + (i + j) * 4, (u32x4){bits_of(x[j]), bits_of(x[j + 1]),
                                                 bits_of(x[j + 2]), bits_of(x[j + 3])});
    } else if (n == 4) {
        store_8(base + i * 2, (u32x2){pack_halves(number, x), pack_halves(number, x + 2)});
    } else {
        store_16(base + i * 2, (u32x4){pack_halves(number, x), pack_halves(number, x + 2),
                                       pack_halves(number, x + 4), pack_halves(number, x + 6)});
    }
}

/* The same for 8-bit types: 1, 4 or 8 bytes. */
DEVICE void store_piece_bytes(tenon_device_bytes base, int64_t i, uint32_t number, const int n,
                              const float *x) {
    if (n == 1)
        base[i] = (uint8_t)f32_to_byte(number, x[0]);
    else if (n == 4)
        store_4(base + i, pack_bytes(number, x));
    else
        store_8(base + i, (u32x2){pack_bytes(number, x), pack_bytes(number, x + 4)});
}

/* Codes that are ready: 1, 2, 4 or 8 bytes. */
DEVICE void store_codes_bytes(tenon_device_bytes base, int64_t i, const int n,
                              const uint32_t *code) {
    uint32_t word[2] = {0, 0};
    for (int j = 0; j < n; j++) word[j / 4] |= code[j] << (j % 4 * 8);
    if (n == 8)
        store_8(base + i, (u32x2){word[0], word[1]});
    else if (n == 4)
        store_4(base + i, word[0]);
    else
        for (int j = 0; j < n; j++) base[i + j] = (uint8_t)code[j];
}

#endif /* TENON_DEVICE_ROW_H */
