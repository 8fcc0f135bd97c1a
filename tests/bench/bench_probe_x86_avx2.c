/* SPDX-License-Identifier: Apache-2.0 */
#include <immintrin.h>
#include <stddef.h>
#define WIDTH_BYTES      32
#define PROBE            bench_probe_x86_avx2
#define MAC_F32(a, x, y) ((vector_f32)_mm256_fmadd_ps((__m256)(x), (__m256)(y), (__m256)(a)))
/* AVX2 multiplies bytes in two steps; the probe counts the three instructions of one accumulation.
 */
#define MAC_INT8(a, x, y)                                                                          \
    ((vector_i32)_mm256_add_epi32(                                                                 \
        (__m256i)(a), _mm256_madd_epi16(_mm256_maddubs_epi16((__m256i)(x), (__m256i)(y)),          \
                                        _mm256_set1_epi16(1))))
#include "bench_probe.inl"
