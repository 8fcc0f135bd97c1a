/* SPDX-License-Identifier: Apache-2.0 */
/* moe_dispatch: the activations. A token's row is read once and written to the rows of its k pairs:
 * hidden elements in, k * hidden out. Quantized, a span of it is scaled and encoded once. */
#include "device/device_quantize.h"
#include "device/device_reduce.h"
#include "device/device_row.h"
#include "moe_dispatch_arguments.h"

DEVICE int64_t row_offset(const moe_dispatch_arguments *a, uint32_t row, int64_t table_step,
                          int64_t row_step) {
    return a->table_rows ? row / a->table_rows * table_step + row % a->table_rows * row_step
                         : row * row_step;
}

/* Rows as they are, in units of 16 bytes or of an element. */
#define COPY_KERNEL(name, type)                                                                    \
    DEVICE_KERNEL(name, MOE_DISPATCH_BLOCK_LANES)(DEVICE_ARGUMENT moe_dispatch_arguments a) {                      \
        const uint32_t at = block_x() * MOE_DISPATCH_BLOCK_LANES + thread_x();                     \
        const uint32_t token = at / a.row_units, unit = at % a.row_units;                          \
        if (token >= a.n_tokens) return;                                                           \
        const type value =                                                                         \
            *((TENON_GLOBAL const type *)(a.x + token * a.x_token * a.element_bytes) + unit);      \
        for (uint32_t slot = 0; slot < a.k; slot++) {                                              \
            const int32_t row = a.row_of_pair[token * a.k + slot];                                 \
            if (row >= 0)                                                                          \
                *((TENON_GLOBAL type *)(a.x_out +                                                  \
                                        row_offset(&a, (uint32_t)row, a.out_table, a.out_row) *    \
                                            a.element_bytes) +                                     \
                  unit) = value;                                                                   \
        }                                                                                          \
    }
COPY_KERNEL(moe_dispatch_copy_16, u32x4)
COPY_KERNEL(moe_dispatch_copy_4, uint32_t)
COPY_KERNEL(moe_dispatch_copy_2, uint16_t)
COPY_KERNEL(moe_dispatch_copy_1, uint8_t)

/* A workgroup for each expert: the rows between its last pair and the next expert. */
DEVICE_KERNEL(moe_dispatch_pad, MOE_DISPATCH_BLOCK_LANES)(DEVICE_ARGUMENT moe_dispatch_arguments a) {
    const uint32_t e = block_x(), begin = a.first[e] + a.kept[e], end = a.first[e + 1];
    for (uint32_t row = begin; row < end; row++) {
        tenon_device_bytes out = a.x_out + row * a.out_row * a.element_bytes;
        const uint32_t bytes = a.hidden * a.element_bytes;
        if (a.clears_16)
            for (uint32_t i = thread_x() * 16; i < bytes; i += MOE_DISPATCH_BLOCK_LANES * 16)
                store_16(out + i, (u32x4){0, 0, 0, 0});
        else
            for (uint32_t i = thread_x(); i < bytes; i += MOE_DISPATCH_BLOCK_LANES) out[i] = 0;
        for (uint32_t g = thread_x(); a.scale && g < a.n_groups; g += MOE_DISPATCH_BLOCK_LANES)
            ((TENON_GLOBAL float *)a.scale)[row * a.scale_row + g] = 1;
    }
}

DEVICE uint32_t largest_of_group(const moe_dispatch_arguments *a, int64_t x_at, uint32_t lane,
                                 uint32_t lanes, const int piece) {
    uint32_t amax = 0;
    for (uint32_t i = lane * (uint32_t)piece; i < a->group_cols; i += lanes * (uint32_t)piece) {
        float v[8];
        load_piece(a->x, x_at + i, a->x_number, piece, v);
        for (int j = 0; j < piece; j++)
            amax = larger_u32(amax, magnitude_bits(v[j], !a->is_integer));
    }
    return amax;
}

