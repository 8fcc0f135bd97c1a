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
#include "ref_tensor.h"
#include "ref_weights.h"
#include "scale_layout.h"

/* What one call knows of all its groups. */
typedef struct quantizer {
    const tenon_quantize_args *args;
    const tenon_quant *quant;
    tenon_weight_view q;
    double element_max;
    bool nan_in_elements; /* the element type can say NaN; otherwise the scale has to */
    bool asymmetric;
} quantizer;

typedef struct range {
    double least, largest, amax; /* least <= 0 <= largest */
} range;

static double element_max_of(tenon_number number) {
    switch (number) {
    case TENON_NUMBER_E4M3FN:
        return (double)TENON_E4M3FN_MAX;
    case TENON_NUMBER_E4M3FNUZ:
        return (double)TENON_E4M3FNUZ_MAX;
    case TENON_NUMBER_E5M2:
    case TENON_NUMBER_E5M2FNUZ:
        return (double)TENON_E5M2_MAX;
    case TENON_NUMBER_E2M1:
        return (double)TENON_E2M1_MAX;
    case TENON_NUMBER_E2M3:
        return (double)TENON_E2M3_MAX;
    case TENON_NUMBER_E3M2:
        return (double)TENON_E3M2_MAX;
    default:
        return 127;
    }
}

static tenon_mx_element mx_element_of(tenon_number number) {
    switch (number) {
    case TENON_NUMBER_E4M3FN:
        return TENON_MX_E4M3FN;
    case TENON_NUMBER_E4M3FNUZ:
        return TENON_MX_E4M3FNUZ;
    case TENON_NUMBER_E5M2:
    case TENON_NUMBER_E5M2FNUZ:
        return TENON_MX_E5M2;
    case TENON_NUMBER_E2M3:
        return TENON_MX_E2M3;
    case TENON_NUMBER_E3M2:
        return TENON_MX_E3M2;
    default:
        return TENON_MX_E2M1;
    }
}

/* ---- where things lie ---- */

static int64_t parameter_offset(const quantizer *z, const tenon_parameter_plane *plane,
                                int64_t row_group, int64_t col_group) {
    if (plane == &z->q.scale && z->q.scale_swizzled)
        return tenon_scale_128x4_offset(row_group, col_group, z->q.col_groups);
    return row_group * plane->row_stride + col_group * plane->col_stride;
}

static void *writable(const tenon_parameter_plane *plane) {
    return (void *)(uintptr_t)plane->data;
}

