/* SPDX-License-Identifier: Apache-2.0 */
/* One element of any format at any stride, as f32: tenon_weight_decode of backends/common on the
 * device. The format is the same in all lanes. For the kernel that takes what no other does. */
#ifndef TENON_MATMUL_DECODE_H
#define TENON_MATMUL_DECODE_H

#include "device/device_row.h"
#include "matmul_arguments.h"
#include "tenon_base.h"

/* A word at any address: checkpoints promise no alignment. */
DEVICE uint32_t load_word(tenon_device_const_bytes p) {
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}
DEVICE float load_f16(tenon_device_const_bytes p) {
    return f16_to_f32((uint16_t)(p[0] | p[1] << 8));
}

DEVICE float e8m0_to_f32(uint32_t code) {
    return code == 255 ? float_of(0x7fc00000u) : float_of(code ? code << 23 : 1u << 22);
}

/* E2M3 and E3M2, E2M1: sign above, gradual underflow below. */
DEVICE float small_float_to_f32(uint32_t code, const int mantissa_bits, const int bias,
                                const uint32_t sign_bit) {
    const float x = minifloat_to_f32(code & (sign_bit - 1), mantissa_bits, bias);
    return code & sign_bit ? -x : x;
}

DEVICE float code_to_f32(uint32_t number, uint32_t code) {
    switch (number) {
    case TENON_NUMBER_I8:
        return (float)(int32_t)(int8_t)code;
    case TENON_NUMBER_U8:
    case TENON_NUMBER_U4:
        return (float)code;
    case TENON_NUMBER_E2M3:
        return small_float_to_f32(code, 3, 1, 32);
    case TENON_NUMBER_E3M2:
        return small_float_to_f32(code, 2, 3, 32);
    case TENON_NUMBER_E2M1:
        return small_float_to_f32(code, 1, 1, 8);
    case TENON_NUMBER_E8M0:
        return e8m0_to_f32(code);
    default:
        return fp8_to_f32(number, code);
    }
}

DEVICE float plane_at(const matmul_plane *plane, int64_t i) {
    switch (plane->number) {
    case TENON_NUMBER_F32:
    case TENON_NUMBER_F16:
    case TENON_NUMBER_BF16:
        return load_float(plane->data, i, plane->number);
    case TENON_NUMBER_I32:
        return (float)((TENON_GLOBAL const int32_t *)plane->data)[i];
    default:
        return code_to_f32(plane->number, plane->data[i]);
    }
}

DEVICE uint32_t awq_slot(uint32_t column) {
    return (column >> 1 & 3) | (column & 1) << 2;
}

/* Where the scale of a group lies. */
DEVICE int64_t scale_at(const matmul_operand *o, uint32_t expert, uint32_t row_group,
                        uint32_t group) {
    const int64_t base = expert * o->scale.expert_stride;
    if (!o->scale.swizzled)
        return base + row_group * o->scale.row_stride + group * o->scale.col_stride;
    const int64_t atom = (int64_t)(row_group / 128) * ((o->col_groups + 3) / 4) + group / 4;
    return base + atom * 512 + row_group % 32 * 16 + row_group % 128 / 32 * 4 + group % 4;
}

/* (number(code) - zero) * scale + offset */
typedef struct element_group {
    float scale, zero, offset;
} element_group;

DEVICE float zero_at(const matmul_operand *o, uint32_t expert, uint32_t row, uint32_t group) {
    const int64_t base = expert * o->zero.expert_stride + group * o->zero.col_stride;
    if (!(o->format >= TENON_FORMAT_INT4_GPTQ && o->format <= TENON_FORMAT_INT8_CT))
        return plane_at(&o->zero, base + row / o->group_rows * o->zero.row_stride);
    const uint32_t per_word = o->format == TENON_FORMAT_INT8_CT ? 4 : 8, bits = 32 / per_word;
    const uint32_t slot = o->format == TENON_FORMAT_INT4_AWQ ? awq_slot(row % 8) : row % per_word;
    const uint32_t word =
        load_word(o->zero.data + 4 * (base + row / per_word * o->zero.row_stride));
    const uint32_t code = word >> (bits * slot) & ((1u << bits) - 1);
    return (float)(code + (o->format == TENON_FORMAT_INT4_GPTQ));
}

DEVICE element_group group_of(const matmul_operand *o, uint32_t expert, uint32_t row,
                              uint32_t col) {
    element_group g = {1, 0, -0.0f};
    if (!o->scale.data) return g;
    uint32_t group = col / o->group_cols;
    if (o->group_index) {
        group =
            (uint32_t)((TENON_GLOBAL const int32_t *)o->group_index)[col * o->group_index_stride];
        if (group >= o->col_groups) return (element_group){float_of(0x7fc00000u), 0, -0.0f};
    }
    g.scale = plane_at(&o->scale, scale_at(o, expert, row / o->group_rows, group));
    if (o->global.data) {
        const float global =
            ((TENON_GLOBAL const float *)o->global.data)[expert * o->global.expert_stride];
        g.scale = o->global_divides ? g.scale / global : g.scale * global;
    }
    if (o->zero.data)
        g.zero = zero_at(o, expert, row, group);
    else if (o->number == TENON_NUMBER_U4)
        g.zero = 8;
    else if (o->format == TENON_FORMAT_INT8_CT)
        g.zero = 128;
    return g;
}

