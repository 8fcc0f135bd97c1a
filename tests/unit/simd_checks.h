/* SPDX-License-Identifier: Apache-2.0 */
/* The vector names of one simd_*.h against plain C, lane by lane. Included by test_simd_<arch>.c
 * after its header, with SIMD_NEEDS: the CPU features without which the test is skipped. */
#ifndef TENON_SIMD_CHECKS_H
#define TENON_SIMD_CHECKS_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "bfloat16.h"
#include "cpu_features.h"
#include "float16.h"

static int n_failed;

#define CHECK(cond, ...)                                                                           \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            n_failed++;                                                                            \
            fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #cond);                             \
            fprintf(stderr, __VA_ARGS__);                                                          \
            fputc('\n', stderr);                                                                   \
        }                                                                                          \
    } while (0)

static uint32_t random_u32(void) {
    static uint64_t state = 88172645463325252u;
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return (uint32_t)(state >> 24);
}

static void check_exp(void) {
    double worst = 0;
    for (int i = 0; i < 200000; i++) {
        float x[V_LANES], y[V_LANES];
        for (int l = 0; l < V_LANES; l++) x[l] = -87.0f + (float)random_u32() * 0x1p-32f * 175.7f;
        vf32_store(y, vf32_exp(vf32_load(x)));
        for (int l = 0; l < V_LANES; l++)
            worst = fmax(worst, fabs((double)y[l] / exp((double)x[l]) - 1));
    }
    CHECK(worst < 3 * 0x1p-23, "exp: relative error %g", worst);
    const float in[8] = {-INFINITY, INFINITY, NAN, -200, 200, 0, -104.5f, 89.5f};
    const float want[8] = {0, INFINITY, NAN, 0, INFINITY, 1, 0, INFINITY};
    float padded[16] = {0}, out[16];
    memcpy(padded, in, sizeof in);
    vf32_store(out, vf32_exp(vf32_load(padded)));
    for (int l = 0; l < 8; l++)
        CHECK(out[l] == want[l] || (isnan(want[l]) && isnan(out[l])), "exp(%g) = %g", (double)in[l],
              (double)out[l]);
}

/* Every half and bfloat16 there and back, and random floats to the codecs of backends/common. */
static void check_conversions(void) {
    for (uint32_t h = 0; h < 65536; h += V_LANES) {
        uint16_t in[V_LANES];
        float half[V_LANES], brain[V_LANES];
        for (int l = 0; l < V_LANES; l++) in[l] = (uint16_t)(h + (uint32_t)l);
        vf32_store(half, vf32_load_f16(in));
        vf32_store(brain, vf32_load_bf16(in));
        for (int l = 0; l < V_LANES; l++) {
            const float a = tenon_f16_to_f32(in[l]), b = tenon_bf16_to_f32(in[l]);
            CHECK(half[l] == a || (isnan(a) && isnan(half[l])), "f16 0x%x", in[l]);
            CHECK(brain[l] == b || (isnan(b) && isnan(brain[l])), "bf16 0x%x", in[l]);
        }
    }
    for (int i = 0; i < 100000; i++) {
        uint32_t bits[V_LANES];
        float x[V_LANES];
        uint16_t half[V_LANES], brain[V_LANES];
        /* Any float, and every other time one in the range of halves. */
        for (int l = 0; l < V_LANES; l++)
            bits[l] = i & 1 ? random_u32() : (random_u32() & 0x8fffffffu) + 0x30000000u;
        memcpy(x, bits, sizeof x);
        vf32_store_f16(half, vf32_load(x));
        vf32_store_bf16(brain, vf32_load(x));
        for (int l = 0; l < V_LANES; l++) {
            if (isnan(x[l])) {
                CHECK(isnan(tenon_f16_to_f32(half[l])) && isnan(tenon_bf16_to_f32(brain[l])),
                      "NaN 0x%x lost", bits[l]);
                continue;
            }
            CHECK(half[l] == tenon_f32_to_f16(x[l]), "f16 of 0x%x: 0x%x", bits[l], half[l]);
            CHECK(brain[l] == tenon_f32_to_bf16(x[l]), "bf16 of 0x%x: 0x%x", bits[l], brain[l]);
        }
    }
}

