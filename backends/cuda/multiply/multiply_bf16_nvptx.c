/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels whose activations are bf16. */
#include "multiply_kernels.h"

STREAM_CODES(bf16, true)
