/* SPDX-License-Identifier: Apache-2.0 */
/* Matrices of a warp: d = a * b + d, and how operands come from shared memory. With g = lane / 4
 * and t = lane % 4, and all registers of two 16-bit or four 8-bit numbers, lower k first ("PTX
 * ISA", "Matrix Fragments for mma.m16n8k16" and "mma.m16n8k32"):
 *
 *   a    rows of 16, k across: registers 0, 2 hold row g and 1, 3 row g + 8; a register of 16-bit
 *        numbers has k = 2t, 2t + 1 (0, 1) or 8 more (2, 3), of 8-bit ones k = 4t.. or 16 more
 *   b    columns of 8: column g, k = 2t, 2t + 1 (0) or 8 more (1); 8-bit: k = 4t.. or 16 more
 *   d    0, 1: row g, columns 2t, 2t + 1;  2, 3: row g + 8
 *
 * All 32 lanes take part. */
#ifndef TENON_DEVICE_MATRIX_H
#define TENON_DEVICE_MATRIX_H

#include "device_ptx.h"

#define MATRIX_DEFINE(name, kind, text, type, letter)                                              \
    DEVICE void name(type d[4], const uint32_t a[4], const uint32_t b[2]) {                        \
        PTX_OR(simt_mma(kind, d, a, b),                                                            \
               "mma.sync.aligned." text                                                            \
               " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};" : letter(d[0]),  \
               letter(d[1]), letter(d[2]), letter(d[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]),         \
               "r"(a[3]), "r"(b[0]), "r"(b[1]));                                                   \
    }

MATRIX_DEFINE(matrix_f16, SIMT_F16, "m16n8k16.row.col.f32.f16.f16.f32", float, "+f")
MATRIX_DEFINE(matrix_bf16, SIMT_BF16, "m16n8k16.row.col.f32.bf16.bf16.f32", float, "+f")
MATRIX_DEFINE(matrix_s8, SIMT_S8, "m16n8k32.row.col.s32.s8.s8.s32", int32_t, "+r")
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 890
MATRIX_DEFINE(matrix_e4m3, SIMT_E4M3, "m16n8k32.row.col.f32.e4m3.e4m3.f32", float, "+f")
MATRIX_DEFINE(matrix_e5m2, SIMT_E5M2, "m16n8k32.row.col.f32.e5m2.e5m2.f32", float, "+f")
#endif

DEVICE void matrix_16(float d[4], const uint32_t a[4], const uint32_t b[2], const bool bf16) {
    if (bf16)
        matrix_bf16(d, a, b);
    else
        matrix_f16(d, a, b);
}

/* Matrices of 8 rows of 16 bytes. Lane 8m + i gives the address of row i of matrix m; register m of
 * lane l gets the 4 bytes at 4 (l % 4) of row l / 4. Transposed: of the matrix of 16-bit numbers
 * with rows and columns exchanged. */
DEVICE void load_matrix_4(uint32_t r[4], shared_address row) {
    PTX_OR(simt_load_matrix(r, row, 4, false),
           "ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];" : "=r"(r[0]),
           "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(row) : "memory");
}
DEVICE void load_matrix_4_transposed(uint32_t r[4], shared_address row) {
    PTX_OR(simt_load_matrix(r, row, 4, true),
           "ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];" : "=r"(r[0]),
           "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(row) : "memory");
}
DEVICE void load_matrix_2(uint32_t r[2], shared_address row) {
    PTX_OR(simt_load_matrix(r, row, 2, false),
           "ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];" : "=r"(r[0]),
           "=r"(r[1]) : "r"(row) : "memory");
}
DEVICE void load_matrix_2_transposed(uint32_t r[2], shared_address row) {
    PTX_OR(simt_load_matrix(r, row, 2, true),
           "ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];" : "=r"(r[0]),
           "=r"(r[1]) : "r"(row) : "memory");
}
DEVICE void load_matrix_1(uint32_t r[1], shared_address row) {
    PTX_OR(
        simt_load_matrix(r, row, 1, false),
        "ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%0}, [%1];" : "=r"(r[0]) : "r"(row) : "memory");
}
DEVICE void load_matrix_1_transposed(uint32_t r[1], shared_address row) {
    PTX_OR(simt_load_matrix(r, row, 1, true),
           "ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16 {%0}, [%1];" : "=r"(r[0]) : "r"(
               row) : "memory");
}

/* One matrix of 16-bit numbers, transposed in registers. */
DEVICE uint32_t transpose_matrix(uint32_t x) {
    uint32_t d;
    PTX_OR(d = simt_transpose_matrix(x),
           "movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(d) : "r"(x));
    return d;
}

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
/* The reverse of load_matrix_4. sm_90 and up. */
DEVICE void store_matrix_4(shared_address row, const uint32_t r[4]) {
    PTX_OR(simt_store_matrix(row, r, 4, false),
           "stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(row), "r"(r[0]),
           "r"(r[1]), "r"(r[2]), "r"(r[3]) : "memory");
}
DEVICE void store_matrix_4_transposed(shared_address row, const uint32_t r[4]) {
    PTX_OR(simt_store_matrix(row, r, 4, true),
           "stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(row),
           "r"(r[0]), "r"(r[1]), "r"(r[2]), "r"(r[3]) : "memory");
}
#endif

#endif /* TENON_DEVICE_MATRIX_H */
