/* SPDX-License-Identifier: Apache-2.0 */
/* Alone, for the rows that take everything. */
#include "matmul_plain.h"

MATMUL_PLAIN_KERNEL
