/* SPDX-License-Identifier: Apache-2.0 */
#include "panel_source.h"

#include <math.h>
#include <string.h>

#include "packed_bits.h"
#include "panel_order.h"
#include "scale_layout.h"

enum { GROUP = TENON_PANEL_GROUP, AWQ_WORD = 8 };

static int32_t plain_kind(tenon_number number) {
    return number == TENON_NUMBER_BF16       ? TENON_PANEL_BF16
           : number == TENON_NUMBER_F16      ? TENON_PANEL_F16
           : number == TENON_NUMBER_F32      ? TENON_PANEL_F32
           : number == TENON_NUMBER_E4M3FN   ? TENON_PANEL_E4M3FN
           : number == TENON_NUMBER_E4M3FNUZ ? TENON_PANEL_E4M3FNUZ
           : number == TENON_NUMBER_E5M2     ? TENON_PANEL_E5M2
           : number == TENON_NUMBER_E5M2FNUZ ? TENON_PANEL_E5M2FNUZ
                                             : -1;
}

/* Integers with scales, and perhaps zero points, for groups of columns. */
static int32_t integer_kind(const tenon_weight_view *view, tenon_panel_type *scale_type) {
    const int nibble = view->number == TENON_NUMBER_U4;
    const int is_128 =
        !view->group_index.present && (view->group_cols % 128 == 0 || view->group_cols >= view->k);
    const int ordered = view->group_index.present;
    if (ordered && (!nibble || view->k % 8 || view->k > INT32_MAX / 64)) return -1;
    if (!ordered && view->group_cols % GROUP && view->group_cols < view->k) return -1;
    *scale_type =
        view->scale.number == TENON_NUMBER_BF16 ? TENON_PANEL_TYPE_BF16 : TENON_PANEL_TYPE_F16;
    if (view->scale.number != TENON_NUMBER_F32) {
        if (nibble && !view->zero_point.present)
            return is_128 ? TENON_PANEL_INT4_128 : TENON_PANEL_Q4_0;
        if (nibble && tenon_format_is_word_packed(view->format))
            return is_128 ? TENON_PANEL_INT4_ZERO_128 : TENON_PANEL_INT4_ZERO;
    }
    if (nibble) return is_128 ? TENON_PANEL_INT4_AFFINE_128 : TENON_PANEL_INT4_AFFINE;
    if (!view->zero_point.present &&
        (view->number == TENON_NUMBER_I8 || view->format == TENON_FORMAT_INT8_CT)) {
        if (is_128) return TENON_PANEL_INT8_128;
        if (view->scale.number != TENON_NUMBER_F32) return TENON_PANEL_Q8_0;
    }
    return is_128 ? TENON_PANEL_INT8_AFFINE_128 : TENON_PANEL_INT8_AFFINE;
}

int32_t tenon_panel_kind_of(const tenon_weight_view *view, tenon_panel_type *scale_type,
                            int32_t *beside) {
    *scale_type = TENON_PANEL_TYPE_F16;
    *beside = 0;
    switch (view->format) {
    case TENON_FORMAT_NONE:
        return plain_kind(view->number);
    case TENON_FORMAT_FP8: /* scales are those of sums over whole units */
        return view->col_groups > 1 && view->group_cols % GROUP ? -1 : plain_kind(view->number);
    case TENON_FORMAT_GGUF_Q4_0:
        return TENON_PANEL_Q4_0;
    case TENON_FORMAT_GGUF_Q4_1:
        return TENON_PANEL_Q4_1;
    case TENON_FORMAT_GGUF_Q8_0:
        return TENON_PANEL_Q8_0;
    case TENON_FORMAT_GGUF_Q4_K:
        return TENON_PANEL_Q4_K;
    case TENON_FORMAT_GGUF_Q6_K:
        return TENON_PANEL_Q6_K;
    default:
        break;
    }
    *beside = 1;
    switch (view->format) {
    case TENON_FORMAT_MXFP4:
        return TENON_PANEL_MXFP4;
    case TENON_FORMAT_NVFP4: /* a unit has two groups */
        return view->k % GROUP ? -1 : TENON_PANEL_NVFP4;
    case TENON_FORMAT_MXFP6_E2M3:
    case TENON_FORMAT_MXFP6_E3M2:
        return TENON_PANEL_MXFP8_E4M3;
    case TENON_FORMAT_MXFP8:
        return view->number == TENON_NUMBER_E4M3FN ? TENON_PANEL_MXFP8_E4M3
                                                   : TENON_PANEL_MXFP8_E5M2;
    case TENON_FORMAT_INT4:
    case TENON_FORMAT_INT4_GPTQ:
    case TENON_FORMAT_INT4_GPTQ_V2:
    case TENON_FORMAT_INT4_AWQ:
    case TENON_FORMAT_INT4_CT:
    case TENON_FORMAT_INT8:
    case TENON_FORMAT_INT8_CT:
        return integer_kind(view, scale_type);
    default:
        return -1;
    }
}

