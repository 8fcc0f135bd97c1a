/* SPDX-License-Identifier: Apache-2.0 */
#include "quantize_rule.h"

#include <math.h>

#include "scale_layout.h"

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

static int64_t parameter_offset(const tenon_quantizer *z, const tenon_parameter_plane *plane,
                                int64_t row_group, int64_t col_group) {
    if (plane == &z->q.scale && z->q.scale_swizzled)
        return tenon_scale_128x4_offset(row_group, col_group, z->q.col_groups);
    return row_group * plane->row_stride + col_group * plane->col_stride;
}

static void *writable(const tenon_parameter_plane *plane) {
    return (void *)(uintptr_t)plane->data;
}

/* Largest power of two <= limit, as a code. */
static uint8_t e8m0_at_most(double limit) {
    int exponent;
    frexp(limit, &exponent); /* limit = fraction * 2^exponent, 0.5 <= fraction < 1 */
    int code = exponent - 1 + TENON_F32_EXP_OFFSET;
    return (uint8_t)(code < 0 ? 0 : code > 254 ? 254 : code);
}

static uint8_t power_of_two_scale(const tenon_quantizer *z, double amax) {
    tenon_mx_element element = mx_element_of(z->q.number);
    element.largest = (float)z->element_max;
    uint8_t code = tenon_e8m0_from_amax((float)amax, element, z->quant->scale_rounding);
    if (z->args->scale_limit > 0 && code != 0xff) {
        uint8_t limit = e8m0_at_most((double)z->args->scale_limit);
        if (code > limit) code = limit;
    }
    return code;
}

static void store_scale(const tenon_quantizer *z, int64_t row_group, int64_t col_group,
                        tenon_value_range r) {
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
static void store_zero_point(const tenon_quantizer *z, int64_t row_group, int64_t col_group,
                             double scale, tenon_value_range r) {
    const tenon_parameter_plane *plane = &z->q.zero_point;
    double least_code = z->q.number == TENON_NUMBER_U8 ? 0 : -128, zero = 0;
    if (z->asymmetric && isfinite(scale)) zero = nearbyint(least_code - r.least / scale);
    tenon_number_store(plane->number, writable(plane),
                       parameter_offset(z, plane, row_group, col_group), zero);
}

int32_t tenon_quantizer_from(const tenon_quantize_args *args, tenon_quantizer *z,
                             tenon_reason *why) {
    *z = (tenon_quantizer){.args = args, .quant = args->q_quant};
    const int32_t status = tenon_activation_view_from(args->q, args->q_quant, &z->q, why);
    if (status) return status;
    z->element_max =
        args->element_max > 0 ? (double)args->element_max : element_max_of(z->q.number);
    z->nan_in_elements = z->q.number >= TENON_NUMBER_E4M3FN && z->q.number <= TENON_NUMBER_E5M2FNUZ;
    z->asymmetric = z->q.zero_point.present && !(z->quant->flags & TENON_QUANT_SYMMETRIC);
    return TENON_OK;
}

tenon_value_range tenon_value_range_of(const tenon_quantizer *z, double least, double largest,
                                       bool has_nan) {
    tenon_value_range r = {least, largest, 0};
    r.amax = has_nan && !z->nan_in_elements ? NAN : fmax(fabs(least), largest);
    if (r.amax < (double)z->args->amax_floor) r.amax = (double)z->args->amax_floor;
    return r;
}

void tenon_quantize_group_rule(const tenon_quantizer *z, int64_t row_group, int64_t col_group,
                               tenon_value_range range) {
    if (z->quant->flags & TENON_QUANT_STATIC_SCALE) return;
    store_scale(z, row_group, col_group, range);
    if (!z->q.zero_point.present) return;
    const int64_t row = row_group * z->q.group_rows, col = col_group * z->q.group_cols;
    store_zero_point(z, row_group, col_group, tenon_weight_group_at(&z->q, row, col).scale, range);
}

/* What the tiled layout pads is written too: a tensor core reads it. */
void tenon_clear_scale_padding(const tenon_quantizer *z) {
    if (!z->q.scale_swizzled || z->quant->flags & TENON_QUANT_STATIC_SCALE) return;
    int64_t rows = (z->q.n + 127) / 128 * 128, blocks = (z->q.col_groups + 3) / 4 * 4;
    for (int64_t row = 0; row < rows; row++)
        for (int64_t block = 0; block < blocks; block++)
            if (row >= z->q.n || block >= z->q.col_groups)
                ((uint8_t *)writable(
                    &z->q.scale))[tenon_scale_128x4_offset(row, block, z->q.col_groups)] = 0;
}
