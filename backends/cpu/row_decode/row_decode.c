/* SPDX-License-Identifier: Apache-2.0 */
#include "row_decode.h"

#include <math.h>

#include "cpu_features.h"
#include "packed_bits.h"
#include "scale_layout.h"

tenon_row_decoder tenon_row_decoder_for(uint64_t features) {
#if defined(__x86_64__)
    if (!tenon_cpu_missing(features, TENON_CPU_LEVEL_AVX512))
        return (tenon_row_decoder){tenon_span_decode_x86_avx512, &tenon_row_converters_x86_avx512};
    if (!tenon_cpu_missing(features, TENON_CPU_LEVEL_AVX2))
        return (tenon_row_decoder){tenon_span_decode_x86_avx2, &tenon_row_converters_x86_avx2};
#elif defined(__aarch64__)
    if (!tenon_cpu_missing(features, TENON_CPU_LEVEL_NEON))
        return (tenon_row_decoder){tenon_span_decode_arm_neon, &tenon_row_converters_arm_neon};
#endif
    (void)features;
    return (tenon_row_decoder){tenon_span_decode_scalar, &tenon_row_converters_scalar};
}

/* ---- codes ---- */

/* Eight nibbles, or eight codes of 6 bits, to eight bytes. */
static uint64_t spread_nibbles(uint64_t v) {
    v = (v | v << 16) & 0x0000ffff0000ffffu;
    v = (v | v << 8) & 0x00ff00ff00ff00ffu;
    return (v | v << 4) & 0x0f0f0f0f0f0f0f0fu;
}
static uint64_t spread_six(uint64_t v) {
    v = (v & 0xffffffu) | (v & 0xffffff000000u) << 8;
    v = (v & 0x00000fff00000fffu) | (v & 0x00fff00000fff000u) << 4;
    return (v & 0x003f003f003f003fu) | (v & 0x0fc00fc00fc00fc0u) << 2;
}

static void unpack_nibbles(const uint8_t *from, int64_t count, uint8_t *to) {
    int64_t i = 0;
    for (; i + 8 <= count; i += 8) {
        uint32_t word;
        memcpy(&word, from + i / 2, 4);
        const uint64_t bytes = spread_nibbles(word);
        memcpy(to + i, &bytes, 8);
    }
    for (; i < count; i++) to[i] = tenon_nibble_get(from, i);
}

static void unpack_six(const uint8_t *from, int64_t count, uint8_t *to) {
    int64_t i = 0;
    for (; i + 8 <= count; i += 8) {
        uint64_t word = 0;
        memcpy(&word, from + i / 4 * 3, 6);
        word = spread_six(word);
        memcpy(to + i, &word, 8);
    }
    for (; i < count; i++) to[i] = tenon_sixbit_get(from, i);
}

const uint8_t *tenon_row_codes(const tenon_weight_view *view, int64_t row, int64_t col,
                               int64_t count, uint8_t buffer[TENON_ROW_CODES]) {
    const tenon_format_storage *storage = tenon_format_storage_of(view->format);
    const uint8_t *data = view->data + row * view->n_stride;
    const int64_t entry = storage ? storage->entry_bytes : 1;
    const bool in_rows = view->k_stride == entry && (!storage || !storage->k_first);
    if (in_rows && (!storage || storage->k_per == 1)) return data + col;
    if (in_rows && view->format == TENON_FORMAT_INT8_CT) return data + col;
    if (in_rows && view->number == TENON_NUMBER_E2M1) {
        unpack_nibbles(data + col / 2, count, buffer);
    } else if (in_rows && view->number == TENON_NUMBER_U4) {
        unpack_nibbles(data + col / 2, count, buffer);
    } else if (in_rows &&
               (view->number == TENON_NUMBER_E2M3 || view->number == TENON_NUMBER_E3M2)) {
        unpack_six(data + col / 4 * 3, count, buffer);
    } else {
        for (int64_t i = 0; i < count; i++) buffer[i] = tenon_weight_code(view, row, col + i);
    }
    return buffer;
}

/* ---- scales ---- */