static int64_t round_up(int64_t x, int64_t step) {
    return (x + step - 1) / step * step;
}

int64_t tenon_panel_stored_rows(const tenon_weight_view *view) {
    return view->format == TENON_FORMAT_INT4_AWQ ? round_up(view->n, AWQ_WORD) : view->n;
}

/* Columns that the storage holds: the last word or byte may have more than k. */
static int64_t stored_cols(const tenon_weight_view *view) {
    return round_up(view->k, tenon_format_storage_of(view->format)->k_per);
}

/* ---- nibbles ---- */

/* Eight nibbles to the low halves of eight bytes, and back. */
static uint64_t spread(uint32_t x) {
    uint64_t v = x;
    v = (v | v << 16) & 0x0000ffff0000ffffu;
    v = (v | v << 8) & 0x00ff00ff00ff00ffu;
    return (v | v << 4) & 0x0f0f0f0f0f0f0f0fu;
}
static uint32_t gather_low(uint64_t v) {
    v &= 0x0f0f0f0f0f0f0f0fu;
    v = (v | v >> 4) & 0x00ff00ff00ff00ffu;
    v = (v | v >> 8) & 0x0000ffff0000ffffu;
    return (uint32_t)(v | v >> 16);
}

/* From nibbles in the order of k to those of a code vector, and back. 16 bytes each. */
static void to_panel_order(const uint8_t *in, uint8_t *out) {
    uint32_t word[4];
    uint64_t v[2];
    memcpy(word, in, 16);
    v[0] = spread(word[0]) | spread(word[2]) << 4;
    v[1] = spread(word[1]) | spread(word[3]) << 4;
    memcpy(out, v, 16);
}
static void from_panel_order(const uint8_t *in, uint8_t *out) {
    uint64_t v[2];
    memcpy(v, in, 16);
    const uint32_t word[4] = {gather_low(v[0]), gather_low(v[1]), gather_low(v[0] >> 4),
                              gather_low(v[1] >> 4)};
    memcpy(out, word, 16);
}

/* 32 columns from k0 on of one row, in the order of k; what the storage does not have is 0. Copies
 * to `nibbles`, or from it. */
static void move_nibbles(const tenon_weight_view *view, int64_t row, int64_t k0, uint8_t *nibbles,
                         int to_storage) {
    const int64_t left = stored_cols(view) - k0;
    uint8_t *data = (uint8_t *)(uintptr_t)view->data + row * view->n_stride;
    if (left <= 0) return;
    const int64_t entry = tenon_format_is_word_packed(view->format) ? 4 : 1;
    const int64_t entries = (left < GROUP ? left : GROUP) / (2 * entry);
    data += k0 / (2 * entry) * view->k_stride;
    if (view->k_stride == entry) {
        memcpy(to_storage ? data : nibbles, to_storage ? nibbles : data, (size_t)(entries * entry));
        return;
    }
    for (int64_t i = 0; i < entries; i++) {
        uint8_t *there = data + i * view->k_stride, *here = nibbles + i * entry;
        memcpy(to_storage ? there : here, to_storage ? here : there, (size_t)entry);
    }
}

/* AWQ: the words of eight rows at once. A word's even nibbles are the columns 0 4 1 5, its odd ones
 * 2 6 3 7 (packed_bits.h). */
static void awq_nibbles(const tenon_weight_view *view, int64_t row, int64_t k0,
                        uint8_t nibbles[AWQ_WORD][16]) {
    static const uint8_t even[4] = {0, 4, 1, 5}, odd[4] = {2, 6, 3, 7};
    const uint8_t *data = view->data + row / AWQ_WORD * view->n_stride;
    for (int64_t i = 0; i < GROUP; i += 2) {
        uint32_t a = 0, b = 0;
        if (k0 + i < view->k) a = tenon_word_get(data + (k0 + i) * view->k_stride, 0);
        if (k0 + i + 1 < view->k) b = tenon_word_get(data + (k0 + i + 1) * view->k_stride, 0);
        const uint32_t x = (a & 0x0f0f0f0fu) | (b & 0x0f0f0f0fu) << 4;
        const uint32_t y = (a >> 4 & 0x0f0f0f0fu) | (b & 0xf0f0f0f0u);
        for (int s = 0; s < 4; s++) {
            nibbles[even[s]][i / 2] = (uint8_t)(x >> 8 * s);
            nibbles[odd[s]][i / 2] = (uint8_t)(y >> 8 * s);
        }
    }
}

