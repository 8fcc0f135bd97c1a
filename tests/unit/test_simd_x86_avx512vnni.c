/* SPDX-License-Identifier: Apache-2.0 */
#include "simd/simd_x86_avx512vnni.h"

#define SIMD_NEEDS TENON_CPU_LEVEL_AVX512VNNI
#include "simd_checks.h"
