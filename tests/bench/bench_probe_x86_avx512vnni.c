/* SPDX-License-Identifier: Apache-2.0 */
#include <immintrin.h>
#include <stddef.h>
#define WIDTH_BYTES       64
#define PROBE             bench_probe_x86_avx512vnni
#define MAC_F32(a, x, y)  ((vector_f32)_mm512_fmadd_ps((__m512)(x), (__m512)(y), (__m512)(a)))
#define MAC_BF16(a, x, y) ((vector_f32)_mm512_dpbf16_ps((__m512)(a), (__m512bh)(x), (__m512bh)(y)))
#define MAC_INT8(a, x, y)                                                                          \
    ((vector_i32)_mm512_dpbusd_epi32((__m512i)(a), (__m512i)(x), (__m512i)(y)))
#include "bench_probe.inl"