static void put_code(const quantizer *z, int64_t row, int64_t col, uint8_t code) {
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

/* A NaN is left to the elements where they can say it; otherwise it becomes the amax. */
static range range_of(const quantizer *z, int64_t row0, int64_t row1, int64_t col0, int64_t col1) {
    range r = {0, 0, 0};
    for (int64_t row = row0; row < row1; row++) {
        for (int64_t col = col0; col < col1; col++) {
            double x = tenon_ref_load2(z->args->x, row, col);
            if (x < r.least) r.least = x;
            if (x > r.largest) r.largest = x;
            if (isnan(x) && !z->nan_in_elements) r.amax = NAN;
        }
    }
    if (!isnan(r.amax)) r.amax = fmax(fabs(r.least), r.largest);
    if (r.amax < (double)z->args->amax_floor) r.amax = (double)z->args->amax_floor;
    return r;
}

/* Largest power of two <= limit, as a code. */
static uint8_t e8m0_at_most(double limit) {
    int exponent;
    frexp(limit, &exponent); /* limit = fraction * 2^exponent, 0.5 <= fraction < 1 */
    int code = exponent - 1 + TENON_F32_EXP_OFFSET;
    return (uint8_t)(code < 0 ? 0 : code > 254 ? 254 : code);
}

static uint8_t power_of_two_scale(const quantizer *z, double amax) {
    tenon_mx_element element = mx_element_of(z->q.number);
    element.largest = (float)z->element_max;
    uint8_t code = tenon_e8m0_from_amax((float)amax, element, z->quant->scale_rounding);
    if (z->args->scale_limit > 0 && code != 0xff) {
        uint8_t limit = e8m0_at_most((double)z->args->scale_limit);
        if (code > limit) code = limit;
    }
    return code;
}

static void store_scale(const quantizer *z, int64_t row_group, int64_t col_group, range r) {
    const tenon_parameter_plane *plane = &z->q.scale;
    int64_t at = parameter_offset(z, plane, row_group, col_group);
    if (plane->number == TENON_NUMBER_E8M0) {
        ((uint8_t *)writable(plane))[at] = power_of_two_scale(z, r.amax);
        return;
    }
    double scale;
    if (z->quant->format == TENON_FORMAT_NVFP4) {
        double global = 1;
        if (z->q.global_scale.present)
            global = tenon_number_load(TENON_NUMBER_F32, z->q.global_scale.data, 0);
        scale = z->q.global_divides ? r.amax * global / z->element_max
                                    : r.amax / (z->element_max * global);
    } else if (z->asymmetric) {
        scale = fmax(r.largest - r.least, (double)z->args->amax_floor) / 255;
        if (isnan(r.amax)) scale = NAN;
        if (scale == 0) scale = 1;
    } else {
        scale = r.amax == 0 ? 1 : r.amax / z->element_max;
    }
    if (z->args->scale_limit > 0 && scale > (double)z->args->scale_limit)
        scale = (double)z->args->scale_limit;
    tenon_number_store(plane->number, writable(plane), at, scale);
}

/* The zero point follows from the scale as stored. The least code then stands for min. */
static void store_zero_point(const quantizer *z, int64_t row_group, int64_t col_group, double scale,
                             range r) {
    const tenon_parameter_plane *plane = &z->q.zero_point;
    double least_code = z->q.number == TENON_NUMBER_U8 ? 0 : -128, zero = 0;
    if (z->asymmetric && isfinite(scale)) zero = nearbyint(least_code - r.least / scale);
    tenon_number_store(plane->number, writable(plane),
                       parameter_offset(z, plane, row_group, col_group), zero);
}

static uint8_t code_of(const quantizer *z, double x, tenon_weight_group group) {
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

static void quantize_group(const quantizer *z, int64_t row_group, int64_t col_group) {
    const tenon_weight_view *q = &z->q;
    int64_t row0 = row_group * q->group_rows, col0 = col_group * q->group_cols;
    int64_t row1 = row0 + q->group_rows < q->n ? row0 + q->group_rows : q->n;
    int64_t col1 = col0 + q->group_cols < q->k ? col0 + q->group_cols : q->k;
    if (!(z->quant->flags & TENON_QUANT_STATIC_SCALE)) {
        range r = range_of(z, row0, row1, col0, col1);
        store_scale(z, row_group, col_group, r);
        if (q->zero_point.present)
            store_zero_point(z, row_group, col_group, tenon_weight_group_at(q, row0, col0).scale,
                             r);
    }
    tenon_weight_group group = tenon_weight_group_at(q, row0, col0);
    for (int64_t row = row0; row < row1; row++)
        for (int64_t col = col0; col < col1; col++)
            put_code(z, row, col, code_of(z, tenon_ref_load2(z->args->x, row, col), group));
}

/* ---- all groups ---- */

/* What the tiled layout pads is written too: a tensor core reads it. */
static void clear_scale_padding(const quantizer *z) {
    if (!z->q.scale_swizzled || z->quant->flags & TENON_QUANT_STATIC_SCALE) return;
    int64_t rows = (z->q.n + 127) / 128 * 128, blocks = (z->q.col_groups + 3) / 4 * 4;
    for (int64_t row = 0; row < rows; row++)
        for (int64_t block = 0; block < blocks; block++)
            if (row >= z->q.n || block >= z->q.col_groups)
                ((uint8_t *)writable(
                    &z->q.scale))[tenon_scale_128x4_offset(row, block, z->q.col_groups)] = 0;
}

static void quantize_gguf(const quantizer *z) {
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
    quantizer z = {.args = args, .quant = ((const tenon_quantize_args *)args)->q_quant};
    tenon_reason why;
    (void)plan;
    int32_t status = tenon_activation_view_from(z.args->q, z.quant, &z.q, &why);
    if (status)
        return tenon_fail(error, status, TENON_OP_QUANTIZE, -1, "quantize: q: %s", why.text);
    if (tenon_format_is_gguf(z.quant->format)) {
        quantize_gguf(&z);
        return TENON_OK;
    }
    z.element_max =
        z.args->element_max > 0 ? (double)z.args->element_max : element_max_of(z.q.number);
    z.nan_in_elements = z.q.number >= TENON_NUMBER_E4M3FN && z.q.number <= TENON_NUMBER_E5M2FNUZ;
    z.asymmetric = z.q.zero_point.present && !(z.quant->flags & TENON_QUANT_SYMMETRIC);
    for (int64_t row_group = 0; row_group < z.q.row_groups; row_group++)
        for (int64_t col_group = 0; col_group < z.q.col_groups; col_group++)
            quantize_group(&z, row_group, col_group);
    clear_scale_padding(&z);
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
