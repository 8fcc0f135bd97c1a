/* SPDX-License-Identifier: Apache-2.0 */
/* x and w with block scales, which the instruction applies. */
#include "matmul_plain.h"
#include "matmul_stream.h"
#include "matmul_tile.h"

MATMUL_KERNELS(matmul_mxfp8, KIND_MXFP8, 0, 2)
MATMUL_KERNELS(matmul_mxfp4, KIND_MXFP4, 0, 2)
MATMUL_PLAIN_KERNEL