static void awq_put(const tenon_weight_view *view, int64_t row, int64_t k0,
                    const uint8_t nibbles[16]) {
    uint8_t *data = (uint8_t *)(uintptr_t)view->data + row / AWQ_WORD * view->n_stride;
    const int shift = 4 * tenon_awq_slot((int)(row % AWQ_WORD));
    for (int64_t i = 0; i < GROUP && k0 + i < view->k; i++) {
        uint8_t *at = data + (k0 + i) * view->k_stride;
        uint32_t word = tenon_word_get(at, 0);
        word = (word & ~(0xfu << shift)) | (uint32_t)tenon_nibble_get(nibbles, i) << shift;
        memcpy(at, &word, 4);
    }
}

/* ---- bytes ---- */

static void move_bytes(const tenon_weight_view *view, int64_t row, int64_t k0, uint8_t *codes,
                       int to_storage) {
    const int64_t left = stored_cols(view) - k0, count = left < GROUP ? left : GROUP;
    const uint8_t flip = view->number == TENON_NUMBER_I8 ? 0 : 0x80;
    const int in_words = tenon_format_is_word_packed(view->format);
    uint8_t *data = (uint8_t *)(uintptr_t)view->data + row * view->n_stride;
    for (int64_t i = 0; i < count; i++) {
        const int64_t k = k0 + i;
        uint8_t *there = data + (in_words ? k / 4 * view->k_stride + k % 4 : k * view->k_stride);
        if (to_storage)
            *there = (uint8_t)(codes[i] ^ flip);
        else
            codes[i] = (uint8_t)(*there ^ flip);
    }
}

/* The e4m3fn of each e2m3 and e3m2. */
static const uint8_t from_e2m3[64] = {
    0x00, 0x20, 0x28, 0x2c, 0x30, 0x32, 0x34, 0x36, 0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f,
    0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x4b, 0x4c, 0x4d, 0x4e, 0x4f,
    0x80, 0xa0, 0xa8, 0xac, 0xb0, 0xb2, 0xb4, 0xb6, 0xb8, 0xb9, 0xba, 0xbb, 0xbc, 0xbd, 0xbe, 0xbf,
    0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xcb, 0xcc, 0xcd, 0xce, 0xcf};
static const uint8_t from_e3m2[64] = {
    0x00, 0x18, 0x20, 0x24, 0x28, 0x2a, 0x2c, 0x2e, 0x30, 0x32, 0x34, 0x36, 0x38, 0x3a, 0x3c, 0x3e,
    0x40, 0x42, 0x44, 0x46, 0x48, 0x4a, 0x4c, 0x4e, 0x50, 0x52, 0x54, 0x56, 0x58, 0x5a, 0x5c, 0x5e,
    0x80, 0x98, 0xa0, 0xa4, 0xa8, 0xaa, 0xac, 0xae, 0xb0, 0xb2, 0xb4, 0xb6, 0xb8, 0xba, 0xbc, 0xbe,
    0xc0, 0xc2, 0xc4, 0xc6, 0xc8, 0xca, 0xcc, 0xce, 0xd0, 0xd2, 0xd4, 0xd6, 0xd8, 0xda, 0xdc, 0xde};

/* 32 small floats, those of six bits as e4m3fn. */
static void move_floats(const tenon_weight_view *view, int64_t row, int64_t k0, uint8_t *codes,
                        int to_storage) {
    uint8_t *data = (uint8_t *)(uintptr_t)view->data + row * view->n_stride;
    if (view->format == TENON_FORMAT_MXFP8) {
        for (int64_t i = 0; i < GROUP; i++) {
            uint8_t *there = data + (k0 + i) * view->k_stride;
            if (to_storage)
                *there = codes[i];
            else
                codes[i] = *there;
        }
        return;
    }
    const uint8_t *table = view->number == TENON_NUMBER_E2M3 ? from_e2m3 : from_e3m2;
    for (int64_t i = 0; i < GROUP; i++) {
        uint8_t six = 0;
        if (!to_storage) {
            codes[i] = table[tenon_sixbit_get(data, k0 + i)];
            continue;
        }
        while (six < 63 && table[six] != codes[i]) six++;
        tenon_sixbit_set(data, k0 + i, six);
    }
}

/* ---- parameters ---- */