double tenon_row_scale(const tenon_weight_view *view, int64_t row, int64_t group) {
    const tenon_parameter_plane *plane = &view->scale;
    const int64_t row_group = view->group_rows == 1 ? row : row / view->group_rows;
    const int64_t at = view->scale_swizzled
                           ? tenon_scale_128x4_offset(row_group, group, view->col_groups)
                           : row_group * plane->row_stride + group * plane->col_stride;
    return tenon_number_load(plane->number, plane->data, at);
}

/* ---- rows ---- */

static void decode_slowly(const tenon_weight_view *view, int64_t row, int64_t col, int64_t count,
                          tenon_number type, void *out) {
    double values[64];
    for (int64_t done = 0; done < count; done += 64) {
        const int64_t n = count - done < 64 ? count - done : 64;
        tenon_weight_decode_f64(view, row, col + done, n, values);
        for (int64_t i = 0; i < n; i++) tenon_number_store(type, out, done + i, values[i]);
    }
}

static bool is_whole(float zero) {
    return fabsf(zero) <= 0x1p20f && truncf(zero) == zero;
}

/* Codes of a byte or less with a scale for neighbouring columns. */
static bool is_regular(const tenon_weight_view *view) {
    if (tenon_format_is_gguf(view->format) || view->group_index.present) return false;
    return view->number != TENON_NUMBER_F32 && view->number != TENON_NUMBER_F16 &&
           view->number != TENON_NUMBER_BF16;
}

void tenon_row_decode(const tenon_weight_view *view, const tenon_row_decoder *decoder, int64_t row,
                      int64_t col, int64_t count, tenon_number type, void *out) {
    uint8_t buffer[TENON_ROW_CODES];
    float scale[TENON_ROW_CODES], zero[TENON_ROW_CODES];
    const int64_t size = type == TENON_NUMBER_F32 ? 4 : 2, end = col + count;
    const bool scaled = view->scale.present;
    const bool has_zero = view->zero_point.present || view->number == TENON_NUMBER_U4 ||
                          view->format == TENON_FORMAT_INT8_CT;
    tenon_span span = {.number = view->number, .global = 1, .divides = view->global_divides};
    if (view->format == TENON_FORMAT_NONE && view->number <= TENON_NUMBER_BF16 &&
        view->k_stride == tenon_number_bytes(view->number)) {
        decoder->convert->to_from[type][view->number](
            out, view->data + row * view->n_stride + col * view->k_stride, count, 1);
        return;
    }
    if (!is_regular(view) || (view->k_stride == 1 && col % 4)) {
        decode_slowly(view, row, col, count, type, out);
        return;
    }
    if (view->global_scale.present)
        span.global = (float)tenon_number_load(TENON_NUMBER_F32, view->global_scale.data, 0);
    if (view->global_scale.present && !isnormal(span.global)) {
        decode_slowly(view, row, col, count, type, out);
        return;
    }
    for (int64_t n; col < end; col += n, out = (uint8_t *)out + n * size) {
        /* Many whole groups at a time, or a part of one. */
        const int64_t width = view->group_cols, left = end - col;
        const bool many = width < TENON_ROW_CODES && col % width == 0;
        n = many                                    ? TENON_ROW_CODES / width * width
            : width - col % width < TENON_ROW_CODES ? width - col % width
                                                    : TENON_ROW_CODES;
        if (n > left) n = left;
        if (!many && n % 4 && n < left && view->k_stride == 1 && n > 4) n -= n % 4;
        span.group = many ? width : n;
        span.count = n;
        bool whole = true;
        for (int64_t g = 0; g * span.group < n && (scaled || has_zero); g++) {
            scale[g] =
                scaled ? (float)tenon_row_scale(view, row, (col + g * span.group) / width) : 1;
            if (!has_zero) continue;
            zero[g] = (float)tenon_weight_group_at(view, row, col + g * span.group).zero;
            whole = whole && is_whole(zero[g]);
        }
        span.scale = scaled ? scale : NULL;
        span.zero = has_zero ? zero : NULL;
        if (!whole || col % 4) {
            decode_slowly(view, row, col, n, type, out);
            continue;
        }
        span.codes = tenon_row_codes(view, row, col, n, buffer);
        decoder->span(&span, type, out);
    }
}
