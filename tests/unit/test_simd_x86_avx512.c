/* SPDX-License-Identifier: Apache-2.0 */
#include "simd/simd_x86_avx512.h"

#define SIMD_NEEDS TENON_CPU_LEVEL_AVX512
#include "simd_checks.h"
