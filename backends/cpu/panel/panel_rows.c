/* SPDX-License-Identifier: Apache-2.0 */
#include "panel_rows.h"

#include <math.h>
#include <string.h>

#include "float_e8m0.h"

static bool is_mx(const tenon_weight_view *view) {
    return tenon_format_is_mx(view->format);
}

/* Elements that are bf16 values, with scales that can wait for the sums of whole units. */
static bool fits_bf16(const tenon_weight_view *view) {
    if (view->zero_point.present || view->k_stride != 1) return false;
    switch (view->format) {
    case TENON_FORMAT_NONE:
        return view->number >= TENON_NUMBER_E4M3FN && view->number <= TENON_NUMBER_E5M2FNUZ;
    case TENON_FORMAT_FP8:
    case TENON_FORMAT_INT8:
        return view->col_groups <= 1 || view->group_cols % TENON_PANEL_GROUP == 0;
    case TENON_FORMAT_MXFP8:
    case TENON_FORMAT_MXFP4:
    case TENON_FORMAT_NVFP4:
        return true;
    default:
        return false;
    }
}

/* int8 as it is: weights that are multiplied as integers, and scales that can wait. */
static bool fits_int8(const tenon_panel_kernels *kernels, tenon_panel_kind kind,
                      const tenon_weight_view *view) {
    if (view->format != TENON_FORMAT_INT8 || view->number != TENON_NUMBER_I8 ||
        view->zero_point.present || view->k_stride != 1)
        return false;
    if (!kernels->max_rows[TENON_PANEL_INT8][kind] ||
        (tenon_panel_is_wide_code(kind) && !kernels->takes_minus_128))
        return false;
    return view->col_groups <= 1 || view->group_cols % tenon_panel_unit_k(kind) == 0;
}

void tenon_panel_rows_plan(const tenon_panel_kernels *kernels, tenon_panel_kind kind,
                           const tenon_weight_view *view, tenon_panel_rows *out) {
    *out = (tenon_panel_rows){.view = *view, .type = TENON_PANEL_TYPE_F32};
    if (fits_int8(kernels, kind, view)) {
        out->type = TENON_PANEL_TYPE_I8;
        out->groups = view->col_groups > 1 ? view->col_groups : 1;
        out->group_units = out->groups > 1 ? view->group_cols / tenon_panel_unit_k(kind)
                                           : tenon_panel_units(kind, view->k);
        if (out->group_units < 1) out->group_units = 1;
        return;
    }
    if (!tenon_panel_has_bf16(kernels, kind) || !fits_bf16(view)) return;
    out->type = TENON_PANEL_TYPE_BF16;
    if (view->format == TENON_FORMAT_NONE) return;
    const int64_t units = tenon_panel_units(TENON_PANEL_BF16, view->k);
    const bool beside = view->format == TENON_FORMAT_FP8 || view->format == TENON_FORMAT_INT8;
    out->groups = beside && view->col_groups > 1 ? view->col_groups : 1;
    out->group_units = out->groups > 1 ? view->group_cols / TENON_PANEL_GROUP : units;
    if (out->group_units < 1) out->group_units = 1;
}

/* ---- rows of bf16 ---- */

/* The largest power of two of a row's blocks that are not NaN. */
static uint8_t largest_block(const tenon_weight_view *view, int64_t row) {
    uint8_t largest = 0;
    for (int64_t g = 0; g < view->col_groups; g++) {
        const double scale = tenon_row_scale(view, row, g);
        int exponent;
        if (isnan(scale)) continue;
        frexp(scale, &exponent);
        const int code = exponent - 1 + 127;
        if (code > largest) largest = (uint8_t)code;
    }
    return largest;
}

/* Rows without columns have no scales to read. */
static void load_scales(const tenon_panel_rows *rows, const tenon_weight_view *view, int64_t row,
                        float *scales) {
    for (int64_t g = 0; g < rows->groups; g++)
        scales[g] = view->k ? (float)tenon_row_scale(view, row, g) : 1;
}

static void load_bf16(const tenon_panel_rows *rows, const tenon_weight_view *view, int64_t row,
                      uint8_t *values, float *scales) {
    uint8_t buffer[TENON_ROW_CODES];
    float scale[TENON_ROW_CODES];
    const bool mx = is_mx(view), nv = view->format == TENON_FORMAT_NVFP4;
    float inverse = 1;
    if (mx) {
        scales[0] = tenon_e8m0_to_f32(largest_block(view, row));
        inverse = 1 / scales[0];
    } else if (nv) {
        scales[0] = 1;
        if (view->global_scale.present) memcpy(scales, view->global_scale.data, 4);
        if (view->global_divides) scales[0] = 1 / scales[0];
    } else {
        load_scales(rows, view, row, scales);
    }
    const int64_t group = mx || nv ? view->group_cols : TENON_ROW_CODES;
    for (int64_t col = 0; col < view->k; col += TENON_ROW_CODES) {
        const int64_t left = view->k - col, n = left < TENON_ROW_CODES ? left : TENON_ROW_CODES;
        for (int64_t g = 0; (mx || nv) && g * group < n; g++)
            scale[g] = (float)tenon_row_scale(view, row, col / group + g) * inverse;
        const tenon_span span = {.number = view->number,
                                 .codes = tenon_row_codes(view, row, col, n, buffer),
                                 .count = n,
                                 .group = group,
                                 .scale = mx || nv ? scale : NULL,
                                 .global = 1};
        rows->decoder.span(&span, TENON_NUMBER_BF16, values + 2 * col);
    }
}

void tenon_panel_rows_load(const tenon_panel_rows *rows, int64_t row, void *values, float *scales) {
    const int64_t n = rows->view.n > 0 ? rows->view.n : 1;
    const tenon_weight_view one =
        rows->view.experts == 1 ? rows->view : tenon_weight_expert(&rows->view, row / n);
    const int64_t in_expert = rows->view.experts == 1 ? row : row % n;
    if (rows->type == TENON_PANEL_TYPE_I8) {
        memcpy(values, one.data + in_expert * one.n_stride, (size_t)one.k);
        load_scales(rows, &one, in_expert, scales);
    } else if (rows->type == TENON_PANEL_TYPE_BF16)
        load_bf16(rows, &one, in_expert, values, scales);
    else
        tenon_row_decode(&one, &rows->decoder, in_expert, 0, one.k, TENON_NUMBER_F32, values);
}
