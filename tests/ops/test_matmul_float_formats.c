/* SPDX-License-Identifier: Apache-2.0 */
/* Every kernel row of matmul with weights of small floats and of bytes, scales beside them, against
 * sums in double: within the rounding of f32 sums. The same bits packed and not, alone and in a
 * batch, with one thread and with three; exact values of every code; NaN where a weight is one. */
#include "float_operand.h"

static const tenon_api *api;
static tenon_context *contexts[2];

typedef struct packed_operand {
    uint8_t *blob;
    test_tensor tensor;
    tenon_quant quant;
} packed_operand;

static void pack(const operand *w, packed_operand *p) {
    tenon_error error = {.struct_size = sizeof error};
    tenon_query query = {.struct_size = sizeof query};
    tenon_pack_weights_args a = {.struct_size = sizeof a,
                                 .w = &w->tensor.view,
                                 .w_quant = operand_quant(w),
                                 .blob = test_view(&p->tensor, NULL, kDLUInt, 8, SHAPE(0))};
    CHECK(api->query(contexts[0], TENON_OP_PACK_WEIGHTS, &a, NULL, &query, &error) == TENON_OK,
          "%s: %s", w->format->name, error.text);
    p->blob = aligned_alloc(64, (size_t)(query.output_bytes + 63) / 64 * 64);
    a.blob = test_view(&p->tensor, p->blob, kDLUInt, 8, SHAPE((int64_t)query.output_bytes));
    CHECK(operand_run(api, contexts[1], TENON_OP_PACK_WEIGHTS, NULL, &a, NULL, &error) == TENON_OK,
          "%s: %s", w->format->name, error.text);
    p->quant = (tenon_quant){.struct_size = sizeof p->quant, .format = TENON_FORMAT_PACKED};

    operand back;
    operand_make(&back, w->format, w->n, w->k);
    tenon_unpack_weights_args u = {.struct_size = sizeof u,
                                   .blob = &p->tensor.view,
                                   .w = &back.tensor.view,
                                   .w_quant = operand_quant(&back)};
    CHECK(operand_run(api, contexts[0], TENON_OP_UNPACK_WEIGHTS, NULL, &u, NULL, &error) ==
              TENON_OK,
          "%s: %s", w->format->name, error.text);
    CHECK(!memcmp(back.data, w->data, w->data_bytes), "%s: elements differ", w->format->name);
    CHECK(!w->scale_bytes || !memcmp(back.scale, w->scale, w->scale_bytes), "%s: scales differ",
          w->format->name);
    CHECK(!w->format->global || back.global == w->global, "%s: global scale", w->format->name);
    operand_free(&back);
}

/* Activations: plain of some type, or an operand. */
typedef struct activations {
    test_tensor tensor;
    const tenon_quant *quant;
    const double *value;
} activations;

static int32_t multiply(int thread_set, const char *kernel, activations a, const operand *w,
                        const packed_operand *p, int64_t row, int64_t rows, int exact, float *out,
                        uint32_t *traits) {
    tenon_error error = {.struct_size = sizeof error};
    test_tensor to;
    a.tensor.view.shape = a.tensor.shape, a.tensor.view.strides = a.tensor.strides;
    a.tensor.view.byte_offset =
        (uint64_t)(row * a.tensor.strides[0] * a.tensor.view.dtype.bits / 8);
    a.tensor.shape[0] = rows;
    tenon_matmul_args m = {.struct_size = sizeof m,
                           .a = &a.tensor.view,
                           .a_quant = a.quant,
                           .w = p ? &p->tensor.view : &w->tensor.view,
                           .w_quant = p ? &p->quant : operand_quant(w),
                           .out = test_view(&to, out, kDLFloat, 32, SHAPE(rows, w->n)),
                           .compute = exact ? TENON_COMPUTE_EXACT : TENON_COMPUTE_DEFAULT};
    const int32_t status =
        operand_run(api, contexts[thread_set], TENON_OP_MATMUL, kernel, &m, traits, &error);
    CHECK(status == TENON_OK || status == TENON_STATUS_UNSUPPORTED, "%s: %s", kernel, error.text);
    return status;
}

