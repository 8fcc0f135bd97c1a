/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels whose activations are f16. */
#include "multiply_kernels.h"

STREAM_CODES(f16, false)
