/* SPDX-License-Identifier: Apache-2.0 */
/* x in f16. MXFP4's powers of two leave the range of f16: the plain kernel takes it. */
#include "matmul_plain.h"
#include "matmul_stream.h"
#include "matmul_tile.h"

MATMUL_KERNELS(matmul_f16, KIND_HALF, TENON_NUMBER_F16, 1)
MATMUL_KERNELS(matmul_f16_int4, KIND_INT4, TENON_NUMBER_F16, 2)
MATMUL_KERNELS(matmul_f16_int4_k, KIND_INT4_K, TENON_NUMBER_F16, 1)
MATMUL_KERNELS(matmul_f16_fp8, KIND_FP8_W, TENON_NUMBER_F16, 1)
MATMUL_PLAIN_KERNEL
