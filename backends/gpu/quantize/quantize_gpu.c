/* SPDX-License-Identifier: Apache-2.0 */
/* quantize: a group of lanes for each span, or a workgroup where spans are long. Each span is read
 * from memory once: its largest magnitude is found first, and the second pass finds it in the
 * caches (a row of 16,384 bf16 is 32 KiB).
 *
 * The codes are those of the quotient in exact arithmetic, as on every other backend. */
#include "device/device_quantize.h"
#include "device/device_reduce.h"
#include "device/device_row.h"
#include "quantize_arguments.h"

DEVICE uint32_t power_of_two_code(const quantize_arguments *a, float amax) {
    uint32_t bits = bits_of(amax);
    if (bits >= 0x7f800000u) return 0xff;
    if (bits == 0) return 127;
    bits += a->even_bit;
    int32_t exponent = -127;
    if (bits < 0x00800000u) { /* denormal: exact in the next binades */
        bits = bits_of(float_of(bits) * 0x1p64f);
        exponent -= 64;
    }
    const float m = float_of((bits & 0x007fffffu) | 0x3f800000u);
    exponent += (int32_t)(bits >> 23) - a->e_max;
    exponent += m >= a->m_up ? 1 : m < a->m_down ? -1 : 0;
    const int32_t code = exponent + 127;
    const uint32_t bounded = code < 0 ? 0 : code > 254 ? 254 : (uint32_t)code;
    return smaller_u32(bounded, a->code_limit);
}

DEVICE float power_of_two_of(uint32_t code) {
    return code == 0xff ? float_of(0x7fc00000u) : code ? float_of(code << 23) : 0x1p-127f;
}

/* The scale of a span, stored by one lane, or read where it is an input. */
DEVICE divisor scale_of_span(const quantize_arguments *a, uint32_t span, uint32_t amax_bits,
                             bool stores) {
    const int64_t at = span / a->row_spans * a->scale_row + span % a->row_spans * a->scale_col;
    float amax = float_of(amax_bits);
    if (amax < a->amax_floor) amax = a->amax_floor;
    if (a->power_of_two) {
        const uint32_t code = a->static_scale ? a->scale[at] : power_of_two_code(a, amax);
        if (stores) a->scale[at] = (uint8_t)code;
        return divisor_of(power_of_two_of(code), true);
    }
    TENON_GLOBAL float *place = (TENON_GLOBAL float *)a->scale + at;
    float scale = amax == 0 ? 1 : amax / a->element_max;
    if (scale > a->scale_limit) scale = a->scale_limit;
    if (a->static_scale) scale = *place;
    if (stores) *place = scale;
    return divisor_of(scale, false);
}

DEVICE uint32_t code_of(const quantize_arguments *a, const number_encoder *e, const divisor *d,
                        float x) {
    if (d->scale == 0) return 0;
    float value = quotient_odd(x, d);
    if (a->clamp) {
        if (value > a->element_max) value = a->element_max;
        if (value < -a->element_max) value = -a->element_max;
    }
    return a->is_integer ? f32_to_i8(value) : encode_number(e, value);
}

DEVICE void store_codes(const quantize_arguments *a, tenon_device_bytes row, uint32_t col,
                        const int piece, const uint32_t *code) {
    if (a->number == TENON_NUMBER_E2M1) {
        uint32_t word = 0;
        for (int j = 0; j < piece; j++) word |= code[j] << (4 * j);
        if (piece == 8)
            store_4(row + col / 2, word);
        else if (piece == 4)
            store_2(row + col / 2, (uint16_t)word);
        else
            row[col / 2] = (uint8_t)word;
        return;
    }
    store_codes_bytes(row, col, piece, code);
}

/* Lane `lane` of `lanes` that share a span. */
DEVICE uint32_t largest_of_span(const quantize_arguments *a, tenon_device_const_bytes x,
                                int64_t x_at, uint32_t n, uint32_t lane, uint32_t lanes,
                                const int piece) {
    uint32_t amax = 0;
    for (uint32_t i = lane * (uint32_t)piece; i < n; i += lanes * (uint32_t)piece) {
        float v[8];
        load_piece(x, x_at + i, a->x_number, piece, v);
        for (int j = 0; j < piece; j++)
            amax = larger_u32(amax, magnitude_bits(v[j], a->nan_in_elements));
    }
    return amax;
}

