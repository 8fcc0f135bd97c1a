/* SPDX-License-Identifier: Apache-2.0 */
/* mma.sync: lanes put their fragments where the layout says ("PTX ISA", "Matrix Fragments for
 * mma.m16n8k16", "... mma.m16n8k32"), the last one multiplies. Products are added in f32 in the
 * order of k; hardware adds a few at a time, with fewer bits. */
#include <math.h>
#include <string.h>

#include "float16.h"
#include "float8.h"
#include "simt_core.h"

static float f16_table[65536], fp8_table[2][256];
__attribute__((constructor)) static void fill_tables(void) {
    for (uint32_t i = 0; i < 65536; i++) f16_table[i] = tenon_f16_to_f32((uint16_t)i);
    for (uint32_t i = 0; i < 256; i++) {
        fp8_table[0][i] = tenon_e4m3fn_to_f32((uint8_t)i);
        fp8_table[1][i] = tenon_e5m2_to_f32((uint8_t)i);
    }
}
float simt_f16_to_f32(uint16_t code) {
    return f16_table[code];
}
uint16_t simt_f32_to_f16(float x) {
    return tenon_f32_to_f16(x);
}

static float bf16_number(uint32_t code) {
    const uint32_t bits = code << 16;
    float x;
    memcpy(&x, &bits, 4);
    return x;
}

/* Numbers of a register, lower k first: 2 of 16 bits or 4 of 8. */
static void numbers_of(simt_number number, uint32_t word, float *x) {
    if (number == SIMT_F16)
        x[0] = f16_table[word & 0xffffu], x[1] = f16_table[word >> 16];
    else if (number == SIMT_BF16)
        x[0] = bf16_number(word & 0xffffu), x[1] = bf16_number(word >> 16);
    else
        for (int i = 0; i < 4; i++) x[i] = fp8_table[number == SIMT_E5M2][word >> (8 * i) & 0xffu];
}

#define MULTIPLY(a, b, d, depth)                                                                   \
    for (int row = 0; row < 16; row++)                                                             \
        for (int k = 0; k < (depth); k++)                                                          \
            for (int column = 0; column < 8; column++) d[row][column] += a[row][k] * b[k][column]

static void finish_mma(simt_warp *w, uint32_t members, uint32_t number) {
    (void)members;
    if (number == SIMT_S8) {
        MULTIPLY(w->a_int, w->b_int, w->d_int, 32);
    } else if (number == SIMT_F16 || number == SIMT_BF16) {
        MULTIPLY(w->a, w->b, w->d, 16);
    } else {
        MULTIPLY(w->a, w->b, w->d, 32);
    }
}

void simt_mma(simt_number number, void *d, const uint32_t a[4], const uint32_t b[2]) {
    simt_warp *w = simt_my_warp();
    const uint32_t lane = simt_here->thread % SIMT_WARP, g = lane / 4, t = lane % 4;
    if (w->lanes != 0xffffffffu || w->done)
        simt_fault("mma needs all lanes of the warp; there are %08x", w->lanes & ~w->done);
    const uint32_t each = number == SIMT_F16 || number == SIMT_BF16 ? 2 : 4; /* in a register */
    if (number == SIMT_S8) {
        for (uint32_t r = 0; r < 4; r++)
            for (uint32_t i = 0; i < 4; i++)
                w->a_int[g + 8 * (r % 2)][4 * t + i + 16 * (r / 2)] = (int8_t)(a[r] >> (8 * i));
        for (uint32_t r = 0; r < 2; r++)
            for (uint32_t i = 0; i < 4; i++)
                w->b_int[4 * t + i + 16 * r][g] = (int8_t)(b[r] >> (8 * i));
        for (uint32_t r = 0; r < 4; r++)
            w->d_int[g + 8 * (r / 2)][2 * t + r % 2] = ((const int32_t *)d)[r];
    } else {
        float x[4];
        for (uint32_t r = 0; r < 4; r++) {
            numbers_of(number, a[r], x);
            memcpy(&w->a[g + 8 * (r % 2)][each * (t + 4 * (r / 2))], x, each * sizeof *x);
        }
        for (uint32_t r = 0; r < 2; r++) {
            numbers_of(number, b[r], x);
            for (uint32_t i = 0; i < each; i++) w->b[each * (t + 4 * r) + i][g] = x[i];
        }
        for (uint32_t r = 0; r < 4; r++)
            w->d[g + 8 * (r / 2)][2 * t + r % 2] = ((const float *)d)[r];
    }
    simt_meet("mma", number, 0xffffffffu, finish_mma);
    for (uint32_t r = 0; r < 4; r++)
        if (number == SIMT_S8)
            ((int32_t *)d)[r] = w->d_int[g + 8 * (r / 2)][2 * t + r % 2];
        else
            ((float *)d)[r] = w->d[g + 8 * (r / 2)][2 * t + r % 2];
}

/* ---- single lanes ---- */

uint32_t simt_permute_bytes(uint32_t a, uint32_t b, uint32_t selector) {
    uint32_t d = 0;
    for (uint32_t i = 0; i < 4; i++) {
        const uint32_t s = selector >> (4 * i) & 15u;
        const uint32_t byte = (s & 4u ? b : a) >> (8 * (s & 3u)) & 0xffu;
        d |= (s & 8u ? (byte >> 7) * 0xffu : byte) << (8 * i);
    }
    return d;
}

/* bf16 of an exact or once rounded double: odd rounding to f32 keeps the second rounding right. */
static uint32_t round_number(double x, bool bf16) {
    float f = (float)x;
    uint32_t bits;
    memcpy(&bits, &f, 4);
    if ((double)f != x && !isnan(x) && !isinf(f)) {
        if (fabs((double)f) > fabs(x)) bits--;
        bits |= 1;
        memcpy(&f, &bits, 4);
    }
    if (!bf16) return tenon_f32_to_f16(f);
    if (isnan(f)) return 0x7fffu;
    return (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
}

uint32_t simt_fma_pair(uint32_t a, uint32_t b, uint32_t c, bool bf16) {
    const simt_number number = bf16 ? SIMT_BF16 : SIMT_F16;
    float x[2], y[2], z[2];
    uint32_t d = 0;
    numbers_of(number, a, x), numbers_of(number, b, y), numbers_of(number, c, z);
    for (int i = 0; i < 2; i++) d |= round_number((double)x[i] * y[i] + z[i], bf16) << (16 * i);
    return d;
}

float simt_exp2(float x) {
    const float y = exp2f(x);
    return y < 0x1p-126f ? 0 : y;
}