DEVICE void encode_group(const moe_dispatch_arguments *a, uint32_t token, uint32_t group,
                         int64_t x_at, float amax, uint32_t lane, uint32_t lanes, const int piece) {
    const number_encoder encoder = number_encoder_of(a->number);
    const float scale = amax == 0 ? 1 : amax / a->element_max;
    const divisor d = divisor_of(scale, false);
    for (uint32_t slot = lane; slot < a->k; slot += lanes) {
        const int32_t row = a->row_of_pair[token * a->k + slot];
        if (row >= 0)
            ((TENON_GLOBAL float *)
                 a->scale)[row_offset(a, (uint32_t)row, a->scale_table, a->scale_row) + group] =
                scale;
    }
    for (uint32_t i = lane * (uint32_t)piece; i < a->group_cols; i += lanes * (uint32_t)piece) {
        float v[8];
        uint32_t code[8];
        load_piece(a->x, x_at + i, a->x_number, piece, v);
        for (int j = 0; j < piece; j++) {
            const float q = quotient_odd(v[j], &d);
            code[j] = scale == 0 ? 0 : a->is_integer ? f32_to_i8(q) : encode_number(&encoder, q);
        }
        for (uint32_t slot = 0; slot < a->k; slot++) {
            const int32_t row = a->row_of_pair[token * a->k + slot];
            if (row >= 0)
                store_codes_bytes(a->x_out,
                                  row_offset(a, (uint32_t)row, a->out_table, a->out_row) +
                                      group * a->group_cols + i,
                                  piece, code);
        }
    }
}

DEVICE void quantize_by_lanes(const moe_dispatch_arguments *a, const int piece) {
    const uint32_t lane = thread_x() % a->group_lanes;
    const uint32_t span = (block_x() * MOE_DISPATCH_BLOCK_LANES + thread_x()) / a->group_lanes,
                   token = span / a->n_groups, group = span % a->n_groups;
    if (token >= a->n_tokens) return;
    const int64_t x_at = token * a->x_token + group * a->group_cols;
    const uint32_t amax =
        group_max_u32(largest_of_group(a, x_at, lane, a->group_lanes, piece), a->group_lanes);
    encode_group(a, token, group, x_at, float_of(amax), lane, a->group_lanes, piece);
}

SHARED_ARRAY(uint32_t, largest_of_waves, MOE_DISPATCH_BLOCK_LANES / 32);

DEVICE void quantize_by_block(const moe_dispatch_arguments *a, const int piece) {
    const uint32_t token = block_x() / a->n_groups, group = block_x() % a->n_groups;
    const int64_t x_at = token * a->x_token + group * a->group_cols;
    const uint32_t of_wave =
        wave_max_u32(largest_of_group(a, x_at, thread_x(), MOE_DISPATCH_BLOCK_LANES, piece));
    if (lane_id() == 0) largest_of_waves[wave_id()] = of_wave;
    workgroup_barrier();
    uint32_t amax = 0;
    for (int w = 0; w < MOE_DISPATCH_BLOCK_LANES / WAVE_LANES; w++)
        amax = larger_u32(amax, largest_of_waves[w]);
    encode_group(a, token, group, x_at, float_of(amax), thread_x(), MOE_DISPATCH_BLOCK_LANES,
                 piece);
}

DEVICE_KERNEL(moe_dispatch_quantize_lanes_by_8,
              MOE_DISPATCH_BLOCK_LANES)(DEVICE_ARGUMENT moe_dispatch_arguments a) {
    quantize_by_lanes(&a, 8);
}
DEVICE_KERNEL(moe_dispatch_quantize_lanes_by_4,
              MOE_DISPATCH_BLOCK_LANES)(DEVICE_ARGUMENT moe_dispatch_arguments a) {
    quantize_by_lanes(&a, 4);
}
DEVICE_KERNEL(moe_dispatch_quantize_lanes_by_1,
              MOE_DISPATCH_BLOCK_LANES)(DEVICE_ARGUMENT moe_dispatch_arguments a) {
    quantize_by_lanes(&a, 1);
}
DEVICE_KERNEL(moe_dispatch_quantize_block_by_8,
              MOE_DISPATCH_BLOCK_LANES)(DEVICE_ARGUMENT moe_dispatch_arguments a) {
    quantize_by_block(&a, 8);
}
DEVICE_KERNEL(moe_dispatch_quantize_block_by_4,
              MOE_DISPATCH_BLOCK_LANES)(DEVICE_ARGUMENT moe_dispatch_arguments a) {
    quantize_by_block(&a, 4);
}
DEVICE_KERNEL(moe_dispatch_quantize_block_by_1,
              MOE_DISPATCH_BLOCK_LANES)(DEVICE_ARGUMENT moe_dispatch_arguments a) {
    quantize_by_block(&a, 1);
}