DEVICE float group_value(element_group g, float code) {
    return (code - g.zero) * g.scale + g.offset;
}

/* GGUF blocks: scales are inside. abi/FORMATS.md has the pictures. */
DEVICE float gguf_element(uint32_t format, tenon_device_const_bytes row, uint32_t col) {
    const uint32_t in_block = col % 32, in_super = col % 256;
    const uint32_t nibble = 4 * (in_block / 16);
    if (format == TENON_FORMAT_GGUF_Q4_0) {
        const tenon_device_const_bytes b = row + (int64_t)(col / 32) * 18;
        return ((float)(b[2 + in_block % 16] >> nibble & 15) - 8) * load_f16(b);
    }
    if (format == TENON_FORMAT_GGUF_Q4_1) {
        const tenon_device_const_bytes b = row + (int64_t)(col / 32) * 20;
        return (float)(b[4 + in_block % 16] >> nibble & 15) * load_f16(b) + load_f16(b + 2);
    }
    if (format == TENON_FORMAT_GGUF_Q8_0) {
        const tenon_device_const_bytes b = row + (int64_t)(col / 32) * 34;
        return (float)(int32_t)(int8_t)b[2 + in_block] * load_f16(b);
    }
    if (format == TENON_FORMAT_GGUF_Q4_K) {
        const tenon_device_const_bytes b = row + (int64_t)(col / 256) * 144, packed = b + 4;
        const uint32_t i = in_super / 32;
        const uint32_t scale =
            i < 4 ? packed[i] & 63u : (packed[i + 4] & 15u) | (uint32_t)packed[i - 4] >> 6 << 4;
        const uint32_t min = i < 4 ? packed[i + 4] & 63u
                                   : (uint32_t)packed[i + 4] >> 4 | (uint32_t)packed[i] >> 6 << 4;
        const uint32_t code = b[16 + in_super / 64 * 32 + in_block] >> (4 * (i % 2)) & 15u;
        return load_f16(b) * (float)scale * (float)code - load_f16(b + 2) * (float)min;
    }
    const tenon_device_const_bytes b = row + (int64_t)(col / 256) * 210;
    const uint32_t half = in_super / 128, part = in_super % 128 / 32;
    const uint32_t low = b[64 * half + 32 * (part % 2) + in_block],
                   high = b[128 + 32 * half + in_block];
    const uint32_t code = (part < 2 ? low & 15u : low >> 4) | (high >> (2 * part) & 3u) << 4;
    return ((float)code - 32) *
           (load_f16(b + 208) * (float)(int32_t)(int8_t)b[192 + in_super / 16]);
}

DEVICE uint32_t element_code(const matmul_operand *o, tenon_device_const_bytes base, uint32_t row,
                             uint32_t col) {
    switch (o->format) {
    case TENON_FORMAT_INT4:
    case TENON_FORMAT_MXFP4:
    case TENON_FORMAT_NVFP4:
        return (uint32_t)base[row * o->row_stride + col / 2] >> (4 * (col & 1)) & 15;
    case TENON_FORMAT_MXFP6_E2M3:
    case TENON_FORMAT_MXFP6_E3M2: {
        const tenon_device_const_bytes p = base + row * o->row_stride + (int64_t)(col / 4) * 3;
        return (p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16) >> (6 * (col % 4)) & 63;
    }
    case TENON_FORMAT_INT4_GPTQ:
    case TENON_FORMAT_INT4_GPTQ_V2:
    case TENON_FORMAT_INT4_CT:
        return load_word(base + row * o->row_stride + col / 8 * o->k_stride) >> (4 * (col % 8)) &
               15;
    case TENON_FORMAT_INT4_AWQ:
        return load_word(base + row / 8 * o->row_stride + col * o->k_stride) >>
                   (4 * awq_slot(row % 8)) &
               15;
    case TENON_FORMAT_INT8_CT:
        return load_word(base + row * o->row_stride + col / 4 * o->k_stride) >> (8 * (col % 4)) &
               255;
    default:
        return base[row * o->row_stride + col * o->k_stride];
    }
}

/* Element (row, col) of an expert, or of a table of the masked layout. */
DEVICE float operand_element(const matmul_operand *o, uint32_t expert, uint32_t row, uint32_t col) {
    const tenon_device_const_bytes base = o->data + expert * o->expert_stride;
    if (o->format >= TENON_FORMAT_GGUF_Q4_0)
        return gguf_element(o->format, base + row * o->row_stride, col);
    if (o->number >= TENON_NUMBER_F32 && o->number <= TENON_NUMBER_BF16)
        return load_float(base + row * o->row_stride + col * o->k_stride, 0, o->number);
    const float code = code_to_f32(o->number, element_code(o, base, row, col));
    return o->scale.data ? group_value(group_of(o, expert, row, col), code) : code;
}

#endif /* TENON_MATMUL_DECODE_H */
