/* SPDX-License-Identifier: Apache-2.0 */
/* From bits to values, for every format. FORMATS.md has the pictures. */

#include "gguf_blocks.h"
#include "packed_bits.h"
#include "scale_layout.h"
#include "weight_view.h"

tenon_weight_view tenon_weight_expert(const tenon_weight_view *view, int64_t expert) {
    tenon_weight_view one = *view;
    tenon_parameter_plane *planes[] = {&one.scale, &one.zero_point, &one.global_scale};
    one.experts = 1;
    if (one.data) one.data += expert * view->expert_stride;
    for (int i = 0; i < 3; i++) {
        if (planes[i]->data) {
            int64_t elements = expert * planes[i]->expert_stride;
            planes[i]->data += elements * tenon_number_bytes(planes[i]->number);
        }
    }
    return one;
}

/* ---- codes ---- */

static uint8_t gguf_code(int32_t format, const uint8_t *row, int64_t col) {
    int in_block = (int)(col % 32), in_super = (int)(col % 256);
    int nibble_byte = in_block % 16, high = in_block >= 16;
    switch (format) {
    case TENON_FORMAT_GGUF_Q4_0:
        return (uint8_t)(row[col / 32 * 18 + 2 + nibble_byte] >> (4 * high) & 0xf);
    case TENON_FORMAT_GGUF_Q4_1:
        return (uint8_t)(row[col / 32 * 20 + 4 + nibble_byte] >> (4 * high) & 0xf);
    case TENON_FORMAT_GGUF_Q8_0:
        return row[col / 32 * 34 + 2 + in_block];
    case TENON_FORMAT_GGUF_Q4_K:
        return (uint8_t)(row[col / 256 * 144 + 16 + in_super / 64 * 32 + in_block] >>
                             (4 * (in_super / 32 % 2)) &
                         0xf);
    default:
        return (uint8_t)tenon_gguf_q6_k_code(row + col / 256 * 210, in_super);
    }
}

uint8_t tenon_weight_code(const tenon_weight_view *view, int64_t row, int64_t col) {
    const uint8_t *data = view->data;
    switch (view->format) {
    case TENON_FORMAT_INT4:
    case TENON_FORMAT_MXFP4:
    case TENON_FORMAT_NVFP4:
        return tenon_nibble_get(data + row * view->n_stride, col);
    case TENON_FORMAT_MXFP6_E2M3:
    case TENON_FORMAT_MXFP6_E3M2:
        return tenon_sixbit_get(data + row * view->n_stride, col);
    case TENON_FORMAT_INT4_GPTQ:
    case TENON_FORMAT_INT4_GPTQ_V2:
    case TENON_FORMAT_INT4_CT: {
        const uint8_t *word = data + row * view->n_stride + col / 8 * view->k_stride;
        return (uint8_t)(tenon_word_get(word, 0) >> (4 * (col % 8)) & 0xf);
    }
    case TENON_FORMAT_INT4_AWQ: {
        const uint8_t *word = data + row / 8 * view->n_stride + col * view->k_stride;
        return (uint8_t)(tenon_word_get(word, 0) >> (4 * tenon_awq_slot((int)(row % 8))) & 0xf);
    }
    case TENON_FORMAT_INT8_CT: {
        const uint8_t *word = data + row * view->n_stride + col / 4 * view->k_stride;
        return (uint8_t)(tenon_word_get(word, 0) >> (8 * (col % 4)));
    }
    default:
        if (tenon_format_is_gguf(view->format)) {
            return gguf_code(view->format, data + row * view->n_stride, col);
        }
        return data[row * view->n_stride + col * view->k_stride];
    }
}

/* ---- parameters of a group ---- */

static double plane_at(const tenon_parameter_plane *plane, int64_t row, int64_t col) {
    return tenon_number_load(plane->number, plane->data,
                             row * plane->row_stride + col * plane->col_stride);
}

static tenon_weight_group gguf_group(const tenon_weight_view *view, int64_t row, int64_t col) {
    const uint8_t *bytes = view->data + row * view->n_stride;
    tenon_weight_group group = {1, 0, -0.0};
    int scale, min;
    switch (view->format) {
    case TENON_FORMAT_GGUF_Q4_0:
        group.scale = (double)tenon_gguf_f16_at(bytes + col / 32 * 18);
        group.zero = 8;
        break;
    case TENON_FORMAT_GGUF_Q4_1:
        group.scale = (double)tenon_gguf_f16_at(bytes + col / 32 * 20);
        group.offset = (double)tenon_gguf_f16_at(bytes + col / 32 * 20 + 2);
        break;
    case TENON_FORMAT_GGUF_Q8_0:
        group.scale = (double)tenon_gguf_f16_at(bytes + col / 32 * 34);
        break;
    case TENON_FORMAT_GGUF_Q4_K:
        bytes += col / 256 * 144;
        tenon_gguf_q4_k_scale_min(bytes + 4, (int)(col % 256 / 32), &scale, &min);
        group.scale = (double)tenon_gguf_f16_at(bytes) * scale;
        group.offset = -(double)tenon_gguf_f16_at(bytes + 2) * min;
        break;
    default:
        bytes += col / 256 * 210;
        group.scale = (double)tenon_gguf_f16_at(bytes + 208) * (int8_t)bytes[192 + col % 256 / 16];
        group.zero = 32;
        break;
    }
    return group;
}

