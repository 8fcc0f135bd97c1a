/* SPDX-License-Identifier: Apache-2.0 */
/* quantize to every format: scales by the rules of common/quantize_rule.h, elements in vectors,
 * each the exact quotient rounded once, so the bits are the reference's.
 *
 * Where rows share no scale, each row is taken on its own, a few hundred columns at a time. Where
 * they do, all rows' ranges come first (kept in the workspace), then the scales, then the elements.
 * GGUF blocks are made by their encoder, rows shared among the threads. */
#include <math.h>

#include "cpu_backend.h"
#include "gguf_encode.h"
#include "packed_bits.h"
#include "quantize_rule.h"
#include "row_convert.h"
#include "span_encode.h"

enum { TASK_ELEMENTS = 1 << 15, PIECE = 256 };

typedef struct quantize_call {
    tenon_quantizer z;
    const tenon_span_encoder *encoder;
    tenon_row_convert_fn to_f32;
    tenon_number x_number;
    tenon_span_range *ranges; /* [n][col_groups], where rows share scales */
    int64_t rows_per_task;
} quantize_call;

static bool shares_rows(const tenon_quantizer *z) {
    return z->q.group_rows > 1 && !(z->quant->flags & TENON_QUANT_STATIC_SCALE);
}

/* ---- one row ---- */

static void load(const quantize_call *c, int64_t row, int64_t col, int64_t n, float *out) {
    const DLTensor *x = c->z.args->x;
    const int64_t bytes = x->dtype.bits / 8, step = x->strides[1];
    const uint8_t *from =
        (const uint8_t *)tenon_data(x) + (row * x->strides[0] + col * step) * bytes;
    if (step == 1) {
        c->to_f32(out, from, n, 1);
        return;
    }
    for (int64_t i = 0; i < n; i++) out[i] = (float)tenon_number_load(c->x_number, from, i * step);
}

static tenon_span_range merge(tenon_span_range a, tenon_span_range b) {
    return (tenon_span_range){a.least < b.least ? a.least : b.least,
                              a.largest > b.largest ? a.largest : b.largest,
                              a.has_nan || b.has_nan};
}

static tenon_span_range group_range(const quantize_call *c, int64_t row, int64_t col, int64_t end) {
    tenon_span_range all = {0, 0, false};
    float x[PIECE];
    for (; col < end; col += PIECE) {
        const int64_t n = end - col < PIECE ? end - col : PIECE;
        load(c, row, col, n, x);
        all = merge(all, c->encoder->range(x, n));
    }
    return all;
}

static void make_scale(const quantize_call *c, int64_t row_group, int64_t col_group,
                       tenon_span_range r) {
    tenon_quantize_group_rule(
        &c->z, row_group, col_group,
        tenon_value_range_of(&c->z, (double)r.least, (double)r.largest, r.has_nan));
}

static void put_codes(const tenon_weight_view *q, int64_t row, int64_t col, int64_t n,
                      const uint8_t *codes) {
    uint8_t *bytes = (uint8_t *)(uintptr_t)q->data + row * q->n_stride;
    switch (q->number) {
    case TENON_NUMBER_E2M1:
        for (int64_t i = 0; i < n; i += 2)
            bytes[(col + i) / 2] = (uint8_t)(codes[i] | codes[i + 1] << 4);
        return;
    case TENON_NUMBER_E2M3:
    case TENON_NUMBER_E3M2:
        for (int64_t i = 0; i < n; i += 4) {
            const uint32_t word = codes[i] | (uint32_t)codes[i + 1] << 6 |
                                  (uint32_t)codes[i + 2] << 12 | (uint32_t)codes[i + 3] << 18;
            memcpy(bytes + (col + i) / 4 * 3, &word, 3);
        }
        return;
    default:
        if (q->k_stride == 1)
            memcpy(bytes + col, codes, (size_t)n);
        else
            for (int64_t i = 0; i < n; i++) bytes[(col + i) * q->k_stride] = codes[i];
        return;
    }
}