static void compare(const char *kernel, const activations *a, const char *a_name, const operand *w,
                    const packed_operand *p, int64_t m, int exact) {
    const size_t count = (size_t)(m * w->n);
    float *out = malloc(count * 4 + 4), *other = malloc(count * 4 + 4);
    uint32_t traits = 0;
    memset(out, 0x5a, count * 4);
    if (multiply(0, kernel, *a, w, NULL, 0, m, exact, out, &traits)) {
        free(out), free(other);
        return;
    }
    double worst = 0;
    for (int64_t i = 0; i < m; i++)
        for (int64_t n = 0; n < w->n; n++) {
            double sum = 0, magnitude = 0, step = 0;
            for (int64_t k = 0; k < w->k; k++) {
                const double product = a->value[i * w->k + k] * w->value[n * w->k + k];
                sum += product, magnitude += fabs(product);
            }
            /* activations of int8 kernels: half a step of their group */
            for (int64_t g = 0; traits & TENON_TRAIT_INT8_ACTIVATIONS && g < w->k; g += 128) {
                double largest = 0, weights = 0;
                for (int64_t k = g; k < w->k && k < g + 128; k++) {
                    largest = fmax(largest, fabs(a->value[i * w->k + k]));
                    weights += fabs(w->value[n * w->k + k]);
                }
                step += largest / 254 * weights * 1.01;
            }
            const double bound =
                magnitude * (double)(w->k + 16) * 0x1p-24 * (step > 0 ? 40 : 1) + step + 1e-30;
            const double share = fabs((double)out[i * w->n + n] - sum) / bound;
            if (!(share <= worst)) worst = share;
        }
    CHECK(worst <= 1, "%s: %s x %s m=%d n=%d k=%d exact %d: %.3g of the bound", kernel, a_name,
          w->format->name, (int)m, (int)w->n, (int)w->k, exact, worst);
    for (int v = 0; v < 3; v++) {
        memset(other, 0x33, count * 4);
        if (multiply(v & 1, kernel, *a, w, v < 2 ? p : NULL, 0, m, exact, other, NULL)) continue;
        CHECK(!memcmp(out, other, count * 4), "%s: %s x %s m=%d n=%d k=%d: other bits, variant %d",
              kernel, a_name, w->format->name, (int)m, (int)w->n, (int)w->k, v);
    }
    /* A row alone; quantized activations would need their scales cut too. */
    if (m > 1 && !a->quant) {
        const int64_t row = (int64_t)(test_random() % (uint64_t)m);
        if (!multiply(0, kernel, *a, w, p, row, 1, exact, other, NULL))
            CHECK(!memcmp(out + row * w->n, other, (size_t)w->n * 4),
                  "%s: %s x %s: row %d of %d alone has other bits", kernel, a_name, w->format->name,
                  (int)row, (int)m);
    }
    free(out), free(other);
}

static void plain_activations(activations *a, int type, int64_t m, int64_t k) {
    static const uint8_t code[] = {kDLFloat, kDLBfloat, kDLFloat};
    static const int bits[] = {32, 16, 16};
    uint8_t *data = malloc((size_t)(m * k) * 4 + 4);
    double *value = malloc((size_t)(m * k) * 8 + 8);
    for (int64_t i = 0; i < m * k; i++) {
        float x = test_uniform();
        uint32_t u;
        if (type == 1) {
            memcpy(&u, &x, 4);
            u &= 0xffff0000;
            memcpy(data + 2 * i, (char *)&u + 2, 2);
            memcpy(&x, &u, 4);
        } else if (type == 2) {
            const uint16_t h = (uint16_t)(0x3000 + (test_random() >> 40) % 0x800);
            memcpy(data + 2 * i, &h, 2);
            x = ldexpf((float)(1024 + (h & 1023)), (h >> 10) - 25);
        } else
            memcpy(data + 4 * i, &x, 4);
        value[i] = (double)x;
    }
    *a = (activations){.value = value};
    test_view(&a->tensor, data, code[type], bits[type], SHAPE(m, k));
}

static int64_t width_of(const operand_format *f, int64_t k) {
    const int any = f->format == TENON_FORMAT_NONE || f->format == TENON_FORMAT_FP8 ||
                    f->format == TENON_FORMAT_INT8;
    return any ? k : k / 32 * 32;
}

static void check_values(const test_kernels *kernels) {
    static const int64_t sizes[][3] = {{1, 33, 288},  {5, 31, 300},   {6, 64, 513}, {7, 35, 256},
                                       {30, 70, 417}, {195, 34, 160}, {0, 5, 64},   {3, 7, 0}};
    for (int f = 0; f < OPERAND_FORMATS; f++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            const int64_t m = sizes[s][0], k = width_of(&operand_formats[f], sizes[s][2]);
            operand w;
            packed_operand p;
            activations a;
            if (m > 20 && test_is_emulated()) continue;
            operand_make(&w, &operand_formats[f], sizes[s][1], k);
            operand_read(&w, api, contexts[0]);
            pack(&w, &p);
            for (int type = 0; type < 3; type++) {
                static const char *const names[] = {"f32", "bf16", "f16"};
                plain_activations(&a, type, m, k);
                for (int i = 0; i < kernels->count; i++)
                    compare(kernels->name[i], &a, names[type], &w, &p, m, type == 2);
                free(a.tensor.view.data), free((void *)(uintptr_t)a.value);
            }
            /* Quantized activations of another format each time. */
            operand q;
            const operand_format *of =
                &operand_formats[1 + (size_t)(test_random() >> 33) % (OPERAND_FORMATS - 1)];
            if (width_of(of, k) == k && of->group_rows != 128 && of->group_rows != 32 &&
                of->element != TENON_ELEMENT_E5M2FNUZ && of->format != TENON_FORMAT_MXFP6_E2M3 &&
                of->format != TENON_FORMAT_MXFP6_E3M2) {
                operand_make(&q, of, m, k);
                operand_read(&q, api, contexts[0]);
                a = (activations){.tensor = q.tensor, .quant = operand_quant(&q), .value = q.value};
                for (int i = 0; i < kernels->count; i++)
                    compare(kernels->name[i], &a, of->name, &w, &p, m, 0);
                operand_free(&q);
            }
            operand_free(&w), free(p.blob);
        }
}