static const uint8_t *scale_at(const tenon_weight_view *view, int64_t row, int64_t group,
                               int64_t bytes) {
    if (view->scale_swizzled)
        return view->scale.data + tenon_scale_128x4_offset(row, group, view->col_groups);
    const int64_t row_group = view->group_rows == 1 ? row : row / view->group_rows;
    return view->scale.data +
           (row_group * view->scale.row_stride + group * view->scale.col_stride) * bytes;
}

/* Zero point of a word-packed format, in terms of the code. */
static int packed_zero(const tenon_weight_view *view, int64_t row, int64_t group) {
    const tenon_parameter_plane *plane = &view->zero_point;
    const int slot = view->format == TENON_FORMAT_INT4_AWQ ? tenon_awq_slot((int)(row % AWQ_WORD))
                                                           : (int)(row % AWQ_WORD);
    const uint32_t word =
        tenon_word_get(plane->data, row / AWQ_WORD * plane->row_stride + group * plane->col_stride);
    return (int)(word >> 4 * slot & 15) + (view->format == TENON_FORMAT_INT4_GPTQ);
}

/* (code - zero) * scale, where the code of a kind is 128 less than an unsigned byte. */
static void put_affine(const tenon_weight_view *view, int64_t row, int64_t group, int has_offset,
                       uint8_t *dst) {
    const tenon_weight_group g = tenon_weight_parameters(view, row, group);
    const double bias = view->number == TENON_NUMBER_U8 ? 128 : 0;
    const float pair[2] = {(float)g.scale, (float)((bias - g.zero) * g.scale)};
    memcpy(dst, pair, has_offset ? 8 : 4);
}

/* dst: behind the codes, or in front of them where GGUF has the scale there. No such group: NaN. */
static void put_parameters(tenon_panel_kind kind, const tenon_weight_view *view, int64_t row,
                           int64_t group, uint8_t *dst) {
    if (group >= view->col_groups) {
        static const uint8_t nan_f16_bf16[2] = {0xff, 0x7f};
        const float nan_f32[2] = {NAN, NAN};
        if (kind == TENON_PANEL_INT4_AFFINE)
            memcpy(dst, nan_f32, 8);
        else
            memcpy(dst, nan_f16_bf16, 2);
        if (kind == TENON_PANEL_INT4_ZERO) dst[2] = 0;
        return;
    }
    switch (kind) {
    case TENON_PANEL_Q4_0:
    case TENON_PANEL_Q8_0:
    case TENON_PANEL_INT4_128:
        memcpy(dst, scale_at(view, row, group, 2), 2);
        return;
    case TENON_PANEL_MXFP4:
    case TENON_PANEL_MXFP8_E4M3:
    case TENON_PANEL_MXFP8_E5M2:
        *dst = *scale_at(view, row, group, 1);
        return;
    case TENON_PANEL_NVFP4:
        dst[0] = *scale_at(view, row, group, 1);
        dst[1] = *scale_at(view, row, group + 1, 1);
        return;
    case TENON_PANEL_INT4_ZERO:
    case TENON_PANEL_INT4_ZERO_128:
        memcpy(dst, scale_at(view, row, group, 2), 2);
        dst[2] = (uint8_t)(16 - packed_zero(view, row, group));
        return;
    default:
        put_affine(view, row, group, tenon_panel_has_offset(kind), dst);
        return;
    }
}

/* ---- units ---- */

static int codes_at(tenon_panel_kind kind) {
    return kind == TENON_PANEL_Q4_0 || kind == TENON_PANEL_Q8_0 ? 2 : 0;
}

/* 32 columns of a row, from column k0 on. */
static void gather_codes(tenon_panel_kind kind, const tenon_weight_view *view, int64_t row,
                         int64_t k0, uint8_t *codes) {
    uint8_t nibbles[16] = {0};
    if (tenon_panel_is_mxfp8(kind)) {
        move_floats(view, row, k0, codes, 0);
        return;
    }
    if (!tenon_panel_is_nibble(kind)) {
        memset(codes, 0, GROUP);
        move_bytes(view, row, k0, codes, 0);
        return;
    }
    move_nibbles(view, row, k0, nibbles, 0);
    to_panel_order(nibbles, codes);
}

/* ---- columns in another order ---- */

/* The word that holds a column of a row, in the formats that have a group index. */
static uint8_t *word_of(const tenon_weight_view *view, int64_t row, int64_t col) {
    return (uint8_t *)(uintptr_t)view->data + row * view->n_stride + col / 8 * view->k_stride;
}