static void encode(const quantize_call *c, int64_t row, int64_t col, int64_t n, const float *x,
                   uint8_t *codes) {
    const tenon_quantizer *z = &c->z;
    const tenon_weight_group group = tenon_weight_group_at(&z->q, row, col);
    const float clip = z->args->element_max > 0 ? z->args->element_max : 0;
    if (z->quant->format == TENON_FORMAT_NVFP4 && group.scale > 0 && isfinite(group.scale))
        c->encoder->encode_e2m1(x, n, group.scale, (double)clip, codes);
    else
        c->encoder->encode(z->q.number, x, n, (float)group.scale, clip, (float)group.zero, codes);
}

/* Pieces of whole groups, or parts of one. */
static void quantize_row(const quantize_call *c, int64_t row, bool make_scales) {
    const tenon_weight_view *q = &c->z.q;
    const int64_t width = q->group_cols;
    float x[PIECE];
    uint8_t codes[PIECE];
    if (make_scales && width > PIECE)
        for (int64_t g = 0; g < q->col_groups; g++) {
            const int64_t end = (g + 1) * width < q->k ? (g + 1) * width : q->k;
            make_scale(c, row, g, group_range(c, row, g * width, end));
        }
    for (int64_t col = 0, n; col < q->k; col += n) {
        const int64_t left = q->k - col, in_group = width - col % width;
        n = width > PIECE ? (in_group < PIECE ? in_group : PIECE) : PIECE / width * width;
        if (n > left) n = left;
        load(c, row, col, n, x);
        for (int64_t at = 0, part; at < n; at += part) {
            part = width > PIECE || n - at < width ? n - at : width;
            if (make_scales && width <= PIECE)
                make_scale(c, row, (col + at) / width, c->encoder->range(x + at, part));
            encode(c, row, col + at, part, x + at, codes + at);
        }
        put_codes(q, row, col, n, codes);
    }
}

/* ---- tasks ---- */

static int64_t first_row(const quantize_call *c, int64_t task, int64_t *end) {
    const int64_t first = task * c->rows_per_task, last = first + c->rows_per_task;
    *end = last < c->z.q.n ? last : c->z.q.n;
    return first;
}

static void rows_task(void *arg, int64_t task, int32_t thread) {
    const quantize_call *c = arg;
    const bool make = !(c->z.quant->flags & TENON_QUANT_STATIC_SCALE) && !c->ranges;
    int64_t end;
    (void)thread;
    for (int64_t row = first_row(c, task, &end); row < end; row++) quantize_row(c, row, make);
}

static void ranges_task(void *arg, int64_t task, int32_t thread) {
    const quantize_call *c = arg;
    const tenon_weight_view *q = &c->z.q;
    int64_t end;
    (void)thread;
    for (int64_t row = first_row(c, task, &end); row < end; row++)
        for (int64_t g = 0; g < q->col_groups; g++) {
            const int64_t last = (g + 1) * q->group_cols;
            c->ranges[row * q->col_groups + g] =
                group_range(c, row, g * q->group_cols, last < q->k ? last : q->k);
        }
}

static void scales_task(void *arg, int64_t row_group, int32_t thread) {
    const quantize_call *c = arg;
    const tenon_weight_view *q = &c->z.q;
    const int64_t first = row_group * q->group_rows, last = first + q->group_rows;
    const int64_t end = last < q->n ? last : q->n;
    (void)thread;
    for (int64_t g = 0; g < q->col_groups; g++) {
        tenon_span_range all = {0, 0, false};
        for (int64_t row = first; row < end; row++)
            all = merge(all, c->ranges[row * q->col_groups + g]);
        make_scale(c, row_group, g, all);
    }
}

static void gguf_task(void *arg, int64_t task, int32_t thread) {
    const quantize_call *c = arg;
    const tenon_format_storage *storage = tenon_format_storage_of(c->z.quant->format);
    float x[PIECE];
    int64_t end;
    (void)thread;
    for (int64_t row = first_row(c, task, &end); row < end; row++)
        for (int64_t col = 0; col < c->z.q.k; col += storage->k_per) {
            load(c, row, col, storage->k_per, x);
            tenon_gguf_encode(c->z.quant->format, x, storage->k_per,
                              (uint8_t *)(uintptr_t)c->z.q.data + row * c->z.q.n_stride +
                                  col / storage->k_per * storage->k_entries);
        }
}