/* Zero points of the word-packed formats, in the terms of the unsigned code. */
static double packed_zero(const tenon_weight_view *view, int64_t row, int64_t group) {
    const tenon_parameter_plane *plane = &view->zero_point;
    int per_word = view->format == TENON_FORMAT_INT8_CT ? 4 : 8, bits = 32 / per_word;
    int slot = (int)(row % per_word);
    if (view->format == TENON_FORMAT_INT4_AWQ) slot = tenon_awq_slot(slot);
    uint32_t word =
        tenon_word_get(plane->data, row / per_word * plane->row_stride + group * plane->col_stride);
    double code = (double)(word >> (bits * slot) & ((1u << bits) - 1));
    return view->format == TENON_FORMAT_INT4_GPTQ ? code + 1 : code;
}

tenon_weight_group tenon_weight_parameters(const tenon_weight_view *view, int64_t row,
                                           int64_t group) {
    tenon_weight_group result = {1, 0, -0.0};
    int64_t row_group = row / view->group_rows;
    if (view->scale_swizzled) {
        int64_t offset = tenon_scale_128x4_offset(row_group, group, view->col_groups);
        result.scale = tenon_number_load(view->scale.number, view->scale.data, offset);
    } else {
        result.scale = plane_at(&view->scale, row_group, group);
    }
    if (view->global_scale.present) {
        double global = plane_at(&view->global_scale, 0, 0);
        result.scale = view->global_divides ? result.scale / global : result.scale * global;
    }

    if (view->zero_point.present) {
        result.zero = tenon_format_is_word_packed(view->format)
                          ? packed_zero(view, row, group)
                          : plane_at(&view->zero_point, row_group, group);
    } else if (view->number == TENON_NUMBER_U4) {
        result.zero = 8;
    } else if (view->format == TENON_FORMAT_INT8_CT) {
        result.zero = 128;
    }
    return result;
}

tenon_weight_group tenon_weight_group_at(const tenon_weight_view *view, int64_t row, int64_t col) {
    if (tenon_format_is_gguf(view->format)) return gguf_group(view, row, col);
    if (!view->scale.present) return (tenon_weight_group){1, 0, -0.0};
    int64_t group = col / view->group_cols;
    if (view->group_index.present) {
        group = tenon_index_load(view->group_index.number, view->group_index.data,
                                 col * view->group_index.col_stride);
        if (group < 0 || group >= view->col_groups) return (tenon_weight_group){NAN, 0, -0.0};
    }
    return tenon_weight_parameters(view, row, group);
}

int64_t tenon_weight_group_run(const tenon_weight_view *view, int64_t col) {
    int64_t width = view->group_cols;
    if (view->group_index.present) width = 1;
    if (view->format == TENON_FORMAT_GGUF_Q4_K) width = 32; /* the sub-blocks */
    if (view->format == TENON_FORMAT_GGUF_Q6_K) width = 16;
    int64_t run = width - col % width, left = view->k - col;
    return run < left ? run : left;
}

/* ---- values ---- */

static double plain_value(const tenon_weight_view *view, int64_t row, int64_t col) {
    return tenon_number_load(view->number, view->data + row * view->n_stride + col * view->k_stride,
                             0);
}

void tenon_weight_decode_f64(const tenon_weight_view *view, int64_t row, int64_t col0,
                             int64_t count, double *dst) {
    int64_t col = col0, end = col0 + count;
    if (view->format == TENON_FORMAT_NONE) {
        for (; col < end; col++) *dst++ = plain_value(view, row, col);
        return;
    }
    while (col < end) {
        tenon_weight_group group = tenon_weight_group_at(view, row, col);
        int64_t run_end = col + tenon_weight_group_run(view, col);
        if (run_end > end) run_end = end;
        for (; col < run_end; col++) {
            double code =
                (double)tenon_number_decode(view->number, tenon_weight_code(view, row, col));
            double product = (code - group.zero) * group.scale;
            *dst++ = product + group.offset;
        }
    }
}

void tenon_weight_decode(const tenon_weight_view *view, int64_t row, int64_t col0, int64_t count,
                         float *dst) {
    double values[64];
    while (count > 0) {
        int64_t run = count < 64 ? count : 64;
        tenon_weight_decode_f64(view, row, col0, run, values);
        for (int64_t i = 0; i < run; i++) dst[i] = (float)values[i];
        col0 += run, dst += run, count -= run;
    }
}
