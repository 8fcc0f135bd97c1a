/* SPDX-License-Identifier: Apache-2.0 */
/* x in bf16. */
#include "matmul_plain.h"
#include "matmul_stream.h"
#include "matmul_tile.h"

MATMUL_KERNELS(matmul_bf16, KIND_HALF, TENON_NUMBER_BF16, 1)
MATMUL_KERNELS(matmul_bf16_int4, KIND_INT4, TENON_NUMBER_BF16, 2)
MATMUL_KERNELS(matmul_bf16_int4_k, KIND_INT4_K, TENON_NUMBER_BF16, 1)
MATMUL_KERNELS(matmul_bf16_mxfp4, KIND_MXFP4_W, TENON_NUMBER_BF16, 2)
MATMUL_KERNELS(matmul_bf16_fp8, KIND_FP8_W, TENON_NUMBER_BF16, 2)
MATMUL_PLAIN_KERNEL
