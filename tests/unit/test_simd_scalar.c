/* SPDX-License-Identifier: Apache-2.0 */
#include "simd/simd_scalar.h"

#define SIMD_NEEDS (uint64_t)0
#include "simd_checks.h"
