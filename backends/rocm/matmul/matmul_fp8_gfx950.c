/* SPDX-License-Identifier: Apache-2.0 */
/* x and w in e4m3, in the encoding of this target's instructions. */
#include "matmul_plain.h"
#include "matmul_stream.h"
#include "matmul_tile.h"

MATMUL_KERNELS(matmul_fp8, KIND_FP8, 0, 2)
MATMUL_PLAIN_KERNEL