static void gather_ordered(tenon_panel_kind kind, const tenon_weight_view *view,
                           const int32_t *order, int64_t first, uint8_t *rows) {
    const int64_t row_bytes = tenon_panel_row_bytes(kind);
    const int at = codes_at(kind);
    uint8_t codes[GROUP][TENON_PANEL_COLS] = {{0}};
    int64_t group = view->col_groups;
    for (int i = 0; i < GROUP; i++) {
        const int64_t col = order[i];
        if (col < 0 || col >= view->k) continue;
        if (i == 0) group = tenon_panel_group_of(view, col);
        for (int64_t c = 0; c < TENON_PANEL_COLS; c++) {
            const int64_t row = first + c < view->n ? first + c : view->n - 1;
            codes[i][c] =
                (uint8_t)(tenon_word_get(word_of(view, row, col), 0) >> 4 * (col % 8) & 15);
        }
    }
    for (int64_t c = 0; c < TENON_PANEL_COLS; c++) {
        uint8_t *out = rows + c * row_bytes;
        const int64_t row = first + c < view->n ? first + c : view->n - 1;
        for (int j = 0; j < 16; j++) out[at + j] = (uint8_t)(codes[j][c] | codes[j + 16][c] << 4);
        put_parameters(kind, view, row, group, at ? out : out + 16);
    }
}

void tenon_panel_gather(tenon_panel_kind kind, const tenon_weight_view *view, const int32_t *order,
                        int64_t first, int64_t unit, uint8_t *rows) {
    if (order) {
        gather_ordered(kind, view, order + unit * GROUP, first, rows);
        return;
    }
    const int64_t unit_k = tenon_panel_unit_k(kind), row_bytes = tenon_panel_row_bytes(kind);
    const int64_t k0 = unit * unit_k, group = k0 / view->group_cols;
    const int64_t stored = tenon_panel_stored_rows(view);
    const int awq = view->format == TENON_FORMAT_INT4_AWQ;
    const int64_t block_bytes = tenon_panel_is_nibble(kind) ? 16 : 32;
    const int64_t parameters_at = codes_at(kind) ? 0 : unit_k / GROUP * block_bytes;
    uint8_t words[AWQ_WORD][16];
    for (int64_t b = 0; b < unit_k / GROUP; b++)
        for (int64_t c = 0; c < TENON_PANEL_COLS; c++) {
            const int64_t row = first + c < stored ? first + c : stored - 1;
            uint8_t *codes = rows + c * row_bytes + codes_at(kind) + b * block_bytes;
            if (!awq) {
                gather_codes(kind, view, row, k0 + b * GROUP, codes);
                continue;
            }
            if (row % AWQ_WORD == 0) awq_nibbles(view, row, k0 + b * GROUP, words);
            to_panel_order(words[row % AWQ_WORD], codes);
        }
    for (int64_t c = 0; c < TENON_PANEL_COLS; c++) {
        const int64_t row = first + c < view->n ? first + c : view->n - 1;
        put_parameters(kind, view, row, group, rows + c * row_bytes + parameters_at);
    }
}

static void scatter_ordered(const tenon_weight_view *view, const int32_t *order, int64_t row,
                            const uint8_t *codes) {
    for (int i = 0; i < GROUP; i++) {
        const int64_t col = order[i];
        if (col < 0 || col >= view->k) continue;
        uint8_t *at = word_of(view, row, col);
        const uint32_t code = codes[i % 16] >> (i < 16 ? 0 : 4) & 15,
                       shift = 4 * (uint32_t)(col % 8);
        const uint32_t word = (tenon_word_get(at, 0) & ~(15u << shift)) | code << shift;
        memcpy(at, &word, 4);
    }
}

void tenon_panel_scatter(tenon_panel_kind kind, const tenon_weight_view *view,
                         const int32_t *columns, int64_t row, int64_t unit,
                         const uint8_t *unit_row) {
    const int64_t unit_k = tenon_panel_unit_k(kind);
    const uint8_t *codes = unit_row + codes_at(kind);
    uint8_t order[GROUP];
    if (columns) {
        scatter_ordered(view, columns + unit * GROUP, row, codes);
        return;
    }
    for (int64_t k0 = unit * unit_k; k0 < (unit + 1) * unit_k; k0 += GROUP) {
        if (tenon_panel_is_mxfp8(kind)) {
            memcpy(order, codes, GROUP);
            move_floats(view, row, k0, order, 1);
            continue;
        }
        if (!tenon_panel_is_nibble(kind)) {
            memcpy(order, codes, GROUP);
            move_bytes(view, row, k0, order, 1);
            codes += GROUP;
            continue;
        }
        from_panel_order(codes, order);
        if (view->format == TENON_FORMAT_INT4_AWQ)
            awq_put(view, row, k0, order);
        else
            move_nibbles(view, row, k0, order, 1);
        codes += GROUP / 2;
    }
}