/* ---- the row ---- */

static int32_t plan(tenon_kernel_plan *self, tenon_error *error) {
    tenon_quantizer z;
    tenon_reason reason;
    const int32_t status = tenon_quantizer_from(self->problem.args, &z, &reason);
    if (status)
        return tenon_fail(error, status, TENON_OP_QUANTIZE, -1, "quantize: q: %s", reason.text);
    if (shares_rows(&z))
        self->workspace_bytes =
            (uint64_t)z.q.n * (uint64_t)z.q.col_groups * sizeof(tenon_span_range);
    return TENON_OK;
}

static int32_t run(const tenon_kernel_plan *self, const void *args, tenon_error *error) {
    const tenon_quantize_args *a = args;
    quantize_call call = {.encoder = &tenon_span_encoder_scalar,
                          .x_number = tenon_number_of(a->x->dtype)};
    const tenon_row_converters *convert = &tenon_row_converters_scalar;
    tenon_reason reason;
    const int32_t status = tenon_quantizer_from(a, &call.z, &reason);
    if (status)
        return tenon_fail(error, status, TENON_OP_QUANTIZE, -1, "quantize: q: %s", reason.text);
#if defined(__x86_64__)
    if (self->kernel->needs == TENON_CPU_LEVEL_AVX2)
        call.encoder = &tenon_span_encoder_x86_avx2, convert = &tenon_row_converters_x86_avx2;
    if (self->kernel->needs == TENON_CPU_LEVEL_AVX512)
        call.encoder = &tenon_span_encoder_x86_avx512, convert = &tenon_row_converters_x86_avx512;
#elif defined(__aarch64__)
    if (self->kernel->needs == TENON_CPU_LEVEL_NEON)
        call.encoder = &tenon_span_encoder_arm_neon, convert = &tenon_row_converters_arm_neon;
#endif
    call.to_f32 = convert->to_from[TENON_NUMBER_F32][call.x_number];
    const tenon_weight_view *q = &call.z.q;
    const int64_t cols = q->k > 0 ? q->k : 1;
    call.rows_per_task = cols < TASK_ELEMENTS ? TASK_ELEMENTS / cols : 1;
    const int64_t tasks = (q->n + call.rows_per_task - 1) / call.rows_per_task;
    if (tenon_format_is_gguf(call.z.quant->format)) {
        if (q->k > 0) tenon_cpu_run(self, tasks, gguf_task, &call);
        return TENON_OK;
    }
    if (shares_rows(&call.z)) {
        call.ranges = a->workspace;
        tenon_cpu_run(self, tasks, ranges_task, &call);
        tenon_cpu_run(self, q->row_groups, scales_task, &call);
    }
    tenon_cpu_run(self, tasks, rows_task, &call);
    tenon_clear_scale_padding(&call.z);
    return TENON_OK;
}

#define ROW(symbol, needs_)                                                                        \
    extern const tenon_kernel tenon_##symbol;                                                      \
    const tenon_kernel tenon_##symbol = {                                                          \
        .name = #symbol,                                                                           \
        .op = TENON_OP_QUANTIZE,                                                                   \
        .traits = TENON_TRAIT_DETERMINISTIC | TENON_TRAIT_BATCH_INVARIANT,                         \
        .needs = (needs_),                                                                         \
        .checked_on = "hardware",                                                                  \
        .plan = plan,                                                                              \
        .run = run,                                                                                \
    };

#if defined(__x86_64__)
ROW(cpu_quantize_rows_x86_avx512, TENON_CPU_LEVEL_AVX512)
ROW(cpu_quantize_rows_x86_avx2, TENON_CPU_LEVEL_AVX2)
#elif defined(__aarch64__)
ROW(cpu_quantize_rows_arm_neon, TENON_CPU_LEVEL_NEON)
#endif
ROW(cpu_quantize_rows_scalar, 0)
