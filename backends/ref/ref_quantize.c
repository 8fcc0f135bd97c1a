/* SPDX-License-Identifier: Apache-2.0 */
/* quantize:  q = round(x / scale) for each group, the scale from the group's largest magnitude:
 *
 *     FP8, INT8           scale = amax / element_max; a power of two by scale_rounding if scales
 * are e8m0 INT8 + zero_point   scale = (max - min) / 255, of the group and 0; zero = round(least -
 * min / scale) MX                  scale = a power of two by scale_rounding NVFP4 scale =
 * e4m3fn(amax / (6 * global)) GGUF                by the format's own encoder
 *
 * FORMATS.md, "Quantization", has the rules for zeros, NaN and infinity. */
#include <math.h>

#include "gguf_encode.h"
#include "quantize_rule.h"
#include "ref_tensor.h"
#include "kept_blob.h"

/* ---- where things lie ---- */

static void put_code(const tenon_quantizer *z, int64_t row, int64_t col, uint8_t code) {
    uint8_t *bytes = (uint8_t *)(uintptr_t)z->q.data + row * z->q.n_stride;
    switch (z->q.number) {
    case TENON_NUMBER_E2M1:
        tenon_nibble_set(bytes, col, code);
        break;
    case TENON_NUMBER_E2M3:
    case TENON_NUMBER_E3M2:
        tenon_sixbit_set(bytes, col, code);
        break;
    default:
        bytes[col * z->q.k_stride] = code;
        break;
    }
}

/* ---- one group ---- */

static tenon_value_range range_of(const tenon_quantizer *z, int64_t row0, int64_t row1,
                                  int64_t col0, int64_t col1) {
    double least = 0, largest = 0;
    bool has_nan = false;
    for (int64_t row = row0; row < row1; row++) {
        for (int64_t col = col0; col < col1; col++) {
            double x = tenon_ref_load2(z->args->x, row, col);
            if (x < least) least = x;
            if (x > largest) largest = x;
            if (isnan(x)) has_nan = true;
        }
    }
    return tenon_value_range_of(z, least, largest, has_nan);
}

static uint8_t code_of(const tenon_quantizer *z, double x, tenon_weight_group group) {
    if (group.scale == 0) return 0; /* the scale underflowed: every code means zero */
    double value = x / group.scale;
    bool integer = z->q.number == TENON_NUMBER_I8 || z->q.number == TENON_NUMBER_U8;
    if (!integer || z->args->element_max > 0) {
        if (value > z->element_max) value = z->element_max;
        if (value < -z->element_max) value = -z->element_max;
    }
    if (integer) value = nearbyint(value) + group.zero; /* NaN encodes as 0 */
    return tenon_number_encode(z->q.number, value);
}

static void quantize_group(const tenon_quantizer *z, int64_t row_group, int64_t col_group) {
    const tenon_weight_view *q = &z->q;
    int64_t row0 = row_group * q->group_rows, col0 = col_group * q->group_cols;
    int64_t row1 = row0 + q->group_rows < q->n ? row0 + q->group_rows : q->n;
    int64_t col1 = col0 + q->group_cols < q->k ? col0 + q->group_cols : q->k;
    if (!(z->quant->flags & TENON_QUANT_STATIC_SCALE))
        tenon_quantize_group_rule(z, row_group, col_group, range_of(z, row0, row1, col0, col1));
    tenon_weight_group group = tenon_weight_group_at(q, row0, col0);
    for (int64_t row = row0; row < row1; row++)
        for (int64_t col = col0; col < col1; col++)
            put_code(z, row, col, code_of(z, tenon_ref_load2(z->args->x, row, col), group));
}

/* ---- all groups ---- */

static void quantize_gguf(const tenon_quantizer *z) {
    const tenon_format_storage *storage = tenon_format_storage_of(z->quant->format);
    float values[256];
    for (int64_t row = 0; row < z->q.n; row++)
        for (int64_t col = 0; col < z->q.k; col += storage->k_per) {
            uint8_t *block = (uint8_t *)(uintptr_t)z->q.data + row * z->q.n_stride +
                             col / storage->k_per * storage->k_entries;
            for (int32_t i = 0; i < storage->k_per; i++)
                values[i] = (float)tenon_ref_load2(z->args->x, row, col + i);
            tenon_gguf_encode(z->quant->format, values, storage->k_per, block);
        }
}

static int32_t run(const tenon_kernel_plan *plan, const void *args, tenon_error *error) {
    tenon_quantizer z;
    tenon_reason why;
    (void)plan;
    int32_t status = tenon_quantizer_from(args, &z, &why);
    if (status)
        return tenon_fail(error, status, TENON_OP_QUANTIZE, -1, "quantize: q: %s", why.text);
    if (tenon_format_is_gguf(z.quant->format)) {
        quantize_gguf(&z);
        return TENON_OK;
    }
    for (int64_t row_group = 0; row_group < z.q.row_groups; row_group++)
        for (int64_t col_group = 0; col_group < z.q.col_groups; col_group++)
            quantize_group(&z, row_group, col_group);
    tenon_clear_scale_padding(&z);
    return TENON_OK;
}

extern const tenon_kernel tenon_ref_quantize;
const tenon_kernel tenon_ref_quantize = {
    .name = "ref_quantize",
    .op = TENON_OP_QUANTIZE,
    .traits = TENON_TRAIT_REFERENCE | TENON_TRAIT_DETERMINISTIC | TENON_TRAIT_BATCH_INVARIANT,
    .checked_on = "hardware",
    .run = run,
};