/* Activations that are rows of the identity: the result is the weights. */
static void check_codes(const test_kernels *kernels) {
    enum { K = 96, N = 40 };
    static float eye[K * K], out[K * N];
    for (int i = 0; i < K; i++) eye[i * K + i] = 1;
    for (int f = 0; f < OPERAND_FORMATS; f++) {
        operand w;
        packed_operand p;
        activations a = {.value = NULL};
        operand_make(&w, &operand_formats[f], N, K);
        operand_read(&w, api, contexts[0]);
        for (int i = 0; i < kernels->count; i++)
            for (int bf16 = 0; bf16 < 2; bf16++) {
                static uint16_t half_eye[K * K];
                uint32_t traits;
                for (int j = 0; j < K; j++) half_eye[j * K + j] = 0x3f80;
                test_view(&a.tensor, bf16 ? (void *)half_eye : (void *)eye,
                          bf16 ? kDLBfloat : kDLFloat, bf16 ? 16 : 32, SHAPE(K, K));
                if (multiply(0, kernels->name[i], a, &w, NULL, 0, K, 1, out, &traits)) continue;
                int wrong = 0;
                for (int k = 0; k < K; k++)
                    for (int n = 0; n < N; n++)
                        /* dividing by a global scale is a multiplication by its reciprocal */
                        wrong += fabs((double)out[k * N + n] - w.value[n * K + k]) >
                                 (w.format->global == 2 ? 0x1p-23 * fabs(w.value[n * K + k]) : 0);
                CHECK(!wrong, "%s %s: %d of %d values differ", kernels->name[i], w.format->name,
                      wrong, N * K);
            }
        /* One NaN in column 3, where the element or the scale can be one. */
        const int float8 = w.format->element != 0;
        if (float8) {
            w.data[3 * w.row_bytes + 17] = w.format->element == TENON_ELEMENT_E4M3FN ? 0xff
                                           : w.format->element == TENON_ELEMENT_E5M2 ? 0x7e
                                                                                     : 0x80;
        } else if (w.format->format == TENON_FORMAT_NVFP4 && !w.format->swizzled)
            ((uint8_t *)w.scale)[3 * (K / 16) + 2] = 0x7f;
        else if (w.format->scale_bits == 8 && !w.format->swizzled)
            ((uint8_t *)w.scale)[3 * (K / 32) + 1] = 0xff;
        else {
            operand_free(&w);
            continue;
        }
        pack(&w, &p);
        test_view(&a.tensor, eye, kDLFloat, 32, SHAPE(K, K));
        for (int i = 0; i < kernels->count; i++)
            for (int packed = 0; packed < 2; packed++)
                for (int64_t m = 1; m <= K; m += K - 1) {
                    if (multiply(0, kernels->name[i], a, &w, packed ? &p : NULL, 0, m, 0, out,
                                 NULL))
                        continue;
                    int wrong = 0;
                    for (int64_t j = 0; j < m * N; j++) wrong += isnan(out[j]) != (j % N == 3);
                    CHECK(!wrong, "%s %s packed %d: NaN in the wrong %d places", kernels->name[i],
                          w.format->name, packed, wrong);
                }
        operand_free(&w), free(p.blob);
    }
}

int main(void) {
    tenon_error error = {.struct_size = sizeof error};
    api = test_load();
    for (int i = 0; i < 2; i++) {
        const tenon_context_options options = {
            .struct_size = sizeof options, .n_threads = 1 + 2 * i, .log_level = -1};
        CHECK(api->context_create(&options, &contexts[i], &error) == TENON_OK, "%s", error.text);
    }
    const test_kernels kernels = test_kernels_of(api, contexts[0], TENON_OP_MATMUL);
    check_values(&kernels);
    check_codes(&kernels);
    for (int i = 0; i < 2; i++) api->context_destroy(contexts[i]);
    return test_report();
}