static void check_dots(void) {
    enum { BYTES = 4 * V_LANES };
    for (int i = 0; i < 20000; i++) {
        uint8_t any[BYTES], seven[BYTES];
        int8_t s8[BYTES];
        int32_t acc[V_LANES], got[V_LANES], got8[V_LANES];
        for (int b = 0; b < BYTES; b++) {
            any[b] = i == 0 ? 0 : i == 1 ? 255 : (uint8_t)random_u32();
            seven[b] = i < 2 ? 127 : any[b] & 127;
            s8[b] = i == 0 ? -127 : i == 1 ? 127 : (int8_t)(random_u32() % 255 - 127);
        }
        for (int l = 0; l < V_LANES; l++) acc[l] = (int32_t)random_u32() >> 4;
        vi32_store(got, vi32_dot_u8s8(vi32_load(acc), vi32_load(seven), vi32_load(s8)));
        vi32_store(got8, vi32_dot_code8(vi32_load(acc), vi32_load(any), vi32_load(s8)));
        for (int l = 0; l < V_LANES; l++) {
            int32_t want = acc[l], want8 = acc[l];
            for (int b = 4 * l; b < 4 * l + 4; b++) {
                want += seven[b] * s8[b];
                want8 += (any[b] - 128 + V_DOT_OFFSET) * s8[b];
            }
            CHECK(got[l] == want && got8[l] == want8, "dot %d, expected %d; %d, expected %d",
                  got[l], want, got8[l], want8);
        }
    }
#if V_HAS_DOT_BF16
    for (int i = 0; i < 1000; i++) {
        uint16_t a[2 * V_LANES], b[2 * V_LANES];
        float acc[V_LANES], got[V_LANES];
        for (int l = 0; l < 2 * V_LANES; l++) {
            a[l] = tenon_f32_to_bf16((float)(int32_t)random_u32() * 0x1p-31f);
            b[l] = tenon_f32_to_bf16((float)(int32_t)random_u32() * 0x1p-31f);
        }
        for (int l = 0; l < V_LANES; l++) acc[l] = (float)l;
        vf32_store(got, vf32_dot_bf16(vf32_load(acc), vi32_load(a), vi32_load(b)));
        for (int l = 0; l < V_LANES; l++) {
            double want = (double)acc[l];
            for (int j = 2 * l; j < 2 * l + 2; j++)
                want += (double)tenon_bf16_to_f32(a[j]) * (double)tenon_bf16_to_f32(b[j]);
            CHECK(fabs((double)got[l] - want) <= (fabs(want) + 2) * 0x1p-22,
                  "bf16 dot %g, expected %g", (double)got[l], want);
        }
    }
#endif
}

static void check_movement(void) {
    uint8_t memory[16 * 37 + 64];
    const uint8_t *rows[16];
    for (size_t i = 0; i < sizeof memory; i++) memory[i] = (uint8_t)random_u32();
    for (int i = 0; i < 16; i++) rows[i] = memory + 37 * i;
    vi32 words[4];
    vi32_gather_16_bytes(rows, 5, words);
    for (int t = 0; t < 4; t++) {
        int32_t lane[V_LANES];
        vi32_store(lane, words[t]);
        for (int l = 0; l < V_LANES; l++)
            CHECK(!memcmp(&lane[l], rows[l] + 5 + 4 * t, 4), "gather: word %d of row %d", t, l);
    }
    for (int n = 0; n <= V_LANES; n++) {
        float in[V_LANES], out[V_LANES + 1];
        uint16_t in16[V_LANES], half[V_LANES + 1], brain[V_LANES + 1];
        for (int i = 0; i <= V_LANES; i++) out[i] = -1, half[i] = brain[i] = 7;
        for (int i = 0; i < V_LANES; i++) in[i] = (float)(i + 1), in16[i] = (uint16_t)(0x3c00 + i);
        vf32_store_n(out, vf32_load_n(in, n), n);
        vf32_store_f16_n(half, vf32_load_f16_n(in16, n), n);
        vf32_store_bf16_n(brain, vf32_load_bf16_n(in16, n), n);
        for (int i = 0; i <= V_LANES; i++) {
            CHECK(out[i] == (i < n ? in[i] : -1.0f), "store_n %d: lane %d", n, i);
            CHECK(half[i] == (i < n ? in16[i] : 7) && brain[i] == (i < n ? in16[i] : 7),
                  "16-bit store_n %d: lane %d", n, i);
        }
        float loaded[V_LANES];
        vf32_store(loaded, vf32_load_n(in, n));
        for (int i = n; i < V_LANES; i++)
            CHECK(loaded[i] == 0, "load_n %d: lane %d is not 0", n, i);
    }
}

