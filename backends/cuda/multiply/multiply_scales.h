/* SPDX-License-Identifier: Apache-2.0 */
/* Scales and zero points of a tile of weights, converted once for the block. */
#ifndef TENON_MULTIPLY_SCALES_H
#define TENON_MULTIPLY_SCALES_H

#include "device/device_number.h"
#include "multiply_rows.h"

/* Of one row and one slab: the scale that multiplies a sum, and what codec_u4 adds; for NVFP4 the
 * scale pairs of the slab's two blocks, which multiply codes. */
typedef struct slab_scale {
    uint32_t first, second;
} slab_scale;

DEVICE float load_scale(tenon_device_const_bytes base, uint32_t number, int64_t i) {
    switch (number) {
    case TENON_NUMBER_F32:
        return float_of(load_4(base + 4 * i));
    case TENON_NUMBER_F16:
        return f16_to_f32(load_2(base + 2 * i));
    case TENON_NUMBER_BF16:
        return bf16_to_f32(load_2(base + 2 * i));
    case TENON_NUMBER_E4M3FN:
        return fp8_to_f32(TENON_NUMBER_E4M3FN, base[i]);
    default: { /* e8m0 */
        const uint32_t code = base[i];
        return float_of(code == 0 ? 0x00400000u : code == 255 ? 0x7fc00000u : code << 23);
    }
    }
}

/* Scale of a row that is there, in a group of columns; 1 without scales. */
DEVICE float weight_scale(const multiply_arguments *a, tenon_device_const_bytes scale, uint32_t row,
                          uint32_t group) {
    int64_t at;
    if (!scale) return 1;
    if (a->scale_swizzled) /* as tenon_scale_128x4_offset of backends/common */
        at = ((int64_t)(row / 128) * ((a->scale_groups + 3) / 4) + group / 4) * 512 +
             row % 32 * 16 + row % 128 / 32 * 4 + group % 4;
    else
        at = (row >> a->scale_row_shift) * a->scale_row + group * a->scale_col;
    return load_scale(scale, a->scale_number, at);
}

DEVICE float expert_global(const multiply_arguments *a, uint32_t expert) {
    const float g = a->global_scale ? float_of(load_4(a->global_scale + 4 * (int64_t)expert)) : 1;
    return a->global_divides ? 1 / g : g;
}

DEVICE tenon_device_const_bytes expert_scales(const multiply_arguments *a, uint32_t expert) {
    const uint32_t shift =
        a->scale_number == TENON_NUMBER_F32                                           ? 2
        : a->scale_number == TENON_NUMBER_F16 || a->scale_number == TENON_NUMBER_BF16 ? 1
                                                                                      : 0;
    return a->scale ? a->scale + ((expert * a->scale_expert) << shift) : a->scale;
}

DEVICE int32_t zero_point(const multiply_arguments *a, uint32_t expert, uint32_t row,
                          uint32_t group) {
    int64_t at = expert * a->zero_expert + group * a->zero_col;
    switch (a->zero_kind) {
    case MULTIPLY_ZERO_PACKED: {
        const uint32_t slot = a->zero_is_awq ? row % 8 / 2 + 4 * (row % 2) : row % 8;
        const uint32_t word = load_4(a->zero + 4 * (at + row / 8 * a->zero_row));
        return (int32_t)((word >> (4 * slot) & 0xfu) + a->zero_add);
    }
    case MULTIPLY_ZERO_I8:
        return (int8_t)a->zero[at + row * a->zero_row];
    case MULTIPLY_ZERO_U8:
        return a->zero[at + row * a->zero_row];
    default:
        return 8;
    }
}

DEVICE uint32_t doubled(float x, const bool bf16) {
    return 0x00010001u * (bf16 ? f32_to_bf16(x) : f32_to_f16(x));
}

DEVICE slab_scale slab_scale_of(const multiply_arguments *a, uint32_t expert, uint32_t row,
                                uint32_t k, const uint32_t code, bool sixteen, const bool bf16) {
    slab_scale s = {0, 0};
    const tenon_device_const_bytes scale = expert_scales(a, expert);
    const uint32_t last = a->scale_groups - 1;
    uint32_t group = k >> a->scale_col_shift;
    group = group > last ? last : group;
    if (sixteen) {
        const uint32_t next = group + 1 > last ? last : group + 1;
        s.first = doubled(weight_scale(a, scale, row, group), bf16);
        s.second = doubled(weight_scale(a, scale, row, next), bf16);
        return s;
    }
    s.first = bits_of(weight_scale(a, scale, row, group));
    if (code == MULTIPLY_CODE_U4)
        s.second = doubled(-(float)((bf16 ? 128 : 1024) + zero_point(a, expert, row, group)), bf16);
    return s;
}

/* For `places` rows and `slabs` slabs from k0 on: scales[slab][place]. */
DEVICE void make_scales(const multiply_arguments *a, slab_scale *scales, uint32_t expert,
                        uint32_t tile, uint32_t base, uint32_t k0, const uint32_t places,
                        const uint32_t slabs, const uint32_t code, bool sixteen, const bool bf16,
                        uint32_t lane, const uint32_t lanes) {
#pragma unroll 1
    for (uint32_t i = lane; i < places * slabs; i += lanes) {
        const uint32_t place = i % places, slab = i / places;
        const slab_scale none = {0, 0};
        scales[i] = is_weight_row(a, tile, places, place)
                        ? slab_scale_of(a, expert, weight_row(a, base, place),
                                        k0 + slab * MULTIPLY_SLAB_COLS, code, sixteen, bf16)
                        : none;
    }
}

#endif /* TENON_MULTIPLY_SCALES_H */