DEVICE void encode_span(const quantize_arguments *a, const divisor *d, int64_t x_at,
                        tenon_device_bytes row, uint32_t col, uint32_t n, uint32_t lane,
                        uint32_t lanes, const int piece) {
    const number_encoder encoder = number_encoder_of(a->number);
    for (uint32_t i = lane * (uint32_t)piece; i < n; i += lanes * (uint32_t)piece) {
        float v[8];
        uint32_t code[8];
        load_piece(a->x, x_at + i, a->x_number, piece, v);
        for (int j = 0; j < piece; j++) code[j] = code_of(a, &encoder, d, v[j]);
        store_codes(a, row, col + i, piece, code);
    }
}

DEVICE void quantize_by_lanes(const quantize_arguments *a, const int piece) {
    const uint32_t lane = thread_x() % a->span_lanes;
    const uint32_t span = (block_x() * QUANTIZE_BLOCK_LANES + thread_x()) / a->span_lanes;
    if (span >= a->n_spans) return;
    const uint32_t row = span / a->row_spans, col = span % a->row_spans * a->span_cols,
                   n = smaller_u32(a->span_cols, a->cols - col);
    const int64_t x_at = row * a->x_row + col;
    const uint32_t amax =
        group_max_u32(largest_of_span(a, a->x, x_at, n, lane, a->span_lanes, piece), a->span_lanes);
    const divisor d = scale_of_span(a, span, amax, lane == 0 && !a->static_scale);
    encode_span(a, &d, x_at, a->q + row * a->q_row_bytes, col, n, lane, a->span_lanes, piece);
}

SHARED_ARRAY(uint32_t, largest_of_waves, QUANTIZE_BLOCK_LANES / 32);

DEVICE void quantize_by_block(const quantize_arguments *a, const int piece) {
    const uint32_t span = block_x(), row = span / a->row_spans,
                   col = span % a->row_spans * a->span_cols,
                   n = smaller_u32(a->span_cols, a->cols - col);
    const int64_t x_at = row * a->x_row + col;
    const uint32_t of_wave =
        wave_max_u32(largest_of_span(a, a->x, x_at, n, thread_x(), QUANTIZE_BLOCK_LANES, piece));
    if (lane_id() == 0) largest_of_waves[wave_id()] = of_wave;
    workgroup_barrier();
    uint32_t amax = 0;
    for (int w = 0; w < QUANTIZE_BLOCK_LANES / WAVE_LANES; w++)
        amax = larger_u32(amax, largest_of_waves[w]);
    const divisor d = scale_of_span(a, span, amax, thread_x() == 0 && !a->static_scale);
    encode_span(a, &d, x_at, a->q + row * a->q_row_bytes, col, n, thread_x(), QUANTIZE_BLOCK_LANES,
                piece);
}

/* by_8, by_4: rows on 16-byte boundaries, 16- and 32-bit inputs. by_2: pairs of 4-bit codes in a
 * byte. by_1: anything else. */
DEVICE_KERNEL(quantize_lanes_by_8, QUANTIZE_BLOCK_LANES)(DEVICE_ARGUMENT quantize_arguments a) {
    quantize_by_lanes(&a, 8);
}
DEVICE_KERNEL(quantize_lanes_by_4, QUANTIZE_BLOCK_LANES)(DEVICE_ARGUMENT quantize_arguments a) {
    quantize_by_lanes(&a, 4);
}
DEVICE_KERNEL(quantize_lanes_by_2, QUANTIZE_BLOCK_LANES)(DEVICE_ARGUMENT quantize_arguments a) {
    quantize_by_lanes(&a, 2);
}
DEVICE_KERNEL(quantize_lanes_by_1, QUANTIZE_BLOCK_LANES)(DEVICE_ARGUMENT quantize_arguments a) {
    quantize_by_lanes(&a, 1);
}
DEVICE_KERNEL(quantize_block_by_8, QUANTIZE_BLOCK_LANES)(DEVICE_ARGUMENT quantize_arguments a) {
    quantize_by_block(&a, 8);
}
DEVICE_KERNEL(quantize_block_by_4, QUANTIZE_BLOCK_LANES)(DEVICE_ARGUMENT quantize_arguments a) {
    quantize_by_block(&a, 4);
}
DEVICE_KERNEL(quantize_block_by_1, QUANTIZE_BLOCK_LANES)(DEVICE_ARGUMENT quantize_arguments a) {
    quantize_by_block(&a, 1);
}