static void check_lanes(void) {
    for (int i = 0; i < 1000; i++) {
        int32_t v[V_LANES], w[V_LANES], wide[V_LANES], narrow[V_LANES], sum = 0;
        uint8_t low[V_LANES], bytes[V_LANES];
        uint16_t low16[V_LANES];
        uint32_t top = 0;
        float f[V_LANES], rounded[V_LANES];
        for (int l = 0; l < V_LANES; l++) {
            v[l] = (int32_t)random_u32(), bytes[l] = (uint8_t)random_u32();
            f[l] = (float)(int32_t)random_u32() * 0x1p-24f;
            narrow[l] = v[l] / V_LANES; /* sums of kernels stay in range, too */
            sum += narrow[l];
            if ((uint32_t)v[l] > top) top = (uint32_t)v[l];
        }
        vi32_store_u8(low, vi32_load(v));
        vi32_store_u16(low16, vi32_load(v));
        vi32_store(w, vi32_sra(vi32_load(v), 5));
        CHECK(vi32_reduce_add(vi32_load(narrow)) == sum && vi32_reduce_max_u(vi32_load(v)) == top,
              "reductions of round %d", i);
        for (int l = 0; l < V_LANES; l++)
            CHECK(low[l] == (uint8_t)v[l] && low16[l] == (uint16_t)v[l] && w[l] == v[l] >> 5,
                  "narrowing lane %d", l);
        vi32_store(wide, vi32_load_s8(bytes));
        for (int l = 0; l < V_LANES; l++) CHECK(wide[l] == (int8_t)bytes[l], "load_s8 lane %d", l);
        vi32_store(wide, vi32_load_u8(bytes));
        for (int l = 0; l < V_LANES; l++) CHECK(wide[l] == bytes[l], "load_u8 lane %d", l);
        vi32_store(wide, vi32_from_f32(vf32_load(f)));
        vf32_store(rounded, vf32_round(vf32_load(f)));
        double total = 0, size = 0;
        float largest = -INFINITY;
        for (int l = 0; l < V_LANES; l++) {
            CHECK(wide[l] == (int32_t)nearbyintf(f[l]) && rounded[l] == nearbyintf(f[l]),
                  "rounding %g", (double)f[l]);
            total += (double)f[l], size += fabs((double)f[l]);
            largest = fmaxf(largest, f[l]);
        }
        CHECK(fabs((double)vf32_reduce_add(vf32_load(f)) - total) <= size * 0x1p-20 &&
                  vf32_reduce_max(vf32_load(f)) == largest,
              "sums of round %d", i);
    }
    float nan_first[V_LANES];
    vf32_store(nan_first, vf32_max(vf32_set1(NAN), vf32_set1(2)));
    CHECK(nan_first[0] == 2, "max(NaN, 2) = %g, the second operand is wanted",
          (double)nan_first[0]);
    vf32_store(nan_first, vf32_min(vf32_set1(2), vf32_set1(NAN)));
    CHECK(isnan(nan_first[0]), "min(2, NaN) = %g, the second operand is wanted",
          (double)nan_first[0]);
}

int main(void) {
    tenon_cpu_info info;
    tenon_cpu_detect(~(uint64_t)0, &info);
    const char *missing = tenon_cpu_missing(info.features, SIMD_NEEDS);
    if (missing) {
        printf("skipped: this CPU has no %s\n", missing);
        return 77;
    }
    check_exp();
    check_conversions();
    check_dots();
    check_movement();
    check_lanes();
    printf("%d lanes: %s\n", V_LANES, n_failed ? "FAILED" : "ok");
    return n_failed != 0;
}

#endif
