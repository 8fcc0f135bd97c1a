/* SPDX-License-Identifier: Apache-2.0 */
/* AVX-512 with VNNI and BF16: simd_x86_avx512.h with the one-instruction dot products. */
#ifndef TENON_SIMD_X86_AVX512VNNI_H
#define TENON_SIMD_X86_AVX512VNNI_H

#define V_WITH_VNNI_BF16 1
#include "simd_x86_avx512.h"

#endif
