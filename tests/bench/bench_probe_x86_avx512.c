/* SPDX-License-Identifier: Apache-2.0 */
#include <immintrin.h>
#include <stddef.h>
#define WIDTH_BYTES      64
#define PROBE            bench_probe_x86_avx512
#define MAC_F32(a, x, y) ((vector_f32)_mm512_fmadd_ps((__m512)(x), (__m512)(y), (__m512)(a)))
#define MAC_INT8(a, x, y)                                                                          \
    ((vector_i32)_mm512_add_epi32(                                                                 \
        (__m512i)(a), _mm512_madd_epi16(_mm512_maddubs_epi16((__m512i)(x), (__m512i)(y)),          \
                                        _mm512_set1_epi16(1))))
#include "bench_probe.inl"
