/* SPDX-License-Identifier: Apache-2.0 */
/* Every row of dequantize against the reference, bit for bit, NaN for NaN: random elements and
 * scales of every size, all types of result, rows by index, odd columns. */
#include "float_operand.h"

static const tenon_api *api;
static tenon_context *context;

/* Scales of any size, zeros, infinities and NaN among them. */
static void wild_scales(operand *o) {
    const int bits = o->format->scale_bits;
    for (size_t i = 0; i < o->scale_bytes; i++)
        ((uint8_t *)o->scale)[i] = (uint8_t)(test_random() >> 40);
    for (size_t i = 0; bits == 32 && i < o->scale_bytes / 4; i++) {
        const float x = ldexpf(test_uniform(), (int)(test_random() >> 40) % 60 - 30);
        memcpy((char *)o->scale + 4 * i, &x, 4);
    }
}

static int same(int bits, const void *a, const void *b, int64_t i) {
    uint32_t x = 0, y = 0;
    const size_t n = (size_t)bits / 8;
    memcpy(&x, (const char *)a + (size_t)i * n, n), memcpy(&y, (const char *)b + (size_t)i * n, n);
    if (x == y) return 1;
    float fx, fy;
    if (bits == 16) x <<= 16, y <<= 16; /* NaN of f16 and bf16: exponent all ones */
    memcpy(&fx, &x, 4), memcpy(&fy, &y, 4);
    return bits == 32 ? isnan(fx) && isnan(fy)
                      : (x & 0x7c000000) == 0x7c000000 && (y & 0x7c000000) == 0x7c000000 &&
                            (x & 0x7fff0000) > 0x7c000000 && (y & 0x7fff0000) > 0x7c000000;
}

static void compare(const test_kernels *kernels, const operand *o, int code, int bits,
                    const int32_t *index, int64_t rows) {
    const size_t bytes = (size_t)(rows * o->k * bits / 8);
    uint8_t *want = malloc(bytes + 8), *got = malloc(bytes + 8);
    tenon_error error = {.struct_size = sizeof error};
    test_tensor tx, ti;
    tenon_dequantize_args a = {
        .struct_size = sizeof a, .q = &o->tensor.view, .q_quant = operand_quant(o)};
    if (index) a.row_index = test_view(&ti, (void *)(uintptr_t)index, kDLInt, 32, SHAPE(rows));
    a.x = test_view(&tx, want, code, bits, SHAPE(rows, o->k));
    CHECK(operand_run(api, context, TENON_OP_DEQUANTIZE, "ref_dequantize", &a, NULL, &error) ==
              TENON_OK,
          "%s: %s", o->format->name, error.text);
    a.x = test_view(&tx, got, code, bits, SHAPE(rows, o->k));
    for (int i = 0; i < kernels->count; i++) {
        memset(got, 0x5a, bytes + 8);
        const int32_t status =
            operand_run(api, context, TENON_OP_DEQUANTIZE, kernels->name[i], &a, NULL, &error);
        if (status == TENON_STATUS_UNSUPPORTED) continue;
        CHECK(status == TENON_OK, "%s: %s", kernels->name[i], error.text);
        int64_t wrong = 0, at = -1;
        for (int64_t e = 0; e < rows * o->k; e++)
            if (!same(bits, want, got, e)) wrong++, at = at < 0 ? e : at;
        CHECK(!wrong, "%s: %s to %d bits of code %d, n=%d k=%d: %d differ, first row %d col %d",
              kernels->name[i], o->format->name, bits, code, (int)o->n, (int)o->k, (int)wrong,
              (int)(at / o->k), (int)(at % o->k));
        CHECK(got[bytes] == 0x5a, "%s: wrote past the end", kernels->name[i]);
    }
    free(want), free(got);
}

int main(void) {
    static const struct {
        int code, bits;
    } types[] = {{kDLFloat, 32}, {kDLFloat, 16}, {kDLBfloat, 16}};
    static const int64_t sizes[][2] = {{5, 300}, {40, 257}, {130, 96}, {3, 1024}};
    api = test_load();
    context = test_context(api);
    const test_kernels kernels = test_kernels_of(api, context, TENON_OP_DEQUANTIZE);
    for (int f = 0; f < OPERAND_FORMATS; f++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
            for (int wild = 0; wild < 2; wild++) {
                const operand_format *format = &operand_formats[f];
                const int any = format->format == TENON_FORMAT_NONE ||
                                format->format == TENON_FORMAT_FP8 ||
                                format->format == TENON_FORMAT_INT8;
                const int64_t n = sizes[s][0], k = any ? sizes[s][1] : sizes[s][1] / 32 * 32;
                operand o;
                operand_make(&o, format, n, k);
                if (wild) {
                    wild_scales(&o);
                    for (size_t i = 0; i < o.data_bytes; i++)
                        o.data[i] = (uint8_t)(test_random() >> 32);
                }
                for (int t = 0; t < 3; t++) {
                    int32_t index[7];
                    for (int i = 0; i < 7; i++)
                        index[i] = (int32_t)((test_random() >> 33) % (uint64_t)n);
                    compare(&kernels, &o, types[t].code, types[t].bits, NULL, n);
                    compare(&kernels, &o, types[t].code, types[t].bits, index, 7);
                }
                operand_free(&o);
            }
    api->context_destroy(context);
    return test_report();
}
