/* SPDX-License-Identifier: Apache-2.0 */
/* Vector conversions against the scalar codecs, bit by bit: every code of the narrow types, every
 * f16, and floats of every exponent; rows of every length up to three vectors, with guards behind
 * them. */
#include "test_host.h"

#include "cpu_features.h"
#include "row_convert/row_convert.h"

static const tenon_number floats[] = {TENON_NUMBER_F32, TENON_NUMBER_F16, TENON_NUMBER_BF16};
static const tenon_number stored[] = {TENON_NUMBER_E4M3FN, TENON_NUMBER_E4M3FNUZ, TENON_NUMBER_E5M2,
                                      TENON_NUMBER_E5M2FNUZ, TENON_NUMBER_I8};
enum { ROWS = 70000, GUARD = 64 };
static uint8_t in[ROWS * 4], out[ROWS * 4 + GUARD];

/* The definition: what row_convert.h promises, with the codecs of number.h. */
static double expected(tenon_number to, tenon_number from, int64_t i, float scale) {
    float x = (float)tenon_number_load(from, in, i);
    bool to_float = tenon_number_bytes(to) > 1, from_float = tenon_number_bytes(from) > 1;
    return (double)(to_float == from_float ? x : from_float ? x / scale : x * scale);
}

static void check_rows(const char *name, const tenon_row_converters *c, tenon_number to,
                       tenon_number from, int64_t n, float scale) {
    int wrong = 0;
    const int64_t bytes = tenon_number_bytes(to);
    memset(out, 0xa5, sizeof out);
    c->to_from[to][from](out, in, n, scale);
    for (int64_t i = 0; i < n; i++) {
        uint8_t want[8];
        tenon_number_store(to, want, 0, expected(to, from, i, scale));
        double a = tenon_number_load(to, want, 0), b = tenon_number_load(to, out, i);
        bool same = !memcmp(want, out + i * bytes, (size_t)bytes) || (isnan(a) && isnan(b));
        if (!same && wrong++ == 0)
            fprintf(stderr, "%s: %s -> %s, scale %g: %.9g gives %.9g, expected %.9g\n", name,
                    tenon_number_name(from), tenon_number_name(to), (double)scale,
                    tenon_number_load(from, in, i), b, a);
    }
    for (int64_t i = n * bytes; i < n * bytes + GUARD; i++) wrong += out[i] != 0xa5;
    CHECK(wrong == 0, "%s: %s -> %s, %lld elements: %d wrong", name, tenon_number_name(from),
          tenon_number_name(to), (long long)n, wrong);
}

/* Every 16-bit pattern; or as many floats whose exponents and low bits are all over the place. */
static int64_t fill(tenon_number from) {
    if (tenon_number_bytes(from) == 1) {
        for (int i = 0; i < 256; i++) in[i] = (uint8_t)i;
        return 256;
    }
    for (int64_t i = 0; i < 65536; i++) {
        uint16_t half = (uint16_t)i;
        uint32_t word = (uint32_t)test_random();
        float ordinary = tenon_f16_to_f32(half); /* near the ties of the narrow types */
        if (i & 1) memcpy(&word, &ordinary, 4);
        memcpy(in + i * tenon_number_bytes(from),
               tenon_number_bytes(from) == 2 ? (void *)&half : (void *)&word,
               (size_t)tenon_number_bytes(from));
    }
    return 65536;
}

static void check_pair(const char *name, const tenon_row_converters *c, tenon_number to,
                       tenon_number from) {
    static const float scales[] = {1, 0.37f, 1024.0f, 0x1p-120f};
    CHECK(c->to_from[to][from] != NULL, "%s: no %s -> %s", name, tenon_number_name(from),
          tenon_number_name(to));
    int64_t n = fill(from);
    for (int s = 0; s < 4; s++) check_rows(name, c, to, from, n, scales[s]);
    for (n = 0; n <= 50; n++) check_rows(name, c, to, from, n, 2);
}

static void check_level(const char *name, const tenon_row_converters *c) {
    for (int f = 0; f < 3; f++) {
        for (int g = 0; g < 3; g++) check_pair(name, c, floats[f], floats[g]);
        for (int q = 0; q < 5; q++) {
            check_pair(name, c, stored[q], floats[f]);
            check_pair(name, c, floats[f], stored[q]);
        }
        fill(floats[f]);
        for (int64_t start = 0; start < 65000; start += 997)
            for (int64_t n = 0; n < 40; n += 3) {
                const uint8_t *row = in + start * tenon_number_bytes(floats[f]);
                double most = 0;
                for (int64_t i = 0; i < n; i++)
                    most = fmax(most, fabs(tenon_number_load(floats[f], row, i)));
                CHECK((double)c->amax[floats[f]](row, n) == most, "%s: amax of %lld %s", name,
                      (long long)n, tenon_number_name(floats[f]));
            }
    }
}

int main(void) {
    tenon_cpu_info cpu;
    tenon_cpu_detect(~UINT64_C(0), &cpu);
    check_level("scalar", &tenon_row_converters_scalar);
#if defined(__x86_64__)
    if ((cpu.features & TENON_CPU_LEVEL_AVX2) == TENON_CPU_LEVEL_AVX2)
        check_level("avx2", &tenon_row_converters_x86_avx2);
    if ((cpu.features & TENON_CPU_LEVEL_AVX512) == TENON_CPU_LEVEL_AVX512)
        check_level("avx512", &tenon_row_converters_x86_avx512);
#elif defined(__aarch64__)
    if ((cpu.features & TENON_CPU_LEVEL_NEON) == TENON_CPU_LEVEL_NEON)
        check_level("neon", &tenon_row_converters_arm_neon);
#endif
    return test_report();
}
